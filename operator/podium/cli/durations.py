"""Time spans on the command line: `90s`, `5m`, `12h`, `7d`."""

import re
from typing import Any

import click

__all__ = ["DURATION"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class _Duration(click.ParamType[float]):
    """A time span, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return its seconds."""
        found = re.fullmatch(r"(\d{1,9})([smhdw])", str(value))
        if found is None:
            self.fail(f"{value!r:.40} is not a duration: write 90m, 12h or 7d", param, ctx)
        return int(found[1]) * float(_UNITS[found[2]])


DURATION = _Duration()
"""Type of an option."""
