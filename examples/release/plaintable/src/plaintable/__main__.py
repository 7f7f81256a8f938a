"""`plaintable < rows.csv`: the first row is the header."""

import argparse
import csv
import sys
from collections.abc import Sequence

from plaintable.table import TableError, render


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the CSV on standard input as a table; 2 if it makes none."""
    parser = argparse.ArgumentParser(prog="plaintable", description=__doc__)
    parser.add_argument("--style", choices=["plain", "markdown"], default="plain")
    style = parser.parse_args(arguments).style
    sys.stdin.reconfigure(newline="")  # a cell may hold any line end
    rows = [row for row in csv.reader(sys.stdin) if row]
    if not rows:
        print("plaintable: no rows on standard input", file=sys.stderr)
        return 2
    try:
        print(render(rows[1:], rows[0], style=style))
    except TableError as error:
        print(f"plaintable: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
