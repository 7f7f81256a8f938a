"""Fuzzing the language: only its own errors come out, bounded, and no Python attribute is read."""

import contextlib
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from podium import expressions as e

TOKENS = [
    *"()[]{},.+-*/%<>=!:~@^&|'\"\\",
    *(" and ", " or ", " not ", " in ", " is ", " if ", " else ", " for ", " lambda: "),
    *("**", "//", "==", "!=", "<=", ":=", "0", "1", "9" * 30, "1e308", "0.1", "0x", "1j"),
    *("context", "run", "item", "x", "true", "None", ".a", "['b']", "[0]", ".__class__"),
    *("len(", "str(", "int(", "float(", "max(", "sum(", "round(", "default(", "exists(", "bool("),
    *("'a'", "b'", "f'", "''", "\n", "\0", "#", ";", "_", "é", "\ud800", "…"),
]


class Trap(Mapping):
    """Data that notices when an attribute of it is read."""

    def __init__(self, data):
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "read", [])

    def __getattribute__(self, name):
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
    data = {"a": [1, 2.5, "t", None, True], "b": {"a": 1}, "big": 2**250, "text": "x" * 1000}
    return {"context": Trap(data), "run": data, "item": [[]] * 5}


def evaluate(source):
    names = scope()
    try:
        expression = e.parse(source)
        first = expression.evaluate(names)
    except e.ExpressionError:
        return
    assert repr(expression.evaluate(names)) == repr(first)
    assert names["context"].read == []
    assert isinstance(first, Trap | dict | list | str | int | float | None.__class__)
    if isinstance(first, int):
        assert first.bit_length() <= e.MAX_BITS
    if isinstance(first, str):
        assert len(first) <= e.MAX_TEXT


@settings(max_examples=1500, deadline=None)
@given(st.text(max_size=200))
def test_any_text(source):
    evaluate(source)


@settings(max_examples=3000, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_tokens(source):
    evaluate(source)
    with contextlib.suppress(e.ExpressionError):
        e.parse_template("${{" + source + "}}").render(scope())


LEAVES = st.sampled_from(
    ["1", "0", "2.5", "'t'", "true", "null", "context.a", "context.b.a", "context.big", "run.a[0]",
     "context.none", "item", "[]", "{'k': 1}", "context.text", "-1", "1000"]
)  # fmt: skip
GRAMMAR = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(
            inner,
            st.sampled_from(
                ["+", "-", "*", "/", "//", "%", "**", "==", "<", " in ", " and ", " or ", " is "]
            ),
            inner,
        ).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(
            st.sampled_from(["len", "str", "int", "float", "abs", "sum", "min", "any", "bool"]),
            inner,
        ).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"default({t[0]}, {t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]})[{t[1]}]"),
        inner.map(lambda t: f"({t}).a"),
    ),
    max_leaves=20,
)


@settings(max_examples=3000, deadline=None)
@given(GRAMMAR)
def test_any_expression_of_the_grammar(source):
    evaluate(source)


@settings(max_examples=300, deadline=None)
@given(GRAMMAR)
def test_no_evaluation_takes_more_steps_than_its_bound(source):
    try:
        expression = e.parse(source)
    except e.ExpressionError:
        return
    walk = e._Walk(scope())
    with contextlib.suppress(e.ExpressionError):
        walk.value(expression.tree)
    assert walk.steps <= e.MAX_STEPS + e.MAX_ITEMS
