"""`vec2face attributes fit-groups`: from crops and labels to the groups of an audit."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.commands import mistake, run
from vec2face.fileio.images import encode_image

RECIPE = """
name: light
embedder: {embedder}
folds: 2
apart: 1.0
probes:
  - name: light
    column: level
    groups: [{{name: dark, below: 100}}, {{name: bright, low: 100}}]
"""


@pytest.fixture
def crops(tmp_path: Path, tiny_embedder_dir: Path) -> Path:
    """Twelve people of two crops each, dark or bright, with labels and a recipe."""
    rng = np.random.default_rng(0)
    rows = ["key,level"]
    for person in range(12):
        for number in range(2):
            level = 60 if person % 2 else 180
            pixels = np.clip(level + rng.normal(size=(112, 112, 3)) * 20, 0, 255).astype(np.uint8)
            path = tmp_path / "crops" / f"p{person:02d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(pixels, format="png"))
            rows.append(f"p{person:02d}/{number}.png,{level}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "light.yaml").write_text(RECIPE.format(embedder=tiny_embedder_dir))
    return tmp_path


def test_probes_are_fitted_on_stored_embeddings_and_used_by_an_audit(crops: Path, tiny_embedder_dir: Path) -> None:
    embedder = ("--embedder", tiny_embedder_dir)
    assert run("embed", crops / "crops", *embedder, "--out", crops / "stored").exit_code == 0
    fit = ("attributes", "fit-groups", crops / "light.yaml", crops / "stored", "--labels", crops / "labels.csv")
    made = run(*fit, "--out", crops / "groups")
    assert made.exit_code == 0, made.output
    assert "| dark | 12 | 100.0 % | 0.0 % |" in made.stdout
    assert made.stdout.endswith(f"{crops / 'groups'}: light, fitted on 24 faces.\n")
    assert (crops / "groups" / "errors.md").read_text() in made.stdout
    assert "is no empty folder" in mistake(*fit, "--out", crops / "groups")

    audited = run("audit", crops / "crops", *embedder, "--groups", crops / "groups", "--out", crops / "out", "--json")
    assert audited.exit_code == 0, audited.output
    shown = json.loads(audited.stdout)["demographics"]
    assert (shown["name"], shown["identities"]) == ("light", 12)
    assert [group["counted"] for group in shown["by"][0]["groups"]] == [0.5, 0.5]
    assert "By light" in (crops / "out" / "report.html").read_text()


def test_mistakes_are_told_in_a_sentence(crops: Path) -> None:
    labels = ("--labels", crops / "labels.csv", "--out", crops / "groups")
    said = mistake("attributes", "fit-groups", crops / "light.yaml", crops / "crops", *labels)
    assert "holds no embeddings; make them with 'vec2face embed FACES --out" in said
    assert "no shipped recipe" in mistake("attributes", "fit-groups", "nothing", crops / "crops", *labels)
    assert "holds no readable probes of groups" in mistake(
        "audit", crops / "crops", "--groups", crops / "crops", "--out", crops / "out"
    )
