"""Where a set grows until it is complete: `OUT.partial`, which becomes OUT at the end.

```
OUT.partial/            the set, block by block
  .work/plan.json       what decides its bytes; another plan is refused
  .work/checkpoint.json how many images are written, and what the writer needs to go on
  .work/...             what a writer or a source keeps for the next try
```
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vec2face.errors import DatasetError, InputError
from vec2face.fileio.atomic import explain_os_error, fingerprint, write_json
from vec2face.fileio.outputs import require_writable
from vec2face.generation.folder import DatasetFolder
from vec2face.generation.hold import exclusive
from vec2face.generation.plan import differences

WORK = ".work"


class Workplace:
    """The unfinished set of one output; made by `workplace`, which holds it against a second run.

    Attributes:
        out: where the set will stand.
        folder: where it grows.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_name(f"{out.name}.partial")

    def kept(self, name: str) -> Path:
        """Return a path for something to be kept until the set is complete."""
        return self.folder / WORK / name

    @property
    def begun(self) -> bool:
        """Whether a plan has been written."""
        return self.kept("plan.json").is_file()

    def begin(self, determinants: Mapping[str, Any]) -> None:
        """Take down what decides the set's bytes, or compare it with what an earlier run took down.

        Raises:
            DatasetError: that run had other settings; the message names each that differs.
            StorageError: it cannot be written.
        """
        # Through JSON, so that both sides are made of the same types.
        wanted = json.loads(json.dumps(determinants))
        if not self.begun:
            write_json(self.kept("plan.json"), wanted)
            return
        try:
            found = json.loads(self.kept("plan.json").read_bytes())
        except (OSError, ValueError):
            raise DatasetError(f"{self.folder} is damaged; remove it and run the command again.") from None
        if differing := differences(found, wanted):
            raise DatasetError(
                f"{self.folder} was begun with other settings ({'; '.join(differing)}); run the first command again, "
                "or remove it."
            )

    def checkpoint(self) -> tuple[int, dict[str, Any]]:
        """Return how many images are written, and the writer's state."""
        path = self.kept("checkpoint.json")
        try:
            values = json.loads(path.read_bytes())
            return int(values["images"]), dict(values["state"])
        except FileNotFoundError:
            return 0, {}
        except (OSError, ValueError, KeyError, TypeError):
            raise DatasetError(f"{path} is damaged; remove {self.folder} and run the command again.") from None

    def save(self, images: int, state: Mapping[str, Any]) -> None:
        """Take down how far the set is. Raises `StorageError`."""
        write_json(self.kept("checkpoint.json"), {"images": images, "state": dict(state)})

    def remove_leftovers(self) -> None:
        """Remove the unfinished files that a killed run left behind. Raises `StorageError`."""
        for pattern in (".*.tmp", f"{WORK}/**/.*.tmp", "data/.*.tmp", "shards/.*.tmp"):
            for path in self.folder.glob(pattern):
                try:
                    path.unlink()
                except OSError as error:
                    raise explain_os_error(error, path) from error

    def publish(self) -> None:
        """Give the complete set its name. Raises `StorageError`."""
        try:
            os.replace(self.folder, self.out)
            shutil.rmtree(self.out / WORK)
        except OSError as error:
            raise explain_os_error(error, self.out) from error


@contextmanager
def workplace(out: Path) -> Iterator[Workplace]:
    """Make, or find again, the place where a set grows, and hold it.

    Where nothing was begun in the end, it is removed again.

    Raises:
        InputError: something else stands there.
        DatasetError: another run is writing there.
        StorageError: it cannot be written.
    """
    place = Workplace(out)
    require_writable(out.resolve().parent, output=out)
    if place.folder.exists() and not place.kept("").is_dir():
        raise InputError(f"{place.folder} stands in the way, and no run has left it; move it elsewhere.")
    try:
        place.kept("").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, place.folder) from error
    with exclusive(DatasetFolder(place.folder)):
        try:
            place.remove_leftovers()
            yield place
        finally:
            if place.folder.is_dir() and not place.begun:
                shutil.rmtree(place.folder)


def is_complete(out: Path, description: str, determinants: Mapping[str, Any]) -> bool:
    """Tell whether OUT is the complete set of a plan; what a run stopped at its very end left behind is removed.

    Args:
        out: the output.
        description: name of the file that describes the set, with a `fingerprint`.
        determinants: what decides the set's bytes.

    Raises:
        InputError: something else stands there.
    """
    if not out.exists():
        return False
    if out.is_dir() and not any(out.iterdir()):
        return False
    try:
        found = json.loads((out / description).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found != fingerprint(determinants):
        raise InputError(f"{out} exists already, and is not what this command makes; choose another --out.")
    shutil.rmtree(out / WORK, ignore_errors=True)
    return True


def require_free(out: Path, description: str) -> None:
    """Refuse at once an output that can be neither new nor the complete set of this command. Raises `InputError`."""
    if out.name in ("", ".."):
        raise InputError(f"--out {out} is not the name of a folder to be made; name one, such as faces-new.")
    standing = out.is_dir() and (not any(out.iterdir()) or (out / description).is_file())
    if out.exists() and not standing:
        raise InputError(f"{out} exists already; choose another --out.")
