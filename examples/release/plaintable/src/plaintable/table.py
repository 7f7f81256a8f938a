"""Rows to text, and Markdown back to rows."""

import re
from collections.abc import Iterable, Sequence

from plaintable.width import pad, width

_NUMBER = re.compile(r"[+-]?\d[\d ,_]*(\.\d+)?%?")
_RULE = re.compile(r":?-+:?")


class TableError(ValueError):
    """The rows make no table; the message says which one and why."""


def render(
    rows: Iterable[Sequence[object]],
    header: Sequence[object] | None = None,
    *,
    style: str = "plain",
) -> str:
    """Return the rows as a table, one line each, without a line end after the last.

    `style` is `plain` (two spaces between columns) or `markdown` (which needs a header). A column
    of numbers stands right. Raises `TableError`.
    """
    if style not in ("plain", "markdown"):
        raise TableError(f"style: {style!r} is none: plain or markdown")
    if style == "markdown" and header is None:
        raise TableError("header: a Markdown table needs one")
    prepare = _markdown_cell if style == "markdown" else _plain_cell
    body = [[prepare(cell) for cell in row] for row in rows]
    head = None if header is None else [prepare(cell) for cell in header]
    columns = _columns(body, head)
    lines = body if head is None else [head, *body]
    wide = [max((width(line[i]) for line in lines), default=0) for i in range(columns)]
    right = [_numbers(row[i] for row in body) for i in range(columns)]

    def line(cells: Sequence[str]) -> list[str]:
        return [pad(c, w, right=r) for c, w, r in zip(cells, wide, right, strict=True)]

    if style == "plain":
        rule = [] if head is None else [line(head), ["-" * w for w in wide]]
        return "\n".join("  ".join(cells).rstrip() for cells in [*rule, *map(line, body)])
    wide = [max(w, 3) for w in wide]
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(wide, right, strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [line(head), rule, *map(line, body)])


def parse_markdown(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a Markdown table. Raises `TableError`."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        raise TableError("a Markdown table has a header and a rule below it")
    header, rule, *rows = (_cells(line, number) for number, line in enumerate(lines, 1))
    if len(rule) != len(header) or not all(_RULE.fullmatch(cell) for cell in rule):
        raise TableError(f"line 2: must be a rule of {len(header)} columns, such as | --- |")
    for number, row in enumerate(rows, 3):
        if len(row) != len(header):
            raise TableError(f"line {number}: {len(row)} cells where the header has {len(header)}")
    return header, rows


def _columns(body: Sequence[Sequence[str]], head: Sequence[str] | None) -> int:
    columns = len(head) if head is not None else len(body[0]) if body else 0
    for number, row in enumerate(body, 1):
        if len(row) != columns:
            raise TableError(f"row {number}: {len(row)} cells where {columns} are expected")
    return columns


def _numbers(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)


def _plain_cell(cell: object) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _markdown_cell(cell: object) -> str:
    text = "" if cell is None else str(cell).strip()
    return re.sub(r"[\\|<]", r"\\\g<0>", text).replace("\n", "<br>")


def _cells(line: str, number: int) -> list[str]:
    line = line.strip()
    if not re.fullmatch(r"\|(?:[^\\|]|\\.)*(?:\|(?:[^\\|]|\\.)*)*\|", line, re.DOTALL):
        raise TableError(f"line {number}: must begin and end with |")
    cells = re.findall(r"((?:[^\\|]|\\.)*)\|", line[1:], re.DOTALL)
    return [_plain(cell.strip()) for cell in cells]


def _plain(cell: str) -> str:
    return re.sub(r"<br>|\\(.)", lambda found: found[1] or "\n", cell, flags=re.DOTALL)
