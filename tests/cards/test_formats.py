import pytest

from vec2face.cards import formats


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.0, 2, "100.00 %"),
        (0.999999, 2, "> 99.99 %"),
        (0.0, 2, "0.00 %"),
        (0.000001, 2, "< 0.01 %"),
        (0.5, 0, "50 %"),
        (0.98765, 1, "98.8 %"),
    ],
)
def test_a_share_never_reads_as_all_or_nothing_unless_it_is(value, digits, text):
    assert formats.percent(value, digits) == text


@pytest.mark.parametrize(
    ("images", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (500_000, "100K<n<1M"), (15_000_000, "10M<n<100M")],
)
def test_size_categories_of_the_hub(images, category):
    assert formats.size_category(images) == category


def test_numbers():
    assert formats.integer(1234567) == "1,234,567"
    assert formats.megabytes(12_345_678) == "12.3 MB"
    assert formats.measured(None, "percent") == "not measured"
    assert formats.measured(12345, "integer") == "12,345"
    assert formats.measured(0.5) == "0.500"
    assert formats.measured(0.5, "percent", 1) == "50.0 %"


def test_a_number_takes_the_noun_that_fits_it():
    assert [formats.counted(number, "round") for number in (0, 1, 1234)] == ["0 rounds", "1 round", "1,234 rounds"]
    assert [formats.counted(number, "identity", "identities") for number in (1, 2)] == ["1 identity", "2 identities"]
