"""Caches bounded by bytes, and that what they say of their entries' size is true."""

import gc
import tracemalloc

import orjson
import pytest

from podium.bounded_cache import bounded_cache
from podium.contracts import json_schema, schema
from podium.contracts.json_schema import compiled_pattern
from podium.expressions import ExpressionSyntaxError, parse, parser


def test_the_latest_results_are_kept_up_to_the_limit():
    made = []

    @bounded_cache(len, 32)
    def upper(text):
        made.append(text)
        return text.upper()

    for text in ("a", "b", "a", "b"):
        assert upper(text) == text.upper()
    assert made == ["a", "b"]
    for number in range(100):
        upper(f"{number:02}")
        upper("a")
    assert upper.bytes <= 32
    assert made.count("a") == 1, "it was used all the time"
    upper("b")
    assert made.count("b") == 2
    upper.cache_clear()
    assert (len(upper), upper.bytes) == (0, 0)


def test_what_is_large_is_not_kept_and_pushes_nothing_out():
    @bounded_cache(len, 32)
    def same(text):
        return [text]

    small = same("a")
    assert same("abc") is not same("abc")
    assert same("a") is small


def test_what_raises_is_not_kept():
    parse.cache_clear()
    for _ in range(2):
        with pytest.raises(ExpressionSyntaxError):
            parse("1 +")
    assert not len(parse)


def bytes_of(make, keys):
    """Return what the results for some arguments take."""
    make(keys[0])
    gc.collect()
    tracemalloc.start()
    kept = [make(key) for key in keys[1:]]
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) == len(keys) - 1
    return taken


ONES = "+".join(["1"] * 45)


@pytest.mark.parametrize(
    "source",
    [
        "1",
        ONES,
        f"[{','.join([ONES] * 11)}]",
        f"[{','.join(['-1'] * 330)}]",
        f"[{','.join(['context.a'] * 100)}]",
        " and ".join(f"nodes.n{each}.output.x > {each}" for each in range(30)),
    ],
    ids=["one", "sum", "sums", "signs", "references", "usual"],
)
def test_a_parsed_expression_takes_no_more_than_is_counted(source):
    keys = [source + " " * more for more in range(6)]
    assert bytes_of(parse.__wrapped__, keys) <= sum(map(parser._cost, keys[1:]))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"anyOf": [{}] * 4000},
        {"enum": [[]] * 4000},
        {"properties": {f"k{number}": {} for number in range(1000)}},
        {"properties": {f"k{number}": {"$ref": "#/$defs/d"} for number in range(500)}},
    ],
)
def test_a_compiled_schema_takes_no_more_than_is_counted(body):
    keys = [orjson.dumps({**body, "title": "x" * more}) for more in range(6)]

    def make(text):
        compiled = schema._compiled.__wrapped__(text)
        compiled.breaches({f"k{number}": 1 for number in range(500)})  # perhaps it notes more then
        return compiled

    assert bytes_of(make, keys) <= sum(map(schema._cost, keys[1:]))


@pytest.mark.parametrize(
    "pattern",
    ["a", "(a+)+$", "a" * 1000, "(a|b|c)" * 140, "[a-z]" * 200, "(?:a{1,9}){1,9}" * 60],
    ids=["one", "nested", "letters", "choices", "sets", "counts"],
)
def test_a_compiled_pattern_takes_no_more_than_is_counted(pattern):
    keys = [pattern + "a" * more for more in range(6)]
    taken = bytes_of(compiled_pattern.__wrapped__, keys)
    assert taken <= sum(map(json_schema._pattern_cost, keys[1:]))
