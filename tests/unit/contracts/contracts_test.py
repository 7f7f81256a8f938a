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
        (b"\xef\xbb\xbf{}", "byte order mark"),
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
    assert "circular" in str(schema.breaches({})[0])


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


# Drafts, keywords, defaults

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def wrong(schema, **options):
    found = c.schema_problems(schema, **{"has_defaults": True, **options})
    return [(".".join(map(str, each.path)), each.message) for each in found if not each.is_warning]


def warned(schema):
    found = c.schema_problems(schema, has_defaults=True)
    return [".".join(map(str, each.path)) for each in found if each.is_warning]


@pytest.mark.parametrize(
    "uri",
    [
        DRAFT_7,
        "http://json-schema.org/draft-07/schema",
        "https://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2020-12/schema#",
    ],
)
def test_two_drafts_are_known(uri):
    assert wrong({"$schema": uri, "properties": {"a": {"type": "string"}}}) == []


@pytest.mark.parametrize(
    "uri",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/schema#",
        "https://example.com/own",
        "",
        7,
        ["http://json-schema.org/draft-07/schema#"],
    ],
)
def test_other_drafts_are_refused(uri):
    ((path, message),) = wrong({"$schema": uri})
    assert path == "$schema"
    assert "is not a supported draft: leave $schema out for 2020-12" in message


def test_a_draft_is_for_the_whole_schema():
    schema = {"properties": {"a": {"$schema": DRAFT_7}}}
    assert wrong(schema) == [
        ("properties.a.$schema", "is for the whole schema: write it at the top, or leave it out")
    ]
    assert wrong({"$schema": DRAFT_7, **schema}) == []


def breaches(schema, value):
    return [str(each) for each in c.compile_schema(schema).breaches(value)]


def test_draft_7_means_what_it_means_there():
    schema = {
        "$schema": DRAFT_7,
        "dependencies": {"card": ["address"], "b": {"required": ["x"]}},
        "properties": {
            "pair": {"items": [{"type": "integer"}], "additionalItems": False},
            "only": {"$ref": "#/definitions/pos", "maximum": 1},
        },
        "definitions": {"pos": {"exclusiveMinimum": 0}},
    }
    assert wrong(schema) == []
    assert breaches(schema, {"pair": [1], "only": 5}) == []
    assert len(breaches(schema, {"card": 1})) == 1
    assert len(breaches(schema, {"b": 1})) == 1
    assert len(breaches(schema, {"pair": [1, 2]})) == 1
    assert len(breaches(schema, {"only": 0})) == 1


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"dependencies": {"a": ["b"]}}, "dependencies", "write dependentRequired or dependentSch"),
        ({"additionalItems": False}, "additionalItems", "write items beside prefixItems"),
        ({"day": {"type": "string"}}, "day", "'day' is not a keyword of JSON Schema: put it under"),
        (
            {"properties": {"o": {"type": "object", "in": {"type": "string"}}}},
            "properties.o.in",
            "put it under properties",
        ),
        ({"requierd": ["a"]}, "requierd", "did you mean 'required'?"),
        ({"allOf": [{"propertys": 1}]}, "allOf.0.propertys", "did you mean 'properties'?"),
        ({"$defs": {"x": {"minlength": 1}}}, "$defs.x.minlength", "did you mean 'minLength'?"),
        ({"type": "array"}, "type", "must be object, not 'array'"),
        ({"type": ["string", "null"]}, "type", "must be object"),
        (
            {"properties": {"a": {"$ref": "#/properties/b/title"}, "b": {"title": "x"}}},
            "properties.a.$ref",
            "is not in this schema",
        ),
    ],
)
def test_keywords_that_would_say_nothing_are_refused(schema, path, message):
    ((place, said),) = wrong(schema)
    assert place == path
    assert message in said


def test_keywords_of_others_are_warned_of():
    schema = {"properties": {"a": {"nullable": True, "q": 1, "x-own": 1}}, "$schema": DRAFT_7}
    assert warned(schema) == ["properties.a.nullable", "properties.a.q"]
    assert warned({"$schema": DRAFT_7, "properties": {"a": {"prefixItems": []}}}) == [
        "properties.a.prefixItems"
    ]
    assert wrong(schema) == []


