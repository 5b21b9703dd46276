"""A check's status follows from its value and its bounds."""

import pytest

from vec2face.evaluation.verdict import LIMITS, settle


def facts(own=False, rejects=0, **values):
    """Facts of one embedder in which every check passes but those given by name of their measure."""
    sections = {"separation": {}, "consistency": {}, "error_rates": {}, "to_vector": {}}
    for limit in LIMITS:
        section, key = limit.path
        perfect = 1.0 if limit.higher_is_better else 0.0
        sections[section][key] = values.get(f"{section}.{key}", perfect)
    if not own:
        sections["to_vector"] = None
    embedder = {"name": "judge", "generators_own_space": own, **sections}
    return {"dataset": {"rejects": rejects, "images": 1000 - rejects}, "embedders": [embedder]}


def status_of(found, name):
    (check,) = [check for check in found[1] if check.name == name]
    return check.status


def test_a_perfect_dataset_passes():
    verdict, checks = settle(facts())
    assert verdict == "pass"
    assert len(checks) == len(LIMITS)  # rejects, and all but fidelity to the vectors, which needs their space
    assert all(check.status == "pass" for check in checks)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_bounds_belong_to_the_better_side(limit):
    worse = -1e-9 if limit.higher_is_better else 1e-9
    key = ".".join(limit.path)
    cases = [(limit.good, "pass"), (limit.good + worse, "warn"), (limit.bearable, "warn")]
    cases.append((limit.bearable + worse, "fail"))
    for value, status in cases:
        found = settle(facts(own=True, **{key: value}))
        assert status_of(found, limit.name) == status
        reason = next(check.reason for check in found[1] if check.name == limit.name)
        assert (limit.reason in reason) == (status != "pass")


@pytest.mark.parametrize(("rejects", "status"), [(0, "pass"), (10, "warn"), (11, "fail")])
def test_rejects_count_against_all_that_was_rendered(rejects, status):
    assert status_of(settle(facts(rejects=rejects)), "images rejected while generating") == status


def test_the_verdict_is_the_worst_check():
    assert settle(facts(**{"error_rates.eer": 0.03}))[0] == "warn"
    assert settle(facts(**{"error_rates.eer": 0.5}))[0] == "fail"


def test_one_independent_embedder_is_enough():
    alone = facts(own=True)
    assert status_of(settle(alone), "independent embedder") == "warn"
    both = {**alone, "embedders": alone["embedders"] + facts()["embedders"]}
    assert settle(both)[0] == "pass"
    assert not [check for check in settle(both)[1] if check.name == "independent embedder"]


def test_an_embedder_of_which_nothing_is_known_is_not_enough_for_a_pass():
    alone = facts() | {"embedders": [{**facts()["embedders"][0], "generators_own_space": None}]}
    verdict, checks = settle(alone)
    assert verdict == "warn"
    (check,) = [check for check in checks if check.status == "warn"]
    assert check.name == "independent embedder"
    assert "it is not known whether it took part" in check.reason
    assert settle({**alone, "embedders": alone["embedders"] * 2})[0] == "pass"  # somebody chose a second one


def test_what_could_not_be_measured_does_not_pass():
    unmeasured = facts()
    unmeasured["embedders"][0]["error_rates"] = None
    verdict, checks = settle(unmeasured)
    assert verdict == "warn"
    assert [check.value for check in checks if check.status == "warn"] == [None]


def leak(*, leaked, images_share, strangers):
    return {
        "reference": "photos",
        "embedder": {"name": "judge"},
        "leaked": leaked,
        "leaked_share": leaked / 100,
        "images_share": images_share,
        "strangers_images_share": strangers,
        "comparisons": [{"queries": 1000}],
    }


@pytest.mark.parametrize(
    ("leaked", "images_share", "strangers", "status"),
    [(0, 0.0, 0.0, "pass"), (2, 0.01, 0.01, "warn"), (2, 0.015, 0.01, "warn"), (9, 0.05, 0.01, "fail")],
)
def test_likenesses_are_judged_beside_what_strangers_reach(leaked, images_share, strangers, status):
    given = facts() | {"leakage": [leak(leaked=leaked, images_share=images_share, strangers=strangers)]}
    _, checks = settle(given)
    (check,) = [one for one in checks if "photos" in one.name]
    assert check.status == status
    assert check.value == leaked / 100


def test_likenesses_that_could_not_be_told_do_not_pass():
    given = leak(leaked=1, images_share=0.0, strangers=0.0) | {"leaked": None, "leaked_share": None, "no_limit": "why"}
    _, checks = settle(facts() | {"leakage": [given | {"images_share": None, "strangers_images_share": None}]})
    (check,) = [one for one in checks if "photos" in one.name]
    assert (check.status, check.value) == ("warn", None)
    assert check.reason.startswith("not measured: why; give a larger reference, or strangers from another set")


def test_what_is_advised_applies_to_the_set():
    given = facts() | {"leakage": [leak(leaked=2, images_share=0.01, strangers=0.01)]}
    reasons = {}
    sets = {"own": given["dataset"], "imported": {"origin": {"command": "import"}}, "foreign": {"origin": None}}
    for name, dataset in sets.items():
        (check,) = [one for one in settle(given | {"dataset": dataset})[1] if "photos" in one.name]
        reasons[name] = check.reason
    assert "--drop-leaks" in reasons["own"]
    assert not [name for name in ("imported", "foreign") if "--drop-leaks" in reasons[name]]
    assert "vec2face subset --where" in reasons["imported"]
    assert "leave them out where the set is made" in reasons["foreign"]


@pytest.mark.parametrize(("share", "status"), [(0.6, "pass"), (0.85, "warn"), (0.99, "fail"), (None, None)])
def test_faces_that_look_to_one_side_are_told(share, status):
    pictures = {"mixed_share": 0.0, "poor_share": 0.0, "sides": {"turned": 40, "left": 0.5, "share": share}}
    given = facts() | {"pictures": pictures, "near_duplicates": {"surplus_share": 0.0}}
    found = {check.name: check.status for check in settle(given)[1]}
    assert found.get("turned faces that look to the same side") == status
    assert found["images that are there twice"] == "pass"
