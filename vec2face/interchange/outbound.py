"""Sets whose place is a URL: they grow on this machine and are uploaded when they are complete, descriptions last.

```
COPIES/outgoing/DIGEST/NAME/          the set, as it would be in a folder
COPIES/outgoing/DIGEST/uploaded.json  which files are to arrive, which did, as what version, and whether all did
```

A stopped upload goes on with the files that have not arrived. After the last one the files here are removed, but for
the descriptions, by which the same command finds that nothing is left to do.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from vec2face.errors import InputError, Vec2FaceError
from vec2face.fileio.atomic import fingerprint, write_json
from vec2face.fileio.local_copies import copies_folder, held
from vec2face.fileio.location import Location
from vec2face.fileio.remote import RemotePath
from vec2face.interchange.write import WrittenSet
from vec2face.progress import ProgressReporter, SilentProgress

DESCRIPTIONS = ("dataset.json", "export.json")
_AT_ONCE = 8
_NOTED = 200  # files between two writings of the record

SourceT = TypeVar("SourceT")
ResultT = TypeVar("ResultT", WrittenSet, list[WrittenSet])
Rest = ParamSpec("Rest")


def to_any_place(
    make: Callable[Concatenate[SourceT, Path, Rest], ResultT],
) -> Callable[Concatenate[SourceT, Location, Rest], ResultT]:
    """Let a function that writes a set to a folder, its second argument, take a URL there as well.

    Its keyword argument `progress` receives the stage "uploading", too.
    """

    @wraps(make)
    def made(source: SourceT, out: Location, *args: Rest.args, **kwargs: Rest.kwargs) -> ResultT:
        if isinstance(out, Path):
            return make(source, out, *args, **kwargs)
        progress = cast(ProgressReporter | None, kwargs.get("progress")) or SilentProgress()
        with held(_folder(out).with_suffix(".lock")):
            upload = _Upload(out)
            upload.require_free()
            with _naming(out, upload.local):
                result = make(source, upload.local, *args, **kwargs)
            upload.run(progress)
        return _renamed(result, upload.local, out)

    return made


@contextmanager
def _naming(out: RemotePath, local: Path) -> Iterator[None]:
    """Let mistakes name the URL, and what is to be removed here by its path here."""
    try:
        yield
    except Vec2FaceError as error:
        text = str(error)
        if str(local) not in text or f"{local}.partial" in text:
            raise
        raise type(error)(text.replace(str(local), str(out))) from None


def _renamed(result: ResultT, local: Path, out: RemotePath) -> ResultT:
    if isinstance(result, WrittenSet):
        return replace(result, out=out)
    return [replace(one, out=out / Path(str(one.out)).relative_to(local).as_posix()) for one in result]


def _folder(out: RemotePath) -> Path:
    return copies_folder() / "outgoing" / fingerprint(out.url)[:16]


class _Upload:
    """A set on its way to a URL."""

    def __init__(self, out: RemotePath) -> None:
        self.out = out
        self._folder = _folder(out)
        self.local = self._folder / out.name
        self._record_file = self._folder / "uploaded.json"
        self._planned, self._arrived, self._complete = self._read_record()

    def require_free(self) -> None:
        """Refuse a place where something stands that this command did not put there; forget what was removed there.

        Raises:
            InputError: something else stands there.
            StorageError: the store cannot be written.
        """
        self.out.require_writable()
        there = {name: stat.version for name, stat in self.out.files().items()}
        # A killed run may have uploaded more than it took down.
        known = {name for name, version in there.items() if self._arrived.get(name) == version}
        known |= set() if self._complete else set(self._planned)
        if foreign := sorted(there.keys() - known):
            raise InputError(
                f"{self.out} holds {foreign[0]}, which this command has not put there; choose another --out."
            )
        if self._complete and there.keys() != self._arrived.keys():
            # Only the descriptions are left here: it is made and uploaded anew.
            shutil.rmtree(self.local, ignore_errors=True)
            self._planned, self._arrived, self._complete = [], {}, False
            self._write_record()
        self._arrived = {name: version for name, version in self._arrived.items() if there.get(name) == version}

    def run(self, progress: ProgressReporter) -> None:
        """Upload what has not arrived. Raises `StorageError`; what has arrived is kept in mind."""
        sizes = {
            path.relative_to(self.local).as_posix(): path.stat().st_size
            for path in sorted(self.local.rglob("*"))
            if path.is_file()
        }
        if self._complete:
            return
        self._planned = list(sizes)
        self._write_record()
        total = sum(sizes.values())
        missing = [name for name in sizes if name not in self._arrived]
        progress.begin(
            f"uploading to {self.out}", total=total, unit="bytes", done=total - sum(sizes[name] for name in missing)
        )
        last = [name for name in missing if name.rpartition("/")[2] in DESCRIPTIONS]
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                others = [name for name in missing if name not in last]
                for number, (name, version) in enumerate(zip(others, pool.map(self._send, others), strict=True), 1):
                    self._arrived[name] = version
                    progress.advance(sizes[name])
                    if number % _NOTED == 0:
                        self._write_record()
            for name in last:
                self._arrived[name] = self._send(name)
                progress.advance(sizes[name])
            self._complete = True
        finally:
            self._write_record()
        for name in sizes:
            if name not in last and name.rpartition("/")[2] not in DESCRIPTIONS:
                (self.local / name).unlink(missing_ok=True)

    def _send(self, name: str) -> str:
        target = self.out / name
        target.upload(self.local / name)
        return target.stat().version

    def _read_record(self) -> tuple[list[str], dict[str, str], bool]:
        try:
            values: Mapping[str, Any] = json.loads(self._record_file.read_bytes())
            return list(values["planned"]), dict(values["arrived"]), bool(values["complete"])
        except (OSError, ValueError, KeyError, TypeError):
            return [], {}, False

    def _write_record(self) -> None:
        record = {"url": self.out.url, "planned": self._planned, "arrived": self._arrived, "complete": self._complete}
        write_json(self._record_file, record)
