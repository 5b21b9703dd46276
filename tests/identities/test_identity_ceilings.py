"""A ceiling by false match rate is the embedder's own cosine, or one clear sentence."""

import json
from pathlib import Path

import pytest

from vec2face.errors import InputError
from vec2face.identities.ceilings import ceiling_for_rate


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    (tmp_path / "operating_points.json").write_text(json.dumps({"fmr_1e-3": 0.4, "fmr_1e-4": 0.47}))
    return tmp_path


def test_a_stated_rate_gives_its_cosine(embedder: Path) -> None:
    assert ceiling_for_rate(str(embedder), 1e-4) == 0.47
    assert ceiling_for_rate(str(embedder), 0.001) == 0.4


def test_the_embedded_embedder_states_one_in_ten_thousand() -> None:
    assert 0 < ceiling_for_rate("embedded", 1e-4) < 1


def test_a_rate_that_is_not_stated_is_told_with_those_that_are(embedder: Path) -> None:
    with pytest.raises(InputError, match=r"no cosine for a false match rate of 0\.05; it knows 0\.001, 0\.0001"):
        ceiling_for_rate(str(embedder), 0.05)


def test_an_embedder_without_rates_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="states no false match rates"):
        ceiling_for_rate(str(tmp_path), 1e-4)


@pytest.mark.parametrize("text", ["[]", "{", '{"fmr_x": 0.4}', '{"fmr_1e-4": null}'])
def test_a_damaged_list_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "operating_points.json").write_text(text)
    with pytest.raises(InputError, match="must hold cosines by rate"):
        ceiling_for_rate(str(tmp_path), 1e-4)
