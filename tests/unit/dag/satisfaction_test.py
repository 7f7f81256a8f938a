"""Whether what each producer promises satisfies what each consumer needs, along every edge."""

import pytest

from podium.api.workflow import WorkflowSpec
from podium.dag import WorkflowDAG
from podium.dag.satisfaction import unsatisfied

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def having(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


def script(name, *before, **more):
    return {
        "id": name,
        "executor": "script",
        "config": {"script": "true"},
        "dependsOn": before,
        **more,
    }


def promises(**properties):
    return {"outputContract": {"schema": having(**properties)}}


def needs(*fields, **properties):
    contract = {"requiredFields": list(fields)}
    return {
        "inputContract": {**contract, **({"schema": having(**properties)} if properties else {})}
    }


def found(*nodes, **spec):
    dag = WorkflowDAG(WorkflowSpec.model_validate({"nodes": list(nodes), **spec}))
    return [
        f"{'open ' if each.is_open else ''}{each.producer} → {each.consumer}: {each.finding}"
        for each in unsatisfied(dag)
    ]


def test_what_is_promised_and_needed_along_an_edge():
    make = script("make", **promises(id=INTEGER, tags={"type": "array", "items": STRING}))
    assert found(make, script("use", "make", **needs("make.id", make=having(id=INTEGER)))) == []
    assert found(make, script("use", "make", **needs(make=having(id=STRING)))) == [
        "make → use: make.id: may be integer, and string is needed"
    ]
    assert found(make, script("use", "make", **needs("make.tags.0", "make.name"))) == [
        "open make → use: make.name: is needed, and the promise does not declare it"
    ]
    far = script("far", "use", **needs(make=having(tags={"items": INTEGER})))
    assert found(make, script("use", "make"), far) == [
        "make → far: make.tags[]: may be string, and integer is needed"
    ]


def test_a_property_that_is_not_always_there_breaks_what_needs_it():
    schema = {"type": "object", "properties": {"id": INTEGER}}
    make = script("make", outputContract={"schema": schema})
    use = script("use", "make", **needs("make.id"))
    assert found(make, use) == [
        "make → use: make.id: is needed, and not always there: add it to `required`"
    ]
    make["outputContract"]["produces"] = ["id"]
    assert found(make, use) == []


def test_values_routes_and_nodes_without_a_contract():
    values = {
        "text": {"path": "/tmp/a"},
        "lines": {"path": "/tmp/b", "format": "Lines"},
        "any": {"path": "/tmp/c", "format": "Json"},
    }
    make = script("make", outputs=values)
    wanted = having(text=INTEGER, lines={"items": STRING}, any=INTEGER)
    assert found(make, script("use", "make", **needs("make.other", make=wanted))) == [
        "make → use: make.other: is needed, and the promise does not allow it",
        "make → use: make.text: may be string, and integer is needed",
        "open make → use: make.any: is left open: the promise says nothing of it: integer is needed",
    ]
    route = {"id": "way", "type": "conditional", "cases": [{"when": "True", "value": "a"}]}
    good = script("good", "way", **needs("way.route", way=having(route={"enum": ["a", "b"]})))
    bad = script("bad", "way", **needs(way=having(route={"const": "b"})))
    (only,) = found(route, good, bad)
    assert only.startswith('way → bad: way.route: may be "a", which what is needed does not allow')
    plain = script("plain")
    assert found(plain, script("use", "plain", **needs(plain=having(x=INTEGER)))) == [
        "open plain → use: plain.x: is needed, and the promise does not declare it"
    ]


def test_mapped_values_are_promised_by_their_source():
    make = script("make", **promises(a=having(b=INTEGER), l={"type": "array", "items": STRING}))
    edge = {"from": "make", "to": "use", "type": "produces_for", "dataMapping": {"a.b": "size"}}
    use = script("use", **needs("size", size=STRING))
    assert found(make, use, edges=[edge]) == [
        "make → use: size: may be integer, and string is needed"
    ]
    optional = script("make", outputContract={"schema": {"properties": {"a": having(b=STRING)}}})
    assert found(optional, use, edges=[edge]) == [
        "make → use: make.a: is needed, and not always there: add it to `required`",
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "open context → use: size: is needed, and the promise does not declare it"),
        ({"globalContext": {"size": 3}}, ""),
        ({"constants": {"size": 3}}, ""),
        ({"inputs": {"properties": {"size": {"type": "integer", "default": 1}}}}, ""),
        ({"inputs": having(size={"$ref": "#/$defs/x"}) | {"$defs": {"x": INTEGER}}}, ""),
        (
            {"constants": {"size": "large"}},
            'context → use: size: may be "large", which what is needed does not allow',
        ),
        (
            {"inputs": {"properties": {"size": INTEGER}}},
            "context → use: size: is needed, and not always there",
        ),
        ({"inputs": having(size=STRING)}, "context → use: size: may be string, and integer is"),
    ],
)
def test_the_context_promises_what_inputs_and_values_say(spec, expected):
    first = (found(script("use", **needs("size", size=INTEGER)), **spec) or [""])[0]
    assert first.startswith(expected)
    assert bool(first) is bool(expected)


def test_nodes_of_finally_see_all_others():
    make = script("make", **promises(id=INTEGER))
    last = script("last", **needs(make=having(id=STRING)))
    assert found(make, **{"finally": [last]}) == [
        "make → last: make.id: may be integer, and string is needed"
    ]


def test_a_group_promises_what_its_members_do():
    def group(*members, **more):
        return {"id": "g", "type": "parallel_group", "nodes": list(members), **more}

    make = script("make", **promises(id=INTEGER))
    inside = script("use", "make", **needs(make=having(id=INTEGER)))
    after = script("after", "g", **needs("g.make.id", g=having(make=having(id=INTEGER))))
    assert found(group(make, inside), after) == []
    wrong = script("use", "make", **needs(make=having(id=STRING)))
    assert found(group(make, wrong)) == [
        "g.make → g.use: make.id: may be integer, and string is needed"
    ]
    doubtful = {**make, "condition": "1 > 2"}
    first = script("first", condition="1 > 2")
    for members in ((doubtful,), (first, {**make, "dependsOn": ["first"]})):
        assert found(group(*members), after)[0].startswith("g → after: g.make")
