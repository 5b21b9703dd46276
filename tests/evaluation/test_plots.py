"""Plots are deterministic files and touch no global state of matplotlib."""

import subprocess
import sys

import numpy as np
from PIL import Image

from vec2face.evaluation.plots import SizedAccuracy, _apart, plot_accuracy_by_size, plot_by_sigma, plot_scores

RNG = np.random.default_rng(0)
GENUINE, IMPOSTOR = RNG.normal(0.7, 0.1, 500), RNG.normal(0, 0.1, 500)


def coloured(path, rgb):
    """Columns in which a colour stands, as shares of the width."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    hits = (np.abs(pixels - rgb).max(axis=2) < 40).any(axis=0)
    return np.flatnonzero(hits) / pixels.shape[1]


def test_genuine_scores_stand_right_of_impostor_scores(tmp_path):
    plot_scores(tmp_path / "a.png", GENUINE, IMPOSTOR, threshold=0.4, title="scores")
    blend = lambda rgb: 0.62 * np.array(rgb) + 0.38 * 255  # noqa: E731 - the histograms are translucent
    genuine, impostor = (
        coloured(tmp_path / "a.png", blend((31, 119, 180))),
        coloured(tmp_path / "a.png", blend((200, 85, 61))),
    )
    assert np.median(genuine) > np.median(impostor) + 0.15


def test_the_threshold_and_the_scores_change_the_plot_and_equal_ones_do_not(tmp_path):
    def drawn(name, genuine=GENUINE, threshold=0.4):
        plot_scores(tmp_path / name, genuine, IMPOSTOR, threshold=threshold, title="scores")
        return (tmp_path / name).read_bytes()

    first = drawn("a.png")
    assert drawn("b.png") == first
    assert drawn("c.png", threshold=0.5) != first
    assert drawn("d.png", genuine=GENUINE - 0.2) != first


def test_each_sigma_has_its_line(tmp_path):
    sigma = np.repeat([0.3, 0.5, 0.7], 100)
    plot_by_sigma(tmp_path / "a.png", RNG.normal(0.9, 0.02, 300) - sigma / 2, sigma, title="vectors")
    plot_by_sigma(tmp_path / "b.png", RNG.normal(0.9, 0.02, 300) - sigma / 2, np.zeros(300), title="vectors")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").size == Image.open(tmp_path / "b.png").size


def test_pyplot_is_not_imported(tmp_path):
    code = (
        "import sys, numpy as np, pathlib\n"
        "from vec2face.evaluation.plots import plot_scores\n"
        "plot_scores(pathlib.Path(sys.argv[1]), np.ones(3) * .9, np.zeros(3), threshold=.4, title='t')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
    assert (tmp_path / "a.png").exists()


def test_cosines_that_rounding_took_beyond_one_are_counted(tmp_path, recwarn):
    beyond = np.full(20, np.nextafter(np.float32(1), np.float32(2)))
    plot_scores(tmp_path / "a.png", beyond, beyond, threshold=0.4, title="scores")
    plot_by_sigma(tmp_path / "b.png", beyond, np.full(20, 0.3), title="sigma")
    assert [str(warning.message) for warning in recwarn] == []


def test_sizes_are_labelled_where_there_is_room(tmp_path):
    assert _apart([2500, 10_000, 25_000, 50_000]) == [2500, 10_000, 25_000, 50_000]
    assert _apart([1000, 1100, 50_000]) == [1000, 50_000]
    assert _apart([1000]) == [1000]
    points = [SizedAccuracy(name, size, 0.8, 0.7, 0.9) for name in ("one", "other") for size in (2500, 10_000)]
    plot_accuracy_by_size(tmp_path / "sizes.png", points, title="sizes")
    assert Image.open(tmp_path / "sizes.png").size > (800, 400)
