"""Values, schemas and verdicts, as tables a user could read."""

import pytest

from podium import contracts as c


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"", {}),
        (b" \n", {}),
        (b'{"a": null}', {"a": None}),
        (b'{"a": {"b": [null]}}', {"a": {"b": [None]}}),
        (b'{"a": 1.0, "b": 1e3, "c": -0.0}', {"a": 1, "b": 1000, "c": 0}),
        (b'{"a": 9223372036854775807}', {"a": 2**63 - 1}),
        ('{"a": "é…"}'.encode(), {"a": "é…"}),
        (b'{"a": "$(HOME) $$"}', {"a": "$(HOME) $$"}),
    ],
)
def test_outputs(raw, value):
    got = c.parse_output(raw)
    assert got == value
    assert repr(got) == repr(value)
    assert c.parse_output(c.canonical(value)) == value


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[1]", "is a list"),
        (b'"x"', "is a string"),
        (b"3", "is a number"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [1, 9223372036854775808]}', "a[1]: is a whole number of more than 64 bits"),
        (b"\xff", "UTF-8"),
        (b'{"a": "\\ud800"}', "unpaired surrogate"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
    ],
)
def test_what_is_no_output(raw, said):
    with pytest.raises(c.OutputNotJSONError) as caught:
        c.parse_output(raw)
    assert said in str(caught.value)


def test_numbers_beyond_2_to_53_have_a_canonical_form():
    assert c.canonical({"b": 2**60, "a": 1}) == b'{"a":1,"b":1152921504606846976}'
    assert c.digest({"a": 1.0}) == c.digest({"a": 1})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "strin"}, "strin"),
        ({"$ref": "http://x/y"}, "not allowed"),
        ({"$ref": "#/$defs/absent"}, "is not in this schema"),
        ({"properties": {"a": {"pattern": "("}}}, "not a regular expression"),
    ],
)
def test_what_is_no_schema(schema, said):
    problems = c.schema_problems(schema)
    assert said in problems[0].message


def test_a_sound_schema_has_no_problems():
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert c.schema_problems(schema) == []
    assert [str(b) for b in c.compile_schema(schema).breaches({"a": "x"})] == [
        'a: "x" is not of type integer'
    ]


def test_a_pattern_that_never_ends_is_a_breach():
    schema = c.compile_schema({"pattern": "^(a+)+$"})
    assert schema.breaches("a" * 5000 + "b")


def test_references_in_circles_are_a_breach():
    schema = c.compile_schema({"$ref": "#"})
    assert "circles" in str(schema.breaches({})[0])


def test_defaults_are_filled_in_at_every_level():
    schema = {
        "properties": {
            "a": {"default": 1},
            "b": {"properties": {"c": {"default": 2}}},
            "d": {"properties": {"e": {"default": 3}}},
        }
    }
    given = {"b": {}}
    assert c.with_defaults(schema, given) == {"a": 1, "b": {"c": 2}}
    assert given == {"b": {}}


def test_all_that_is_missing_is_said_in_one_go():
    verdict = c.check_input({"a": 1}, required_fields=["b.c", "d", "e.x"], schema=None, waived="d")
    assert [b.path for b in verdict.breaches] == ["b.c", "e.x"]
    assert verdict.waived == ["d"]


def test_a_waived_node_is_not_demanded_by_the_schema_either():
    schema = {"required": ["a", "b"]}
    verdict = c.check_input({"a": 1}, required_fields=[], schema=schema, waived={"b"})
    assert verdict.ok
    assert verdict.waived == ["b"]


@pytest.mark.parametrize(
    ("score", "own", "reason"),
    [
        (0.5, True, "QualityBelowThreshold"),
        (None, True, "QualityBelowThreshold"),
        (None, False, ""),
        (0.8, True, ""),
        (1.5, True, "OutputContract"),
        (True, False, "OutputContract"),
    ],
)
def test_quality(score, own, reason):
    output = {} if score is None else {"quality_score": score}
    verdict = c.check_output(
        output, produces=[], schema=None, quality_threshold=0.8, own_threshold=own
    )
    assert verdict.reason == reason


def test_produces_become_required_properties_of_the_schema():
    assert c.effective_output_schema(["a"], {"properties": {"b": {}}}) == {
        "type": "object",
        "properties": {"b": {}, "a": {}},
        "required": ["a"],
    }


def test_breaches_do_not_depend_on_the_order_of_a_schemas_keywords():
    schema = {"required": ["a"], "properties": {"b": {}}, "additionalProperties": False}
    turned = dict(reversed(schema.items()))
    found = [c.compile_schema(s).breaches({"c": 1}, limit=1) for s in (schema, turned)]
    assert found[0] == found[1]
