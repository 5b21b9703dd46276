"""Embeddings are kept shard by shard, and never taken from a cache that was made from something else."""

import numpy as np
import pytest

from vec2face.errors import ContractError, DatasetError, InputError, StorageError
from vec2face.evaluation.dataset import DatasetReader
from vec2face.evaluation.embeddings import embed_dataset, embed_pixels, move
from vec2face.fileio.atomic import write_json
from vec2face.fileio.images import encode_image
from vec2face.fileio.rows import RowFile
from vec2face.fileio.tar import read_tar, write_tar


class Counting:
    """Passes images on to another embedder and counts them."""

    def __init__(self, inner):
        self.inner, self.name, self.dim, self.images = inner, inner.name, inner.dim, 0

    def embed(self, images):
        self.images += len(images)
        return self.inner.embed(images)


@pytest.fixture
def embedder(pattern_embedders):
    return Counting(pattern_embedders["pattern"])


def embedded(dataset, embedder, digest="d" * 64, cap=None, batch_size=5):
    return embed_dataset(
        DatasetReader(dataset), embedder, embedder_digest=digest, images_per_identity=cap, batch_size=batch_size
    )


def test_rows_are_sorted_and_belong_to_their_images(tmp_path, build_dataset, embedder):
    dataset = build_dataset(tmp_path / "data", identities=6, images=5)
    table = embedded(dataset, embedder)
    assert table.identity.tolist() == np.repeat(np.arange(6), 5).tolist()
    assert table.image.tolist() == list(range(5)) * 6
    assert table.sigma.tolist() == pytest.approx([0.3, 0.5, 0.3, 0.5, 0.3] * 6)
    assert table.shard.tolist() == [0] * 20 + [1] * 10
    vectors = DatasetReader(dataset).bank.vectors
    for position in (0, 7, 29):
        (found,) = table.gather(np.array([position]))
        cosines = vectors @ found / np.linalg.norm(vectors, axis=1) / np.linalg.norm(found)
        assert int(np.argmax(cosines)) == table.identity[position]


def test_the_batch_size_changes_nothing(tmp_path, build_dataset, embedder):
    dataset = build_dataset(tmp_path / "data")
    first = embedded(dataset, embedder, digest="1" * 64, batch_size=3)
    second = embedded(dataset, embedder, digest="2" * 64, batch_size=64)
    np.testing.assert_allclose(first.vectors, second.vectors, atol=1e-6)


def test_a_cap_takes_the_first_images_of_each_identity(tmp_path, build_dataset, embedder):
    table = embedded(build_dataset(tmp_path / "data"), embedder, cap=3)
    assert len(table) == 18
    assert embedder.images == 18
    assert table.image.max() == 2


def test_finished_shards_are_not_embedded_again(tmp_path, build_dataset, embedder):
    dataset = build_dataset(tmp_path / "data")
    embedded(dataset, embedder)
    assert embedder.images == 48
    embedded(dataset, embedder)
    assert embedder.images == 48
    log = dataset / "report" / "cache" / ("d" * 16) / "done.txt"
    log.write_text(log.read_text()[:-7])  # as a killed run may leave it
    embedded(dataset, embedder)
    assert embedder.images == 48 + 16


def test_a_shard_that_changed_is_embedded_again_alone(tmp_path, build_dataset, embedder):
    dataset = build_dataset(tmp_path / "data")
    first = embedded(dataset, embedder)
    before = np.array(first.vectors)
    manifest = dataset / "shards" / "000000.json"
    original, whole = manifest.read_text(), (dataset / "shards" / "000000.tar").read_bytes()
    swapped = {"0000000_0000.jpg": None, "0000001_0000.jpg": None}
    for name, data in read_tar(dataset / "shards" / "000000.tar"):
        if name in swapped:
            swapped[name] = data
    given = dict(zip(swapped, reversed(swapped.values()), strict=True))
    rewrite(dataset, lambda name, data: given.get(name, data))
    second = embedded(dataset, embedder)
    assert embedder.images == 48 + 32
    changed = np.flatnonzero((np.asarray(second.vectors) != before).any(axis=1))
    assert changed.tolist() == [0, 8]
    # Back to what it was: the rows are those of the other content now, whatever the log says of earlier times.
    manifest.write_text(original)
    (dataset / "shards" / "000000.tar").write_bytes(whole)
    third = embedded(dataset, embedder)
    assert embedder.images == 48 + 64
    np.testing.assert_array_equal(third.vectors, before)


