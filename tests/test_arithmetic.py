"""Which devices compute bfloat16 natively, and what auto becomes there."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vec2face import arithmetic
from vec2face.arithmetic import computes_bfloat16, settled_recipe, slowness
from vec2face.config.generation import GenerateRecipe
from vec2face.errors import ConfigError

CPU = torch.device("cpu")


def recipe(dtype: str, device: str = "cpu") -> GenerateRecipe:
    return GenerateRecipe.model_validate({"compute": {"dtype": dtype, "device": device}})


@pytest.fixture
def unknown() -> Iterator[None]:
    """Ask the CPU anew inside a test, and forget the answer after it."""
    arithmetic._cpu_features.cache_clear()
    yield
    arithmetic._cpu_features.cache_clear()


@pytest.mark.parametrize(
    ("features", "native"),
    [
        (("avx2", "avx512_bf16"), True),
        (("avx512_f", "amx_tile", "amx_bf16"), True),
        (("neon", "bf16"), True),
        (("avx2", "fma3"), False),
        (("avx512_f", "avx512_bw", "avx512_vnni"), False),
        ((), False),
    ],
)
def test_a_cpu_is_told_by_its_instructions(
    features: tuple[str, ...], native: bool, cpu_with: Callable[..., None]
) -> None:
    cpu_with(*features)
    assert computes_bfloat16(CPU) is native
    assert settled_recipe(recipe("auto")).compute.dtype == ("bfloat16" if native else "float32")
    for explicit in (recipe("float32"), recipe("bfloat16")):
        assert settled_recipe(explicit) is explicit


def test_macos_and_apple_gpus_are_not_trusted_with_it(
    cpu_with: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_with("bf16")
    assert not computes_bfloat16(torch.device("mps"))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not computes_bfloat16(CPU)


@pytest.mark.parametrize(("line", "native"), [("Features\t: fp asimd bf16\n", True), ("flags\t: fpu avx2\n", False)])
@pytest.mark.usefixtures("unknown")
def test_an_older_torch_leaves_it_to_linux(
    line: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "cpuinfo").write_text(line)
    monkeypatch.setattr(arithmetic, "_CPUINFO", tmp_path / "cpuinfo")
    assert computes_bfloat16(CPU) is native


@pytest.mark.usefixtures("unknown")
def test_what_nobody_knows_of_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("cpuinfo could not be initialised")

    monkeypatch.setattr(torch.cpu, "get_capabilities", fail, raising=False)
    monkeypatch.setattr(arithmetic, "_CPUINFO", tmp_path / "missing")
    assert not computes_bfloat16(CPU)


@pytest.mark.usefixtures("unknown")
def test_this_machines_cpu_can_be_asked() -> None:
    assert computes_bfloat16(CPU) in (True, False)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_a_gpu_is_told_by_its_capability(
    capability: tuple[int, int], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert settled_recipe(recipe("auto", "cuda")).compute.dtype == dtype


def test_a_gpu_that_is_not_here_cannot_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"no CUDA GPU is visible here; say --dtype bfloat16 or float32\.$"):
        settled_recipe(recipe("auto", "cuda"))
    assert settled_recipe(recipe("bfloat16", "cuda")).compute.dtype == "bfloat16"


def test_slow_bfloat16_is_told_of(cpu_with: Callable[..., None]) -> None:
    cpu_with("avx2")
    told = slowness("bfloat16", CPU, better="--dtype auto")
    assert told is not None
    assert told.endswith("float32 would be faster (--dtype auto chooses it)")
    assert slowness("float32", CPU, better="") is None
    assert slowness("auto", CPU, better="") is None
    assert slowness("bfloat16", torch.device("cuda"), better="") is None
    cpu_with("avx512_bf16")
    assert slowness("bfloat16", CPU, better="") is None


def test_nothing_is_computed_before_auto_is_settled() -> None:
    with pytest.raises(ValueError, match="not settled"):
        _ = recipe("auto").compute.arithmetic
