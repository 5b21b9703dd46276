"""How often faces with rare values are shown."""

import numpy as np

from vec2face.training.rare_values import MOST_SHOWINGS, showings


def test_rare_values_are_shown_more_often_and_common_ones_once() -> None:
    # 400 in the first of twelve parts, 100 in the last: the root of four.
    values = np.array([0.0] * 400 + [12.0] * 100)[:, None]
    assert showings(values).tolist() == [1] * 400 + [2] * 100
    assert showings(np.array([0.0] * 400 + [12.0])[:, None])[-1] == MOST_SHOWINGS


def test_of_several_attributes_the_rarest_counts_and_what_is_unknown_asks_for_nothing() -> None:
    values = np.zeros((300, 2))
    values[0, 0] = values[1, 1] = 5.0
    values[2] = np.nan
    values[10:, 1] = np.nan
    often = showings(values)
    assert often[0] == MOST_SHOWINGS
    # One of nine known: the root of eight is nearest to three.
    assert often[1] == 3
    assert often[2:].tolist() == [1] * 298


def test_nothing_to_balance_by_leaves_faces_alone() -> None:
    assert showings(np.empty((3, 0))).tolist() == [1, 1, 1]
    assert showings(np.array([[2.0], [2.0], [np.nan]])).tolist() == [1, 1, 1]
