"""What is found satisfied is so for every value; a schema satisfies itself."""

from hypothesis import given
from hypothesis import strategies as st

from podium.contracts.json_schema import Schema
from podium.contracts.subsumption import compare
from tests.property.amount import tried

NAMES = ("a", "b")
PLAIN = st.sampled_from([None, True, False, 0, 1, 2, -1, 0.5, "", "x", "xy"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=6,
)
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
SMALL = st.integers(-1, 3)
SIZE = st.integers(0, 2)


def schemas(inner):
    several = st.lists(inner, min_size=1, max_size=3)
    keywords = {
        "type": st.one_of(
            st.sampled_from(TYPES),
            st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
        ),
        "enum": st.lists(PLAIN, min_size=1, max_size=3),
        "const": PLAIN,
        "minimum": SMALL,
        "exclusiveMinimum": SMALL,
        "maximum": SMALL,
        "exclusiveMaximum": SMALL,
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": SIZE,
        "maxLength": SIZE,
        "pattern": st.sampled_from(["^x", "y$"]),
        "minItems": SIZE,
        "maxItems": SIZE,
        "uniqueItems": st.booleans(),
        "items": inner,
        "prefixItems": several,
        "contains": inner,
        "minProperties": SIZE,
        "maxProperties": SIZE,
        "required": st.lists(st.sampled_from(NAMES), unique=True),
        "properties": st.dictionaries(st.sampled_from(NAMES), inner),
        "patternProperties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=1),
        "additionalProperties": inner,
        "propertyNames": st.sampled_from([{"pattern": "a"}, {"maxLength": 0}]),
        "dependentRequired": st.sampled_from([{"a": ["b"]}, {"b": []}]),
        "dependentSchemas": st.dictionaries(st.sampled_from(NAMES), inner, max_size=1),
        "allOf": several,
        "anyOf": several,
        "oneOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "$ref": st.sampled_from(["#", "#/$defs/x"]),
    }
    pairs = [st.tuples(st.just(name), strategy) for name, strategy in keywords.items()]
    return st.lists(st.one_of(*pairs), max_size=3).map(dict)


def declaring(inner):
    """Return schemas that declare every key: what is not declared is taken not to be there."""
    every = {name: {} for name in NAMES}
    return schemas(inner).map(
        lambda made: {**made, "properties": {**every, **made.get("properties", {})}}
    )


def objects(parts):
    """Return schemas of objects with a member `a`."""
    member = st.recursive(st.booleans() | parts(st.just({})), parts, max_leaves=8)
    return st.builds(
        lambda a, more, x: {
            **more,
            "type": "object",
            "properties": {**more.get("properties", {}), "a": a},
            "$defs": {"x": x},
        },
        member,
        parts(member),
        member,
    )


def changed(value, random, other):
    """Return a schema in which here and there a keyword is left out or comes from another one."""
    if isinstance(value, list):
        return [changed(each, random, other) for each in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, each in value.items():
        if key not in ("$defs", "x", "a", "b") and random.random() < 0.15:
            if key in other:
                made[key] = other[key]
        else:
            made[key] = changed(each, random, other)
    return made


@tried(300)
@given(
    objects(declaring),
    schemas(st.just({})),
    st.randoms(use_true_random=False),
    st.lists(VALUES, min_size=8, max_size=16),
)
def test_what_is_satisfied_is_so_for_every_value(promised, other, random, values):
    needed = changed(promised, random, other)
    if compare(promised, needed):
        return
    has, wants = Schema(promised), Schema(needed)
    for value in [{"a": each} for each in values]:
        if not has.breaches(value):
            breaches = wants.breaches(value)
            circular = any("circular" in str(each) for each in breaches)
            assert circular or not breaches, (value, breaches)


@tried(150)
@given(objects(schemas))
def test_a_schema_satisfies_itself(schema):
    assert compare(schema, schema) == []
