"""The annotation protocol of semantics.md 8."""

import copy
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podium.cluster.runs.requests import (
    ACCEPTED,
    accept_patch,
    drop_patch,
    load_accepted,
    parse_annotations,
)

RERUN, CASCADE, RESTORE = "podium.dev/rerun", "podium.dev/rerun-cascade", "podium.dev/restore"


def ask(**notes):
    """Return what is asked by `rerun`, `cascade`, `restore`."""
    names = {"rerun": RERUN, "cascade": CASCADE, "restore": RESTORE}
    return parse_annotations({names[name]: text for name, text in notes.items()}, "uid", "7")


def one(**notes):
    found = ask(**notes)
    assert found.refusals == ()
    assert len(found.requests) == 1
    return found.requests[0]


def patched(body, operations):
    """Apply a JSON Patch as the API server does: `remove` and `replace` of nothing fail."""
    body = copy.deepcopy(body)
    for operation in operations:
        *path, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        place = body
        for part in path:
            place = place[part]
        if operation["op"] != "add":
            assert last in place
        if operation["op"] == "remove":
            del place[last]
        elif last == "-":
            place.append(operation["value"])
        else:
            place[last] = operation["value"]
    return body


def test_what_failed_needs_no_nodes():
    request = one(rerun='{"failed": true, "context": {"a": 1}}')
    assert (request.nodes, request.failed, request.context) == ((), True, {"a": 1})
    (again,) = load_accepted({ACCEPTED: json.dumps([request.dump()])})
    assert again == request


def test_failed_is_true_or_false():
    found = ask(rerun='{"failed": "yes"}')
    assert found.requests == ()
    assert len(found.refusals) == 1


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("build", ("build",)),
        (" build ,test,build,, my-node ", ("build", "test", "my-node")),
        ('{"nodes": ["build", "test", "build"]}', ("build", "test")),
        (' {"nodes": "build"}', ("build",)),
    ],
)
def test_nodes_are_named_in_every_form(text, nodes):
    request = one(rerun=text)
    assert (request.kind, request.nodes, request.cascade) == ("rerun", nodes, True)
    assert (request.context, request.latest) == (None, False)


def test_the_json_form_says_all():
    text = '{"nodes": ["a"], "cascade": false, "context": {"x": [1.0, null]}, "revision": "latest"}'
    request = one(rerun=text)
    assert (request.nodes, request.cascade, request.latest) == (("a",), False, True)
    assert request.context == {"x": [1, None]}


def test_a_newer_definition_needs_no_nodes():
    assert one(rerun='{"revision": "latest"}').nodes == ()


@pytest.mark.parametrize(
    ("rerun", "cascade", "expected"),
    [
        ("a", "false", False),
        ("a", " False ", False),
        ("a", "true", True),
        ('{"nodes": ["a"]}', "false", False),
        ('{"nodes": ["a"], "cascade": true}', "false", True),
    ],
)
def test_cascade_goes_beside(rerun, cascade, expected):
    assert one(rerun=rerun, cascade=cascade).cascade is expected


def test_restore():
    request = one(restore=" 3 ")
    assert (request.kind, request.version) == ("restore", 3)


def test_restore_comes_before_rerun():
    found = ask(rerun="a", restore="0")
    assert [request.kind for request in found.requests] == ["restore", "rerun"]
    assert len({request.id for request in found.requests}) == 2


def test_nothing_asked():
    assert parse_annotations({}, "uid", "7") is None
    assert parse_annotations({"podium.dev/other": "x", ACCEPTED: "[]"}, "uid", "7") is None


