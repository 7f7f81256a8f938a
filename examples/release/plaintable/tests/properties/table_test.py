"""What holds for every table, and for the command as a whole."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaintable import parse_markdown, render, width

# The same examples each time: a release must not depend on luck. No directory of found examples.
settings.register_profile("release", derandomize=True, database=None, deadline=None)
settings.load_profile("release")

CELLS = st.text(max_size=12)


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 5))
    row = st.lists(CELLS, min_size=columns, max_size=columns)
    return draw(row), draw(st.lists(row, max_size=6))


@given(tables())
def test_markdown_goes_there_and_back(table):
    header, rows = table
    read = parse_markdown(render(rows, header, style="markdown"))
    assert read == ([c.strip() for c in header], [[c.strip() for c in row] for row in rows])


@given(tables())
def test_a_line_a_row_and_none_is_wider_than_the_rule(table):
    header, rows = table
    lines = render(rows, header).split("\n")
    assert len(lines) == len(rows) + 2
    columns = zip(header, *rows, strict=True)
    full = sum(max(width(" ".join(cell.split())) for cell in column) for column in columns)
    assert max(map(width, lines)) <= full + 2 * (len(header) - 1)


@given(CELLS, CELLS)
def test_width_adds_up(one, other):
    assert width(one + other) == width(one) + width(other)


@settings(max_examples=10)
@given(tables())
def test_the_command_prints_what_the_library_renders(table):
    header, rows = table
    given = io.StringIO()
    csv.writer(given, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    done = _command(given.getvalue(), "--style", "markdown")
    assert done.returncode == 0, done.stderr
    read = list(csv.reader(io.StringIO(given.getvalue())))
    assert done.stdout == render(read[1:], read[0], style="markdown") + "\n"


@pytest.mark.parametrize(("given", "said"), [("", "no rows"), ("a,b\n1\n", "row 1: 1 cells")])
def test_the_command_says_what_is_wrong(given, said):
    done = _command(given)
    assert done.returncode == 2
    assert said in done.stderr


def _command(given, *options):
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-m", "plaintable", *options],
        input=given.encode(),
        capture_output=True,
        env={"PYTHONPATH": source, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done
