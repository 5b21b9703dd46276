"""Write WebDataset archives: `000000.tar`, ...; each image as KEY.jpg, KEY.cls, KEY.json and perhaps KEY.npy."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vec2face.errors import DatasetError
from vec2face.fileio.tar import write_tar
from vec2face.interchange.image_kinds import kind_of
from vec2face.interchange.selection import Item
from vec2face.interchange.writers.base import SetWriter
from vec2face.interchange.writers.members import members


class WebDatasetWriter(SetWriter):
    """An archive a block; each stands whole under its name or not at all."""

    format = "webdataset"
    takes_features = True
    takes_facts = True

    def resume(self, images: int, state: Mapping[str, Any]) -> int:
        for index in range(-(-images // self.block)):
            if not self._archive(index).is_file():
                raise DatasetError(
                    f"{self._archive(index)} is missing; remove {self.folder} and run the command again."
                )
        return images

    def write(self, items: Iterator[Item], start: int) -> dict[str, Any]:
        write_tar(self._archive(start // self.block), self._members(items))
        return {}

    def finish(self) -> None:
        """Nothing is left to do: every archive is complete."""

    def _archive(self, index: int) -> Path:
        return self.folder / f"{index:06d}.tar"

    @staticmethod
    def _members(items: Iterator[Item]) -> Iterator[tuple[str, bytes]]:
        for item in items:
            yield from members(item, kind_of(item.record.data, where=item.record.where).suffix)