@pytest.mark.parametrize(
    ("step", "value", "fits"),
    [
        (0.01, 0.07, True),
        (0.1, 0.3, True),
        (0.01, 1.1, True),
        (0.01, 0.071, False),
        (0.1, 4, True),
        (0.3, 1, False),
        (1e-300, 1e300, True),
        (2.5, 10**18 + 1, False),
        (1, 1.5, False),
        (3, 9, True),
        (0.01, True, True),
        (0.01, "x", True),
    ],
)
def test_multiples_are_exact(step, value, fits):
    assert (breaches({"properties": {"a": {"multipleOf": step}}}, {"a": value}) == []) is fits


CONFIG = {"type": "object", "properties": {"tries": {"type": "integer", "default": 3}}}


@pytest.mark.parametrize(
    ("schema", "given", "made"),
    [
        (
            {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"default": 1}}},
            {},
            {"a": 1},
        ),
        ({"properties": {"a": {"allOf": [{}, {"default": 1}]}}}, {}, {"a": 1}),
        ({"allOf": [{"properties": {"a": {"default": 1}}}]}, {}, {"a": 1}),
        (
            {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {"default": 1}}}}},
            {},
            {"a": 1},
        ),
        (
            {"properties": {"a": {"$ref": "#x"}}, "$defs": {"q": {"$anchor": "x", "default": 1}}},
            {},
            {"a": 1},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/a", "default": 2}},
                "$defs": {"a": {"default": 1}},
            },
            {},
            {"a": 2},
        ),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"c": CONFIG}}, {}, {"c": {"tries": 3}}),
        ({"properties": {"c": CONFIG}}, {"c": {"more": 1}}, {"c": {"more": 1, "tries": 3}}),
        ({"properties": {"c": {**CONFIG, "required": ["host"]}}}, {}, {}),
        ({"properties": {"c": {**CONFIG, "required": ["tries"]}}}, {}, {"c": {"tries": 3}}),
        ({"properties": {"c": {"items": CONFIG}}}, {"c": [{}, 1]}, {"c": [{"tries": 3}, 1]}),
        ({"additionalProperties": CONFIG}, {"c": {}}, {"c": {"tries": 3}}),
        (
            {
                "$ref": "#/$defs/t",
                "$defs": {
                    "t": {
                        "type": "object",
                        "properties": {"kid": {"$ref": "#/$defs/t"}, "v": {"default": 1}},
                    }
                },
            },
            {"kid": {"kid": {}}},
            {"kid": {"kid": {"v": 1}, "v": 1}, "v": 1},
        ),
    ],
)
def test_defaults_are_filled_in_wherever_they_are_found(schema, given, made):
    assert c.with_defaults(schema, given) == made
    assert wrong(schema) == []


