"""`vec2face card` writes what the facts say, where asked, and measures nothing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from vec2face.errors import CardError
from vec2face_cli.main import cli


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["card", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def audited(tmp_path: Path, facts: dict) -> Path:
    """A folder with facts where an audit leaves them."""
    (tmp_path / "faces" / "report").mkdir(parents=True)
    (tmp_path / "faces" / "report" / "facts.json").write_text(json.dumps(facts))
    (tmp_path / "faces" / "dataset.json").write_text(json.dumps({"fingerprint": facts["dataset"]["fingerprint"]}))
    return tmp_path / "faces"


def test_the_card_stands_beside_the_facts_or_where_asked(audited: Path, tmp_path: Path) -> None:
    said = run(audited)
    card = audited / "report" / "card.md"
    assert said == f"Wrote {card} from {audited / 'report' / 'facts.json'}.\n"
    run(audited, "--out", tmp_path / "upload" / "README.md")
    assert (tmp_path / "upload" / "README.md").read_text() == card.read_text()
    run(audited / "report" / "facts.json", "--out", tmp_path / "again.md")
    assert (tmp_path / "again.md").read_text() == card.read_text()


def test_a_dataset_that_changed_since_or_was_never_audited_is_told(audited: Path, tmp_path: Path) -> None:
    (audited / "dataset.json").write_text(json.dumps({"fingerprint": "0" * 64}))
    with pytest.raises(CardError, match="was changed after its audit"):
        run(audited)
    (audited / "report" / "facts.json").unlink()
    with pytest.raises(CardError, match=r"holds no facts\.json; run `vec2face audit`"):
        run(audited)
    with pytest.raises(CardError, match="cannot read the facts"):
        run(tmp_path / "nowhere")


def test_a_missing_fact_is_named(audited: Path) -> None:
    path = audited / "report" / "facts.json"
    facts = json.loads(path.read_text())
    del facts["dataset"]["seed"]
    path.write_text(json.dumps(facts))
    with pytest.raises(CardError, match=r"the fact 'dataset\.seed' is missing"):
        run(audited)
    assert not (audited / "report" / "card.md").exists()


@pytest.mark.parametrize("origin", [None, {"command": "merge", "terms": {}, "sources": []}])
def test_only_generated_datasets_have_cards(audited: Path, origin: dict | None) -> None:
    path = audited / "report" / "facts.json"
    facts = json.loads(path.read_text())
    known = ("name", "identities", "images", "images_per_identity", "bytes")
    foreign = {"fingerprint": "9" * 64, "format": "recordio", "labelled": True, "origin": origin}
    facts["dataset"] = {**{name: facts["dataset"][name] for name in known}, **foreign}
    path.write_text(json.dumps(facts))
    for given in (audited, path):
        with pytest.raises(CardError, match=r"only generated datasets have cards, and .*facts\.json is of"):
            run(given)


def test_published_cards_are_what_their_facts_give(repo_root: Path, tmp_path: Path) -> None:
    cards = sorted((repo_root / "data_cards").iterdir())
    assert repo_root / "data_cards" / "demo" in cards
    for folder in cards:
        run(folder, "--out", tmp_path / f"{folder.name}.md")
        assert (tmp_path / f"{folder.name}.md").read_text() == (folder / "card.md").read_text(), folder.name
