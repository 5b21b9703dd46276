"""MXNet's RecordIO: the framing of records, and the header that face sets put before an image.

Framing (dmlc-core `recordio.h`): little-endian uint32 magic, uint32 `cflag << 29 | length`, the payload, zeros up to a
multiple of four bytes. Where the magic itself stands in the payload at a multiple of four, the record is cut there: the
magic is left out, and the parts are marked first (1), middle (2) and last (3); an uncut record is marked 0.

Pack header (MXNet `recordio.py`): `flag` uint32, `label` float32, `id` uint64, `id2` uint64; 24 bytes. With a flag
above 0, that many float32 labels follow and take the place of `label`. The image's bytes come last.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from vec2face.errors import InputError

MAGIC = 0xCED7230A
MAX_LENGTH = (1 << 29) - 1  # bytes of a payload: its length has 29 bits
EXACT_LABELS = 1 << 24  # every whole number below it is exact in float32

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_FRAME = struct.Struct("<II")
_PACK = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True)
class PackHeader:
    """What stands before an image.

    Attributes:
        label: one number, or several (a tuple, written after the header).
        id, id2: two numbers of the writer's choice, uint64.
    """

    label: float | tuple[float, ...]
    id: int = 0
    id2: int = 0

    @property
    def labels(self) -> tuple[float, ...]:
        """The label or labels, always as a tuple."""
        return self.label if isinstance(self.label, tuple) else (self.label,)


def frame(payload: bytes) -> bytes:
    """Return the bytes of one record, whose length is a multiple of four.

    Raises:
        InputError: the payload is longer than `MAX_LENGTH`.
    """
    if len(payload) > MAX_LENGTH:
        raise InputError(f"a RecordIO record holds at most {MAX_LENGTH} bytes, not {len(payload)}.")
    cuts = _aligned_magics(payload)
    if not cuts:
        return _part(_WHOLE, payload)
    starts = [0, *(cut + 4 for cut in cuts)]
    stops = [*cuts, len(payload)]
    marks = [_FIRST, *[_MIDDLE] * (len(cuts) - 1), _LAST]
    return b"".join(_part(mark, payload[a:b]) for mark, a, b in zip(marks, starts, stops, strict=True))


def read_record(stream: IO[bytes], *, where: str) -> bytes | None:
    """Read the record that begins at the stream's position and leave the stream behind it.

    Args:
        stream: a seekable binary stream.
        where: the file, for messages.

    Returns:
        The payload, or None at the end of the stream.

    Raises:
        InputError: there is no record there, it is cut short, or its parts are out of order.
    """
    begin = stream.tell()
    parts: list[bytes] = []
    while True:
        mark, length = _read_frame(stream, begin, where, first=not parts)
        if mark is None:
            return None
        _check_order(mark, bool(parts), begin, where)
        data = stream.read(length + -length % 4)
        if len(data) < length + -length % 4:
            raise InputError(
                f"{where} is cut short inside the record at byte {begin}; get a complete copy of the file."
            )
        parts.append(data[:length])
        if mark in (_WHOLE, _LAST):
            return _MAGIC_BYTES.join(parts)


def skip_record(stream: IO[bytes], *, size: int, where: str) -> bool:
    """Move past the record at the stream's position without reading it; False at the end of the stream.

    Args:
        stream, where: as for `read_record`.
        size: bytes of the whole file.

    Raises:
        InputError: as `read_record`.
    """
    begin = stream.tell()
    parts = 0
    while True:
        mark, length = _read_frame(stream, begin, where, first=not parts)
        if mark is None:
            return False
        _check_order(mark, parts > 0, begin, where)
        after = stream.tell() + length + -length % 4
        if after > size:
            raise InputError(
                f"{where} is cut short inside the record at byte {begin}; get a complete copy of the file."
            )
        stream.seek(after)
        parts += 1
        if mark in (_WHOLE, _LAST):
            return True


def pack(header: PackHeader, image: bytes) -> bytes:
    """Return a record's payload: header, labels, image.

    Raises:
        InputError: an id does not fit 64 bits, or there are no labels.
    """
    several = isinstance(header.label, tuple)
    if several and not header.labels:
        raise InputError("a record needs at least one label.")
    flag, label = (len(header.labels), 0.0) if several else (0, header.labels[0])
    try:
        fixed = _PACK.pack(flag, label, header.id, header.id2)
    except (struct.error, OverflowError):
        raise InputError(f"label {label}, id {header.id} and id2 {header.id2} do not fit a record's header.") from None
    return fixed + (np.array(header.labels, "<f4").tobytes() if several else b"") + image


def unpack(payload: bytes, *, where: str) -> tuple[PackHeader, bytes]:
    """Split a record's payload into its header and the image's bytes. Raises `InputError` where it has no header."""
    if len(payload) < _PACK.size:
        raise InputError(f"{where} is no packed image: it has {len(payload)} bytes, and the header alone has 24.")
    flag, label, first_id, second_id = _PACK.unpack_from(payload)
    if not flag:
        return PackHeader(label, first_id, second_id), payload[_PACK.size :]
    after = _PACK.size + 4 * flag
    if after > len(payload):
        raise InputError(
            f"{where} is no packed image: it states {flag} labels, more than its {len(payload)} bytes hold."
        )
    labels = tuple(np.frombuffer(payload, "<f4", flag, _PACK.size).tolist())
    return PackHeader(labels, first_id, second_id), payload[after:]


def peek(start: bytes, *, where: str) -> PackHeader | None:
    """Return the header in the first bytes of a framed record, or None where these bytes do not tell it.

    Raises:
        InputError: as `unpack`.
    """
    if len(start) < _FRAME.size + _PACK.size:
        return None
    magic, length = _FRAME.unpack_from(start)
    if magic != MAGIC or length >> 29 != _WHOLE:
        return None
    payload = start[_FRAME.size :][: length & MAX_LENGTH]
    whole = len(payload) == length & MAX_LENGTH
    flag = _PACK.unpack_from(payload)[0] if len(payload) >= _PACK.size else 0
    if not whole and len(payload) < _PACK.size + 4 * flag:
        return None
    return unpack(payload, where=where)[0]


def index_line(key: int, offset: int) -> str:
    """Return a record's line in the `.idx` file: its key and the byte it begins at."""
    return f"{key}\t{offset}\n"


