"""Which name was probably meant, for the message about an unknown one."""

from collections.abc import Iterable

__all__ = ["Hints"]

_COMPARISONS = 50_000
"""Comparisons that all hints together may take: half a second. A graph of thousands of nodes whose
edges all name unknown ones would take minutes, and the operator with it."""
_CHARACTERS = 100


class Hints:
    """The hints of one definition, which share a number of comparisons."""

    def __init__(self) -> None:
        self._left = _COMPARISONS

    def did_you_mean(self, name: str, known: Iterable[str]) -> str:
        """Return "; did you mean 'NAME'?", or "" where no name is close or none may be compared."""
        import difflib  # noqa: PLC0415 - only on the way to an error

        names = {} if self._left < 0 else {each.casefold(): each for each in known}
        self._left -= len(names)
        if self._left < 0 or len(name) > _CHARACTERS:
            return ""
        close = difflib.get_close_matches(name.casefold(), names, n=1)
        return f"; did you mean {str(names[close[0]])!r}?" if close else ""
