"""Image folders: PERSON/IMAGE.jpg, or images without people side by side."""

import os
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vec2face.data.readers.base import FaceReader, FaceRecord, People, cannot_read
from vec2face.data.readers.folder_table import TABLE_NAME, FolderTable
from vec2face.data.readers.names import IMAGE_ENDINGS, NameList, decide_people, ending, is_hidden
from vec2face.errors import InputError


class FolderReader(FaceReader):
    """A folder of images; positions follow the sorted paths, folder by folder.

    Where folders are people, an image's person is its folder's path below the root, and numbers follow the sorted
    names. The folder is listed once, when it is opened. Hidden files are left out, links to folders are not followed. A
    `metadata.csv` in the root gives facts about the images (see `FolderTable`).
    """

    format = "image folder"
    annotated = True

    def __init__(self, root: Path, *, people: People = "auto") -> None:
        """List the folder.

        Args:
            root: the folder.
            people: whether folders name people; see `People`.

        Raises:
            InputError: it cannot be listed or holds no images, or "auto" cannot decide.
        """
        self.source, self.root = str(root), root
        self._table = FolderTable(root / TABLE_NAME)
        self._names = NameList()
        self._folders: list[str] = []
        self._folder_of = array("I")
        self._passed_over, self._first_passed_over = 0, ""
        self._list()
        if not len(self._names):
            other = f" (it holds {self._first_passed_over!r})" if self._passed_over else ""
            endings = ", ".join(f".{name}" for name in sorted(IMAGE_ENDINGS))
            raise InputError(f"the folder {root} holds no images{other}; images are named {endings}.")
        self._labelled = decide_people(
            people,
            in_root=self._folders[0] == "",
            in_folders=self._folders[-1] != "",
            source=f"the folder {root}",
        )
        if self._labelled and self._folders[0] == "":
            raise InputError(
                f"{root / self._names[0]} stands in no folder, so it has no person; move it, or say --people none."
            )

    def __len__(self) -> int:
        return len(self._names)

    @property
    def labelled(self) -> bool:
        return self._labelled

    @property
    def classes(self) -> int | None:
        return len(self._folders) if self._labelled else None

    @property
    def passed_over(self) -> tuple[int, str]:
        return self._passed_over, self._first_passed_over

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        for outline in self.outlines(start, stop):
            try:
                data = Path(outline.where).read_bytes()
            except OSError as error:
                raise cannot_read(outline.where, error) from None
            yield replace(outline, data=data)

    def outlines(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRecord]:
        for index in self.window(start, stop):
            key = self._key(index)
            label = self._folder_of[index] if self._labelled else None
            person = None if label is None else self._folders[label]
            yield FaceRecord(key, b"", str(self.root / key), label, person, facts=self._table.facts_of(key))

    def files(self) -> Iterator[tuple[str, int]]:
        for index in range(len(self)):
            key = self._key(index)
            try:
                yield key, (self.root / key).stat().st_size
            except OSError as error:
                raise cannot_read(self.root / key, error) from None

    def _key(self, index: int) -> str:
        folder = self._folders[self._folder_of[index]]
        return f"{folder}/{self._names[index]}" if folder else self._names[index]

    def _list(self) -> None:
        """List each folder's images, then its folders', in sorted order."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            files, folders = self._scan(folder)
            images = [name for name in files if ending(name) in IMAGE_ENDINGS]
            for name in images:
                self._names.append(name)
                self._folder_of.append(len(self._folders))
            if images:
                self._folders.append(folder)
            if len(images) < len(files):
                other = next(name for name in files if ending(name) not in IMAGE_ENDINGS)
                self._first_passed_over = self._first_passed_over or str(PurePosixPath(folder, other))
                self._passed_over += len(files) - len(images)
            waiting += [f"{folder}/{name}" if folder else name for name in reversed(folders)]

    def _scan(self, folder: str) -> tuple[list[str], list[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                visible = sorted(
                    (entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name
                )
            files = [entry.name for entry in visible if entry.is_file()]
            return files, [entry.name for entry in visible if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise cannot_read(self.root / folder, error) from None
