import pytest

from plaintable import TableError, parse_markdown, render


def test_columns_line_up_and_numbers_stand_right():
    assert render([["tea", 3], ["米", 12]], header=["what", "price"]) == (
        "what  price\n----  -----\ntea       3\n米       12"
    )


def test_without_a_header_there_is_no_rule():
    assert render([["a", "b"], ["ccc", "d"]]) == "a    b\nccc  d"


def test_nothing_gives_nothing():
    assert render([]) == ""


def test_empty_cells_do_not_make_numbers_words():
    assert render([["7"], [None], ["100"]]) == "  7\n\n100"


def test_white_space_in_a_plain_cell_is_one_space():
    assert render([["a\n\tb"]]) == "a b"


def test_markdown_escapes_what_would_break_it():
    assert render([["a|b", "1\n2"]], header=["x", "y"], style="markdown") == (
        "| x    | y      |\n| ---- | ------ |\n| a\\|b | 1<br>2 |"
    )


def test_markdown_marks_columns_of_numbers():
    assert render([[10]], header=["n"], style="markdown").split("\n")[1] == "| --: |"


def test_markdown_is_read_back():
    assert parse_markdown("| a | b |\n|---|--:|\n| x \\| y | 1<br>2 |\n") == (
        ["a", "b"],
        [["x | y", "1\n2"]],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "header"),
        ("| a |\n| b |", "line 2"),
        ("| a |\n|---|\n| b | c |", "line 3: 2 cells"),
        ("a\n---", "line 1: must begin"),
        ("| a \\|\n|---|", "line 1: must begin"),
    ],
)
def test_what_is_no_markdown_table_is_refused(text, said):
    with pytest.raises(TableError, match=said):
        parse_markdown(text)


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([["a"], ["b", "c"]], {}, "row 2: 2 cells where 1"),
        ([["a"]], {"header": ["x", "y"]}, "row 1: 1 cells where 2"),
        ([["a"]], {"style": "html"}, "plain or markdown"),
        ([["a"]], {"style": "markdown"}, "header"),
    ],
)
def test_rows_that_make_no_table_are_refused(rows, options, said):
    with pytest.raises(TableError, match=said):
        render(rows, **options)
