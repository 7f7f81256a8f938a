"""What a run takes over from an earlier one (semantics.md 3)."""

import pytest

from podium.api.node_state import OutputRef
from podium.api.run import ContextEdit, CopiedFrom, FormerDefinition, WorkflowRunSpec
from podium.engine import Earlier, RunInfo, copied_states, initial_context, initial_status
from podium.engine.engine import Engine
from tests.unit.engine.support import AttemptPhase, Run, node

NAMED = {"workflowRef": {"name": "w"}}


def earlier_of(run, **facts):
    return Earlier(
        "old", "uid-old", run.plan, run.engine.status, run.engine.initial_context, **facts
    )


def copied(run, *, later=None, earlier=None, context=None, **asked):
    """Return the nodes that a run copies from another one, by default of the same definition."""
    later = later or run
    spec = WorkflowRunSpec.model_validate({**NAMED, "from": {"run": "old"}, **asked})
    given = later.run_spec if context is None else WorkflowRunSpec(context=context)
    earlier = earlier or earlier_of(run)
    return copied_states(later.plan, spec, initial_context(later.plan, given), earlier, 5.0)


def ended(*nodes, **facts):
    run = Run(*nodes, **facts).step()
    waiting = run.launched
    while waiting:
        execution = waiting.pop(0)
        waiting += run.ok(execution, {"from": execution}).launched
    assert run.phase == "Succeeded"
    return run


def chain():
    return [node("a"), node("b", "a"), node("c", "b")]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"from": {"run": "old", "node": "b"}}, ["a"]),
        ({"from": {"run": "old", "node": "no-such-node"}}, ["a", "b", "c"]),
        ({"only": ["b"]}, ["a"]),
        ({"only": ["c"], "from": {"run": "old", "node": "c"}}, ["a", "b"]),
        ({"until": ["b"]}, ["a", "b", "c"]),
    ],
)
def test_what_ended_well_is_copied_if_it_comes_after_nothing_that_runs(asked, names):
    assert list(copied(ended(*chain()), **asked)) == names


def test_a_copy_has_an_id_that_is_spent_and_says_where_it_ran():
    run = ended(*chain())
    run.rerun("a").ok("a-2", {"from": "a-2"}).ok("b-2").ok("c-2")
    state = copied(run)["a"]
    assert state.copied_from == CopiedFrom(run="old", uid="uid-old", execution_id="a-2")
    assert (state.execution_id, state.execution_count, state.last_execution_number) == ("a-1", 0, 1)
    assert (state.output, state.context_version) == ({"from": "a-2"}, 0)
    assert (state.started_at, state.job_uid, state.history) == (run.state("a").started_at, None, [])


def test_a_copy_of_a_copy_says_where_it_ran_first():
    run = ended(*chain())
    origin = CopiedFrom(run="first", uid="uid-first", execution_id="a-7")
    run.state("a").copied_from = origin
    assert copied(run)["a"].copied_from == origin


def test_what_is_stale_runs_again_with_what_follows():
    run = ended(*chain()).rerun("a", cascade=False)
    run.ok("a-2")
    assert run.state("b").stale
    assert list(copied(run)) == ["a"]


def test_what_was_undone_or_may_be_runs_again():
    undo = {"compensation": {"executor": "script", "config": {"script": "true"}}}
    run = Run(node("a"), node("b", "a", **undo), node("c", "b")).step().ok("a-1").ok("b-1")
    assert list(copied(run)) == ["a"], "the run may be rolled back yet"
    run.fail("c-1", reason="Error").ok("b.compensation-1")
    assert run.phase == "Failed"
    assert list(copied(run)) == ["a"]
    run.rerun("c").ok("b-2").ok("c-2")
    assert list(copied(run)) == ["a", "b", "c"]


def test_what_is_copied_is_not_undone():
    undo = {"compensation": {"executor": "script", "config": {"script": "true"}}}
    run = ended(node("a", **undo), node("b", "a"))
    spec = WorkflowRunSpec.model_validate({**NAMED, "from": {"run": "old", "node": "b"}})
    context = initial_context(run.plan, spec)
    states = copied_states(run.plan, spec, context, earlier_of(run), 5.0)
    later = Run(node("a", **undo), node("b", "a"))
    status = initial_status(later.plan, 5.0, spec, states)
    later.engine = Engine(later.plan, later.engine.info, context, status)
    later.step().fail("b-1", reason="Error")
    assert (later.phase, later.launched) == ("Failed", [])


def test_a_run_that_goes_on_gives_what_it_has_completed():
    run = Run(*chain()).step().ok("a-1", {"n": 1})
    assert list(copied(run)) == ["a"]


