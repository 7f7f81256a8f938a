import pytest

from plaintable import pad, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("tea", 3), ("米", 2), ("e\u0301", 1), ("\u200b", 0), ("ab米", 4)],
)
def test_width_in_columns(text, columns):
    assert width(text) == columns


def test_pad_fills_either_side():
    assert pad("米", 4) == "米  "
    assert pad("7", 3, right=True) == "  7"


def test_pad_never_cuts():
    assert pad("longer", 3) == "longer"
