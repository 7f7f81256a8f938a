"""Expressions: conditions, `${{ }}` in configs. A safe subset of Python expressions over JSON.

Why our own walker and no sandbox library. A library that starts from Python and takes things away
keeps being escaped through what it left:

- simpleeval: functions' globals, generators' frames, modules hung on the objects it was given (its
  issues 15 and 138; CVE-2026-32640).
- asteval: `__reduce__`, format strings, changed syntax trees, exceptions outside `Exception`
  (its issue 86; CVE-2025-24359, GHSA-vp47-9734-prjw, CVE-2026-55244).
- RestrictedPython: generators' frames, `format`, `except*`, shadowed guards, `string.Formatter`
  (CVE-2023-37271, CVE-2023-41039, CVE-2025-22153, GHSA-ffg3-p8fm-mjx2, CVE-2026-76825).
- Jinja's sandbox: `str.format` four times, in another way each time (CVE-2016-10745,
  CVE-2019-10906, CVE-2024-56326, CVE-2025-27516); its documentation leaves size and time to others.
- cel-python has no advisory that we found, but is another language than the seed's conditions.

All of these escapes reach a Python attribute or run Python code in the end. Conditions need
neither: `ast.parse` is used as a parser, and the tree is interpreted here, over plain data. There
is no `getattr`, no call of anything but the functions named below, no way to name an object.
`context.x` is a look-up of a key in a mapping and never more.

Everything is bounded: characters, depth, steps, size of each result. Whatever the input, only the
errors of this module come out (a fuzz test checks it).

A value is missing where a key is not there, a position is past the end of a list, or something is
read below null. `default(x, y)` is y where x is missing or null; `exists(x)` is false in the same
cases. A condition holds when its value is true as Python sees it.

Where this language has a value for an expression that Python has one for, the two are the same
(true and false count as 1 and 0, say), but for tuples, which are lists, and `str`, which writes
JSON as templates do. What would make large values (repeated strings and lists), slices and methods
are refused.
"""

from podium.expressions.errors import (
    EvaluationError,
    ExpressionError,
    ExpressionSyntaxError,
    LimitExceededError,
    MissingValueError,
)
from podium.expressions.fuel import Fuel, OutOfFuelError
from podium.expressions.limits import MAX_CHARACTERS, MAX_STEPS
from podium.expressions.parser import Expression, evaluate_condition, parse
from podium.expressions.references import Reference
from podium.expressions.syntax import ENDING_FIELDS, NODE_FIELDS, ROOT_FIELDS, ROOT_NAMES
from podium.expressions.template import Template, has_template, parse_template

__all__ = [
    "ENDING_FIELDS",
    "MAX_CHARACTERS",
    "MAX_STEPS",
    "NODE_FIELDS",
    "ROOT_FIELDS",
    "ROOT_NAMES",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "Fuel",
    "LimitExceededError",
    "MissingValueError",
    "OutOfFuelError",
    "Reference",
    "Template",
    "evaluate_condition",
    "has_template",
    "parse",
    "parse_template",
]