@pytest.mark.parametrize(
    ("reason", "status", "is_copied"),
    [
        ("ConditionFalse", "Skipped", True),
        ("NoActiveEdge", "Skipped", True),
        ("UpstreamFailed", "Skipped", False),
        ("NotSelected", "Skipped", False),
        ("Error", "Failed", False),
        ("RunCancelled", "Cancelled", False),
    ],
)
def test_a_decision_not_to_run_is_copied_unless_others_made_it(reason, status, is_copied):
    run = ended(node("a"), node("b", "a", triggerRule="AllDone"))
    state = run.state("a")
    state.status, state.reason = type(state.status)(status), reason
    state.output = state.execution_id = state.context_version = None
    assert ("a" in copied(run)) is is_copied
    assert ("b" in copied(run)) is is_copied, "it comes after what runs"


def test_values_are_compared_as_of_the_version_that_a_node_read():
    reads = {"inputContract": {"context": ["k"]}}
    run = ended(node("a", **reads), node("b", "a", **reads), context={"k": 1, "other": 1})
    run.rerun("b", context={"k": 2}).ok("b-2")
    assert list(copied(run, context={"k": 1})) == ["a"]
    assert list(copied(run, context={"k": 2})) == [], "b comes after a, which runs again"
    run.rerun("a", id="q2").ok("a-2").ok("b-3")
    assert list(copied(run, context={"k": 2, "other": 7})) == ["a", "b"]


def test_what_had_started_before_an_edit_has_not_read_it():
    reads = {"inputContract": {"context": ["k"]}}
    run = Run(node("a", **reads), node("b", **reads), context={"k": 1}).step()
    run.now += 5
    run.rerun("b", context={"k": 2}).step(run.see("b-1", "Gone"))
    run.now += 5
    run.ok("a-1").ok("b-2")
    assert run.state("a").context_version > run.engine.status.context_edits[0].version
    assert list(copied(run, context={"k": 1})) == ["a"]
    assert list(copied(run, context={"k": 2})) == ["b"]


def test_a_threshold_for_all_outputs_is_read_by_all_nodes():
    run = ended(node("a", inputContract={"context": []}), context={"quality_threshold": 0.5})
    assert list(copied(run, context={"quality_threshold": 0.5, "more": 1})) == ["a"]
    assert not copied(run, context={"quality_threshold": 0.9})


def test_what_an_earlier_definition_made_is_no_result_of_the_present_one():
    run = ended(*chain())
    status = run.engine.status
    status.workflow_revisions = [FormerDefinition(revision="r", before_version=4)]
    assert list(copied(run)) == ["a", "b", "c"], "it did the same under the newer one"
    status.context_edits = [ContextEdit(version=5, request="q", context={}, restored=2)]
    assert not copied(run), "a restore may have put it back"


def test_each_run_has_volumes_of_its_own():
    claims = [{"name": "work", "size": "1Gi"}]
    mounts = {"pod": {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}}
    run = ended(node("a", **mounts), node("b"), node("c", "b"), volumeClaims=claims)
    assert list(copied(run)) == ["b", "c"]


def test_what_nodes_left_must_be_where_the_run_looks_for_it():
    keeps = {"artifacts": {"out": [{"name": "x", "path": "x"}]}}
    run = ended(node("a", **keeps), node("b", "a"), node("c"))
    assert list(copied(run)) == ["a", "b", "c"]
    assert list(copied(run, earlier=earlier_of(run, are_recorded=True))) == ["c"], "it left nothing"
    run.state("a").artifacts = "digest"
    assert list(copied(run, earlier=earlier_of(run, are_recorded=True))) == ["a", "b", "c"]
    assert list(copied(run, earlier=earlier_of(run, has_artifacts=False))) == ["c"]
    run.state("c").output_ref = OutputRef(size=9000, digest="d")
    assert not copied(run, earlier=earlier_of(run, has_artifacts=False))


def test_a_status_names_so_many_runs_whose_artifacts_it_has():
    run = ended(*(node(f"n{number}") for number in range(30)))
    for number, state in enumerate(run.engine.status.nodes.values()):
        state.artifacts = "digest"
        state.copied_from = CopiedFrom(run="r", uid=f"{number:036}", execution_id="n-1")
    states = copied(run)
    assert len(states) == 25
    status = initial_status(run.plan, 5.0, run.run_spec, states)
    assert status.artifacts_of == ",".join(f"{number:036}" for number in range(25))
    assert status.progress == "25/30"


@pytest.mark.parametrize("field", ["output", "execution_id"])
def test_a_status_that_lacks_what_it_must_have_gives_nothing(field):
    run = ended(*chain())
    setattr(run.state("a"), field, None)
    assert list(copied(run)) == []


def test_conditions_of_edges_after_copies_know_when_the_run_began():
    """They are evaluated when the run begins, not when its engine is made."""
    edge = {"from": "a", "to": "b", "condition": "run.startedAt != null"}
    run = ended(node("a"), node("b"), edges=[edge])
    spec = WorkflowRunSpec.model_validate({**NAMED, "from": {"run": "old", "node": "b"}})
    context = initial_context(run.plan, spec)
    states = copied_states(run.plan, spec, context, earlier_of(run), 5.0)
    status = initial_status(run.plan, 5.0, spec, states)
    engine = Engine(run.plan, RunInfo("new", "uid"), context, status)
    actions = engine.step(10.0)
    assert [getattr(each, "execution_id", "") for each in actions].count("b-1") == 1
    assert status.nodes["b"].status.value == "Ready"


