"""Whether what one schema promises satisfies what another one needs."""

import time

import pytest

from podium.contracts.compatibility import Compatibility, Version, judge_versions, with_required
from podium.contracts.json_schema import Schema
from podium.contracts.subsumption import compare

INTEGER, STRING, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def having(a, **more):
    """Return an object that always has `a`."""
    return {"type": "object", "required": ["a"], "properties": {"a": a}, **more}


def found(promised, needed):
    return [("open " if each.is_open else "") + str(each) for each in compare(promised, needed)]


SATISFIED = [
    (INTEGER, {"type": "number"}),
    ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
    ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}),
    ({"type": "number", "multipleOf": 0.1}, {"type": "number", "multipleOf": 0.05}),
    (INTEGER, {"multipleOf": 0.5}),
    ({"type": "string", "minLength": 2, "maxLength": 3}, {"type": "string", "maxLength": 4}),
    ({"enum": ["x", "y"]}, {"enum": ["y", "x", "z"]}),
    ({"const": 4}, {"type": "integer", "minimum": 3}),
    ({"type": "boolean"}, {"enum": [True, False, None]}),
    ({"type": ["string", "null"]}, {"anyOf": [STRING, NULL]}),
    ({"anyOf": [STRING, NULL]}, {"type": ["null", "string"]}),
    ({"allOf": [{"minimum": 3}, INTEGER]}, {"type": "integer", "minimum": 1}),
    ({"type": "array", "items": INTEGER}, {"type": "array", "items": {"type": "number"}}),
    (
        {"type": "array", "prefixItems": [INTEGER], "items": STRING},
        {"type": "array", "items": {"type": ["integer", "string"]}},
    ),
    ({"type": "array", "maxItems": 1}, {"type": "array", "uniqueItems": True}),
    ({"type": "array", "maxItems": 0}, {"type": "array", "items": INTEGER}),
    ({"type": "object", "additionalProperties": INTEGER}, {"additionalProperties": INTEGER}),
    (having(INTEGER), {"type": "object", "properties": {"b": STRING}}),
    (having(INTEGER), {"type": "object", "minProperties": 1}),
    (STRING, {"not": INTEGER}),
    (
        {"oneOf": [having({"const": 1}), having({"const": 2})]},
        {"oneOf": [having({"const": 1}), having({"const": 2}), having({"const": 3})]},
    ),
    ({"if": STRING, "then": {"minLength": 1}}, {"if": STRING, "then": {"minLength": 1}}),
    ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^a"}),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}),
    ({"$ref": "#/$defs/x"}, {"type": "number"}),
]


@pytest.mark.parametrize(("promised", "needed"), SATISFIED)
def test_a_promise_that_satisfies(promised, needed):
    definitions = {"$defs": {"x": INTEGER}}
    assert found(having(promised, **definitions), having(needed)) == []


BROKEN = [
    ({"type": "number"}, INTEGER, "a: may be number, and integer is needed"),
    ({"type": ["string", "null"]}, STRING, "a: may be null, and string is needed"),
    ({"enum": ["x", "q"]}, {"enum": ["x"]}, 'a: may be "q", which what is needed does not allow'),
    (STRING, {"enum": [1, 2]}, "a: may be any string, and one of 1, 2 is needed"),
    (STRING, {"enum": ["x"]}, 'open a: may be any string, and one of "x" is needed'),
    (
        {"minimum": 0, **INTEGER},
        {"minimum": 1},
        "a: may be less: from 0 is promised, and minimum 1",
    ),
    (INTEGER, {"maximum": 1}, "open a: has no maximum in the promise, and 1 is needed"),
    ({"multipleOf": 2, **INTEGER}, {"multipleOf": 4}, "a: is not always a multiple of 4"),
    ({"type": "array", "items": STRING}, {"items": INTEGER}, "a[]: may be string, and integer"),
    (
        {"type": "array", "prefixItems": [STRING]},
        {"type": "array", "prefixItems": [INTEGER]},
        "a[0]: may be string, and integer is needed",
    ),
    ({"additionalProperties": INTEGER}, {"additionalProperties": STRING}, "a.*: may be integer"),
    (having(STRING), having(INTEGER), "a.a: may be string, and integer is needed"),
    (having(STRING, required=[]), having(STRING), "a.a: is needed, and not always there"),
    (having(STRING), {"additionalProperties": False}, "a.a: is promised here and not allowed"),
    (
        {"type": "object", "additionalProperties": False},
        having(STRING),
        "a.a: is needed, and the promise does not allow it",
    ),
    ({"type": "object"}, having(STRING), "open a.a: is needed, and the promise does not declare"),
    ({"type": ["string", "null"]}, {"anyOf": [INTEGER, NULL]}, "a: meets none of the 2 choices"),
    ({}, INTEGER, "open a: is left open: the promise says nothing of it: integer is needed"),
    (STRING, {"pattern": "^a"}, "open a: must match the pattern '^a'"),
    (STRING, {"type": "string", "not": {"minLength": 2}}, "open a: cannot be compared"),
    ({"if": {}, "then": STRING, **INTEGER}, STRING, "open a: may be integer, and string"),
    (having(STRING), {"propertyNames": {"pattern": "^b"}}, "a.a: is not allowed as the name"),
    (
        having(STRING),
        {"dependentRequired": {"a": ["b"]}},
        "open a.b: is needed where 'a' is there",
    ),
    ({"type": "array"}, {"contains": INTEGER}, "open a: cannot be compared"),
]


