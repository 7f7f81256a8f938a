"""Fuzzing the language: only its own errors come out, bounded, and no Python attribute is read."""

import ast
import builtins
import contextlib
import inspect
import math
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from podium import expressions as e
from podium.expressions import evaluator, limits
from tests.property.amount import tried


class Trap(Mapping):
    """Data that notices when an attribute of it is read."""

    def __init__(self, data):
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "read", [])

    def __getattribute__(self, name):
        # What isinstance(), dict() and the comparison of mappings read, whatever the expression.
        if name not in ("data", "read", "__class__", "keys", "items", "get"):
            object.__getattribute__(self, "read").append(name)
        return object.__getattribute__(self, name)

    def __getitem__(self, key):
        return object.__getattribute__(self, "data")[key]

    def __iter__(self):
        return iter(object.__getattribute__(self, "data"))

    def __len__(self):
        return len(object.__getattribute__(self, "data"))


def scope():
    deep = []
    for _ in range(5000):
        deep = [deep]
    inner = Trap({"a": 1, "b": {"a": [None]}})
    data = {
        "a": [1, 2.5, "t", None, True],
        "b": inner,
        "big": 2**250,
        "huge": 10**5000,
        "text": "x" * 1000,
        "long": "y" * 100_000,
        "many": [0] * 120_000,
        "nan": math.nan,
        "numbers": [math.inf, 10**400, -1e308],
        "deep": deep,
        "none": None,
        "foreign": {1},
        "\ud800": "\ud800",
    }
    return {"context": Trap(data), "run": data, "item": [[]] * 5}


SCOPE = scope()


def evaluate(source):
    try:
        expression = e.parse(source)
    except e.ExpressionSyntaxError as error:
        check_error(error, source)
        return
    first, steps = run(expression)
    assert run(expression) == (first, steps)
    assert steps <= e.MAX_STEPS
    assert SCOPE["context"].read == []
    assert SCOPE["run"]["b"].read == []


def check_error(error, source):
    assert error.offset is None or 0 <= error.offset <= len(source)
    assert len(error.message) < 20_000


def run(expression):
    """Return the kind and text of what comes out, and how many steps it took."""
    walk = evaluator.Evaluation(SCOPE)
    with contextlib.suppress(e.ExpressionError):
        walk.value(expression.tree)
    try:
        value = expression.evaluate(SCOPE)
    except e.EvaluationError as error:
        return (type(error), str(error)), walk.steps
    of_the_data = any(value is item for item in [*SCOPE.values(), *SCOPE["run"].values()])
    if not of_the_data:
        check_made(value)
    try:
        return (type(value), repr(value)), walk.steps
    except (RecursionError, ValueError):
        return (type(value), id(value)), walk.steps


def check_made(value):
    """Check a value that is not one of the scope's own: JSON, within the bounds."""
    assert isinstance(value, Trap | dict | list | str | int | float | None.__class__)
    if isinstance(value, int):
        assert value.bit_length() <= limits.MAX_BITS or value in SCOPE["run"]["numbers"]
    if isinstance(value, float):
        assert math.isfinite(value)
    if isinstance(value, str):
        assert len(value) <= limits.MAX_TEXT
    if isinstance(value, list):
        assert len(value) <= limits.MAX_ITEMS


def render(text):
    with contextlib.suppress(e.ExpressionError):
        template = e.parse_template(text)
        assert len(template.render(SCOPE)) <= limits.MAX_TEXT + len(text)


TOKENS = [
    *"()[]{},.+-*/%<>=!:~@^&|'\"\\",
    *(" and ", " or ", " not ", " in ", " is ", " if ", " else ", " for ", " lambda: "),
    *("**", "//", "==", "!=", "<=", ":=", "0", "1", "9" * 30, "1e308", "0.1", "0x", "1j"),
    *("context", "run", "item", "x", "true", "None", ".a", "['b']", "[0]", ".__class__", ".huge"),
    *("len(", "str(", "int(", "float(", "max(", "sum(", "round(", "default(", "exists(", "bool("),
    *("'a'", "b'", "f'", "''", "\n", "\r", "\t", "\f", "\0", "#", ";", "_", "é", "\ud800", "…"),
    *("${{", "}}", "$", "'''", "\\N{", "\uff3f", "\u2028", "😀", " "),
]
LEAVES = st.sampled_from(
    ["1", "0", "2.5", "'t'", "true", "null", "context.a", "context.b.a", "context.big", "run.a[0]",
     "context.none", "item", "[]", "{'k': 1}", "context.text", "-1", "1000", "context.huge",
     "run.long", "run.many", "run.nan", "run.numbers", "run.deep", "run.foreign", "context", "run",
     "context.absent", "context.b", "context['b']['b']", "1e308", "''", "index"]
)  # fmt: skip
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">=", " in ", " not in ", " and ",
     " or ", " is ", " is not "]
)  # fmt: skip
FUNCTIONS = st.sampled_from(
    ["len", "str", "int", "float", "abs", "sum", "min", "max", "any", "all", "bool", "round"]
)


