"""What is kept of the schemas that were compiled."""

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
