"""What card and report say of a steered dataset, and that they say nothing where nothing was asked."""

import copy

import pytest

from vec2face.cards import write_card, write_report

VALUES = {"min": -39.91, "q10": -31.5, "q50": 0.25, "q90": 31.5, "max": 39.87}


@pytest.fixture
def steered(facts, tmp_path):
    found = copy.deepcopy(facts)
    found["steering"] = {
        "images": 1049,
        "kept": 1048,
        "statuses": {"converged": 1000, "capped": 48, "rejected": 1},
        "redrawn": 12,
        "passes": 3.276,
        "gradients": 0.512,
        "attributes": [
            {
                "name": "yaw",
                "unit": "degrees",
                "asked": "uniform[-40, 40]",
                "tolerance": 3.0,
                "error": 3.004,
                "met": 0.9541,
                "requested": VALUES,
                "measured": {**VALUES, "max": 37.42},
                "distance": 0.0321,
                "bins": None,
            },
            {
                "name": "age",
                "unit": "years",
                "asked": "{18..30: 0.5, >=30: 0.5}",
                "tolerance": 10.0,
                "error": None,
                "met": 1.0,
                "requested": None,
                "measured": VALUES,
                "distance": None,
                "bins": [
                    {"interval": "18..30", "asked": 0.5, "measured": 0.4877},
                    {"interval": ">=30", "asked": 0.5, "measured": None},
                ],
            },
        ],
    }
    found["figures"].append({"file": "attribute-0.png", "kind": "attributes", "title": "Yaw", "caption": "Asked."})
    for name in ("people.jpg", "scores.png", "attribute-0.png"):
        (tmp_path / name).write_bytes(name.encode())
    return found


def both(facts, folder):
    write_card(facts, folder / "card.md")
    write_report(facts, folder / "report.html")
    return (folder / "card.md").read_text(), (folder / "report.html").read_text()


def test_both_distributions_and_every_ending_are_told(steered, tmp_path):
    card, report = both(steered, tmp_path)
    assert "## Attributes asked for and measured" in card
    assert "| converged: identity kept, every target met | 1,000 |" in card
    assert "| capped: identity kept, a target missed | 48 |" in card
    assert "| yaw | degrees | uniform\\[-40, 40] | 95.4 % | 3.00 | 0.032 |" in card
    assert "| yaw | asked | -39.9 | -31.5 | 0.2 | 31.5 | 39.9 |" in card
    assert "| yaw | measured | -39.9 | -31.5 | 0.2 | 31.5 | 37.4 |" in card
    assert "| 18..30 | 50.0 % | 48.8 % |" in card
    assert "| >=30 | 50.0 % | not measured |" in card
    assert "for each converged image: 3.28, of which back: 0.51" in card
    assert "neither set nor measured" not in card
    for words in (
        "Attributes asked for and measured",
        "37.4",
        "uniform[-40, 40]",
        "3.28",
        "50.0 % asked, 48.8 % measured",
    ):
        assert words in report
    assert report.count("<figcaption>Asked.</figcaption>") == 1


def test_tables_have_as_many_cells_in_every_row(steered, tmp_path):
    card, _ = both(steered, tmp_path)
    section = card[card.index("## Attributes") : card.index("## Known limits")]
    for table in section.split("\n\n"):
        rows = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1, table


def test_nothing_is_said_where_nothing_was_asked(steered, tmp_path):
    steered["steering"] = None
    steered["figures"].pop()
    card, report = both(steered, tmp_path)
    assert "Attributes asked for" not in card + report
    assert "neither set nor measured" in card