def grow(inner):
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(inner, OPERATORS, inner, OPERATORS, inner).map("".join),
        st.tuples(FUNCTIONS, inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(FUNCTIONS, inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"default({t[0]}, {t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"{{{t[0]}: {t[1]}}}"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})[{t[1]}]"),
        inner.map(lambda t: f"({t}).a"),
        inner.map(lambda t: f"exists(({t}).a)"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"(not {t})"),
    )


GRAMMAR = st.recursive(LEAVES, grow, max_leaves=20)
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


@st.composite
def mutated(draw):
    """Take an expression and cut, double, swap or break a few places of it."""
    source = draw(GRAMMAR)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(source)))
        end = min(len(source), start + draw(st.integers(0, 8)))
        piece = draw(
            st.one_of(
                st.sampled_from(TOKENS), st.characters(codec=None), st.just(source[start:end] * 2)
            )
        )
        source = source[:start] + piece + source[end:]
    return source


@tried(150)
@given(ANY_TEXT)
@example("\udfff")
@example("'\r' + \ud800")
def test_any_text(source):
    evaluate(source)
    render("${{" + source + "}}")
    render(source)


@tried(50)
@given(st.binary(max_size=200))
def test_any_bytes(raw):
    for source in (raw.decode("latin-1"), raw.decode(errors="surrogateescape")):
        evaluate(source)
        render("${{" + source + "}}")


@tried(200)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_tokens(source):
    evaluate(source)
    render("${{" + source + "}}")
    render(source)


@tried(300)
@given(GRAMMAR)
def test_any_expression_of_the_grammar(source):
    evaluate(source)


@tried(200)
@given(mutated())
def test_any_broken_expression(source):
    evaluate(source)


@tried(50)
@given(
    st.lists(st.sampled_from([*TOKENS, "1", "run.a", "'}}'"]), max_size=12).map("".join), GRAMMAR
)
def test_a_template_ends_where_its_expression_ends(after, source):
    """What follows the closing braces is never taken for a part of the expression."""
    try:
        expression = e.parse(source)
    except e.ExpressionError:
        return
    after = after.replace("$", "")
    template = e.parse_template("a ${{ " + source + " }}" + after)
    assert template.parts == ("a ", expression, after) if after else ("a ", expression)


@tried(50)
@given(GRAMMAR, st.sampled_from([60, 100, 150, 250]))
def test_little_stack_is_no_other_error(source, left):
    def down(frames):
        if frames:
            down(frames - 1)
        else:
            with contextlib.suppress(e.ExpressionError):
                e.parse(source).evaluate(SCOPE)

    e.parse.cache_clear()
    down(max(0, sys.getrecursionlimit() - len(inspect.stack(0)) - left))


COMMON = st.recursive(
    st.sampled_from(
        ["1", "0", "-3", "2.5", "'t'", "''", "True", "False", "None", "[]", "{}", "{'k': 1}", "7",
         "context['a']", "context['t']", "context['d']", "context['d']['n']", "' 12 '", "1e20"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(inner, OPERATORS, inner, OPERATORS, inner).map(lambda t: f"({''.join(t)})"),
        st.tuples(FUNCTIONS.filter(lambda f: f != "str"), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"round({t[0]}, {t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"max({', '.join(t)})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})[{t[1]}]"),
        inner.map(lambda t: f"(not {t})"),
    ),
    max_leaves=12,
)  # fmt: skip


@tried(300)
@given(COMMON)
def test_a_value_is_the_one_that_python_has(source):
    data = {"a": [1, 2.5, 0], "t": "text", "d": {"n": None, "x": 2}}
    try:
        ours = e.parse(source).evaluate({"context": data})
    except e.ExpressionError:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            python = eval(source, {"context": data})  # made of COMMON alone
    except TypeError:
        return  # such as `[] in {}`, false here
    assert ours == python
    assert type(ours) is type(python)


DOORS = {"eval", "exec", "compile", "getattr", "setattr", "vars", "open", "__import__", "format"}


def test_no_module_has_a_door_to_python():
    """They call none of the functions that run code or read attributes by name."""
    modules = sorted(Path(e.__file__).parent.glob("*.py"))
    assert Path(evaluator.__file__) in modules
    assert set(dir(builtins)) >= DOORS
    for module in modules:
        called = {
            node.func.id
            for node in ast.walk(ast.parse(module.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & DOORS, module