def test_defaults_of_a_tree_do_not_go_on():
    tree = {"type": "object", "properties": {"kid": {"$ref": "#"}, "v": {"default": 1}}}
    assert wrong(tree) == []
    assert c.with_defaults(tree, {}) == {"v": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"c": {"$ref": "#", "default": {}}}},
        {
            "allOf": [{"$ref": "#/$defs/x"}],
            "$defs": {"x": {"properties": {"y": {"$ref": "#/$defs/x", "default": {}}}}},
        },
        {"properties": {f"p{i}": {"$ref": "#", "default": {}} for i in range(9)}},
    ],
)
def test_defaults_without_end_are_refused(schema):
    assert ("", "its defaults are circular: they fill in each other") in wrong(schema)
    c.with_defaults(schema, {})


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        (
            {"properties": {"a": {"type": "integer", "default": "3"}}},
            "properties.a.default",
            '"3" is not of type integer',
        ),
        (
            {"properties": {"a": {"enum": ["x"], "default": "y"}}},
            "properties.a.default",
            "not one of",
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/p", "default": 0}},
                "$defs": {"p": {"minimum": 1}},
            },
            "properties.a.default",
            "less than the minimum",
        ),
        (
            {"$defs": {"p": {"minimum": 1, "default": 0}}},
            "$defs.p.default",
            "less than the minimum",
        ),
        (
            {"properties": {"a": {**CONFIG, "required": ["x"], "default": {}}}},
            "properties.a.default",
            "'x' is missing",
        ),
        (
            {"properties": {"a": {"items": {"type": "string"}, "default": [1]}}},
            "properties.a.default.0",
            "is not of type string",
        ),
        (
            {"properties": {"a": {"anyOf": [{"default": 1}]}}},
            "properties.a.anyOf.0.default",
            "would not be filled in here",
        ),
        (
            {"then": {"properties": {"a": {"default": 1}}}},
            "then.properties.a.default",
            "would not be filled",
        ),
        (
            {"patternProperties": {"a": {"default": 1}}},
            "patternProperties.a.default",
            "would not be filled",
        ),
        ({"default": {"a": 1}}, "default", "would not be filled in here"),
    ],
)
def test_defaults_that_are_wrong_are_refused(schema, path, message):
    ((place, said),) = wrong(schema)
    assert place == path
    assert message in said


def test_a_default_is_filled_in_before_it_is_checked():
    schema = {"properties": {"a": {**CONFIG, "required": ["tries"], "default": {}}}}
    assert wrong(schema) == []
    assert c.with_defaults(schema, {}) == {"a": {"tries": 3}}


def test_references_that_multiply_are_bounded():
    # 2^40 references in a schema of 2 KB: counted, and given up.
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    schema = {"$defs": {**defs, "d40": {}}, "$ref": "#/$defs/d0"}
    assert breaches(schema, {}) == ["the schema follows too many references"]
    assert c.with_defaults(schema, {}) == {}


def test_properties_are_found_behind_references():
    schema = {
        "$ref": "#/$defs/x",
        "$defs": {"x": {"allOf": [{"properties": {"a": {}}}], "properties": {"b": {}}}},
    }
    assert set(c.properties_of(schema)) == {"a", "b"}


def test_defaults_that_take_many_references_are_bounded_together():
    # Each default follows 2^10 references: three of them are more than all may follow together.
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(10)}
    part = {"$ref": "#/$defs/d0", "default": 1}
    schema = {"$defs": {**defs, "d10": {}}, "properties": dict.fromkeys("abcdefgh", part)}
    ((place, message),) = wrong(schema)
    assert (place.split(".")[0], message) == (
        "properties",
        "breaks its own schema: the schema follows too many references",
    )


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (  # a schema with an $id is a resource of its own
            {
                "$defs": {"x": {"default": "outer"}},
                "properties": {
                    "p": {
                        "$id": "inner.json",
                        "type": "object",
                        "$defs": {"x": {"default": "inner"}},
                        "properties": {"a": {"$ref": "#/$defs/x"}},
                    }
                },
            },
            {"p": {"a": "inner"}},
        ),
        (  # relative to the $id above
            {
                "$id": "https://podium.test/schemas/root.json",
                "$defs": {"x": {"$id": "item.json", "default": 1}},
                "properties": {
                    "a": {"$ref": "item.json"},
                    "b": {"$ref": "https://podium.test/schemas/item.json"},
                    "c": {"$ref": "root.json#/$defs/x"},
                    "d": {"$ref": "/schemas/item.json"},
                },
            },
            {"a": 1, "b": 1, "c": 1, "d": 1},
        ),
        (  # an anchor belongs to its resource
            {
                "$defs": {
                    "one": {"$id": "one.json", "$defs": {"x": {"$anchor": "v", "default": 1}}},
                    "two": {"$id": "two.json", "$defs": {"x": {"$anchor": "v", "default": 2}}},
                },
                "properties": {
                    "a": {"$ref": "one.json#v"},
                    "b": {"$ref": "two.json#v"},
                },
            },
            {"a": 1, "b": 2},
        ),
        (
            {
                "$id": "urn:example:root",
                "$defs": {"x": {"default": 1}},
                "properties": {
                    "a": {"$ref": "#/$defs/x"},
                    "b": {"$ref": "urn:example:root#/$defs/x"},
                },
            },
            {"a": 1, "b": 1},
        ),
        (  # draft-07: a fragment is an anchor, and an $id beside a $ref says nothing
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": {
                    "x": {"$id": "#v", "default": 1},
                    "y": {"$id": "other.json", "$ref": "#/definitions/z"},
                    "z": {"default": 2},
                },
                "properties": {"a": {"$ref": "#v"}, "b": {"$ref": "#/definitions/y"}},
            },
            {"a": 1, "b": 2},
        ),
    ],
)
def test_references_follow_the_ids_inside_a_schema(schema, made):
    assert c.schema_problems(schema, has_defaults=True) == []
    assert c.with_defaults(schema, {}) == made


