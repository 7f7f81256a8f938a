"""What is checked before a run starts."""

import pytest

from podium.api.problems import errors
from podium.engine import check_start, initial_context
from tests.unit.engine.support import Run, node


def test_inputs_may_be_closed_beside_a_global_context():
    inputs = {"type": "object", "properties": {"who": {}}, "additionalProperties": False}
    run = Run(node("a"), context={"who": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    assert check_start(run.plan, run.run_spec) == []
    other = Run(node("a"), context={"whom": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    (problem,) = check_start(other.plan, other.run_spec)
    assert "whom" in problem.message
    assert "greeting" not in problem.message


APPROVED = {"image": "registry/approved", "threshold": 0.9}


def closed(**more):
    return {"type": "object", "additionalProperties": False, "properties": {"tag": {}}, **more}


@pytest.mark.parametrize(
    "context",
    [
        {"image": "evil"},
        {"image": None},
        {"image": {"name": "evil"}},
        {"threshold": 0, "tag": "v1"},
    ],
)
def test_nothing_sets_what_closed_inputs_do_not_declare(context):
    run = Run(node("a"), context=context, inputs=closed(), globalContext=APPROVED)
    assert errors(check_start(run.plan, run.run_spec)) != []
    found = initial_context(run.plan, run.run_spec)
    assert {key: found[key] for key in APPROVED} == APPROVED, "whoever starts it all the same"


@pytest.mark.parametrize("context", [{"a.b": 1}, {"": 1}, {"Image": "evil"}, {"image ": "evil"}])
def test_a_key_that_looks_like_another_one_is_not_it(context):
    run = Run(node("a"), context=context, inputs=closed(), globalContext=APPROVED)
    assert errors(check_start(run.plan, run.run_spec)) != []


def test_patterns_declare_keys_too():
    inputs = closed(patternProperties={"^im": {}})
    run = Run(node("a"), context={"image": "mine"}, inputs=inputs, globalContext=APPROVED)
    assert check_start(run.plan, run.run_spec) == []
    assert initial_context(run.plan, run.run_spec)["image"] == "mine"


@pytest.mark.parametrize("inputs", [None, {"properties": {"tag": {}}}])
def test_what_is_approved_sets_declared_keys_only(inputs):
    more = {} if inputs is None else {"inputs": inputs}
    run = Run(node("a"), context={"image": "evil", "tag": 1}, globalContext=APPROVED, **more)
    assert check_start(run.plan, run.run_spec) == []
    (problem,) = check_start(run.plan, run.run_spec, only_declared=True)
    assert problem.path == ("spec", "context", "image")
    assert "allowInlineWorkflows" in problem.message


def test_what_is_approved_lets_declared_keys_be_set():
    inputs = {"properties": {"image": {}}}
    run = Run(node("a"), context={"image": "mine"}, inputs=inputs, globalContext=APPROVED)
    assert check_start(run.plan, run.run_spec, only_declared=True) == []


@pytest.mark.parametrize("context", [{"image": "evil"}, {"image": None}])
def test_a_rerun_of_what_is_approved_sets_declared_keys_only(context):
    run = Run(node("a"), globalContext=APPROVED).step().ok("a-1")
    run.rerun("a", context=context, only_declared=True)
    assert "RerunRefused" in run.events[0]
    assert run.phase == "Succeeded"
    run.rerun("a", id="q2", context={"tag": 2}, only_declared=True)
    assert run.launched == ["a-2"]
