"""Verification sets in every dialect are read; anything else ends in one sentence and runs nothing."""

import os
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.evaluation.pickled import read_pickled_pairs

IMAGES = [b"first", b"second \xff\x00", b"third", b"fourth"]
SAME = [True, False]


def saved(tmp_path, content, protocol=pickle.HIGHEST_PROTOCOL):
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("flags", [SAME, tuple(SAME), [np.True_, np.False_], np.array(SAME), [1, 0]])
def test_every_dialect(tmp_path, protocol, arrays, flags):
    images = [np.frombuffer(image, np.uint8).copy() for image in IMAGES] if arrays else IMAGES
    assert read_pickled_pairs(saved(tmp_path, (images, flags), protocol)) == (IMAGES, SAME)


def test_python_2_byte_strings(tmp_path):
    # Protocol 2 of Python 2: SHORT_BINSTRING holds bytes, which Python 3 takes for text unless told otherwise.
    strings = b"".join(b"U" + bytes([len(image)]) + image for image in IMAGES)
    path = tmp_path / "old.bin"
    path.write_bytes(b"\x80\x02](" + strings + b"e](\x88\x89e\x86.")
    assert read_pickled_pairs(path) == (IMAGES, SAME)


def test_old_numpy_module_names(tmp_path):
    data = pickle.dumps(([np.frombuffer(image, np.uint8).copy() for image in IMAGES], SAME), 2)
    path = tmp_path / "old.bin"
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert read_pickled_pairs(path) == (IMAGES, SAME)


class Hostile:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_refused_and_not_run(tmp_path, protocol):
    marker = tmp_path / "ran"
    for call in (Hostile(os.mkdir, str(marker)), Hostile(eval, f"__import__('os').mkdir({str(marker)!r})")):
        with pytest.raises(InputError, match="which no image list needs"):
            read_pickled_pairs(saved(tmp_path, ([call, b"x"], [True]), protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (([1, 2], [True]), "image 0 is a int"),
        (([b"a", "text"], [True]), "image 1 is a str"),
        (([b"a", b"b"], ["yes"]), "flag 0 is neither"),
        (([b"a", b"b"], [2]), "flag 0 is neither"),
        ({"bins": []}, "two lists"),
        ((b"ab", [True]), "two lists"),
        (([b"a"],), "two lists"),
        (([np.zeros(3, np.float32), b"b"], [True]), "elements of type"),
        (([np.zeros((2, 2), np.uint8), b"b"], [True]), "one-dimensional"),
        (([np.array([b"x"], object), b"b"], [True]), "elements of type"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_foreign_contents_are_named(tmp_path, content, message, protocol):
    with pytest.raises(InputError, match=message) as caught:
        read_pickled_pairs(saved(tmp_path, content, protocol))
    assert "\n" not in str(caught.value)
    assert "set.bin" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xe0 a JPEG",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a frame of 2^63 bytes
        b"\x80\x02]r\xff\xff\xff\xff.",  # memo index 2^32 - 1
        b"\x80\x04cnumpy\ndtype\n}\x8c\x05_nameK\x01sb.",  # gives a stand-in an attribute
        b"\x80\x04cnumpy\nndarray\n)R.",
        b"\x80\x02P12\n.",  # persistent id
    ],
)
def test_hostile_bytes(tmp_path, data):
    path = tmp_path / "set.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"set\.bin is not an insightface"):
        read_pickled_pairs(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_pickled_pairs(tmp_path / "absent.bin")
    with pytest.raises(InputError, match="directory"):
        read_pickled_pairs(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 4, 5]))
def test_cut_or_altered_files_are_read_or_refused_never_a_defect(seed, protocol):
    import tempfile
    from pathlib import Path

    random_ = random.Random(seed)
    content = ([np.frombuffer(image, np.uint8).copy() for image in IMAGES[:2]] + IMAGES[2:], [np.True_, False])
    data = bytearray(pickle.dumps(content, protocol))
    if seed % 2:
        del data[random_.randrange(len(data)) :]
    else:
        for _ in range(3):
            data[random_.randrange(len(data))] = random_.randrange(256)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.bin"
        path.write_bytes(data)
        try:
            images, flags = read_pickled_pairs(path)
        except InputError:
            return
    assert all(isinstance(image, bytes) for image in images)
    assert all(isinstance(flag, bool) for flag in flags)
