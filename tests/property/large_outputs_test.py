"""Expressions over what is read of a large output say what they say over all of it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from podium import expressions
from podium.contracts import AskedOutput, OutputTooLargeError, read_large_output
from tests.property.amount import tried

KEYS = st.sampled_from(["a", "b", "0", "1", "none"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "text", "é"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)
STEPS = st.one_of(
    KEYS.map(lambda key: f'["{key}"]'),
    st.integers(0, 3).map(lambda place: f"[{place}]"),
    st.sampled_from([".a", ".b", "[0 + 1]", '["a" + ""]']),
)
PATHS = st.lists(STEPS, max_size=4).map(lambda steps: "context.x" + "".join(steps))
EXPRESSIONS = st.one_of(
    PATHS,
    PATHS.map(lambda path: f"exists({path})"),
    PATHS.map(lambda path: f"default({path}, 7)"),
    PATHS.map(lambda path: f"len({path})"),
    st.tuples(PATHS, PATHS).map(" == ".join),
)


def said(expression, output):
    try:
        return expression.evaluate({"context": {"x": output}})
    except expressions.ExpressionError as error:
        return f"error: {error}"


@tried(400)
@given(
    document=st.dictionaries(KEYS, VALUES, max_size=4),
    texts=st.lists(EXPRESSIONS, min_size=1, max_size=4),
)
def test_what_is_read_is_enough(document, texts):
    parsed = [expressions.parse(text) for text in texts]
    read = {tuple(each.path[2:]): None for one in parsed for each in one.references}
    whole = {**document, "padding": "x" * 3000}
    try:
        output = read_large_output(json.dumps(whole).encode(), AskedOutput(read=tuple(read)))
    except OutputTooLargeError:
        assert () in read  # only all of it has so much
        return
    for one in parsed:
        assert said(one, output.read) == said(one, whole)
