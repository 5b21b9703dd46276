"""Reading checkpoints: what is refused, and that nothing runs."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vec2face.checkpoints.safe_load import safe_load
from vec2face.errors import WeightsError


class Hostile:
    """A pickle that would create a file when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.trace}'",)


def test_reads_safetensors_and_pickles(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    save_file(tensors, tmp_path / "w.safetensors")
    options = argparse.Namespace(lr=1e-4, amp_dtype=torch.float16)
    torch.save({"model": tensors, "epoch": 3, "args": options}, tmp_path / "w.pth")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(safe_load(tmp_path / "w.safetensors")["a"], tensors["a"])
    assert torch.equal(safe_load(tmp_path / "w.pth")["model"]["b"], tensors["b"])
    assert torch.equal(safe_load(tmp_path / "old.pt")["a"], tensors["a"])


@pytest.mark.parametrize("saver", ["torch", "pickle2", "pickle4"])
def test_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, saver: str) -> None:
    trace, path = tmp_path / "ran", tmp_path / "hostile.pth"
    content = {"weight": torch.zeros(2), "payload": Hostile(trace)}
    if saver == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"payload": Hostile(trace)}, protocol=int(saver[-1])))
    with pytest.raises(WeightsError) as caught:
        safe_load(path)
    assert not trace.exists()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    # Would it have run? Otherwise the test proves nothing.
    if saver != "torch":
        pickle.loads(path.read_bytes())  # noqa: S301
        assert trace.exists()


def test_hostile_pickle_names_what_it_asks_for(tmp_path: Path) -> None:
    torch.save({"payload": Hostile(tmp_path / "ran")}, tmp_path / "h.pth")
    with pytest.raises(WeightsError, match=r"refused.*\.system.*safetensors"):
        safe_load(tmp_path / "h.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("kept", [0, 5, 40, 500, 0.5, 0.99])
def test_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    whole = tmp_path / f"whole.{name}"
    tensors = {"a": torch.randn(64, 64)}
    if name.endswith("safetensors"):
        save_file(tensors, whole)
    else:
        torch.save(tensors, whole)
    data = whole.read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(WeightsError, match="cut short") as caught:
        safe_load(cut)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("w.pth", b"<html>Not found</html>", "not a checkpoint"),
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("w.zip", b"PK", "expected .safetensors"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=message):
        safe_load(tmp_path / name)


def test_a_pickle_that_is_no_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds a list, not a dict"):
        safe_load(tmp_path / "w.pth")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        safe_load(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="cannot read"):
        safe_load(tmp_path)
