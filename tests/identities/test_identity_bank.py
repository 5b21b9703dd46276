"""A bank returns what was saved, byte for byte, and every unusable file gives one sentence."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from vec2face.errors import ContractError, InputError
from vec2face.fileio.atomic import canonical_json
from vec2face.identities import IdentityBank

VECTORS = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
NAMES = ("a", "b", "c", "d", "e", "Zoë")


def test_a_bank_is_returned_as_saved(tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    IdentityBank(VECTORS, NAMES, {"source": "pca", "ceiling": 0.3, "seed": 1}).save(path)
    bank = IdentityBank.load(path)
    np.testing.assert_array_equal(bank.vectors, VECTORS)
    assert bank.ids == NAMES
    assert bank.provenance == {"source": "pca", "ceiling": 0.3, "seed": 1}
    assert (len(bank), bank.width) == (6, 8)


def test_equal_banks_give_equal_bytes(tmp_path: Path) -> None:
    for name, provenance in (("1", {"source": "pca", "seed": 1}), ("2", {"seed": 1, "source": "pca"})):
        IdentityBank(VECTORS, NAMES, provenance).save(tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_vectors_cannot_be_changed_through_the_bank_and_the_given_array_stays_writable() -> None:
    given = VECTORS.copy()
    bank = IdentityBank(given, NAMES)
    with pytest.raises(ValueError, match="read-only"):
        bank.vectors[0, 0] = 1.0
    given[0, 0] = 1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_plain_npy_is_read_whatever_its_name(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "vectors.bin"
    with open(path, "wb") as stream:
        np.save(stream, VECTORS.astype(dtype))
    bank = IdentityBank.load(path)
    np.testing.assert_array_equal(bank.vectors, VECTORS.astype(dtype).astype(np.float32))
    assert bank.ids[:2] == ("0000000", "0000001")
    assert bank.provenance["source"] == "file"
    assert bank.provenance["file"] == "vectors.bin"
    assert len(bank.provenance["sha256"]) == 64


def test_plain_safetensors_is_read(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"features": VECTORS}, tmp_path / "one")
    safetensors.numpy.save_file({"vectors": VECTORS, "labels": np.zeros(6, np.int64)}, tmp_path / "two")
    for name in ("one", "two"):
        np.testing.assert_array_equal(IdentityBank.load(tmp_path / name).vectors, VECTORS)
    safetensors.numpy.save_file({"x": VECTORS, "y": VECTORS}, tmp_path / "ambiguous")
    with pytest.raises(InputError, match=r"2 tensors \(x, y\), none called 'vectors'"):
        IdentityBank.load(tmp_path / "ambiguous")


def changed(row: int, value: float, whole_row: bool = False) -> np.ndarray:
    vectors = VECTORS.astype(np.float64)
    vectors[row, slice(None) if whole_row else 0] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (VECTORS[0], "rows x features, not 8"),
        (VECTORS[:0], "not 0 x 8"),
        (np.ones((2, 2), np.int64), "floating-point numbers, not int64"),
        (changed(3, np.nan), "row 3 "),
        (changed(2, 1e60), "beyond float32 in row 2 "),
        (changed(4, 0.0, whole_row=True), "zero in row 4 "),
        (np.full((9, 4), np.inf), "rows 0, 1, 2, 3, 4 and 4 more"),
    ],
)
def test_unusable_vectors_are_refused_by_row(tmp_path: Path, vectors: np.ndarray, message: str) -> None:
    path = tmp_path / "plain.npy"
    np.save(path, vectors)
    with pytest.raises(InputError, match=message) as caught:
        IdentityBank.load(path)
    assert "plain.npy" in str(caught.value)
    with pytest.raises(InputError, match=message):
        IdentityBank(vectors, tuple(map(str, range(len(vectors)))))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (("a", "b", "c", "b", "e", "f"), "id 'b' stands for both row 1 and row 3"),
        (("a",), "6 vectors have 1 ids"),
        (("a", "b", "c", "", "e", "f"), "non-empty"),
    ],
)
def test_unusable_ids_are_refused(ids: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        IdentityBank(VECTORS, ids)


@pytest.mark.parametrize(
    "content", [b"", b"not vectors", b"\x93NUMPY\x01\x00", b"\x93NUMPY" + b"\0" * 40, b"PK\x03\x04zip"]
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.bin"):
        IdentityBank.load(tmp_path / "odd.bin")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not a readable"):
        IdentityBank.load(tmp_path / "objects.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.npy: No such file"):
        IdentityBank.load(tmp_path / "missing.npy")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"format": "vec2face-bank/9", "ids": [], "provenance": {}}', "format 'vec2face-bank/9'"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": "vec2face-bank/1", "ids": ["a"], "provenance": {}}', "6 vectors have 1 ids"),
    ],
)
def test_a_foreign_or_damaged_header_is_named(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "bank.safetensors"
    safetensors.numpy.save_file({"vectors": VECTORS}, path, {"identity_bank": header})
    with pytest.raises(InputError, match=message) as caught:
        IdentityBank.load(path)
    assert "bank.safetensors" in str(caught.value)


def test_a_width_that_does_not_fit_names_both_sides() -> None:
    bank = IdentityBank(VECTORS, NAMES)
    bank.require_width("the generator", 8)
    with pytest.raises(ContractError, match="the identity bank has width 8, but the generator has width 512"):
        bank.require_width("the generator", 512)


def test_a_header_that_asks_for_terabytes_is_told_as_damage(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 128), }".ljust(117) + "\n"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.encode() + b"1234")
    with pytest.raises(InputError, match=r"huge\.npy is not a readable \.npy table"):
        IdentityBank.load(tmp_path / "huge.npy")


def test_a_bank_is_written_as_safetensors_writes_it(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    names = tuple(f'name-{row} \u00e9"' for row in range(20))
    bank = IdentityBank(vectors, names, {"source": "test", "text": "\u00e9 \\"})
    bank.save(tmp_path / "bank")
    document = {"format": "vec2face-bank/1", "ids": list(names), "provenance": bank.provenance}
    expected = safetensors.numpy.save({"vectors": vectors}, {"identity_bank": canonical_json(document).decode()})
    assert (tmp_path / "bank").read_bytes() == expected
