"""Generating, resuming and repairing: the same bytes whatever happened on the way."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.generation.conftest import MakeDataset, MakeRecipe, contents
from vec2face.errors import ConfigError, ContractError, DatasetError, InputError, StorageError
from vec2face.fileio.images import decode_image
from vec2face.fileio.tar import read_tar
from vec2face.generation import folder as folder_module
from vec2face.generation.hold import exclusive
from vec2face.generation.inputs import prepare
from vec2face.generation.recipe import find_recipe
from vec2face.generation.render import Renderer
from vec2face.identities import IdentityBank


@pytest.fixture
def dataset(make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path) -> Path:
    """A finished dataset."""
    make_dataset(make_recipe(), tmp_path / "quiet")
    return tmp_path / "quiet"


def test_the_layout_is_the_documented_one(dataset: Path) -> None:
    assert sorted(contents(dataset)) == [
        "dataset.json",
        "identities.safetensors",
        "metadata.parquet",
        *sorted(f"shards/{shard:06d}.{suffix}" for shard in range(3) for suffix in ("json", "tar")),
    ]
    members = dict(read_tar(dataset / "shards" / "000001.tar"))
    keys = [f"{identity:07d}_{image:04d}" for identity in (2, 3) for image in range(4)]
    assert list(members) == [f"{key}.{suffix}" for key in keys for suffix in ("jpg", "cls", "json")]
    assert members["0000003_0002.cls"] == b"3"
    facts = json.loads(members["0000003_0002.json"])
    assert (facts["identity"], facts["identity_name"], facts["image"]) == (3, "0000003", 2)
    assert facts["sigma"] in [float(np.float32(sigma)) for sigma in (0.3, 0.5, 0.7)]
    assert 0.1 <= facts["mask_rate"] <= 1.0
    assert decode_image(members["0000003_0002.jpg"], where="test").shape == (112, 112, 3)


def test_metadata_has_a_row_per_image_and_a_row_group_per_shard(dataset: Path) -> None:
    file = pq.ParquetFile(dataset / "metadata.parquet")
    assert [file.metadata.row_group(shard).num_rows for shard in range(3)] == [8, 8, 4]
    table = file.read().to_pylist()
    assert [row["key"] for row in table] == sorted(row["key"] for row in table)
    assert {row["status"] for row in table} == {"kept"}
    for row in table:
        members = dict(read_tar(dataset / "shards" / f"{row['shard']:06d}.tar"))
        facts = json.loads(members[f"{row['key']}.json"])
        assert facts == {key: row[key] for key in facts}


def test_the_mix_of_sigmas_is_exact_inside_each_identity(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(make_recipe(images_per_identity=5), tmp_path / "d")
    rows = pq.read_table(tmp_path / "d" / "metadata.parquet").to_pylist()
    for identity in range(5):
        sigmas = sorted(row["sigma"] for row in rows if row["identity"] == identity)
        assert sigmas == pytest.approx([0.3, 0.3, 0.5, 0.5, 0.7])


@pytest.mark.integration
def test_two_workers_write_the_same_bytes_as_one(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    summary = make_dataset(make_recipe(), tmp_path / "two", workers=2)
    assert contents(tmp_path / "two") == contents(dataset)
    assert (summary.images, summary.shards, summary.rendered_shards, summary.rejects) == (20, 3, 3, 0)


@pytest.mark.parametrize("compute", [{"dtype": "float32"}, {"dtype": "bfloat16"}])
def test_an_image_hardly_depends_on_the_size_of_its_batch(
    make_recipe: MakeRecipe, tmp_path: Path, compute: dict[str, str]
) -> None:
    from vec2face.checkpoints import load_generator
    from vec2face.generation.noise import draw_batches
    from vec2face.generation.render import Renderer
    from vec2face.identities.slices import BankSlices

    images = []
    for size in (1, 3, 7):
        plan, bank = prepare(make_recipe(compute={**compute, "batch_size": size}), tmp_path / "d")
        bank.save(tmp_path / "bank.safetensors")
        generator = load_generator(plan.recipe.weights)
        renderer = Renderer(generator=generator, compute=plan.recipe.compute, mask_ratio_min=plan.mask.min)
        batches = draw_batches(plan, plan.shard(1), BankSlices(tmp_path / "bank.safetensors"))
        images.append(np.concatenate([batch.pixels for batch in renderer.render(batches)]))
    for other in images[1:]:
        difference = np.abs(images[0].astype(int) - other)
        if compute["dtype"] == "float32":
            assert difference.max() <= 1
            assert (difference > 0).mean() < 1e-3
        else:
            assert difference.max() <= 3


def test_a_complete_dataset_is_left_alone(dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    summary = make_dataset(make_recipe(), dataset)
    assert summary.was_complete
    assert summary.rendered_images == 0
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


def damage_tar(dataset: Path) -> None:
    path = dataset / "shards" / "000001.tar"
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)


def cut_tar(dataset: Path) -> None:
    path = dataset / "shards" / "000001.tar"
    path.write_bytes(path.read_bytes()[:3000])


def remove_tar(dataset: Path) -> None:
    (dataset / "shards" / "000001.tar").unlink()


def remove_manifest(dataset: Path) -> None:
    (dataset / "shards" / "000001.json").unlink()


def damage_manifest(dataset: Path) -> None:
    (dataset / "shards" / "000001.json").write_text('{"count": 8}')


@pytest.mark.parametrize("harm", [damage_tar, cut_tar, remove_tar, remove_manifest, damage_manifest])
def test_a_damaged_shard_is_rendered_again_and_no_other(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, harm: object
) -> None:
    quiet = contents(dataset)
    others = [path for path in dataset.rglob("*") if path.is_file() and path.stem != "000001"]
    before = {path: path.stat().st_mtime_ns for path in others}
    harm(dataset)  # type: ignore[operator]
    summary = make_dataset(make_recipe(), dataset)
    assert summary.rendered_shards == 1
    assert contents(dataset) == quiet
    assert {path: path.stat().st_mtime_ns for path in others} == before


@pytest.mark.parametrize("name", ["metadata.parquet", "identities.safetensors"])
@pytest.mark.parametrize("cut", [True, False])
def test_the_table_and_the_bank_are_mended_too(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, name: str, cut: bool
) -> None:
    quiet = contents(dataset)
    if cut:
        (dataset / name).write_bytes((dataset / name).read_bytes()[:50])
    else:
        (dataset / name).unlink()
    make_dataset(make_recipe(), dataset)
    assert contents(dataset) == quiet


def test_leftovers_of_a_killed_run_are_removed(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset
) -> None:
    quiet = contents(dataset)
    for leftover in (dataset / ".metadata.parquet.1234.tmp", dataset / "shards" / ".000002.tar.1234.tmp"):
        leftover.write_bytes(b"half")
    remove_manifest(dataset)
    make_dataset(make_recipe(), dataset)
    assert contents(dataset) == quiet


def test_a_run_killed_before_its_first_file_leaves_a_usable_folder(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    (tmp_path / ".dataset.json.1234.tmp").write_bytes(b"{")
    assert make_dataset(make_recipe(), tmp_path).images == 20
    assert not (tmp_path / ".dataset.json.1234.tmp").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, ["seed: 3 there, 4 wanted", "identities (sha256)"]),
        ({"images_per_identity": 5}, ["images_per_identity: 4 there, 5 wanted"]),
        (
            {"image": {"format": "png"}},
            ["image.format: jpeg there, png wanted", "image.quality: 95 there, None wanted"],
        ),
        ({"compute": {"batch_size": 4}}, ["compute.batch_size: 3 there, 4 wanted"]),
        ({"mask": {"min": 0.2, "max": 0.9, "mean": 0.3, "std": 0.1}}, ["mask: "]),
    ],
)
def test_another_plan_is_refused_and_what_differs_is_named(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, changes: dict[str, object], named: list[str]
) -> None:
    quiet = contents(dataset)
    with pytest.raises(DatasetError) as caught:
        make_dataset(make_recipe(**changes), dataset)
    for part in named:
        assert part in str(caught.value)
    assert contents(dataset) == quiet


def test_other_weights_are_refused(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, tiny_generator_dir: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_generator_dir, tmp_path / "same")
    make_dataset(make_recipe(weights=str(tmp_path / "same")), dataset)  # only the digest decides
    weights = next((tmp_path / "same").glob("*.safetensors"))
    tensors = load_file(weights)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})
    with pytest.raises(DatasetError, match=r"weights \(sha256\)"):
        make_dataset(make_recipe(weights=str(tmp_path / "same")), dataset)


def test_a_folder_with_other_files_is_refused(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"'holiday\.jpg', which is not part of a dataset"):
        make_dataset(make_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_foreign_file_among_the_shards_is_refused(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset
) -> None:
    (dataset / "shards" / "extra.txt").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"'extra\.txt'"):
        make_dataset(make_recipe(), dataset)
    (dataset / "shards" / "extra.txt").rename(dataset / "shards" / "000007.tar")
    with pytest.raises(DatasetError, match=r"000007\.tar is beyond the plan"):
        make_dataset(make_recipe(), dataset)


def test_a_second_run_on_the_same_folder_is_refused(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset
) -> None:
    with (
        exclusive(folder_module.DatasetFolder(dataset)),
        pytest.raises(DatasetError, match="another run is writing"),
    ):
        make_dataset(make_recipe(), dataset)


def test_a_destination_that_cannot_be_written_is_told_before_any_work(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        prepare(make_recipe(), tmp_path / "file")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        prepare(make_recipe(), tmp_path / "file" / "below")

    def read_only(dir: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(StorageError, match="the file system is read-only"):
        prepare(make_recipe(), tmp_path / "new")


def test_a_run_that_cannot_begin_leaves_nothing_behind(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ask for fewer identities or raise the ceiling"):
        prepare(make_recipe(identities={"source": "gaussian", "count": 300, "ceiling": -0.5}), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_missing_gpu_is_told_before_any_work(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no CUDA GPU is visible"):
        prepare(make_recipe(compute={"device": "cuda"}), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_with_nothing_finished_is_begun_anew_with_other_settings(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ConfigError("too little memory")

    out = tmp_path / "begun"
    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "_image", fail)
        with pytest.raises(ConfigError, match="too little memory"):
            make_dataset(make_recipe(seed=8, compute={"batch_size": 4}), out)
    assert (out / "dataset.json").exists()
    make_dataset(make_recipe(), out)
    assert contents(out) == contents(dataset)
    with pytest.raises(DatasetError, match="other settings"):
        make_dataset(make_recipe(seed=8), out)


def test_a_batch_beyond_the_memory_is_told(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9e9 bytes.")

    monkeypatch.setattr(Renderer, "_image", fail)
    with pytest.raises(ConfigError, match="this machine has too little memory for batches of 3 images"):
        make_dataset(make_recipe(), tmp_path / "d")


def test_too_little_space_is_told_before_any_work(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(StorageError, match=r"needs about .* for 20 images, but the disk has 1.0 kB free"):
        make_dataset(make_recipe(), tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


def test_a_disk_that_fills_up_keeps_finished_shards_and_the_run_goes_on_later(
    dataset: Path, make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        # dataset.json, the bank, first shard and its manifest fit; the second shard does not.
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    out = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"000001\.tar: the disk is full; free some space and run the same"):
            make_dataset(make_recipe(), out)
    kept = contents(out)
    assert sorted(kept) == ["dataset.json", "identities.safetensors", "shards/000000.json", "shards/000000.tar"]
    before = (out / "shards" / "000000.tar").stat().st_mtime_ns
    assert make_dataset(make_recipe(), out).rendered_shards == 2
    assert contents(out) == contents(dataset)
    assert (out / "shards" / "000000.tar").stat().st_mtime_ns == before


def test_a_bank_of_another_width_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    np.save(tmp_path / "bank.npy", np.ones((3, 7), np.float32))
    with pytest.raises(ContractError, match="the identity bank has width 7, but the generator has width 128"):
        prepare(make_recipe(identities={"bank": str(tmp_path / "bank.npy")}), tmp_path / "d")


def test_a_bank_is_taken_in_order_and_not_beyond_its_end(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
    IdentityBank(vectors, ("ann", "bob", "cy", "di"), {"source": "test"}).save(tmp_path / "bank.safetensors")
    bank = str(tmp_path / "bank.safetensors")
    make_dataset(make_recipe(identities={"bank": bank, "count": 3}), tmp_path / "d")
    kept = IdentityBank.load(tmp_path / "d" / "identities.safetensors")
    assert kept.ids == ("ann", "bob", "cy")
    assert np.array_equal(kept.vectors, vectors[:3])
    with pytest.raises(InputError, match=r"5 identities are asked for, but .*bank\.safetensors holds only 4"):
        prepare(make_recipe(identities={"bank": bank, "count": 5}), tmp_path / "e")


def test_a_dataset_is_mended_after_its_bank_file_is_gone(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    bank = tmp_path / "bank.npy"
    np.save(bank, np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32))
    recipe = make_recipe(identities={"bank": str(bank)})
    make_dataset(recipe, tmp_path / "d")
    quiet = contents(tmp_path / "d")
    bank.unlink()
    damage_tar(tmp_path / "d")
    make_dataset(recipe, tmp_path / "d")
    assert contents(tmp_path / "d") == quiet


def test_a_changed_bank_file_is_noticed(make_recipe: MakeRecipe, make_dataset: MakeDataset, tmp_path: Path) -> None:
    bank = tmp_path / "bank.npy"
    np.save(bank, np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32))
    recipe = make_recipe(identities={"bank": str(bank)})
    make_dataset(recipe, tmp_path / "d")
    np.save(bank, np.random.default_rng(1).standard_normal((4, 128)).astype(np.float32))
    with pytest.raises(DatasetError, match=r"identities \(sha256\)"):
        make_dataset(recipe, tmp_path / "d")


def test_images_that_are_not_finite_are_left_out_and_counted(
    make_recipe: MakeRecipe, make_dataset: MakeDataset, tiny_generator_dir: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_generator_dir, tmp_path / "broken")
    weights = next((tmp_path / "broken").glob("*.safetensors"))
    tensors = load_file(weights)
    tensors["image_projection.bias"][:] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    summary = make_dataset(make_recipe(weights=str(tmp_path / "broken")), tmp_path / "d")
    assert (summary.images, summary.rejects) == (0, 20)
    rows = pq.read_table(tmp_path / "d" / "metadata.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"rejected: the network gave NaN or infinity"}


def test_an_edited_description_is_refused_and_no_finished_shard_is_replaced(dataset: Path) -> None:
    before = {name: digest for name, digest in contents(dataset).items() if name.startswith("shards/")}
    path = dataset / "dataset.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(DatasetError, match="was edited: its fingerprint does not fit"):
        find_recipe(None, dataset, changes={})
    assert {name: digest for name, digest in contents(dataset).items() if name.startswith("shards/")} == before
