"""RecordIO, against a reader of its own written from the format's description, byte by byte."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vec2face.data.formats.recordio import (
    MAGIC,
    MAX_LENGTH,
    PackHeader,
    frame,
    pack,
    parse_index,
    read_record,
    skip_record,
    unpack,
)
from vec2face.data.formats.recordio_file import RecordWriter, property_line
from vec2face.errors import InputError, StorageError

WORD = struct.pack("<I", MAGIC)

# Payloads made of magics and of bytes near them, which chance alone would never bring.
PAYLOADS = st.lists(st.one_of(st.just(WORD), st.binary(max_size=9), st.just(WORD[:2])), max_size=8).map(b"".join)


def reference_records(data: bytes) -> list[bytes]:
    """Read words of four bytes one at a time; assumes a whole file."""
    records, current, place = [], b"", 0
    while place < len(data):
        magic = int.from_bytes(data[place : place + 4], "little")
        word = int.from_bytes(data[place + 4 : place + 8], "little")
        assert magic == 0xCED7230A
        kind, length = word // 2**29, word % 2**29
        place += 8
        part = b""
        while len(part) < length:
            part += data[place : place + 4]
            place += 4
        part = part[:length]
        if kind in (2, 3):
            current += bytes([0x0A, 0x23, 0xD7, 0xCE])
        current += part
        if kind in (0, 3):
            records.append(current)
            current = b""
    return records


def read_all(data: bytes) -> list[bytes]:
    stream = io.BytesIO(data)
    return list(iter(lambda: read_record(stream, where="x.rec"), None))


@given(st.lists(PAYLOADS, max_size=5))
@example([WORD, b"", WORD + WORD, b"a" + WORD, WORD + b"abc", b"abcd" + WORD])
def test_records_round_trip(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    assert reference_records(data) == payloads
    assert read_all(data) == payloads
    assert len(data) % 4 == 0


@given(PAYLOADS)
def test_the_magic_stands_at_the_begin_of_parts_only(payload: bytes) -> None:
    data = frame(payload)
    found = [place for place in range(0, len(data), 4) if data[place : place + 4] == WORD]
    cuts = sum(payload[place : place + 4] == WORD for place in range(0, len(payload) - 3, 4))
    assert len(found) == cuts + 1


@given(st.lists(PAYLOADS, min_size=1, max_size=4))
def test_skipping_ends_where_reading_does(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    skipping, reading = io.BytesIO(data), io.BytesIO(data)
    for _ in payloads:
        assert skip_record(skipping, size=len(data), where="x.rec")
        read_record(reading, where="x.rec")
        assert skipping.tell() == reading.tell()
    assert not skip_record(skipping, size=len(data), where="x.rec")


def test_a_known_record_byte_for_byte() -> None:
    assert frame(b"abcde") == bytes.fromhex("0a23d7ce 05000000 6162636465 000000")
    cut = frame(b"abcd" + WORD + b"e")
    assert cut == bytes.fromhex("0a23d7ce 04000020 61626364 0a23d7ce 01000060 65000000")


def test_a_known_header_byte_for_byte() -> None:
    assert pack(PackHeader(3.0, 7, 1), b"x") == bytes.fromhex("00000000 00004040 0700000000000000 0100000000000000 78")
    several = pack(PackHeader((1.0, 2.0), 7), b"x")
    assert several == bytes.fromhex("02000000 00000000 0700000000000000 0000000000000000 0000803f 00000040 78")


LABELS = st.floats(width=32, allow_nan=False)


@given(
    st.one_of(LABELS, st.lists(LABELS, min_size=1, max_size=5).map(tuple)),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=40),
)
def test_headers_round_trip(label: float | tuple[float, ...], first: int, second: int, image: bytes) -> None:
    header = PackHeader(label, first, second)
    assert unpack(pack(header, image), where="x") == (header, image)


def test_a_header_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        pack(PackHeader(0.0, 2**64), b"")
    with pytest.raises(InputError, match="at least one label"):
        pack(PackHeader(()), b"")
    with pytest.raises(InputError, match="header alone has 24"):
        unpack(b"short", where="x")
    with pytest.raises(InputError, match="states 1000000 labels"):
        unpack(struct.pack("<IfQQ", 1_000_000, 0, 0, 0), where="x")


def test_a_payload_beyond_29_bits_is_refused() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return MAX_LENGTH + 1

    with pytest.raises(InputError, match="at most 536870911 bytes"):
        frame(Long())


@pytest.mark.parametrize("length", range(1, 20))
def test_every_truncation_is_noticed(length: int) -> None:
    data = frame(b"abcd" + WORD + b"e")
    with pytest.raises(InputError, match="cut short inside the record at byte 0"):
        read_all(data[:length])
    with pytest.raises(InputError, match="cut short inside the record at byte 0"):
        skip_record(io.BytesIO(data[:length]), size=length, where="x.rec")


def test_damage_is_told() -> None:
    old = struct.pack("<II", 0x3ED7230A, 0)
    with pytest.raises(InputError, match="magic number is 0x3ed7230a, not 0xced7230a"):
        read_all(old)
    for marks in ((2,), (3,), (1, 0), (1, 1), (5,)):
        data = b"".join(struct.pack("<II", MAGIC, mark << 29) for mark in marks)
        with pytest.raises(InputError, match="out of order"):
            read_all(data)


def test_the_index_names_where_each_record_begins(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec") as writer:
        writer.write(5, b"five")
        writer.write(0, WORD + b"x")
    assert (tmp_path / "a.idx").read_bytes() == b"5\t0\n0\t12\n"
    assert reference_records((tmp_path / "a.rec").read_bytes()) == [b"five", WORD + b"x"]
    keys, offsets = parse_index([b"5\t0", b"0\t12"], where="a.idx")
    assert (keys.tolist(), offsets.tolist()) == ([5, 0], [0, 12])
    assert property_line(85, 112) == "85,112,112\n"


@pytest.mark.parametrize("line", [b"5", b"a\tb", b"1\t2\t3", b"-1\t0", b"99999999999999999999\t0"])
def test_a_bad_index_is_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="not an index"):
        parse_index([line], where="a.idx")
    assert parse_index([], where="a.idx")[0].dtype == np.int64


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    def write_twice() -> None:
        with RecordWriter(tmp_path / "a.rec") as writer:
            writer.write(1, b"")
            writer.write(1, b"")

    with pytest.raises(InputError, match="key 1 is taken"):
        write_twice()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"named \.rec"):
        RecordWriter(tmp_path / "a.bin")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), RecordWriter(tmp_path / "file" / "a.rec"):
        pass
