"""Moving a run to a newer definition: what runs again, and what earlier versions say."""

import pytest

from podium.engine import RerunRequest, RestoreRequest, context_at, former_definition
from podium.engine.plan import Plan
from podium.engine.start import initial_context
from tests.unit.engine.support import Run, node


def newer(run, **changes):
    spec = run.spec.model_copy(deep=True, update=changes)
    return Plan.build(spec, workflow_id="w", revision="newer")


def move(run, plan, **facts):
    """Move a run to a definition, as a shell asks for it."""
    context = initial_context(plan, run.run_spec)
    request = RerunRequest("latest", (), plan=plan, initial_context=context, **facts)
    run.step(requests=[request])
    run.plan = plan
    return run


def changed(before, after):
    """Return the nodes that a change of one node runs again."""
    run = Run(node("a", **before), node("b"))
    run.step().ok("a-1").ok("b-1")
    plan = Run(node("a", **after), node("b")).plan
    return move(run, plan).launched


@pytest.mark.parametrize(
    "after",
    [
        {"title": "A"},
        {"retryPolicy": {"maxAttempts": 5}},
        {"timeoutSeconds": 5},
        {"startTimeoutSeconds": 5},
        {"resources": {"limits": {"cpu": "1"}}},
        {"maxDisruptions": 1},
        {"forceRestartAfterSeconds": 5},
        {"pod": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high"}},
        {"pod": {"labels": {"team": "x"}, "tolerations": [{"operator": "Exists"}]}},
    ],
)
def test_how_a_node_is_run_or_shown_runs_nothing_again(after):
    assert changed({}, after) == []


def test_that_nothing_runs_again_is_said():
    run = Run(node("a"))
    run.step().ok("a-1")
    move(run, Run(node("a", title="A")).plan)
    assert "no node does anything else than before: none runs again" in " ".join(run.events)


@pytest.mark.parametrize(
    "after",
    [
        {"config": {"script": "false"}},
        {"config": {"script": "true", "env": [{"name": "A", "value": "1"}]}},
        {"condition": "1 == 1"},
        {"outputContract": {"produces": ["x"]}},
        {"pod": {"env": [{"name": "A", "value": "1"}]}},
        {"pod": {"serviceAccountName": "x"}},
        {"inputAs": "File", "executor": "container", "config": {"image": "x"}},
    ],
)
def test_what_a_node_does_runs_it_again(after):
    assert changed({}, after) == ["a-2"]


def test_an_edge_or_its_allow_failure_runs_its_target_again():
    run = Run(node("a"), node("b"), edges=[{"from": "a", "to": "b"}])
    run.step().ok("a-1").ok("b-1")
    for number, fields in enumerate([{"condition": "1 == 1"}, {"allowFailure": True}], 2):
        other = Run(node("a"), node("b"), edges=[{"from": "a", "to": "b", **fields}])
        assert move(run, other.plan).launched == [] or run.launched == [f"b-{number}"]
        run.engine.status.handled_requests = []
        assert run.state("b").execution_id == f"b-{number}"
        run.ok(f"b-{number}")


def test_metadata_that_an_expression_names_runs_it_again():
    named = node("a", condition="workflow.metadata.x == 1")
    run = Run(named, node("b"), metadata={"x": 1})
    run.step().ok("a-1").ok("b-1")
    assert move(run, Run(named, node("b"), metadata={"x": 1, "y": 2}).plan).launched == ["a-2"]


def test_a_changed_global_context_makes_a_version_and_earlier_ones_stay():
    limited = node("b", inputContract={"context": []})
    run = Run(node("a"), limited, globalContext={"k": 1, "kept": {"x": 1}})
    run.step().ok("a-1", {"k": 1}).ok("b-1")
    run.rerun("b", context={"kept": {"y": 2}})
    run.ok("b-2")
    before, old = run.plan, initial_context(run.plan, run.run_spec)
    move(run, newer(run, global_context={"k": 2, "kept": {"x": 1}}))
    assert run.launched == ["a-2"]
    run.ok("a-2", {"k": 2})
    status = run.engine.status
    assert status.context_version == 6  # a 1, b 2, the edit 3, b 4, the definition 5, a 6
    (former,) = status.workflow_revisions
    assert (former.before_version, former.revision) == (5, before.digest)

    def at(version, initial):
        found = context_at(status, initial, version, constants={})
        return found["context"], found["outputs"].get("a")

    new = initial_context(run.plan, run.run_spec)
    assert [bool(former_definition(status, v)) for v in range(7)] == [True] * 5 + [False] * 2
    assert at(1, old) == ({"k": 1, "kept": {"x": 1}}, {"k": 1})
    assert at(4, old) == ({"k": 1, "kept": {"x": 1, "y": 2}}, {"k": 1})
    assert at(5, new) == ({"k": 2, "kept": {"x": 1, "y": 2}}, {"k": 1})
    assert at(6, new) == ({"k": 2, "kept": {"x": 1, "y": 2}}, {"k": 2})

    run.step(requests=[RestoreRequest("r", 4)])
    assert any("is not kept" in event for event in run.events)
    context = at(4, old)[0]
    run.step(requests=[RestoreRequest("s", 4, context)])
    assert run.state("a").execution_id == "a-1"
    assert run.engine._run.context == context
    run.crash()
    assert run.engine._run.context == context


def test_a_definition_with_the_same_context_keeps_no_former_one():
    run = Run(node("a"), globalContext={"k": 1})
    run.step().ok("a-1")
    move(run, Run(node("a", title="A"), globalContext={"k": 1}).plan)
    assert run.engine.status.workflow_revisions == []
    assert run.engine.status.context_version == 1


def test_a_constant_wins_over_an_edit_that_an_earlier_definition_allowed():
    run = Run(node("a"))
    run.step().ok("a-1")
    run.rerun("a", context={"tier": "free"})
    run.ok("a-2")
    plan = Run(node("a"), constants={"tier": "paid"}).plan
    move(run, plan)
    assert run.launches["a-3"].input["globalContext"] == {"tier": "paid"}
    run.rerun("a", id="c", context={"tier": "free"})
    assert any("tier: is a constant" in event for event in run.events)


def test_an_edit_that_closed_inputs_do_not_allow_refuses_the_newer_definition():
    run = Run(node("a"), globalContext={"image": "approved"})
    run.step().ok("a-1")
    run.rerun("a", context={"image": "another"})
    run.ok("a-2")
    closed = {"type": "object", "additionalProperties": False, "properties": {}}
    move(run, Run(node("a"), globalContext={"image": "approved"}, inputs=closed).plan)
    assert any("'image'" in event for event in run.events)


def test_a_re_run_says_that_the_definition_has_changed_since():
    run = Run(node("a"))
    run.step().ok("a-1")
    run.rerun("a", is_outdated=True)
    assert any("--latest" in event for event in run.events)


def test_a_re_run_of_what_failed_refuses_where_nothing_did():
    run = Run(node("a"))
    run.step().ok("a-1")
    run.step(requests=[RerunRequest("f", (), failed=True)])
    assert run.events == ["RerunRefused no node failed"]