def parse_index(lines: Sequence[bytes], *, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys and offsets, int64 `(N,)` each, of lines of an `.idx` file.

    Raises:
        InputError: a line is not two whole numbers of 0 or more with a tab between them.
    """
    keys, offsets = np.empty(len(lines), np.int64), np.empty(len(lines), np.int64)
    for number, line in enumerate(lines):
        try:
            key, offset = line.split(b"\t")
            keys[number], offsets[number] = int(key), int(offset)
        except (ValueError, OverflowError):
            raise InputError(f"{where} is not an index: {line[:60]!r} is not a key, a tab and an offset.") from None
    if len(lines) and min(int(keys.min()), int(offsets.min())) < 0:
        raise InputError(f"{where} is not an index: it holds a negative key or offset.")
    return keys, offsets


def _aligned_magics(payload: bytes) -> list[int]:
    found, position = [], payload.find(_MAGIC_BYTES)
    while position >= 0:
        # Only whole words count: a magic at another place is never taken for the begin of a record.
        if position % 4 == 0:
            found.append(position)
        position = payload.find(_MAGIC_BYTES, position + (4 if position % 4 == 0 else 1))
    return found


def _part(mark: int, data: bytes) -> bytes:
    return _FRAME.pack(MAGIC, mark << 29 | len(data)) + data + bytes(-len(data) % 4)


def _read_frame(stream: IO[bytes], begin: int, where: str, *, first: bool) -> tuple[int | None, int]:
    head = stream.read(_FRAME.size)
    if not head and first:
        return None, 0
    if len(head) < _FRAME.size:
        raise InputError(f"{where} is cut short inside the record at byte {begin}; get a complete copy of the file.")
    magic, length = _FRAME.unpack(head)
    if magic != MAGIC:
        raise InputError(
            f"{where} holds no record at byte {begin}: the magic number is {magic:#010x}, not {MAGIC:#010x}."
        )
    return length >> 29, length & MAX_LENGTH


def _check_order(mark: int, begun: bool, begin: int, where: str) -> None:
    if mark > _LAST or begun != (mark in (_MIDDLE, _LAST)):
        raise InputError(f"{where} is damaged: the parts of the record at byte {begin} are out of order.")