FORM = 'write node ids separated by commas, or JSON such as {"nodes": ["build"]'
DEEP = '{"nodes": ["a"], "context": {"x": ' + "[" * 300 + "]" * 300 + "}}"


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        ({"rerun": ""}, [RERUN, "names no node", FORM]),
        ({"rerun": " , ,"}, ["names no node", FORM]),
        ({"rerun": "{"}, ["is not JSON", FORM]),
        ({"rerun": '{"nodes": ["a"]} x'}, ["is not JSON", FORM]),
        ({"rerun": "{" * 5000}, ["is not JSON", FORM]),
        ({"rerun": '["a"]'}, ["""'["a"]' is not a node id""", FORM]),
        ({"rerun": "a b"}, ["'a b' is not a node id", FORM]),
        ({"rerun": "☃"}, ["is not a node id"]),
        ({"rerun": "\ud800"}, ["is not a node id"]),
        ({"rerun": "x" * 64}, ["is not a node id"]),
        ({"rerun": "a," * 40_000}, ["longer than 65536 characters"]),
        ({"rerun": "{}"}, ["names no node", FORM]),
        ({"rerun": '{"nodes": []}'}, ["names no node"]),
        ({"rerun": '{"nodes": 5}'}, ["nodes must be a list of node ids", FORM]),
        ({"rerun": '{"nodes": [5]}'}, ["nodes must be a list of node ids"]),
        ({"rerun": '{"nodes": [""]}'}, ["is not a node id"]),
        ({"rerun": '{"node": "a"}'}, ["unknown field 'node'", FORM]),
        ({"rerun": '{"nodes": ["a"], "cascade": "false"}'}, ["cascade must be true or false"]),
        ({"rerun": '{"nodes": ["a"], "context": [1]}'}, ["context must be an object"]),
        ({"rerun": DEEP}, ["context is nested deeper than 100"]),
        ({"rerun": '{"nodes": ["a"], "revision": "old"}'}, ['revision must be "latest"']),
        ({"rerun": '{"nodes": ["a"], "revision": {}}'}, ['revision must be "latest"']),
        ({"rerun": "a", "cascade": "no"}, [CASCADE, 'must be "true" or "false"', "'no'"]),
        ({"cascade": "false"}, [f"{CASCADE} has no effect alone", RERUN]),
        ({"restore": "latest"}, [RESTORE, 'a context version such as "3"', "'latest'"]),
        ({"restore": "-1"}, ["a context version"]),
        ({"restore": "٣"}, ["a context version"]),
        ({"restore": "9" * 5000}, ["a context version"]),
    ],
)
def test_garbage_is_refused_with_what_would_be_right(notes, words):
    found = ask(**notes)
    assert found.requests == ()
    ((reason, refusal),) = found.refusals
    assert reason == ("RestoreRefused" if "restore" in notes else "RerunRefused")
    assert refusal.startswith("annotation podium.dev/")
    for word in words:
        assert word in refusal
    assert len(refusal) < 500


def test_one_is_refused_and_the_other_taken():
    found = ask(rerun="{", restore="2")
    assert [request.version for request in found.requests] == [2]
    assert len(found.refusals) == 1


def test_ids_are_those_of_the_object_that_was_looked_at():
    notes = {RERUN: "a"}
    first, second = (parse_annotations(notes, "uid", "7").requests[0] for _ in range(2))
    assert first.id == second.id
    others = (
        parse_annotations(notes, "uid", "8"),
        parse_annotations(notes, "other", "7"),
        parse_annotations({RERUN: "b"}, "uid", "7"),
    )
    ids = {first.id, *(each.requests[0].id for each in others)}
    assert len(ids) == 4
    assert all(len(each) == 32 for each in ids)


def run(notes, version="7"):
    return {"metadata": {"name": "r", "resourceVersion": version, "annotations": notes}}


def test_take_turns_what_is_asked_into_accepted_in_one_patch():
    notes = {RERUN: "a,b", CASCADE: "false", RESTORE: "1", "other.io/x": "y"}
    requests = list(parse_annotations(notes, "uid", "7").requests)
    operations = accept_patch(notes, "7", requests)
    after = patched(run(notes), operations)["metadata"]["annotations"]
    assert set(after) == {ACCEPTED, "other.io/x"}
    assert load_accepted(after) == requests
    # The server answers 409 where the object is another one by now.
    assert operations[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}


def test_take_of_garbage_removes_it():
    notes = {RERUN: "{", CASCADE: "x"}
    assert patched(run(notes), accept_patch(notes, "7", []))["metadata"]["annotations"] == {}


def test_take_adds_to_what_was_accepted():
    notes = {RERUN: "a", ACCEPTED: '[{"id": "old", "nodes": ["b"]}]'}
    accepted = load_accepted(notes)
    accepted += parse_annotations(notes, "uid", "7").requests
    after = patched(run(notes), accept_patch(notes, "7", accepted))["metadata"]["annotations"]
    assert [request.nodes for request in load_accepted(after)] == [("b",), ("a",)]


