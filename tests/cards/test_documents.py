"""Cards and reports state facts alone: none may be missing, none may be altered by what a name contains."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest
import yaml
from huggingface_hub import DatasetCard

from vec2face.cards import read_facts, write_card, write_report
from vec2face.errors import CardError


def card_of(facts, folder):
    write_card(facts, folder / "card.md")
    return (folder / "card.md").read_text(encoding="utf-8")


def report_of(facts, folder):
    write_report(facts, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_card_has_a_header_that_the_hub_reads_and_every_section(facts, folder):
    text = card_of(facts, folder)
    _, header, body = text.split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["pretty_name"] == "six people"
    assert values["size_categories"] == ["1K<n<10K"]
    assert values["license"] == "other"
    assert values["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "shards/*.tar"}]}]
    # As the hub's own client reads it.
    read = DatasetCard(text).data
    assert (read.pretty_name, read.license, read.license_name) == (
        "six people",
        "other",
        "inherited-from-the-generator",
    )
    assert read.to_dict() == values
    sections = re.findall(r"^## (.+)$", body, re.M)
    assert sections == [
        "What it is",
        "How it was made",
        "Intended use",
        "Consent and biometrics",
        "Lineage",
        "Measured",
        "Known limits",
    ]


@pytest.mark.parametrize(
    "figure",
    [
        "1,048",
        "4321",
        "9.8.7",
        "a" * 64,
        "b" * 64,
        "research only",
        "Faces A",
        "> 99.99 %",
        "98.76 %",
        "1.23 %",
        "7.65",
    ],
)
def test_the_card_states_the_measured_figures(facts, folder, figure):
    assert figure in card_of(facts, folder)


def test_tables_of_the_card_have_as_many_cells_in_every_row(facts, folder):
    for table in re.findall(r"(?:^\|.*\n)+", card_of(facts, folder), re.M):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.strip().splitlines()}
        assert len(cells) == 1, table
        assert set(table.splitlines()[1]) <= set("|-")


def test_repairs_are_told_where_there_were_any(facts, folder):
    text = card_of(facts, folder)
    assert "1,234 identities that failed an audit were drawn again and rendered anew, in 2 rounds" in text
    assert "(inconsistent: 40, not unique: 1,200)" in text
    assert "1,234 identities drawn again in 2 rounds" in report_of(facts, folder)
    facts["dataset"]["repairs"] = None
    assert "drawn again" not in card_of(facts, folder)
    assert "<dt>repairs</dt><dd>none</dd>" in report_of(facts, folder)


def test_excluded_identities_are_told_where_there_are_any(facts, folder):
    for document in (card_of, report_of):
        assert "excluded" not in document(facts, folder)
        facts |= {"excluded": 0, "kept": {"identities": 6, "images": 1048}, "dropped": 0}
        assert "excluded" not in document(facts, folder)
    facts |= {"excluded": 2, "kept": {"identities": 4, "images": 1032}, "dropped": 0}
    card = card_of(facts, folder)
    assert "**2 of these identities are excluded**, so that 1,032 images of 4 people are left" in card
    assert "not removed from the archives" in card
    assert "vec2face export" in card
    assert "| identities | 6, of which 2 excluded |" in card
    assert "| images | 1,048, of which 16 of excluded identities (7 to 8 an identity) |" in card
    assert "measured before" not in card
    assert "which leaves 1,032 images of 4 people" in report_of(facts, folder)
    facts["dropped"] = 1
    assert "The figures below were measured before 1 identity was excluded." in card_of(facts, folder)
    assert "before 1 identity was excluded" in report_of(facts, folder)
    del facts["kept"], facts["dropped"]  # an audit of an earlier release
    assert "**2 of these identities are excluded**. `exclusions.json`" in card_of(facts, folder)


def test_a_name_cannot_break_the_card_or_the_report(facts, folder):
    facts["dataset"]["name"] = 'a|b <script>alert(1)</script> "q": x'
    text = card_of(facts, folder)
    assert yaml.safe_load(text.split("---\n", 2)[1])["pretty_name"] == facts["dataset"]["name"]
    assert "\n# a\\|b \\<script>" in text
    assert "<script>" not in report_of(facts, folder)


def test_not_measured_is_said(facts, folder):
    assert "| FNMR at FMR 0.1 % (FMR1000) | not measured | not measured |" in card_of(facts, folder)
    for section in ("error_rates", "consistency", "separation"):
        facts["embedders"][0][section] = None
    facts["embedders"][0]["genuine"] |= {"mean": None}
    assert "| equal error rate | not measured | 1.23 % |" in card_of(facts, folder)
    assert "not measured" in report_of(facts, folder)


@pytest.mark.parametrize(
    ("source", "words"),
    [("photographs", "only if those people agreed"), ("pca", "drawn at random"), ("file", "does not say where")],
)
def test_consent_depends_on_where_the_identities_come_from(facts, folder, source, words):
    facts["dataset"]["bank"]["source"] = source
    assert words in card_of(facts, folder)
    del facts["dataset"]["bank"]["source"]
    assert "does not say where" in card_of(facts, folder)


def test_limits_follow_from_the_facts(facts, folder):
    text = card_of(facts, folder)
    assert "45 of 168 same-person" in text
    assert "Only the first 5 images" in text
    assert "flatters" not in text
    facts["embedders"] = facts["embedders"][:1]
    facts["settings"]["images_per_identity"] = None
    text = card_of(facts, folder)
    assert "flatters" in text
    assert "Only the first" not in text


def without(facts, path):
    changed = copy.deepcopy(facts)
    target = changed
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return changed


STATED = [
    ("dataset", "seed"),
    ("dataset", "generator", "sha256"),
    ("dataset", "repairs"),
    ("dataset", "images_per_identity", "min"),
    ("dataset", "recipe", "image", "format"),
    ("lineage", 0, "licence"),
    ("lineage", 0, "data", 0, "consent"),
    ("lineage",),
    ("embedders", 0, "threshold", "value"),
    ("embedders", 1, "error_rates", "eer"),
    ("checks", 0, "status"),
    ("verdict",),
    ("vec2face",),
]


@pytest.mark.parametrize("path", STATED)
def test_a_missing_fact_is_named(facts, folder, path):
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
    for write in (card_of, report_of):
        if write is report_of and path == ("dataset", "recipe", "image", "format"):
            continue  # the report shows the recipe whole
        with pytest.raises(CardError, match=re.escape(f"the fact {name!r} is missing")):
            write(without(facts, path), folder)
    assert not (folder / "card.md").exists()
    assert not (folder / "report.html").exists()


def test_a_fact_without_a_value_is_refused_where_it_must_have_one(facts, folder):
    facts["dataset"]["seed"] = None
    with pytest.raises(CardError, match="no value"):
        card_of(facts, folder)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_report_needs_no_other_file_and_runs_no_script(facts, folder):
    text = report_of(facts, folder)
    page = Links()
    page.feed(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    inside = [source for source in page.sources if source.startswith("#")]
    assert all(f'id="{source[1:]}"' in text for source in inside)
    images = [source for source in page.sources if source not in inside]
    assert len(images) == 2
    assert all(source.startswith("data:image/") for source in images)
    assert "url(" not in text
    assert "@import" not in text
    assert 'name="viewport"' in text


def test_the_verdict_comes_before_everything_else(facts, folder):
    text = report_of(facts, folder)
    assert text.index("Pass with warnings") < text.index("<h2")
    assert "<span>1 to look at, 1 passed</span>" in text


def test_each_check_states_value_bound_verdict_and_reason(facts, folder):
    text = report_of(facts, folder)
    row = re.search(r"<tr><th>equal error rate of image pairs</th>.*?</tr>", text, re.S)[0]
    for cell in ("1.23 %", "≤ 2 %", ">pass<", "judge", "at most 2% is good"):
        assert cell in row
    assert '<td class="number value"></td><td class="number bound"></td><td class="status warn">warn</td>' in text


@pytest.mark.parametrize(
    "words",
    [
        "likeness of a real person",
        "0000003_0001",
        "blurred &lt;b&gt;",
        'data-label="identity">3, 4 Some &lt;Body&gt;</td>',
        "1 of 6 identities (16.67 %) reach the limit",
        "identity 5 and Somebody: 0.765; identity 5 and real_0012: 0.765",
        "bearded: 12.5 %, not bearded: 87.5 %",
        "By sex",
        "73.5 %",
        "68.4 % to 78.5 %",
        "As some labels have it. Two images of one person are counted for the same group in 97.5 % of cases",
        "12 to 18",
        "4.56",
        "exact",
        "0.111 within a person, not measured between people",
        "4,321 pairs, 7 of two identities",
        "6.2 %",
        "12.3 ± 0.5",
        "So few images say little.",
        "3 identities are excluded",
        "21, 55.0 % of them with the nose towards the image's left",
    ],
)
def test_what_was_found_in_the_pictures_is_told(full_facts, folder, words):
    assert words in report_of(full_facts, folder)


def test_the_card_states_what_was_measured_and_no_more(facts, full_facts, folder):
    text = card_of(facts, folder)
    for words in ("## Realism", "Distance of feature maps", "show two people", "difference of a person's images"):
        assert words not in text
    assert "| true accepts at a false accept rate of 0.01 (TAR@FAR) | 98.00 % | 98.00 % |" in text
    assert "false accept rate of 0.001" not in text  # too few pairs to tell
    assert "| equal error rate of image pairs | judge | 1.23 % | ≤ 2 % | pass |" in text
    full_facts["leakage"] = []
    full_facts["embedders"][0]["diversity"] = {"mean": 0.2345}
    full_facts["embedders"][1]["diversity"] = None
    full_facts["checks"][0] |= {"higher_is_better": True}
    text = card_of(full_facts, folder)
    assert "| equal error rate of image pairs | judge | 1.23 % | ≥ 2 % | pass |" in text
    assert "| difference of a person's images (1 - cosine), mean | 0.234 | not measured |" in text
    assert "Identities that show two people: 1 (16.67 %)." in text
    assert "0.11 between two pictures of a person, not measured between those of different people" in text
    assert "| Frechet distance | 12.3 ± 0.5 | 3.21 ± 0.25 |" in text
    assert "24 images a side, mean and deviation over 5 splits of real faces" in text
    assert "So few images say little." in text


def test_the_card_sets_what_was_compared_beside_what_the_generator_learnt_from(full_facts, folder):
    learnt = full_facts["lineage"][0]["data"]
    learnt.append({"name": "Faces B", "role": "data of the teacher", "licence": "research", "consent": "not stated"})
    (leak,) = full_facts["leakage"]
    leak["comparisons"][0] |= {"strangers": {"images_share": 0.01}, "held_out": None, "nearest": {"q100": 0.77}}
    text = card_of(full_facts, folder)
    assert "Likeness to real people was looked for in real faces (999 images), and nowhere else." in text
    assert "The lineage names Faces A (training images); Faces B (data of the teacher)." in text
    assert "not compared is unknown" in text
    full_facts["leakage"] = []
    assert "training data was not measured" in card_of(full_facts, folder)
    assert "nowhere else" not in card_of(full_facts, folder)


def test_shares_that_cannot_be_corrected_are_withheld_with_the_reason(full_facts, folder):
    (kind,) = full_facts["demographics"]["by"]
    full_facts["leakage"] = []
    for document in (card_of, report_of):
        assert "withheld" not in document(full_facts, folder)
    kind["doubt"] = "it errs more here"
    for group in kind["groups"]:
        group |= {"corrected": None, "low": None, "high": None}
    for document in (card_of, report_of):
        text = document(full_facts, folder)
        assert "Corrected shares are withheld: it errs more here." in text
        assert "73.5 %" not in text
        assert "61.2 %" in text


def unlimited(facts):
    """The same facts where the strangers are too few for a limit."""
    (leak,) = facts["leakage"]
    (part,) = leak["comparisons"]
    nothing = ("leaked", "leaked_share", "images_share", "strangers_images_share")
    leak |= {"no_limit": "the reference is too small", **dict.fromkeys(nothing)}
    part |= dict.fromkeys(("threshold", "rate", "queries_reaching", "queries_share", "identities_reaching"))
    for side in ("strangers", "held_out"):
        part[side] |= {"images_share": None}
    part["same_person"] |= {"share": None}
    return facts


def test_likenesses_stand_beside_what_strangers_and_the_same_people_reach(full_facts, folder):
    for document in (card_of, report_of):
        text = document(full_facts, folder)
        for words in ("1.23 %", "2.34 %", "34.56 %", "222 people", "0.654"):
            assert words in text, words
    (leak,) = full_facts["leakage"]
    leak["people_with_several"] = 0
    leak["comparisons"][0]["same_person"] = {"compared": 0, "share": None}
    for document in (card_of, report_of):
        assert "How many real people would be found is unknown" in document(full_facts, folder)


def test_without_a_limit_no_likeness_is_denied(full_facts, folder):
    for document in (card_of, report_of):
        text = document(unlimited(full_facts), folder)
        assert "was not measured" in text
        assert "the reference is too small" in text
        assert "0 of 6 identities" not in text
        assert "Real people would be found" not in text


def test_all_pairs_that_were_listed_can_be_read_in_the_report(full_facts, folder):
    part = full_facts["leakage"][0]["comparisons"][0]
    part["closest"] = [{**part["closest"][0], "identity": 1000 + n, "reference": f"real <{n}>"} for n in range(16)]
    text = report_of(full_facts, folder)
    listed = text[text.index("The closest pairs") :]
    assert all(f"real &lt;{n}&gt;</td>" in listed for n in range(16))
    assert listed.count(", a likeness") == 16
    assert not re.search(r"<(details|summary)[^>]*open", text)


def test_sections_stand_where_there_are_facts_for_them(facts, full_facts, folder):
    short, full = report_of(facts, folder), report_of(full_facts, folder)
    for section in ("findings", "leakage", "pictures", "groups", "realism"):
        assert f'id="{section}"' in full
        assert f'href="#{section}"' in full
        assert f"#{section}" not in short.replace("#fff", "")
        assert f'id="{section}"' not in short
    full_facts["leakage"] = []
    assert "Not compared with any real faces" in report_of(full_facts, folder)


def test_a_set_from_elsewhere_has_no_origin(full_facts, folder):
    dataset = full_facts["dataset"]
    kept = ("name", "fingerprint", "identities", "images", "images_per_identity", "bytes")
    full_facts["dataset"] = {key: dataset[key] for key in kept}
    full_facts |= {"lineage": [], "failed_identities": None, "excluded": None}
    for view in full_facts["embedders"]:
        view["generators_own_space"] = None
    text = report_of(full_facts, folder)
    assert "1,048 face images of 6 people." in text
    assert "no generator is known" in text
    assert "do not exist" not in text
    assert 'id="origin"' not in text
    assert 'href="#lineage"' not in text


def test_a_missing_figure_is_named(facts, folder):
    (folder / "people.jpg").unlink()
    with pytest.raises(CardError, match=r"people\.jpg cannot be read"):
        report_of(facts, folder)


def test_facts_are_read_from_the_file(facts, tmp_path):
    path = tmp_path / "facts.json"
    with pytest.raises(CardError, match="cannot read the facts"):
        read_facts(path)
    path.write_text("[1]")
    with pytest.raises(CardError, match="does not hold an audit's facts"):
        read_facts(path)
    path.write_text(json.dumps(facts))
    assert read_facts(path) == facts