def test_members_of_a_group_that_stays_skipped_stay_with_it():
    inner = {"id": "inner", "type": "parallel_group", "condition": "1 == 2", "nodes": [node("x")]}
    outer = {"id": "outer", "type": "parallel_group", "nodes": [inner, node("y")]}
    run = Run(outer).step().fail("outer.y-1", reason="Error")
    assert run.stands("outer.inner.x") == "Skipped GroupSkipped"
    assert list(copied(run)) == ["outer.inner", "outer.inner.x"]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"only": ["z"]}, ["a", "y"]),  # the output of g would lack that of m
        ({"only": ["g.h.x"]}, ["a", "g.b"]),
        ({}, ["a", "g.b", "g.h.x"]),
    ],
)
def test_a_group_is_copied_with_all_of_its_members_or_not_at_all(asked, names):
    inner = {"id": "h", "type": "parallel_group", "nodes": [node("x"), node("m")]}
    group = {"id": "g", "type": "parallel_group", "nodes": [node("b"), inner], "dependsOn": ["a"]}
    run = ended(node("a"), group, node("y", "g"), node("z", "y"))
    run.state("g.h.m").stale = True
    assert list(copied(run, **asked)) == names


LIST = "context.list"


def mapped(count=3, **fields):
    """Return a run in which a map has ended, and what follows it."""
    return Run(
        node("m", forEach=LIST, **fields), node("after", "m"), context={"list": list(range(count))}
    ).step()


def test_a_map_is_copied_with_its_items():
    run = mapped(4, allowedFailures=1)
    run.ok("m[0]-1", {"n": 0}).ok("m[1]-1").fail("m[2]-1", reason="Error").ok("m[3]-1", {"n": 3})
    run.ok("after-1")
    states = copied(run)
    assert list(states) == ["m", "after", "m[0]", "m[3]", "m[2]"]
    whole, before = states["m"], run.state("m").items
    assert whole.items == before
    assert whole.items is not before, "what becomes of one does not concern the other"
    assert whole.items.completed is not before.completed
    assert (whole.execution_id, whole.execution_count) == ("m-1", 0)
    assert (states["m[3]"].output, states["m[3]"].execution_id) == ({"n": 3}, "m[3]-1")
    assert (states["m[3]"].execution_count, states["m[3]"].last_execution_number) == (0, 1)
    assert (states["m[2]"].status.value, states["m[2]"].reason) == ("Failed", "Error")
    assert states["m[2]"].copied_from.execution_id == "m[2]-1"
    assert states["m[2]"].job_uid is None


def test_children_of_items_stay_with_the_run_that_they_were_of():
    run = mapped(1, executor="workflow", config={"workflowRef": {"name": "other"}})
    run.step(run.see("m[0]-1", AttemptPhase.RUNNING, child_run="made"))
    run.ok("m[0]-1", {"n": 0}).ok("after-1")
    assert run.state("m[0]").child_run == "made"
    states = copied(run)
    assert (states["m[0]"].output, states["m[0]"].child_run) == ({"n": 0}, None)


def test_what_follows_a_copied_map_reads_its_items():
    run = mapped(2).ok("m[0]-1", {"n": 5}).ok("m[1]-1").ok("after-1")
    spec = WorkflowRunSpec.model_validate({**NAMED, "from": {"run": "old", "node": "after"}})
    context = initial_context(run.plan, run.run_spec)
    states = copied_states(run.plan, spec, context, earlier_of(run), 5.0)
    status = initial_status(run.plan, 5.0, spec, states)
    assert status.progress == "1/2", "items are no nodes"
    engine = Engine(run.plan, RunInfo("new", "uid-new"), context, status)
    (launch,) = [each for each in engine.step(10.0) if hasattr(each, "execution_id")]
    assert launch.execution_id == "after-1"
    of_map = {"items": [{"n": 5}, {}], "succeeded": 2, "failed": 0, "skipped": 0}
    assert launch.input["dependencyOutputs"]["m"] == of_map


@pytest.mark.parametrize("how", ["another list", "it failed", "it runs", "no map", "now a map"])
def test_a_map_that_did_not_end_well_or_is_another_one_runs(how):
    run = mapped(2, allowedFailures=0)
    later = None
    if how == "it failed":
        run.ok("m[0]-1").fail("m[1]-1", reason="Error")
    elif how == "it runs":
        run.ok("m[0]-1")
    else:
        run.ok("m[0]-1").ok("m[1]-1").ok("after-1")
    given = {"list": [5]} if how == "another list" else {"list": [0, 1]}
    if how == "no map":
        later = Run(node("m"), node("after", "m"), context=given)
    if how == "now a map":
        later, run = run, ended(node("m"), node("after", "m"), context=given)
    assert "m" not in copied(run, later=later, context=given)
