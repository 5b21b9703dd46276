"""LPIPS against an independent, layer-by-layer version on weights under their published names."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vec2face.checkpoints import load_lpips
from vec2face.errors import ConfigError, WeightsError
from vec2face.models.perceptual import Lpips

# (layer, in, out, kernel) of torchvision's convolutions; after which of them the maps are compared.
VGG = [
    (0, 3, 64, 3), (2, 64, 64, 3), (5, 64, 128, 3), (7, 128, 128, 3), (10, 128, 256, 3), (12, 256, 256, 3),
    (14, 256, 256, 3), (17, 256, 512, 3), (19, 512, 512, 3), (21, 512, 512, 3), (24, 512, 512, 3), (26, 512, 512, 3),
    (28, 512, 512, 3),
]  # fmt: skip
ALEX = [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)]
COMPARED = {"vgg": (2, 7, 14, 21, 28), "alex": (0, 3, 6, 8, 10)}


def published_files(folder: Path, trunk: str) -> tuple[Path, Path]:
    """Write random weights as torchvision and the authors of LPIPS lay theirs out."""
    draws = torch.Generator().manual_seed(4)
    convolutions = {"vgg": VGG, "alex": ALEX}[trunk]
    state: dict[str, Tensor] = {}
    for layer, inputs, outputs, kernel in convolutions:
        spread = (2 / (inputs * kernel * kernel)) ** 0.5
        state[f"features.{layer}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=draws) * spread
        state[f"features.{layer}.bias"] = torch.randn(outputs, generator=draws) * 0.1
    for layer in ("0", "3", "6") if trunk == "vgg" else ("1", "4", "6"):
        state[f"classifier.{layer}.weight"], state[f"classifier.{layer}.bias"] = torch.zeros(2, 2), torch.zeros(2)
    widths = [outputs for layer, _, outputs, _ in convolutions if layer in COMPARED[trunk]]
    heads = {
        f"lin{index}.model.1.weight": torch.rand(1, width, 1, 1, generator=draws) for index, width in enumerate(widths)
    }
    torch.save(state, folder / "trunk.pth")
    torch.save(heads, folder / "heads.pth")
    return folder / "trunk.pth", folder / "heads.pth"


def naive(trunk: str, files: tuple[Path, Path], one: Tensor, other: Tensor) -> Tensor:
    state, heads = torch.load(files[0]), torch.load(files[1])

    def maps(x: Tensor) -> list[Tensor]:
        mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x = ((x.permute(0, 2, 3, 1) - mean) / deviation).permute(0, 3, 1, 2)
        found = []
        for layer, _, _, kernel in {"vgg": VGG, "alex": ALEX}[trunk]:
            if trunk == "vgg" and layer in (5, 10, 17, 24):
                x = F.max_pool2d(x, 2, 2)
            if trunk == "alex" and layer in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            stride, padding = (4, 2) if kernel == 11 else (1, kernel // 2)
            weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
            if layer in COMPARED[trunk]:
                found.append(x)
        return found

    total = torch.zeros(len(one))
    for index, (a, b) in enumerate(zip(maps(one), maps(other), strict=True)):
        weight = heads[f"lin{index}.model.1.weight"][0, :, 0, 0]
        for image in range(len(one)):
            height, width = a.shape[2:]
            for y in range(height):
                for x in range(width):
                    p, q = a[image, :, y, x], b[image, :, y, x]
                    p, q = p / (p.norm() + 1e-10), q / (q.norm() + 1e-10)
                    total[image] += (weight * (p - q) ** 2).sum() / (height * width)
    return total


@pytest.mark.parametrize(("trunk", "side"), [("vgg", 16), ("alex", 35)])
def test_it_equals_a_naive_version_and_sees_no_difference_between_equals(tmp_path: Path, trunk: str, side: int) -> None:
    files = published_files(tmp_path, trunk)
    network = load_lpips(*files)
    assert network.config.network == trunk
    draws = torch.Generator().manual_seed(1)
    one, other = (torch.rand(1, 3, side, side, generator=draws) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert torch.allclose(network(one, other), naive(trunk, files, one, other), rtol=1e-4)
        assert float(network(one, one)) == 0


def test_its_gradient_is_finite_even_where_pictures_are_equal_or_flat(tmp_path: Path) -> None:
    network = load_lpips(*published_files(tmp_path, "alex")).requires_grad_(False)
    for fake, real in ((torch.zeros(1, 3, 35, 35), torch.zeros(1, 3, 35, 35)), (torch.rand(1, 3, 35, 35),) * 2):
        fake, real = fake.clone().requires_grad_(), real.clone().requires_grad_()
        network(fake, real).sum().backward()
        assert fake.grad is not None
        assert torch.isfinite(fake.grad).all()
        assert real.grad is None


def test_files_that_do_not_fit_are_refused_and_named(tmp_path: Path) -> None:
    trunk, heads = published_files(tmp_path, "alex")
    with pytest.raises(WeightsError, match=r"heads\.pth holds keys that this format does not know: lin0"):
        load_lpips(heads, trunk)
    heads.rename(tmp_path / "other.pth")
    state = torch.load(trunk)
    del state["features.8.bias"]
    torch.save(state, trunk)
    with pytest.raises(WeightsError, match=r"lacks trunk\.8\.bias"):
        load_lpips(trunk, tmp_path / "other.pth")
    torch.save({**state, "features.8.running": torch.zeros(1)}, trunk)
    with pytest.raises(WeightsError, match=r"features\.8\.running"):
        load_lpips(trunk, tmp_path / "other.pth")
    torch.save({"features.1.weight": torch.zeros(1)}, trunk)
    with pytest.raises(WeightsError, match="neither torchvision's VGG-16 nor its AlexNet"):
        load_lpips(trunk, tmp_path / "other.pth")


def test_an_unknown_trunk_is_refused() -> None:
    with pytest.raises(ConfigError, match="vgg, alex"):
        Lpips(network="squeeze")
