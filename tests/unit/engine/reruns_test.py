"""Re-runs and restores (semantics.md 8)."""

import pytest

from podium.api.problems import Problem
from podium.api.workflow import WorkflowSpec
from podium.engine import AttemptPhase, Control, Plan, RerunRequest, RestoreRequest, context_at
from tests.unit.engine.support import Run, node

P = AttemptPhase


def diamond():
    return [node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c")]


def ended_diamond():
    run = Run(*diamond()).step()
    for name in ("a-1", "b-1", "c-1", "d-1"):
        run.ok(name, {"from": name})
    assert run.phase == "Succeeded"
    return run


def test_rerun_with_cascade_runs_the_node_and_what_follows():
    run = ended_diamond().rerun("b")
    assert run.launched == ["b-2"]
    assert (run.phase, run.stands("d")) == ("Running", "WaitingForDependencies")
    run.ok("b-2")
    assert run.launched == ["d-2"]
    assert run.ok("d-2").phase == "Succeeded"
    assert run.state("d").history[0].output == {"from": "d-1"}
    assert run.state("c").execution_id == "c-1"


def test_rerun_without_cascade_leaves_what_follows_and_marks_it():
    run = ended_diamond().rerun("b", cascade=False)
    run.ok("b-2")
    assert run.phase == "Succeeded"
    assert (run.state("d").stale, run.state("c").stale) == (True, False)
    run.rerun("d", id="q2").ok("d-2")
    assert run.state("d").stale is False


def test_rerun_of_a_running_run_stops_descendants_first():
    run = Run(node("a"), node("b", "a")).step()
    run.ok("a-1")
    run.rerun("a")
    assert (run.stopped, run.launched) == (["b-1"], [])
    assert run.step(run.see("b-1", P.GONE)).launched == ["a-2"]
    assert run.ok("a-2").launched == ["b-2"]


def test_rerun_with_edited_context_makes_a_version():
    run = Run(node("a"), inputs={"properties": {"n": {"type": "integer"}}}, context={"n": 1})
    run.step().ok("a-1", {"x": 1})
    run.rerun("a", context={"n": "one"})
    assert run.events[0].startswith("RerunRefused")
    assert "spec.context.n" in run.events[0]
    run.rerun("a", id="q2", context={"n": 2}).ok("a-2", {"x": 2})
    status = run.engine.status
    assert status.context_version == 3
    assert context_at(status, {"n": 1}, 1) == {
        "version": 1,
        "context": {"n": 1},
        "outputs": {"a": {"x": 1}},
    }
    assert context_at(status, {"n": 1}) == {
        "version": 3,
        "context": {"n": 2},
        "outputs": {"a": {"x": 2}},
    }


@pytest.mark.parametrize(
    ("nodes", "control", "said"),
    [
        (("nope",), Control(), "unknown node nope: nodes are a, b, c, d"),
        (("a",), Control(cancel=True), "set spec.cancel to false first"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_with_the_reason(nodes, control, said):
    run = ended_diamond()
    run.step(requests=[RerunRequest("q", nodes)], control=control)
    assert said in run.events[0]
    assert run.engine.status.handled_requests == ["q"]
    assert run.phase == "Succeeded"


def test_a_suspended_run_queues_requests():
    run = ended_diamond()
    request = RerunRequest("q", ("d",))
    run.step(requests=[request], control=Control(suspend=True))
    assert run.engine.status.handled_requests == []
    assert run.step(requests=[request]).launched == ["d-2"]


def test_rerun_at_the_latest_definition_keeps_what_is_the_same():
    run = ended_diamond()
    changed = diamond()
    changed[1]["config"] = {"script": "echo new"}
    changed = [n for n in changed if n["id"] != "c"]
    changed[2]["dependsOn"] = ["b", "e"]
    changed.append(node("e", "a"))
    plan = Plan.build(WorkflowSpec(nodes=changed), workflow_id="w", revision="w-2")
    run.plan = plan
    run.step(requests=[RerunRequest("q", (), plan=plan)])
    assert run.launched == ["b-2", "e-1"]
    assert run.engine.status.workflow_revision == "w-2"
    assert set(run.engine.status.nodes) == {"a", "b", "d", "e"}
    assert run.engine.status.removed_nodes["c"].output == {"from": "c-1"}
    run.ok("b-2").ok("e-1").ok("d-2")
    assert run.phase == "Succeeded"
    assert run.state("a").execution_id == "a-1"


def test_restore_goes_back_and_runs_what_came_after():
    run = Run(node("a"), node("b", "a"), node("c", "b")).step()
    run.ok("a-1", {"v": 1})  # version 1
    run.ok("b-1", {"v": 1})  # version 2
    run.ok("c-1", {"v": 1})  # version 3
    run.rerun("b").ok("b-2", {"v": 2}).ok("c-2", {"v": 2})  # versions 4 and 5
    run.step(requests=[RestoreRequest("r", 2)])
    assert run.state("b").output == {"v": 1}
    assert run.launched == ["c-3"]
    assert context_at(run.engine.status, {})["outputs"] == {"a": {"v": 1}, "b": {"v": 1}}
    run.ok("c-3", {"v": 3})
    assert run.phase == "Succeeded"
    assert context_at(run.engine.status, {}, 5)["outputs"]["c"] == {"v": 2}


def test_restore_of_a_version_that_never_was_is_refused():
    run = ended_diamond().step(requests=[RestoreRequest("r", 9)])
    assert "there is no context version 9: versions are 0 to 4" in run.events[0]


def test_a_node_that_comes_back_goes_on_counting():
    """Its first execution has a Job, which a second one of that id would be taken for."""
    with_b = Run(node("a"), node("b"), node("c", "b"))
    run = Run(node("a"), node("b"), node("c", "b")).step()
    run.ok("a-1").ok("b-1", {"v": 1})
    run.plan = Run(node("a")).plan
    run.step(requests=[RerunRequest("q1", (), plan=run.plan)])
    run.step(requests=[RerunRequest("q2", (), plan=with_b.plan)])
    run.plan = with_b.plan
    assert run.launched == [], "what was stopped may still run"
    run.step(run.see("c-1", P.GONE))
    assert run.launched == ["b-2"]
    assert [record.output for record in run.state("b").history] == [{"v": 1}]
    assert run.ok("b-2").launched == ["c-2"]
    run.ok("c-2")
    assert run.phase == "Succeeded"
    assert run.engine.status.removed_nodes == {}


def test_the_context_is_changed_no_more_often_than_the_status_has_room_for():
    run = Run(node("a"), context={"x": 0}).step().ok("a-1")
    for i in range(50):
        run.rerun("a", id=f"q{i}", context={"x": i + 1}).ok(f"a-{i + 2}")
    run.rerun("a", id="one-more", context={"x": -1})
    assert any("changed 50 times" in event for event in run.events)
    run.step(requests=[RestoreRequest("restore", 0)])
    assert any("changed 50 times" in event for event in run.events)
    assert run.crash().engine.status.context_edits[-1].context == {"x": 50}
    run.rerun("a", id="without")
    assert run.launches["a-52"].input["globalContext"] == {"x": 50}


def test_who_asked_for_a_rerun_is_told():
    run = ended_diamond().rerun("b", requested_by="alice")
    assert "running again: b, d; requested by alice" in run.events[0]
    run.step(requests=[RestoreRequest("r", 99, requested_by="bob (not verified)")])
    assert run.events[0].endswith("; requested by bob (not verified)")


@pytest.mark.parametrize("found", [(), (Problem(("spec", "context", "v"), "is too long"),)])
def test_what_was_found_elsewhere_is_wrong_with_a_context_and_nothing_else(found):
    """The schema, which forbids the value, is not asked; version 1 is of the output."""
    inputs = {"properties": {"v": {"type": "string"}}}
    run = Run(node("a"), inputs=inputs).step().ok("a-1")
    run.step(requests=[RerunRequest("r", ("a",), context={"v": 1}, context_problems=found)])
    assert run.engine.status.context_version == (1 if found else 2)
    assert ("spec.context.v: is too long" in run.events[-1]) == bool(found)
