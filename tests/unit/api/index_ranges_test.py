"""Indexes of items as compact ranges, as a Job's completedIndexes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api.index_ranges import IndexRanges, IndexRangesError

MOST = 60
indexes = st.integers(0, MOST - 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("0", [0]),
        ("7", [7]),
        ("0,1", [0, 1]),
        ("0-5,7", [0, 1, 2, 3, 4, 5, 7]),
        ("1,3-5,7", [1, 3, 4, 5, 7]),
        ("58,59", [58, 59]),
    ],
)
def test_they_are_written_as_kubernetes_does(text, found):
    ranges = IndexRanges.parse(text, below=MOST)
    assert list(ranges) == found
    assert len(ranges) == len(found)
    assert str(ranges) == str(IndexRanges(found)) == text


def test_neighbours_are_one_range_however_they_are_written():
    assert str(IndexRanges.parse("0,1,2-4,5", below=MOST)) == "0-5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("60", "not below 60"),
        ("0-60", "not below 60"),
        ("5,3", "increasing"),
        ("3,3", "increasing"),
        ("0-5,5", "increasing"),
        ("5-3", "increasing"),
        ("0-0-1", "not an index"),
        ("01", "not an index"),
        ("-1", "not an index"),
        ("+1", "not an index"),
        ("1.0", "not an index"),
        ("0, 1", "not an index"),
        ("0,", "not an index"),
        (",", "not an index"),
        ("\u0663", "not an index"),
        ("1\n", "not an index"),
        ("9" * 50, "not an index"),
        ("0," * 5000, "characters"),
        ("9" * 1_000_000, "characters"),
    ],
)
def test_anything_else_is_refused(text, why):
    with pytest.raises(IndexRangesError, match=why):
        IndexRanges.parse(text, below=MOST)


def test_no_range_takes_more_than_its_text():
    ranges = IndexRanges.parse("0-99999", below=100_000)
    assert len(ranges) == 100_000
    assert 99_999 in ranges
    assert 100_000 not in ranges
    assert str(ranges) == str(IndexRanges.all(100_000)) == "0-99999"


def test_the_longest_text_of_all_is_read():
    apart = IndexRanges(index for index in range(100_000) if index % 3 != 2)
    assert IndexRanges.parse(str(apart), below=100_000) == apart


def test_there_is_no_index_below_zero():
    with pytest.raises(IndexRangesError, match="-1 is not an index"):
        IndexRanges([-1])
    assert -1 not in IndexRanges.all(5)
    assert IndexRanges.all(0) == IndexRanges()


@given(st.lists(st.tuples(st.booleans(), indexes)))
def test_it_is_a_set(steps):
    ranges, known = IndexRanges(), set()
    for adds, index in steps:
        before = ranges.copy()
        was = sorted(known)
        if adds:
            assert ranges.add(index) is (index not in known)
            known.add(index)
        else:
            assert ranges.discard(index) is (index in known)
            known.discard(index)
        assert list(before) == was
        assert list(ranges) == sorted(known)
        assert len(ranges) == len(known)
    assert [index for index in range(-2, MOST + 2) if index in ranges] == sorted(known)
    assert list(ranges.missing(MOST)) == sorted(set(range(MOST)) - known)
    assert list(ranges.missing(5)) == sorted(set(range(5)) - known)


@given(st.sets(indexes))
def test_what_is_written_is_read(known):
    ranges = IndexRanges(known)
    assert IndexRanges.parse(str(ranges), below=MOST) == ranges == IndexRanges(sorted(known))
    apart = str(ranges).replace("-", ",").split(",")
    assert apart == [""] or [int(each) for each in apart] == sorted({int(each) for each in apart})


@given(st.text("0123456789-, x", max_size=40))
def test_whatever_is_read_is_a_set_in_bounds(text):
    try:
        ranges = IndexRanges.parse(text, below=MOST)
    except IndexRangesError:
        return
    assert all(0 <= index < MOST for index in ranges)
    assert IndexRanges.parse(str(ranges), below=MOST) == ranges
