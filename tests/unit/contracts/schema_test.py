"""Schemas: what is kept of those that were compiled, and how one that is wrong is reported."""

import pytest

from podium import contracts
from podium.contracts import compile_schema, schema


def test_a_schema_is_compiled_once_unless_it_is_large():
    small = {"type": "object", "required": ["a"]}
    assert compile_schema(small) is compile_schema(dict(small))
    large = {**small, "description": "x" * schema.KEPT_BYTES}
    before = len(schema._compiled)
    assert [each.path for each in compile_schema(large).breaches({})] == [
        each.path for each in compile_schema(small).breaches({})
    ]
    assert compile_schema(large) is not compile_schema(large)
    assert len(schema._compiled) == before


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            {"properties": {"a": "string"}},
            '"string" is not a schema: write {type: string} or the like',
        ),
        ({"properties": {"a": None}}, "null is not a schema: write {type: string} or the like"),
        ({"properties": {"a": {"items": "integer"}}}, "write {type: integer}"),
        ({"required": "a"}, '"a" is not a list: write [a]'),
        ({"properties": {"a": {"required": True}}}, "name this property in `required`"),
        ({"properties": {"a": {"type": "strng"}}}, "did you mean 'string'?"),
        ({"properties": {"a": {"type": ["string", "nul"]}}}, "'nul' is not a type"),
        ({"properties": {"a": {"minimum": "1"}}}, '"1" is not of type number'),
        ({"properties": ["a"]}, '["a"] is not of type object'),
    ],
)
def test_a_part_of_another_type_says_what_would_be_right(schema, said):
    (problem,) = contracts.schema_problems(schema, has_defaults=False)
    assert said in problem.report
    assert problem.report.startswith("not a valid JSON Schema: ")


def test_a_schema_with_a_warning_is_not_called_invalid():
    schema = {"properties": {"a": {"type": "string", "origin": 1}}}
    (problem,) = contracts.schema_problems(schema, has_defaults=False)
    assert problem.is_warning
    assert problem.report == problem.message