@pytest.mark.parametrize("change", ["cap", "digest", "shard"])
def test_a_cache_of_something_else_is_not_used(tmp_path, build_dataset, embedder, change):
    dataset = build_dataset(tmp_path / "data")
    embedded(dataset, embedder, cap=8)
    if change == "cap":
        embedded(dataset, embedder, cap=7)
        assert embedder.images == 48 + 42
    elif change == "digest":
        embedded(dataset, embedder, digest="e" * 64)
        assert embedder.images == 96
    else:
        rewrite(dataset, lambda name, data: data)
        embedded(dataset, embedder, cap=8)
        assert embedder.images == 48 + 32


def rewrite(dataset, change):
    """Write the first shard anew with changed members, and a manifest that fits it."""
    import json

    shard = dataset / "shards" / "000000.tar"
    sha256 = write_tar(shard, [(name, change(name, data)) for name, data in [*read_tar(shard)]])
    manifest = json.loads(shard.with_suffix(".json").read_text())
    write_json(shard.with_suffix(".json"), manifest | {"sha256": sha256[::-1]})


def test_foreign_samples_are_named(tmp_path, build_dataset, embedder):
    small = encode_image(np.zeros((50, 40, 3), np.uint8), format="png")
    cases = {
        "image 0000000_0000 is 40x50": lambda name, data: small if name.endswith("0_0000.jpg") else data,
        "sample '0000000_0000' is incomplete": lambda name, data: b"{}" if name.endswith("0_0000.json") else data,
        "says it is image 1 of identity 0": lambda name, data: data.replace(b'"image": 0', b'"image": 1'),
    }
    for number, (message, change) in enumerate(cases.items()):
        dataset = build_dataset(tmp_path / f"data{number}")
        rewrite(dataset, change)
        with pytest.raises(DatasetError, match=message):
            embedded(dataset, embedder)


def test_a_shard_with_fewer_images_than_its_manifest_says_is_refused(tmp_path, build_dataset, embedder):
    dataset = build_dataset(tmp_path / "data")
    shard = dataset / "shards" / "000000.tar"
    write_tar(shard, [*read_tar(shard)][:-3])
    with pytest.raises(DatasetError, match="holds 31 images, but its manifest says 32"):
        embedded(dataset, embedder)


def test_wanted_images_are_read_from_their_shards_alone(tmp_path, build_dataset):
    dataset = build_dataset(tmp_path / "data")
    reader = DatasetReader(dataset)
    (dataset / "shards" / "000000.tar").write_bytes(b"")
    found = reader.fetch([(1, "0000004_0001"), (1, "0000005_0007")])
    assert {(record.identity, record.image) for record in found.values()} == {(4, 1), (5, 7)}
    with pytest.raises(DatasetError, match="holds no image '0000000_0000'"):
        reader.fetch([(1, "0000000_0000")])


def test_an_embedder_that_breaks_its_word_is_refused(pattern_embedders):
    class Broken(Counting):
        def embed(self, images):
            return self.inner.embed(images) * float("nan")

    pixels = np.zeros((2, 112, 112, 3), np.uint8)
    with pytest.raises(ContractError, match="not finite"):
        embed_pixels(Broken(pattern_embedders["pattern"]), pixels)
    narrow = Counting(pattern_embedders["pattern"])
    narrow.dim = 7
    with pytest.raises(ContractError, match="states a width of 7"):
        embed_pixels(narrow, pixels)


def test_a_device_that_is_not_there_is_refused(pattern_embedders, monkeypatch):
    embedder = pattern_embedders["pattern"]
    assert move(embedder, "cpu") is embedder
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="'cuda' is not available"):
        move(embedder, "cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(InputError, match="run on the CPU"):
        move(embedder, "cuda")


def test_a_disk_that_fills_up_is_told_and_the_embedded_shards_are_kept(tmp_path, build_dataset, embedder, monkeypatch):
    dataset = build_dataset(tmp_path / "data", identities=6, images=5)  # shards of 20 and 10 images
    write = RowFile.write

    def full(self, start, rows):
        if start >= 20:
            raise StorageError("the disk is full")
        write(self, start, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RowFile, "write", full)
        with pytest.raises(StorageError, match="the disk is full"):
            embedded(dataset, embedder)
    embedder.images = 0
    assert len(embedded(dataset, embedder)) == 30
    assert embedder.images == 10
