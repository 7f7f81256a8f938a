"""How many columns of a terminal a string takes."""

import unicodedata

_INVISIBLE = frozenset({"Mn", "Me", "Cf", "Cc"})


def width(text: str) -> int:
    """Return the columns that a string takes: wide letters two, combining marks none."""
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.category(letter) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill a string with spaces up to so many columns; a longer one stays as it is."""
    space = " " * (columns - width(text))
    return space + text if right else text + space
