"""Datasets of a recogniser's training: labels, limits, mixes, orders and batches."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from vec2face.config.recognition import DatasetOptions, RecognitionAugmentation
from vec2face.data.formats.recordio import PackHeader, pack
from vec2face.data.formats.recordio_file import RecordWriter
from vec2face.errors import InputError
from vec2face.fileio.images import encode_image
from vec2face.fileio.tar import write_tar
from vec2face.training.portion import Portion, whole_step
from vec2face.training.recognizer_data import FaceMix, RecognitionBatch, RecognitionStream
from vec2face.training.recognizer_index import LabelledSet, index_set

PLAIN = RecognitionAugmentation(flip=0, crop=0, low_resolution=0, photometric=0, erase=0)


def png(value: int, *, size: int = 112) -> bytes:
    """An even picture whose colour is its number, lossless."""
    return encode_image(np.full((size, size, 3), value, np.uint8), format="png")


def write_folders(root: Path, people: int, images: int, *, first: int = 0, size: int = 112) -> Path:
    for person in range(people):
        for image in range(images):
            path = root / f"person{person}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(first + person * images + image, size=size))
    return root


def write_shard(root: Path, labels: list[int]) -> Path:
    """A tar whose image k has the colour 100 + k, and metadata with a score of k / 10, null for the last."""
    members = []
    for number, label in enumerate(labels):
        members += [(f"{number:04d}.png", png(100 + number)), (f"{number:04d}.cls", str(label).encode())]
    root.mkdir()
    write_tar(root / "0.tar", members)
    scores = [number / 10 for number in range(len(labels) - 1)] + [None]
    keys = [f"{number:04d}" for number in range(len(labels))]
    pq.write_table(
        pa.table({"key": keys, "cosine_to_centre": pa.array(scores, pa.float32())}), root / "metadata.parquet"
    )
    return root


def index(source: Path, tmp_path: Path, **options) -> LabelledSet:
    return index_set(source, DatasetOptions(**options), cache=tmp_path / "index.npz", on_note=lambda text: None)


def test_numbers_with_gaps_become_classes_in_their_order(tmp_path: Path) -> None:
    found = index(write_shard(tmp_path / "set", [7, 2, 900, 2]), tmp_path)
    assert found.labels.tolist() == [1, 0, 2, 0]
    assert found.classes == 3
    assert found.facts["images"] == 4
    assert found.facts["people"] == 3


def test_limits_take_the_first_people_and_the_first_images_of_each(tmp_path: Path) -> None:
    source = write_shard(tmp_path / "set", [7, 2, 9, 2, 7, 7, 2, 9])
    found = index(source, tmp_path, people=2, images_per_person=2)
    assert found.positions.tolist() == [0, 1, 3, 4]
    assert found.labels.tolist() == [1, 0, 0, 1]


def test_images_below_a_measured_value_are_left_out(tmp_path: Path) -> None:
    source = write_shard(tmp_path / "set", [0, 1, 0, 1, 0, 1])
    found = index(source, tmp_path, at_least={"cosine_to_centre": 0.2})
    assert found.positions.tolist() == [2, 3, 4], "the last one was not measured"
    with pytest.raises(InputError, match=r"no image of .* has cosine_to_centre of at least 2; lower the limit"):
        index(source, tmp_path, at_least={"cosine_to_centre": 2})
    with pytest.raises(InputError, match="no column 'beauty'; run 'vec2face audit'"):
        index(source, tmp_path, at_least={"beauty": 0.2})
    with pytest.raises(InputError, match=r"needs the table .*metadata.parquet, which is not there"):
        index(write_folders(tmp_path / "plain", 2, 1), tmp_path, at_least={"cosine_to_centre": 0.2})


def test_recordio_is_read_by_several_threads(tmp_path: Path) -> None:
    labels = [0, 0, 3, 3, 1, 1]
    with RecordWriter(tmp_path / "train.rec") as writer:
        for key, label in enumerate(labels):
            writer.write(key, pack(PackHeader(float(label), key), png(50 + key)))
    mix = FaceMix([index(tmp_path / "train.rec", tmp_path)], cache_images=0)
    assert mix.labels.tolist() == [0, 0, 2, 2, 1, 1]
    with ThreadPoolExecutor(4) as pool:
        rows = list(range(6)) * 10
        found = list(pool.map(lambda row: int(mix.pixels(row)[0, 0, 0]), rows))
    assert found == [50 + row for row in rows]


def test_an_index_is_read_again_only_for_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_shard(tmp_path / "set", [0, 1, 2])
    first = index(source, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("vec2face.training.recognizer_index._numbers", None)
        assert index(source, tmp_path).labels.tolist() == first.labels.tolist()
    assert index(source, tmp_path, people=2).labels.tolist() == [0, 1]
    (tmp_path / "index.npz").write_bytes(b"PK cut short")
    assert index(source, tmp_path).labels.tolist() == first.labels.tolist()


def test_unusable_data_are_refused(tmp_path: Path) -> None:
    small = write_folders(tmp_path / "small", 2, 1, size=96)
    with pytest.raises(InputError, match="is 96x96, but a recogniser is trained on aligned faces of 112x112"):
        index(small, tmp_path)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "a.png").write_bytes(png(1))
    with pytest.raises(InputError, match="does not say who is in its pictures"):
        index(flat, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        index(tmp_path / "empty", tmp_path)
    alone = index(write_folders(tmp_path / "alone", 1, 3), tmp_path)
    with pytest.raises(InputError, match="one person only; a recogniser learns to tell people apart"):
        FaceMix([alone], cache_images=0)


def test_a_label_beyond_the_stated_number_of_people_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_shard(tmp_path / "set", [0, 1, 2])
    monkeypatch.setattr("vec2face.data.readers.tars.TarReader.classes", 2)
    with pytest.raises(InputError, match=r"0002 says person 2, which is out of range: .* states 2 people"):
        index(source, tmp_path)


@pytest.mark.parametrize("cache_images", [0, 100])
def test_datasets_are_mixed_with_their_people_apart(tmp_path: Path, cache_images: int) -> None:
    one = index(write_folders(tmp_path / "one", 2, 2), tmp_path)
    two = index(write_shard(tmp_path / "two", [5, 3, 5]), tmp_path)
    mix = FaceMix([one, two], cache_images=cache_images)
    assert mix.labels.tolist() == [0, 0, 1, 1, 3, 2, 3]
    assert (mix.classes, len(mix), mix.epoch_images) == (4, 7, 7)
    for _ in range(2):
        assert [int(mix.pixels(row)[5, 5, 0]) for row in range(7)] == [0, 1, 2, 3, 100, 101, 102]
    assert mix.facts["datasets"]["1"]["people"] == 2


def test_weights_say_how_often_images_occur(tmp_path: Path) -> None:
    one = index(write_folders(tmp_path / "one", 2, 4), tmp_path, weight=2.5)
    two = index(write_folders(tmp_path / "two", 2, 2), tmp_path, weight=0.5)
    mix = FaceMix([one, two], cache_images=0)
    assert mix.epoch_images == 22
    counts = np.zeros((4, len(mix)), int)
    for epoch in range(4):
        order = mix.order(epoch, seed=0)
        assert len(order) == 22
        counts[epoch] = np.bincount(order, minlength=len(mix))
    assert ((counts[:, :8] == 2) | (counts[:, :8] == 3)).all()
    assert (counts[:, :8].sum(axis=1) == 20).all()
    assert (counts[:, 8:].sum(axis=1) == 2).all()
    assert len({tuple(row) for row in counts.tolist()}) > 1


def make_stream(mix: FaceMix, **changes) -> RecognitionStream:
    options = {"batch_size": 6, "augmentation": PLAIN, "centre_share": 1.0, "seed": 1, **changes}
    return RecognitionStream(mix, **options)


@pytest.fixture
def mix(tmp_path: Path) -> FaceMix:
    return FaceMix([index(write_folders(tmp_path / "faces", 4, 2), tmp_path)], cache_images=100)


def test_every_image_is_seen_once_an_epoch(mix: FaceMix) -> None:
    stream = make_stream(mix)
    rows = np.concatenate([stream.choose(step) for step in range(4)])
    assert all(sorted(part) == list(range(8)) for part in rows.reshape(3, 8).tolist())
    wide = make_stream(mix, batch_size=24)
    assert wide.choose(0).tolist() == rows.tolist(), "three epochs in one step"


def test_a_batch_of_people_holds_images_of_each(tmp_path: Path) -> None:
    one = index(write_folders(tmp_path / "one", 5, 3), tmp_path)
    two = index(write_folders(tmp_path / "two", 4, 2), tmp_path, weight=0.5)
    mix = FaceMix([one, two], cache_images=0)
    assert mix.turn_people == 7
    stream = make_stream(mix, batch_size=14, images_of_a_person=2)
    steps = [stream.choose(step) for step in range(3)]
    for rows in steps:  # seven people each: a turn
        first, second = mix.labels[rows].reshape(2, 7)
        assert (first == second).all(), "an image of each person, then another of each"
        assert len(set(first.tolist())) == 7
        assert set(range(5)) <= set(first.tolist())
        assert (rows[:7] != rows[7:]).all()
    assert len({tuple(rows.tolist()) for rows in steps}) == 3
    assert make_stream(mix, batch_size=42, images_of_a_person=2).choose(0).reshape(2, 21)[0].tolist() == [
        row for rows in steps for row in rows[:7]
    ]
    more = mix.visits(0, images=3, seed=1)
    assert all(len(set(rows)) == min(3, 3 if mix.labels[rows[0]] < 5 else 2) for rows in more.tolist())


def test_portions_are_parts_of_the_whole_step(mix: FaceMix) -> None:
    stream = make_stream(mix, augmentation=RecognitionAugmentation(), centre_share=0.75)
    whole = stream.read(whole_step(2, 6))
    assert whole.sampled is not None
    for first in range(3):
        part = stream.read(Portion(2, first, 3, 6))
        for mine, all_of_them in ((part.pixels, whole.pixels), (part.erase, whole.erase), (part.labels, whole.labels)):
            assert mine.equal(all_of_them[first::3])
        assert part.sampled is not None
        assert part.sampled.equal(whole.sampled)


def test_threads_read_the_same(mix: FaceMix) -> None:
    stream, fresh = make_stream(mix), make_stream(mix)
    found: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: stream.read(whole_step(n, 6)).pixels})) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[step].equal(fresh.read(whole_step(step, 6)).pixels) for step in range(6))


def test_labels_go_with_their_pictures(mix: FaceMix) -> None:
    batch = make_stream(mix).read(whole_step(0, 6))
    assert (batch.pixels[:, 0, 0, 0] // 2).tolist() == batch.labels.tolist()


def test_images_are_normalised_and_erased_boxes_are_grey() -> None:
    pixels = torch.full((2, 112, 112, 3), 255, dtype=torch.uint8)
    pixels[1] = 0
    erase = torch.tensor([[10, 20, 30, 25], [0, 0, 0, 0]])
    images = RecognitionBatch(pixels, erase, torch.zeros(2, dtype=torch.long), None).images()
    assert images.shape == (2, 3, 112, 112)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (images[1] == -1).all()
    grey = (images[0] == 0).all(dim=0)
    assert grey[10:30, 20:25].all()
    assert int(grey.sum()) == 20 * 5
    assert (images[0][:, ~grey] == 1).all()
