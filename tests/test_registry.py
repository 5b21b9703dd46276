"""The list of known weights is complete, consistent and free of torch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vec2face import registry
from vec2face.checkpoints.formats import FORMATS
from vec2face.errors import WeightsError
from vec2face.models.embedders.iresnet import IResNet
from vec2face.models.pose.sixdrepnet import SixDRepNet
from vec2face.registry import AS_IS, ENTRIES, FORMAT_NOTES


def test_entries_are_consistent() -> None:
    places = set()
    for name, entry in ENTRIES.items():
        assert entry.name == name
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert entry.purpose
        assert entry.licence
        assert (entry.tier == "embedded") == (entry.folder is not None) == (entry.repository is None)
        if entry.tier == "published":
            places.add((*entry.published_at, entry.repository_type))
            assert (entry.format == AS_IS) != entry.holds_network
        if entry.format != AS_IS:
            assert FORMATS[entry.format].kind == entry.kind
        assert (entry.contract is not None) == (entry.kind in ("embedder", "estimator", "pose"))
    assert len(places) == sum(entry.tier == "published" for entry in ENTRIES.values())


def test_every_format_has_a_note() -> None:
    assert list(FORMATS) == list(FORMAT_NOTES)


def test_contracts_are_those_of_the_networks_that_a_pull_builds() -> None:
    with torch.device("meta"):
        pose, recogniser = SixDRepNet(), IResNet(depth=18)
    assert ENTRIES["sixdrepnet"].contract == pose.contract
    assert ENTRIES["arcface-r100-glint360k"].contract == recogniser.contract
    assert ENTRIES["hsface10k"].contract == recogniser.contract


def test_cache_folder_follows_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VEC2FACE_HOME", str(tmp_path))
    assert ENTRIES["vec2face-base"].path == tmp_path / "weights" / "vec2face-base"
    monkeypatch.delenv("VEC2FACE_HOME")
    assert registry.cache_folder() == Path.home() / ".cache" / "vec2face" / "weights"


def test_embedded_paths_lie_in_the_package() -> None:
    assert ENTRIES["embedded-generator"].path == Path(registry.__file__).parent / "weights" / "generator"


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(WeightsError, match="named 'nothing'; known: embedded-generator"):
        registry.find_entry("nothing")


def test_needs_no_torch() -> None:
    code = "import sys, vec2face.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