def test_a_default_is_checked_where_its_references_lead():
    inner = {
        "$id": "inner.json",
        "$defs": {"x": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/$defs/x", "default": "one"}},
    }
    schema = {"$defs": {"x": {"type": "string"}}, "properties": {"p/q": inner}}
    ((place, said),) = wrong(schema)
    assert (place, said.split(": ")[-1]) == (
        "properties.p/q.properties.a.default",
        '"one" is not of type integer',
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            {"$id": "a.json", "properties": {"a": {"$ref": "b.json"}}},
            "only references into the same",
        ),
        ({"$id": "a.json", "properties": {"a": {"$ref": "a.json#/x"}}}, "is not in this schema"),
        (
            {"properties": {"a": {"$id": "b.json", "$ref": "#/$defs/x"}}, "$defs": {"x": {}}},
            "not in this",
        ),
    ],
)
def test_references_by_id_that_lead_nowhere_are_refused(schema, said):
    ((_, message),) = wrong(schema)
    assert said in message


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "string", "enum": [True, "b", 1.5]}, [(("enum", 0), True), (("enum", 2), True)]),
        ({"type": ["string", "null"], "const": False}, [(("const",), True)]),
        ({"type": "string", "enum": ["a", None]}, [(("enum", 1), False)]),
        ({"enum": ["a", True]}, [(("enum", 1), True)]),
        ({"enum": [True, False]}, []),
        ({"type": "integer", "enum": [1, 2.0]}, []),
        ({"items": {"type": "string"}, "default": ["a", True]}, [(("default", 1), True)]),
    ],
)
def test_choices_that_no_value_can_be(schema, found):
    """`yes` and `1.5` without quotes are no strings."""
    problems = c.schema_problems({"properties": {"a": schema}}, has_defaults=True)
    assert [(each.path[2:], each.lacks_quotes) for each in problems] == found


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"required": ["a", False]}, ("required", 1)),
        ({"properties": {"a": {"pattern": 12}}}, ("properties", "a", "pattern")),
        ({"properties": {"a": {"description": 1.5}}}, ("properties", "a", "description")),
        ({"dependentRequired": {"a": [True]}}, ("dependentRequired", "a", 0)),
    ],
)
def test_words_of_a_schema_that_need_quotes(schema, place):
    """`n` and `1.5` without quotes are no strings."""
    (problem,) = c.schema_problems(schema, has_defaults=True)
    assert (problem.path, problem.lacks_quotes) == (place, True)


DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"
BOTH = {"price": {"multipleOf": 0.01}, "text": {"pattern": "^(a+)+$"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": DRAFT_2020, "properties": {"b": {"$ref": "#"}, **BOTH}},
        {"$schema": DRAFT_7, "properties": {"b": {"$ref": "#"}, **BOTH}},
        {"properties": {"b": {"$schema": DRAFT_2020, "properties": BOTH}}},
    ],
)
def test_schemas_that_name_their_draft_are_checked_as_all_others(schema):
    """The library's own checks know no time-out of patterns and no exact decimals."""
    found = c.compile_schema(schema).breaches({"b": {"price": 0.07, "text": "a" * 40 + "!"}})
    assert [each.path for each in found] == ["b.text"]
