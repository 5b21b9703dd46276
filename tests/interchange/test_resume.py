"""Killed at any moment, the same command ends with the bytes of an undisturbed run."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interchange.sets import FORMATS, options, tree
from vec2face.errors import DatasetError, InputError
from vec2face.interchange.choose import Wanted, subset
from vec2face.interchange.export import export
from vec2face.interchange.selection import Item, Selection
from vec2face.interchange.workplace import Workplace, workplace
from vec2face.interchange.writers.base import SetWriter

BLOCK = 5  # of 23 images


def make(dataset: Path, out: Path, what: str) -> None:
    if what == "subset":
        subset(dataset, out, Wanted(images_per_identity=4), name="part", images_per_shard=BLOCK)
    else:
        export(dataset, out, images_per_file=BLOCK, **options(what))  # type: ignore[arg-type]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_third_block(writers: list[type[SetWriter]]) -> None:
    original = Selection.items

    def items(self: Selection, start: int, stop: int) -> Iterator[Item]:
        for place, item in enumerate(original(self, start, stop), start):
            if place == 12:
                die()
            yield item

    Selection.items = items  # type: ignore[method-assign]


def between_block_and_checkpoint(writers: list[type[SetWriter]]) -> None:
    original = Workplace.save

    def save(self: Workplace, images: int, state: Any) -> None:
        if images == 15:
            die()
        original(self, images, state)

    Workplace.save = save  # type: ignore[method-assign]


def after_the_last_file(writers: list[type[SetWriter]]) -> None:
    Workplace.publish = lambda self: die()  # type: ignore[method-assign]


def after_finish(writers: list[type[SetWriter]]) -> None:
    for writer in writers:
        original: Callable[[Any], None] = writer.finish

        def finish(self: Any, original: Callable[[Any], None] = original) -> None:
            original(self)
            die()

        writer.finish = finish  # type: ignore[method-assign]


def disturbed(dataset: Path, out: Path, what: str, disturb: Callable[[list[type[SetWriter]]], None]) -> None:
    from vec2face.interchange.export import _DIALECTS, _WRITERS

    disturb([*_DIALECTS.values(), *_WRITERS.values()])
    make(dataset, out, what)


@pytest.mark.parametrize("what", [*FORMATS, "subset"])
@pytest.mark.parametrize(
    "disturb", [in_the_third_block, between_block_and_checkpoint, after_finish, after_the_last_file]
)
def test_killed_and_gone_on(
    dataset: Path, tmp_path: Path, what: str, disturb: Callable[[list[type[SetWriter]]], None]
) -> None:
    make(dataset, tmp_path / "whole" / "out", what)
    out = tmp_path / "torn" / "out"
    out.parent.mkdir()
    child = multiprocessing.get_context("fork").Process(target=disturbed, args=(dataset, out, what, disturb))
    child.start()
    child.join()
    if what == "subset" and disturb is after_finish:
        assert child.exitcode == 0  # its writer is not among those disturbed
    else:
        assert child.exitcode == -signal.SIGKILL
        assert not out.exists()
        assert (tmp_path / "torn" / "out.partial").is_dir()
    make(dataset, out, what)
    assert tree(out) == tree(tmp_path / "whole" / "out")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_what_was_begun_is_not_gone_on_with_otherwise(dataset: Path, tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(
        target=disturbed, args=(dataset, tmp_path / "out", "lmdb", in_the_third_block)
    )
    child.start()
    child.join()
    with pytest.raises(DatasetError, match=r"begun with other settings \(images_per_file: 5 there, 7 wanted\)"):
        export(dataset, tmp_path / "out", to="lmdb", images_per_file=7)
    (tmp_path / "out.partial" / "train.lmdb").write_bytes(b"")
    with pytest.raises(DatasetError, match="holds 0 records, which no stopped run leaves"):
        make(dataset, tmp_path / "out", "lmdb")


def test_a_file_that_was_cut_in_the_meantime_is_noticed(dataset: Path, tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(
        target=disturbed, args=(dataset, tmp_path / "out", "recordio-im2rec", in_the_third_block)
    )
    child.start()
    child.join()
    (tmp_path / "out.partial" / "train.rec").write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"train.rec has 5 bytes, but \d+ were written; remove"):
        make(dataset, tmp_path / "out", "recordio-im2rec")


def test_a_partial_folder_of_nobody_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out.partial stands in the way"):
        make(dataset, tmp_path / "out", "lmdb")
    assert (tmp_path / "out.partial" / "notes.txt").read_text() == "mine"


def test_a_second_run_at_the_same_time_is_refused_and_harms_nothing(dataset: Path, tmp_path: Path) -> None:
    with workplace(tmp_path / "out") as place:
        with pytest.raises(DatasetError, match=r"another run is writing to .*out\.partial"):
            make(dataset, tmp_path / "out", "lmdb")
        assert place.folder.is_dir()
    assert not list(tmp_path.iterdir())
