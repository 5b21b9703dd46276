"""Both dialects of pair lists, and what is wrong with a list that is neither."""

import pytest

from vec2face.errors import InputError
from vec2face.evaluation.pair_lists import NamedPair, find_images, read_pair_list, write_pair_list

LFW = "2 1\nAda Lovelace\t1\t2\nAda\t1\tBob\t12\nBob\t3\t4\nAda\t2\tBob\t1\n"
LFW_PAIRS = [
    NamedPair("Ada Lovelace/Ada Lovelace_0001", "Ada Lovelace/Ada Lovelace_0002", True),
    NamedPair("Ada/Ada_0001", "Bob/Bob_0012", False),
    NamedPair("Bob/Bob_0003", "Bob/Bob_0004", True),
    NamedPair("Ada/Ada_0002", "Bob/Bob_0001", False),
]


def listed(tmp_path, text):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_lfws_list(tmp_path):
    found = read_pair_list(listed(tmp_path, LFW))
    assert (found.pairs, found.folds) == (LFW_PAIRS, 2)


def test_lfws_list_with_one_fold_or_without_its_first_line(tmp_path):
    found = read_pair_list(listed(tmp_path, LFW.replace("2 1\n", "2\n")))
    assert (found.pairs, found.folds) == (LFW_PAIRS, None)
    found = read_pair_list(listed(tmp_path, LFW.replace("2 1\n", "")))
    assert (found.pairs, found.folds) == (LFW_PAIRS, None)


def test_a_plain_list_comes_back_as_it_was_written(tmp_path):
    pairs = [NamedPair("a b/1.jpg", "a b/2.jpg", True), NamedPair("c/1.png", "a b/1.jpg", False)]
    write_pair_list(tmp_path / "out.txt", pairs)
    assert read_pair_list(tmp_path / "out.txt").pairs == pairs
    found = read_pair_list(listed(tmp_path, "x/1.jpg x/2.jpg 1\n\nx/1.jpg y/1.jpg 0\n"))
    assert found.pairs == [NamedPair("x/1.jpg", "x/2.jpg", True), NamedPair("x/1.jpg", "y/1.jpg", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no pairs"),
        ("10 300\nAda 1 2\n", "promises 10 folds of 300 pairs of each kind, 6,000 in all, but holds 1"),
        ("2 1\nAda one 2\n", 'line 2: a line of LFW\'s pair lists is "PERSON N M"'),
        ("a.jpg b.jpg 1\na.jpg b.jpg\n", "line 2: a line of a pair list is"),
        ("a.jpg b.jpg 2\n", "line 1: a line of a pair list is"),
    ],
)
def test_bad_lists_are_told(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_pair_list(listed(tmp_path, text))


def test_a_list_that_is_not_text(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text"):
        read_pair_list(path)
    with pytest.raises(InputError, match="No such file"):
        read_pair_list(tmp_path / "absent.txt")


def test_images_are_found_with_any_ending_and_missing_ones_counted(tmp_path):
    (tmp_path / "Ada").mkdir()
    for name in ("Ada_0001.png", "Ada_0002.JPG", "Ada_0003.txt"):
        (tmp_path / "Ada" / name).write_bytes(b"x")
    names = ["Ada/Ada_0001", "Ada/Ada_0002", "Ada/Ada_0001.png", "Ada/Ada_0001"]
    found = find_images(names, tmp_path, where="list")
    assert {name: path.name for name, path in found.items()} == {
        "Ada/Ada_0001": "Ada_0001.png",
        "Ada/Ada_0002": "Ada_0002.JPG",
        "Ada/Ada_0001.png": "Ada_0001.png",
    }
    with pytest.raises(InputError, match=r"2 of the 3 images .* are missing .* the first is Ada/Ada_0003;"):
        find_images(["Ada/Ada_0001", "Ada/Ada_0003", "Bob/1.jpg"], tmp_path, where="list")
    for name in ("../secret.jpg", "/secret.jpg"):
        with pytest.raises(InputError, match="leads out of the image folder"):
            find_images([name], tmp_path, where="list")
    with pytest.raises(InputError, match="no image folder"):
        find_images(names, tmp_path / "absent", where="list")
