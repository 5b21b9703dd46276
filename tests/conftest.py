"""Fixtures shared by every test."""

import importlib.util
import json
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from vec2face.fileio.atomic import write_json

pytest_plugins = ["tests.servers.fixtures"]

if TYPE_CHECKING:
    from vec2face.models.embedders.base import FaceEmbedder


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """Restore the handlers that a stopped command sets before it ends; children would inherit an ignored Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The project's root folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def cpu_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this machine a CPU on Linux with these features and no others: cpu_with("avx512_bf16")."""

    def give(*features: str) -> None:
        from vec2face import arithmetic

        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(arithmetic, "_cpu_features", lambda: frozenset(features))

    return give


@pytest.fixture
def ctrl_c() -> None:
    """Answer Ctrl-C even where the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def load_benchmark(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script of `benchmarks`: load_benchmark("executors")."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", repo_root / "benchmarks" / f"{name}.py")
        if spec is None or spec.loader is None:
            raise RuntimeError("the benchmark cannot be imported")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        monkeypatch.syspath_prepend(repo_root / "benchmarks")  # scripts import each other
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run_benchmark(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[dict[str, Any]]]:
    """Run a script of `benchmarks` with arguments, and return the JSON lines (or the one document) that it prints."""

    def run(name: str, *arguments: object) -> list[dict[str, Any]]:
        script = repo_root / "benchmarks" / f"{name}.py"
        monkeypatch.syspath_prepend(script.parent)
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
        printed = capsys.readouterr().out
        try:
            return [json.loads(printed)]
        except json.JSONDecodeError:
            return [json.loads(line) for line in printed.splitlines()]

    return run


@pytest.fixture(scope="session")
def shared(repo_root: Path) -> Path:
    """The folder of development material beside the project; the test is skipped where there is none."""
    folder = repo_root.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no development material beside the project (a folder named 'shared')")
    return folder


@pytest.fixture(scope="session")
def tiny_generator_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random, much shrunken generator in the embedded one's feature space."""
    from tests.networks import tiny_generator

    folder = tmp_path_factory.mktemp("tiny-generator")
    tiny_generator().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random, much shrunken embedder that fits `tiny_generator_dir`."""
    import torch

    from vec2face.models.embedders.compact import CompactEmbedder

    with torch.random.fork_rng():
        torch.manual_seed(1)
        embedder = CompactEmbedder(name="vec2face-embedded-128", widths=(4, 8, 8, 8), depths=(0, 0, 0, 0))
    folder = tmp_path_factory.mktemp("tiny-embedder")
    embedder.save_pretrained(folder)
    return folder


PATTERN_SPACE = "pattern-48"


@pytest.fixture(scope="session")
def pattern_embedders() -> dict[str, "FaceEmbedder"]:
    """Two embedders for `build_dataset`: "pattern" reads vectors back from the pixels, "mixed" sees them otherwise."""
    import torch

    from vec2face.contracts import InputContract
    from vec2face.models.embedders.base import FaceEmbedder

    class Pattern(FaceEmbedder):
        name, dim, contract = PATTERN_SPACE, 48, InputContract()

        def forward_contract(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(pixels, 28).flatten(1)

    class Mixed(Pattern):
        name, dim = "mixed-36", 36

        def forward_contract(self, pixels: torch.Tensor) -> torch.Tensor:
            mixing = torch.randn(48, 36, generator=torch.Generator().manual_seed(0))
            return super().forward_contract(pixels) @ mixing

    return {"pattern": Pattern(), "mixed": Mixed()}


@pytest.fixture(scope="session")
def build_dataset() -> Callable[..., Path]:
    """Build a finished dataset of coloured 4x4 patterns: build_dataset(folder, identities=6, images=8, ...).

    An image shows its identity's vector (48 values) and noise; `sigma` is the noise's share. `twins` makes the second
    identity a copy of the first, `rejected` leaves image 0 of identity 0 out.
    """
    import numpy as np

    from vec2face.config.generation import GenerateRecipe
    from vec2face.fileio.images import encode_image
    from vec2face.fileio.tar import write_tar
    from vec2face.generation.bank_digest import content_digest
    from vec2face.generation.folder import DatasetFolder
    from vec2face.generation.manifest import KEPT, Samples, ShardManifest, write_manifest
    from vec2face.generation.metadata import write_metadata
    from vec2face.generation.plan import BankFacts, GeneratorFacts, make_plan
    from vec2face.identities import IdentityBank

    def build(
        root: Path,
        *,
        identities: int = 6,
        images: int = 8,
        weights: str = "pattern-generator",
        noise: float = 1.0,
        twins: bool = False,
        rejected: bool = False,
        name: str = "patterns",
    ) -> Path:
        rng = np.random.default_rng(0)
        # Orthogonal, so that no two identities are alike.
        vectors = (3 * np.linalg.qr(rng.normal(size=(48, 48)))[0][:identities]).astype(np.float32)
        if twins:
            vectors[1] = vectors[0] + 1e-3
        bank = IdentityBank(vectors, tuple(f"person-{n}" for n in range(identities)), {"source": "gaussian"})
        recipe = GenerateRecipe.model_validate(
            {
                "name": name,
                "seed": 7,
                "weights": weights,
                "identities": {"source": "gaussian", "count": identities},
                "images_per_identity": images,
                "shards": {"identities_per_shard": 4},
            }
        )
        plan = make_plan(
            recipe,
            bank=BankFacts(content_digest(bank), identities, 48),
            generator=GeneratorFacts(
                sha256="0" * 64,
                feature_dim=48,
                feature_space=PATTERN_SPACE,
                sigma_unit=1.0,
                sampling_mask={"min": 0.1, "max": 1, "mean": 0.15, "std": 0.25},
            ),
            request={},
        )
        folder = DatasetFolder(root)
        folder.shards.mkdir(parents=True)
        write_json(folder.description, plan.describe())
        bank.save(folder.identities)
        for shard in plan.shards:
            fields = [name for name, field in Samples.model_fields.items() if field.is_required()]
            members, columns = [], {field: [] for field in fields}
            for identity in range(shard.first_identity, shard.first_identity + shard.identities):
                for image in range(images):
                    sigma = (0.3, 0.5)[image % 2]
                    seen = vectors[identity] + noise * 0.25 * sigma * rng.normal(size=48)
                    tile = ((seen.reshape(3, 4, 4).transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
                    facts = {
                        "identity": identity,
                        "identity_name": bank.ids[identity],
                        "image": image,
                        "seed": 1000 * identity + image,
                        "sigma": sigma,
                        "mask_rate": 0.25,
                    }
                    key = f"{identity:07d}_{image:04d}"
                    status = "rejected: a test" if rejected and identity == image == 0 else KEPT
                    for field, value in {"key": key, "status": status, **facts}.items():
                        columns[field].append(value)
                    if status == KEPT:
                        jpeg = encode_image(tile.repeat(28, 0).repeat(28, 1), format="jpeg", quality=95)
                        members += [(f"{key}.jpg", jpeg), (f"{key}.cls", str(identity).encode())]
                        members.append((f"{key}.json", json.dumps(facts).encode()))
            sha256 = write_tar(folder.archive(shard.index), members)
            kept = columns["status"].count(KEPT)
            manifest = ShardManifest(
                shard=shard.index,
                plan=plan.fingerprint,
                count=kept,
                rejects=len(columns["status"]) - kept,
                size=folder.archive(shard.index).stat().st_size,
                sha256=sha256,
                samples=Samples(**{field: tuple(values) for field, values in columns.items()}),
            )
            write_manifest(folder.manifest(shard.index), manifest)
        write_metadata(folder, plan.shard_count, lambda: None)
        return root

    return build
