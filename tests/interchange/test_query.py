"""Conditions: what they find is what Python would find, and nothing else can be said with them."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vec2face.errors import InputError
from vec2face.interchange.query import Query

ROWS: list[dict[str, Any]] = [
    {"yaw": yaw, "sigma": sigma, "status": status, "good": good}
    for yaw, sigma, status, good in [
        (-20.0, 0.3, "consistent", True),
        (0.0, 0.5, "inconsistent", False),
        (15.0, 0.7, "consistent", False),
        (40.0, 0.3, "not measured", True),
    ]
]
SCHEMA = pa.schema([("yaw", pa.float64()), ("sigma", pa.float64()), ("status", pa.string()), ("good", pa.bool_())])
TABLE = pa.Table.from_pylist([*ROWS, {}], SCHEMA)


def found(text: str) -> list[dict[str, Any]]:
    return TABLE.filter(Query(text, SCHEMA).condition).to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        "yaw > 10 and sigma < 0.5",
        "yaw > 10 or sigma < 0.5",
        "not yaw > 10",
        "-20 <= yaw < 15",
        "status == 'consistent'",
        "status != 'consistent'",
        "status in ('consistent', 'not measured') and not (yaw == -20)",
        "sigma not in [0.3, 0.7]",
        "yaw > sigma",
        "10 < yaw",
        "good",
        "not good and yaw >= 0",
        "good == True",
    ],
)
def test_conditions_mean_what_they_mean_in_python(text: str) -> None:
    wanted = [row for row in ROWS if eval(text, {"__builtins__": {}}, row)]
    assert wanted
    assert found(text) == wanted


comparison = st.builds(
    "{} {} {}".format,
    st.sampled_from(["yaw", "sigma"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.sampled_from(["-20", "0.3", "0.5", "15", "1e3"]),
)
condition = st.recursive(
    comparison,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(condition)
def test_any_condition_means_what_it_means_in_python(text: str) -> None:
    assert [row for row in found(text) if row["yaw"] is not None] == [
        row for row in ROWS if eval(text, {"__builtins__": {}}, row)
    ]


def test_missing_values() -> None:
    nothing = dict.fromkeys(SCHEMA.names)
    assert found("yaw is None") == [nothing]
    assert found("yaw is not None") == ROWS
    for text in ("yaw != 3", "not yaw == 3", "sigma not in [9]"):
        assert found(text) == ROWS
    assert Query("yaw > 1 and sigma < 2 and yaw < 9", SCHEMA).columns == ["yaw", "sigma"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age > 3", "there is no column 'age' in the table; it has yaw, sigma, status, good"),
        ("yaw >", "the condition 'yaw >' cannot be read"),
        ("", "cannot be read"),
        ("yaw", "'yaw' has no place in a condition"),
        ("yaw > 'far'", "compares what cannot be compared"),
        ("status > 3", "compares what cannot be compared"),
        ("sigma in ['a']", "sigma holds double values, and not all of"),
        ("yaw > 1 + 1", r"'1 \+ 1' has no place in a condition"),
        ("__import__('os').system('true')", "has no place in a condition"),
        ("yaw.__class__ == 3", "'yaw.__class__' has no place in a condition"),
        ("yaw[0] > 3", "has no place"),
        ("(lambda: 1)() == 1", "has no place"),
        ("yaw > (x := 3)", "has no place"),
        ("yaw is 3", "'3' has no place"),
        ("3 in yaw", "has no place"),
        ("[x for x in ()]", "has no place"),
        ("yaw > 1; sigma > 2", "cannot be read"),
        ("not " * 3000 + "good", "is 12004 characters long; it may have 4096"),
        ("(" * 1500 + "good" + ")" * 1500, "cannot be read"),
        ("-" * 2000 + "1 < yaw", "has no place|cannot be read"),
    ],
)
def test_what_is_no_condition_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Query(text, SCHEMA)