def test_remove_leaves_the_others():
    notes = {ACCEPTED: '[{"id": "1", "nodes": ["a"]}, {"id": "2", "restore": 4}]', RERUN: "c"}
    accepted = load_accepted(notes)
    operations = drop_patch(notes, "7", accepted[1:])
    after = patched(run(notes), operations)["metadata"]["annotations"]
    assert load_accepted(after) == accepted[1:]
    assert after[RERUN] == "c", "what was asked meanwhile stays"
    assert operations[0]["path"] == "/metadata/resourceVersion"
    after = patched(run(notes), drop_patch(notes, "7", []))["metadata"]["annotations"]
    assert after == {RERUN: "c"}
    assert patched(run({}), drop_patch({}, "7", [])) == run({})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{]",
        "null",
        "5",
        '{"a": 1}',
        '["a"]',
        "[[]]",
        '[{"nodes": ["a"]}]',
        '[{"id": 5, "nodes": ["a"]}]',
        '[{"id": "", "nodes": ["a"]}]',
        '[{"id": "%s", "nodes": ["a"]}]' % ("x" * 101),
        '[{"id": "1"}]',
        '[{"id": "1", "nodes": ["a"], "speed": 1}]',
        '[{"id": "1", "restore": "x"}]',
        '[{"id": "1", "restore": true}]',
        '[{"id": "1", "nodes": ["a"]}, 5]',
        "[" * 5000,
    ],
)
def test_damaged_accepted_is_reported_from_none(text):
    assert load_accepted({ACCEPTED: text}) is None
    assert load_accepted({}) == []
    # The operator's way out: it takes the damaged text away.
    notes = {ACCEPTED: text}
    assert patched(run(notes), drop_patch(notes, "7", []))["metadata"]["annotations"] == {}


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet='{}[]":, anodes\\\ud800', max_size=40),
    st.builds(
        json.dumps,
        st.dictionaries(
            st.sampled_from(["nodes", "cascade", "context", "revision", "x"]),
            st.one_of(
                VALUES,
                st.sampled_from(["latest", "a", True]),
                st.lists(st.sampled_from(["a", "b", "_"])),
                st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
            ),
        ),
    ),
)
NOTES = st.dictionaries(
    st.sampled_from([RERUN, CASCADE, RESTORE, ACCEPTED]),
    st.one_of(TEXTS, st.sampled_from(["a", "a,b", "3", "true", "false"])),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(NOTES)
@example({RERUN: DEEP})
def test_whatever_is_asked_is_accepted_or_refused_and_goes(notes):
    found = parse_annotations(notes, "uid", "7")
    accepted = load_accepted(notes) or []
    if found is None:
        return
    assert found.requests or found.refusals
    operations = accept_patch(notes, "7", [*accepted, *found.requests])
    after = patched(run(notes), operations)["metadata"]["annotations"]
    assert set(after) <= {ACCEPTED}
    assert parse_annotations(after, "uid", "8") is None
    again = load_accepted(after)
    assert [request.dump() for request in again] == [
        request.dump() for request in (*accepted, *found.requests)
    ]


@settings(max_examples=200, deadline=None)
@given(st.one_of(TEXTS, st.builds(json.dumps, st.lists(st.dictionaries(
    st.sampled_from(["id", "nodes", "restore", "cascade", "context"]),
    st.one_of(VALUES, st.just("a")),
))), st.builds(json.dumps, VALUES)))  # fmt: skip
def test_accepted_of_any_kind_is_read_or_damaged(text):
    found = load_accepted({ACCEPTED: text})
    assert found is None or all(request.dump()["id"] == request.id for request in found)


# Who asks

BY = "podium.dev/requested-by"


@pytest.mark.parametrize(
    "asked", [{RERUN: "a"}, {RERUN: '{"nodes": ["a"]}'}, {"podium.dev/restore": "3"}]
)
def test_who_asks_is_kept_with_what_is_asked(asked):
    annotations = {**asked, BY: "alice"}
    (request,) = parse_annotations(annotations, "u", "1").requests
    assert request.by == "alice"
    patch = accept_patch(annotations, "1", [request])
    assert {"op": "remove", "path": "/metadata/annotations/podium.dev~1requested-by"} in patch
    (kept,) = load_accepted({ACCEPTED: patch[-1]["value"]})
    assert kept == request


def test_a_name_that_nobody_has_does_no_harm():
    annotations = {RERUN: "a", BY: "eve\n\x1b[2J" + "x" * 10_000}
    (request,) = parse_annotations(annotations, "u", "1").requests
    assert request.by.startswith("eve??[2Jx")
    assert len(request.by) == 256


@pytest.mark.parametrize("by", [1, None, ["a"], {"a": 1}])
def test_a_name_in_accepted_that_is_no_string_is_damage_or_nothing(by):
    found = load_accepted({ACCEPTED: json.dumps([{"id": "q", "nodes": ["a"], "by": by}])})
    assert found is None or all(isinstance(each.by, str) for each in found)


def test_who_asks_is_no_part_of_a_request():
    asked = parse_annotations({RERUN: '{"nodes": ["a"], "by": "alice"}'}, "u", "1")
    assert asked.requests == ()
    assert "'by'" in asked.refusals[0][1]
