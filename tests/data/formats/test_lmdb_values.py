"""Records of the LMDB layout, their bytes and what is no record."""

from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.faces import npy
from vec2face.data.formats.lmdb_file import write_lmdb
from vec2face.data.formats.lmdb_values import (
    LmdbValue,
    decode_count,
    decode_keys,
    decode_value,
    encode_value,
)
from vec2face.data.formats.npy import decode_array, decode_vector, encode_array
from vec2face.errors import InputError, StorageError

FEATURE = np.array([0.5, -2.0], np.float32)


def test_values_are_what_the_published_scripts_write() -> None:
    assert encode_value(LmdbValue(b"img", 7)) == msgpack.dumps((b"img", 7))
    assert encode_value(LmdbValue(b"img", 7, FEATURE)) == msgpack.dumps((b"img", npy(FEATURE), 7))
    with_pose = encode_value(LmdbValue(b"img", 7, FEATURE, b"marks"))
    assert with_pose == msgpack.dumps((b"img", npy(FEATURE), 7, b"marks"))
    with pytest.raises(InputError, match="beside a feature only"):
        encode_value(LmdbValue(b"img", 7, None, b"marks"))


@given(st.binary(max_size=50), st.integers(0, 2**40), st.booleans(), st.booleans())
def test_values_round_trip(image: bytes, label: int, feature: bool, landmarks: bool) -> None:
    value = LmdbValue(image, label, FEATURE if feature else None, b"marks" if feature and landmarks else None)
    back = decode_value(encode_value(value), where="x")
    assert (back.image, back.label, back.landmarks) == (image, label, value.landmarks)
    assert (back.feature is None) == (not feature)
    if back.feature is not None:
        assert np.array_equal(back.feature, FEATURE)


def test_values_of_msgpack_before_1_0_are_read() -> None:
    old = msgpack.packb((b"\xff\xd8", 3), use_bin_type=False)
    assert decode_value(old, where="x").image == b"\xff\xd8"
    assert decode_keys(msgpack.packb(["0", "1"]), where="x") == [b"0", b"1"]


@pytest.mark.parametrize(
    "value",
    [
        5,
        [],
        [b"img"],
        ["a", "b", "c", 1, 2],
        [b"img", -1],
        [b"img", True],
        [b"img", 1.5],
        [7, 1],
        {"image": 1},
        [b"i", 1, 2],
    ],
    ids=str,
)
def test_other_shapes_are_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"x:0 is not \(image, label\)"):
        decode_value(msgpack.packb(value), where="x:0")


def test_bytes_that_are_no_msgpack_are_refused() -> None:
    for data in (b"", b"\xc1", b"\x91" * 5000, msgpack.packb([b"img", 1])[:-2]):
        with pytest.raises(InputError, match="x:0 is not msgpack"):
            decode_value(data, where="x:0")
    with pytest.raises(InputError, match="not a number of records"):
        decode_count(msgpack.packb(-1), where="x")
    with pytest.raises(InputError, match="not a list of keys"):
        decode_keys(msgpack.packb([1, 2]), where="x")


def test_features_are_never_unpickled() -> None:
    pickled = npy(np.array([{"a": 1}], dtype=object), pickled=True)
    with pytest.raises(InputError, match=r"feature of x:0 is not a readable \.npy array"):
        decode_value(msgpack.packb((b"img", pickled, 1)), where="x:0")
    with pytest.raises(InputError, match=r"not an \.npy array"):
        decode_value(msgpack.packb((b"img", b"\x80\x04.", 1)), where="x:0")


def test_arrays_round_trip_and_bad_ones_are_refused() -> None:
    assert encode_array(FEATURE) == npy(FEATURE)
    assert np.array_equal(decode_vector(npy(FEATURE[None]), where="x"), FEATURE)
    for array, message in (
        (np.array([1, 2]), "not floating-point"),
        (np.array([], np.float32), "not floating-point"),
        (np.array([np.nan], np.float32), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            decode_array(npy(array), where="x")
    with pytest.raises(InputError, match="one vector"):
        decode_vector(npy(np.zeros((2, 2), np.float32)), where="x")
    forged = npy(FEATURE).replace(b"(2,), ", b"(9999999999999,), ", 1)
    with pytest.raises(InputError, match="not a readable"):
        decode_array(forged, where="x")


def test_a_file_holds_the_layout_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "set.lmdb"
    big = bytes(1_000_000)
    count = write_lmdb(path, (LmdbValue(big if i < 70 else b"s", i % 3) for i in range(75)), classes=3)
    assert count == 75
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.lmdb"]
    with (
        lmdb.open(str(path), subdir=False, readonly=True, lock=False) as database,
        database.begin() as transaction,
    ):
        assert msgpack.loads(transaction.get(b"__len__")) == 75
        assert msgpack.loads(transaction.get(b"__classnum__")) == 3
        assert msgpack.loads(transaction.get(b"__keys__")) == [str(i).encode() for i in range(75)]
        assert msgpack.loads(transaction.get(b"74")) == [b"s", 2]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_lmdb(tmp_path / "file" / "set.lmdb", [LmdbValue(b"", 0)], classes=1)

    def values() -> object:
        yield LmdbValue(b"", 0)
        raise InputError("stop")

    with pytest.raises(InputError, match="stop"):
        write_lmdb(tmp_path / "set.lmdb", values(), classes=1)  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