@pytest.mark.parametrize(("promised", "needed", "words"), BROKEN)
def test_a_promise_that_does_not_satisfy_or_leaves_it_open(promised, needed, words):
    (first, *_) = found(having(promised), having(needed))
    assert first.startswith(words)


def test_schemas_that_refer_to_themselves_are_compared_to_their_end():
    def tree(value):
        node = {
            "type": "object",
            "required": ["value"],
            "properties": {
                "value": value,
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
        return {"$ref": "#/$defs/node", "$defs": {"node": node}}

    assert found(tree(INTEGER), tree({"type": "number"})) == []
    assert found(tree(STRING), tree(INTEGER))[0] == "value: may be string, and integer is needed"


def test_drafts_are_compared_by_what_they_mean():
    old = {
        "$schema": DRAFT_7,
        "properties": {"a": {"type": "array", "items": [INTEGER], "additionalItems": STRING}},
    }
    new = {"properties": {"a": {"type": "array", "prefixItems": [INTEGER], "items": STRING}}}
    assert found(old, new) == found(new, old) == []
    beside = {"$schema": DRAFT_7, "definitions": {"x": INTEGER}}
    beside["properties"] = {"a": {"$ref": "#/definitions/x", "type": "string"}}
    assert found(having(INTEGER), beside) == []


HOSTILE = [
    {"$ref": "#"},
    {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"allOf": [{"$ref": "#/$defs/0"}], "$defs": {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 9} for n in range(30)} | {"30": STRING}},
    {"properties": {"a": {"anyOf": [{"properties": {str(n): {"anyOf": [{"minLength": m} for m in range(30)]} for n in range(30)}}] * 30}}},
    {"properties": {"a": {"pattern": "^(a+)+$"}}, "patternProperties": {"^(a|a?)+$": {"type": "integer"}}},
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("other", [having(STRING), {"properties": {"a" * 60 + "b": STRING}}])
def test_hostile_schemas_come_to_an_end(hostile, other):
    before = time.process_time()
    compare(hostile, {**other, "title": "x"})
    compare(other, hostile)
    compare(hostile, {**hostile, "minProperties": 1})
    assert time.process_time() - before < 20  # without bounds: for ever


# Versions


def verdicts(rule, *schemas, required=((), (), (), ())):
    versions = [
        Version(str(n), schema, fields)
        for n, (schema, fields) in enumerate(zip(schemas, required, strict=False), 1)
    ]
    return [verdict.is_compatible for verdict in judge_versions(versions, rule)]


OLD, MORE = having(STRING), having(STRING)
MORE = {**MORE, "properties": {**MORE["properties"], "b": INTEGER}}
DEMANDS = {**MORE, "required": ["a", "b"]}


@pytest.mark.parametrize(
    ("rule", "schemas", "expected"),
    [
        ("Backward", (OLD, MORE), [True, True]),
        ("Backward", (OLD, DEMANDS), [True, False]),
        ("Forward", (OLD, DEMANDS), [True, True]),
        ("Forward", (DEMANDS, OLD), [True, False]),
        ("Full", (OLD, MORE), [True, True]),
        ("Full", (MORE, DEMANDS), [True, False]),
        ("None", (OLD, having(INTEGER)), [True, True]),
        ("Backward", (OLD, having(INTEGER), MORE), [True, False, True]),
        ("Backward", (OLD, having({"type": "string", "pattern": "x"})), [True, False]),
    ],
)
def test_versions_are_compared_with_the_one_before_that_is_compatible(rule, schemas, expected):
    assert verdicts(Compatibility(rule), *schemas) == expected


def test_required_fields_count_as_the_schema_does():
    rule = Compatibility.BACKWARD
    assert verdicts(rule, OLD, OLD, required=((), ("a",))) == [True, True]
    assert verdicts(rule, OLD, OLD, required=((), ("a.b",))) == [True, False]


@pytest.mark.parametrize("draft", [{}, {"$schema": DRAFT_7}])
def test_required_fields_are_demanded_by_their_paths(draft):
    reference = {"$ref": "#/definitions/x", "definitions": {"x": {"properties": {"a": {}}}}}
    schema = Schema(with_required({**draft, **reference}, ["a.b", "a.c", "d"]))
    assert schema.breaches({"a": {"b": 1, "c": None}, "d": 0}) == []
    for wrong in ({}, {"a": 1, "d": 0}, {"a": {"b": 1}, "d": 0}, {"a": {"b": 1, "c": 2}}):
        assert schema.breaches(wrong)
