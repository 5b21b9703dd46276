"""The verdict of an audit: a list of checks with their limits, each settled by one measured value."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PASS, WARN, FAIL = "pass", "warn", "fail"
INDEPENDENT = "independent embedder"


_SECOND = (
    "--second-embedder takes an .onnx recogniser, a folder of weights, or, after "
    "`vec2face weights pull arcface-r100-glint360k`, that name"
)


@dataclass(frozen=True)
class Limit:
    """What is good and what is bearable.

    Attributes:
        path: where the value stands in an embedder's facts.
        good: bound for a pass.
        bearable: bound for a warning; beyond it the check fails.
        higher_is_better: whether the bounds are lower bounds.
        reason: what a value beyond the bounds means for who trains on the dataset.
    """

    name: str
    path: tuple[str, str]
    good: float
    bearable: float
    higher_is_better: bool
    reason: str


# The bounds are conventions of this project, not of the literature, and stand in each report beside the values.
LIMITS = (
    Limit(
        "images nearest to their own identity",
        ("separation", "nearest_is_own_share"),
        good=0.99,
        bearable=0.95,
        higher_is_better=True,
        reason="an image that looks more like another identity is a wrong label",
    ),
    Limit(
        "identities that are unique",
        ("separation", "unique_share"),
        good=0.95,
        bearable=0.80,
        higher_is_better=True,
        reason="two identities that look like one person push a recogniser to tell apart what is the same",
    ),
    Limit(
        "images consistent with their identity",
        ("consistency", "share_at_threshold"),
        good=0.95,
        bearable=0.80,
        higher_is_better=True,
        reason="an image far from the others of its identity is a wrong label",
    ),
    Limit(
        "equal error rate of image pairs",
        ("error_rates", "eer"),
        good=0.02,
        bearable=0.05,
        higher_is_better=False,
        reason="same-person and different-person pairs overlap",
    ),
    Limit(
        "images nearest to the vector they were made from",
        ("to_vector", "nearest_is_own_share"),
        good=0.99,
        bearable=0.95,
        higher_is_better=True,
        reason="the generator does not follow its identity vectors",
    ),
)
PICTURES = (
    Limit(
        "images that are there twice",
        ("near_duplicates", "surplus_share"),
        good=0.0,
        bearable=0.01,
        higher_is_better=False,
        reason="a picture that is nearly another one teaches nothing new, and under two labels it is a wrong one",
    ),
    Limit(
        "identities that show two people",
        ("pictures", "mixed_share"),
        good=0.0,
        bearable=0.01,
        higher_is_better=False,
        reason="one label for two people pushes a recogniser to take strangers for one person",
    ),
    Limit(
        "poor images",
        ("pictures", "poor_share"),
        good=0.01,
        bearable=0.05,
        higher_is_better=False,
        reason="blurred, flat, too dark or too bright, or hardly recognisable",
    ),
)
ONE_SIDED = Limit(
    "turned faces that look to the same side",
    ("pictures", "sides"),
    good=0.75,
    bearable=0.9,
    higher_is_better=False,
    reason="a recogniser learns the other side from mirror images alone",
)
REJECTS = Limit(
    "images rejected while generating",
    ("dataset", "rejects_share"),
    good=0.0,
    bearable=0.01,
    higher_is_better=False,
    reason="some images came out unusable and were left out",
)


@dataclass(frozen=True)
class Check:
    """One settled check.

    Attributes:
        threshold: the bound for a pass; None for a check that has none.
        status: "pass", "warn" or "fail".
        embedder: name of the embedder whose measure it is, or None.
        reason: one sentence.
        higher_is_better: whether the threshold is a lower bound; None for a check that has none.
    """

    name: str
    value: float | None
    threshold: float | None
    status: str
    embedder: str | None
    reason: str
    higher_is_better: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def settle(facts: Mapping[str, Any]) -> tuple[str, list[Check]]:
    """Return the verdict, the worst status of all checks, and the checks.

    Args:
        facts: audit facts with "dataset" and "embedders", and those of an inspection where there was one.
    """
    dataset = facts["dataset"]
    checks = []
    if "rejects" in dataset:
        rejected = dataset["rejects"] / max(1, dataset["rejects"] + dataset["images"])
        checks.append(_check(REJECTS, rejected, None))
    for embedder in facts["embedders"]:
        for limit in LIMITS:
            section = embedder[limit.path[0]]
            if limit.path[0] == "to_vector" and section is None:
                continue  # another feature space: there is no such measure, rather than a missing one
            checks.append(_check(limit, section and section[limit.path[1]], embedder["name"]))
    independence = _independence([embedder["generators_own_space"] for embedder in facts["embedders"]])
    if independence is not None:
        checks.append(independence)
    checks += _pictures(facts)
    checks += [_leaks(leak, dataset) for leak in facts.get("leakage", [])]
    order = (PASS, WARN, FAIL)
    return order[max(order.index(check.status) for check in checks)], checks


def _independence(own_spaces: Sequence[bool | None]) -> Check | None:
    """Warn where no embedder is known, or was given as a second one, to have taken no part in making the faces.

    Args:
        own_spaces: of each embedder, whether the generator was made to satisfy it; None where no generator is known.
    """
    if all(own_spaces):
        reason = (
            "this says nothing against the dataset: it was measured only by the embedder that its generator was made "
            "to satisfy, which flatters it. Before you rely on it, measure it again by one that took no part"
        )
    elif own_spaces == [None]:
        reason = (
            "this says nothing against the faces: one embedder alone measured them, and it is not known whether it "
            "took part in making them, which would flatter them. Before you rely on generated faces, measure them "
            "again by one that took no part"
        )
    else:
        return None
    return Check(INDEPENDENT, None, None, WARN, None, f"{reason}: {_SECOND}")


def _pictures(facts: Mapping[str, Any]) -> list[Check]:
    found = [_check(limit, facts[limit.path[0]][limit.path[1]], None) for limit in PICTURES if limit.path[0] in facts]
    sides = facts.get("pictures", {}).get("sides")
    if sides is not None and sides["share"] is not None:
        found.append(_check(ONE_SIDED, sides["share"], None))
    return found


def _leaks(leak: Mapping[str, Any], dataset: Mapping[str, Any]) -> Check:
    """Settle whether people are real: as many likenesses as real strangers show is a warning, for chance does that."""
    name = f"identities that resemble people of {leak['reference']}"
    value, images, strangers = leak["leaked_share"], leak["images_share"], leak["strangers_images_share"]
    embedder = leak["embedder"] and leak["embedder"]["name"]
    if leak["leaked"] is None:
        missing = (
            f"not measured: {leak['no_limit']}; give a larger reference, or strangers from another set (--strangers)"
        )
        return Check(name, None, 0.0, WARN, embedder, missing, False)
    reason = (
        f"{images:.2%} of the images reach the limit, as {strangers:.2%} of real people's do who are somebody else; "
        f"{_remedy(dataset)}"
    )
    if not leak["leaked"]:
        return Check(name, value, 0.0, PASS, embedder, "none is good", False)
    # Twice the standard deviation of a share of so many images, so that chance alone rarely fails a dataset.
    count = leak["comparisons"][0]["queries"]
    bearable = strangers + 2 * (max(strangers, 1 / count) / count) ** 0.5
    return Check(name, value, 0.0, WARN if images <= bearable else FAIL, embedder, reason, False)


def _remedy(dataset: Mapping[str, Any]) -> str:
    """What leaves likenesses out of such a set."""
    if "rejects" in dataset:
        return "--drop-leaks leaves the identities out"
    if dataset.get("origin") is not None:
        return '`vec2face subset --where "identity not in [...]"` leaves out the identities that the findings name'
    return "the findings name the identities; leave them out where the set is made"


def _check(limit: Limit, value: float | None, embedder: str | None) -> Check:
    if value is None:
        reason = "not measured: it needs at least two identities with at least two images each"
        return Check(limit.name, None, limit.good, WARN, embedder, reason, limit.higher_is_better)

    def within(bound: float) -> bool:
        return value >= bound if limit.higher_is_better else value <= bound

    status = PASS if within(limit.good) else WARN if within(limit.bearable) else FAIL
    relation = "at least" if limit.higher_is_better else "at most"
    good = f"{relation} {limit.good:.0%}" if limit.good else "none"
    reason = f"{good} is good, {limit.bearable:.0%} bearable"
    if status != PASS:
        reason += f": {limit.reason}"
    return Check(limit.name, value, limit.good, status, embedder, reason, limit.higher_is_better)
