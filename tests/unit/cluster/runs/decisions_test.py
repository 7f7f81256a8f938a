"""Decisions about approvals, as annotations say them: whatever is there is read or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.cluster.runs.decisions import load_decision
from podium.cluster.runs.requests import (
    ACCEPTED,
    accept_patch,
    load_accepted,
    parse_annotations,
    within_limits,
)
from tests.unit.cluster.runs.requests_test import patched

APPROVE, BY, GROUPS = (f"podium.dev/{n}" for n in ("approve", "approved-by", "approved-groups"))
GOOD = {"node": "gate", "executionId": "gate-1", "decision": "Approve"}


def notes(text, by="bob", groups=None):
    found = {APPROVE: text if isinstance(text, str) else json.dumps(text)}
    found |= {} if by is None else {BY: by}
    return found | ({} if groups is None else {GROUPS: groups})


def ask(text, **facts):
    return parse_annotations(notes(text, **facts), "uid", "7")


def test_a_decision_is_read_stored_and_read_again():
    values = {"n": 1.0, "list": [None, {"x": "y"}]}
    found = ask({**GOOD, "comment": "fine", "values": values}, groups="release\n\nops, eu\n")
    (request,) = found.requests
    decision = request.decision
    assert (decision.node, decision.execution, decision.is_approved) == ("gate", "gate-1", True)
    assert (decision.by, decision.groups) == ("bob", ("release", "ops, eu"))
    assert decision.values == {"n": 1, "list": [None, {"x": "y"}]}
    (again,) = load_accepted({ACCEPTED: json.dumps([request.dump()])})
    assert again == request


def test_what_was_taken_in_is_gone_from_the_annotations():
    annotations = {**notes(GOOD, groups="g"), "other": "stays"}
    found = parse_annotations(annotations, "uid", "7")
    body = {"metadata": {"resourceVersion": "7", "annotations": annotations}}
    after = patched(body, accept_patch(annotations, "7", list(found.requests)))
    assert set(after["metadata"]["annotations"]) == {ACCEPTED, "other"}


def test_a_name_that_stands_alone_stays():
    assert parse_annotations({BY: "bob"}, "uid", "7") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", "is not JSON"),
        ("[]", "is not an object"),
        ("", "is not JSON"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "is longer than 16384 characters"),
        ('{"values":' + '{"a":' * 2000 + "1" + "}" * 2001, "is not JSON"),
        ({**GOOD, "groups": ["admins"]}, "unknown field 'groups'"),
        ({**GOOD, "by": "alice"}, "unknown field 'by'"),
        ({**GOOD, "node": "../x"}, "is not a node id"),
        ({**GOOD, "node": ["gate"]}, "is not a node id"),
        ({"node": "gate", "decision": "Approve"}, "executionId must be"),
        ({**GOOD, "executionId": 1}, "executionId must be"),
        ({**GOOD, "decision": True}, "decision must be Approve or Reject"),
        ({**GOOD, "decision": "approve"}, "decision must be Approve or Reject"),
        ({**GOOD, "comment": "x" * 1025}, "comment must be"),
        ({**GOOD, "comment": {}}, "comment must be"),
        ({**GOOD, "values": []}, "values must be an object"),
        ({**GOOD, "values": {"x": "y" * 5000}}, "less than 4096 bytes"),
        ('{"node":"gate","executionId":"g","decision":"Approve","values":'
         + '{"a":' * 900 + "1" + "}" * 901, "values"),
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(text, said):
    found = ask(text)
    assert found.requests == ()
    ((reason, message),) = found.refusals
    assert reason == "ApprovalRefused"
    assert message.startswith("annotation podium.dev/approve:")
    assert said in message


@pytest.mark.parametrize("by", [None, "", "x" * 257])
def test_who_decides_must_be_named(by):
    ((_, message),) = ask(GOOD, by=by).refusals
    assert "podium.dev/approved-by must name who decides" in message


@pytest.mark.parametrize("groups", ["g\n" * 101, "x" * 257])
def test_groups_are_bounded(groups):
    ((_, message),) = ask(GOOD, groups=groups).refusals
    assert "podium.dev/approved-groups must have at most" in message


def test_a_comment_controls_no_terminal():
    (request,) = ask({**GOOD, "comment": "a\x1b[31mb\nc"}).requests
    assert request.decision.comment == "a?[31mb\nc"


def test_so_many_of_the_largest_fit():
    (request,) = ask({**GOOD, "values": {"x": "y" * 4000}, "comment": "c" * 1024}).requests
    assert within_limits([request] * 20)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = ("node", "executionId", "decision", "comment", "values", "by", "groups", "more")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.text(max_size=300), st.text(max_size=300))
def test_any_json_is_read_or_refused(data, by, groups):
    found = ask({**GOOD, **data}, by=by, groups=groups)
    assert len(found.requests) + len(found.refusals) == 1
    for request in found.requests:
        assert load_decision(json.loads(json.dumps(request.dump()))["approve"]) == request.decision
