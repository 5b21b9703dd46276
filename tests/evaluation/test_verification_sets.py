"""One set in every way it can be stored is one set; what is wrong with others is told."""

import io
import lzma
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from vec2face.errors import InputError
from vec2face.evaluation.verification_sets import open_verification_set, open_verification_sets

SAME = [True, False] * 10


def png(value, size=112):
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 7)).save(stream, "PNG")
    return stream.getvalue()


IMAGES = [png(5 * number) for number in range(40)]


def binary(path, images=IMAGES, same=SAME):
    path.write_bytes(pickle.dumps((list(images), list(same))))
    return str(path)


@pytest.fixture
def stored(tmp_path):
    """The set as a .bin, compressed, as a folder with pairs.txt, and as an array: name -> argument."""
    bin_file = binary(tmp_path / "colours.bin")
    (tmp_path / "colours.xz").write_bytes(lzma.compress((tmp_path / "colours.bin").read_bytes()))
    folder = tmp_path / "listed"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        (folder / f"{number}.png").write_bytes(image)
    (folder / "pairs.txt").write_text("".join(f"{2 * n}.png {2 * n + 1}.png {int(s)}\n" for n, s in enumerate(SAME)))
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in IMAGES])
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    np.save(arrays / "colours.npy", pixels.transpose(0, 3, 1, 2))
    np.savetxt(arrays / "issame.txt", np.array(SAME).astype(int), fmt="%s")
    np.save(tmp_path / "last.npy", pixels)
    np.save(tmp_path / "last_issame.npy", np.array(SAME))
    return {
        "bin": bin_file,
        "xz": str(tmp_path / "colours.xz"),
        "folder": str(folder),
        "list": str(folder / "pairs.txt"),
        "array": str(arrays),
        "array file": str(arrays / "colours.npy"),
        "channels last": str(tmp_path / "last.npy"),
    }


def test_every_form_holds_the_same_pixels_and_flags(stored):
    sets = {form: open_verification_set(argument) for form, argument in stored.items()}
    for form, found in sets.items():
        assert found.same.tolist() == SAME, form
        assert (len(found.images), found.folds) == (40, 10), form
        np.testing.assert_array_equal(found.images.pixels(3), sets["bin"].images.pixels(3))
    assert {sets[form].digest for form in ("bin", "xz", "folder", "list")} == {sets["bin"].digest}
    assert {sets[form].digest for form in ("array", "array file", "channels last")} == {sets["array"].digest}
    assert [sets[form].name for form in stored] == [
        "colours",
        "colours",
        "listed",
        "pairs",
        "arrays",
        "colours",
        "last",
    ]
    assert sets["list"].kind == sets["folder"].kind == "pair list"


def test_sets_are_named_and_grouped(stored):
    first, second = open_verification_sets([f"RFW/African={stored['bin']}", f"mine={stored['array']}"])
    assert (first.name, first.group, first.title) == ("African", "RFW", "RFW/African")
    assert (second.name, second.group, second.title) == ("mine", None, "mine")


def test_a_set_or_a_name_given_twice_is_refused(stored, tmp_path):
    with pytest.raises(InputError, match=r"colours\.xz is the same set as .*colours\.bin; give each set once"):
        open_verification_sets([stored["bin"], stored["xz"]])
    other = binary(tmp_path / "other.bin", IMAGES[::-1])
    with pytest.raises(InputError, match="two sets are called 'x'"):
        open_verification_sets([f"x={stored['bin']}", f"x={other}"])


def test_images_elsewhere(stored, tmp_path):
    moved = tmp_path / "moved.txt"
    moved.write_text((tmp_path / "listed" / "pairs.txt").read_text())
    with pytest.raises(InputError, match=r"40 of the 40 images that .* are missing"):
        open_verification_set(str(moved))
    found = open_verification_set(str(moved), images=tmp_path / "listed")
    assert found.digest == open_verification_set(stored["bin"]).digest


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_compressed_pickle_with_code_is_refused_and_not_run(tmp_path):
    path = tmp_path / "set.xz"
    path.write_bytes(lzma.compress(pickle.dumps(([Hostile(str(tmp_path / "ran")), b"x"], [True]))))
    with pytest.raises(InputError, match="which no image list needs"):
        open_verification_set(str(path))
    assert not (tmp_path / "ran").exists()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"cannot read .*set\.xz"):
        open_verification_set(str(path))


@pytest.mark.parametrize(
    ("images", "same", "message"),
    [
        (39, [True, False] * 10, "holds 39 images for 20 same-person flags"),
        (40, [True, False] * 9, "holds 40 images for 18 same-person flags"),
        (8, [True, False] * 2, "needs at least 10"),
        (46, [True, False, True] * 7 + [True, False], "23 pairs, which do not divide into 10 folds"),
        (40, [True] * 20, "one kind only"),
    ],
)
def test_sets_that_do_not_fit_are_refused(tmp_path, images, same, message):
    with pytest.raises(InputError, match=message):
        open_verification_set(binary(tmp_path / "set.bin", [b"x"] * images, same))


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "set.npy"
    np.save(path, np.zeros((4, 112, 112, 3), np.uint8))
    with pytest.raises(InputError, match=r"no same-person flags beside it; .* set_issame\.txt"):
        open_verification_set(str(path))
    (tmp_path / "issame.txt").write_text("1\n2\n")
    with pytest.raises(InputError, match="flag 1 is '2', neither 0 nor 1"):
        open_verification_set(str(path))
    (tmp_path / "issame.txt").write_text("1 0")
    np.save(path, np.zeros((4, 96, 96, 3), np.uint8))
    with pytest.raises(InputError, match=r"uint8 of shape \(4, 96, 96, 3\); images are"):
        open_verification_set(str(path))
    np.save(path, np.array([Hostile(str(tmp_path / "ran"))]), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a readable \.npy"):
        open_verification_set(str(path))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="is no verification set"):
        open_verification_set(str(tmp_path.parent))
    with pytest.raises(InputError, match="names no set before '='"):
        open_verification_set("=absent.bin")
