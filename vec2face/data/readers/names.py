"""Many names in little memory."""

from array import array
from collections.abc import Iterator

from vec2face.errors import InputError

# What a file must be called to be taken for an image.
IMAGE_ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"})


class NameList:
    """A list of names that takes their bytes and eight more each, rather than a Python object each."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q")

    def append(self, name: str) -> None:
        # Names of files need not be valid Unicode; those that are not come through unharmed.
        self._text += name.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return self._text[start : self._ends[index]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


def ending(name: str) -> str:
    """Return what follows the last dot of a file's name, in lower case; "" if there is none."""
    stem, dot, last = name.rpartition(".")
    return last.lower() if dot and stem else ""


def is_hidden(name: str) -> bool:
    """Whether a part of the path begins with a dot, as of files that systems leave behind."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def decide_people(people: str, *, in_root: bool, in_folders: bool, source: str) -> bool:
    """Tell whether folders name people: as asked, or ("auto") if no image stands outside a folder.

    Raises:
        InputError: it is to be found out, and images stand both in folders and outside.
    """
    if people == "auto" and in_root and in_folders:
        raise InputError(
            f"{source} holds images both in folders and beside them, so it is unclear whether a folder is a person; "
            "say --people folders or --people none."
        )
    return people == "folders" or (people == "auto" and in_folders)
