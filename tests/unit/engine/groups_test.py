"""Groups: how members begin and end with their group, and what counts only through it."""

from podium.api.workflow import WorkflowSpec
from podium.engine import Control, RerunRequest, RestoreRequest, context_at, dump_status
from podium.engine.plan import Plan
from podium.engine.rerun_plan import failed_nodes
from tests.unit.engine.support import AttemptPhase, Run, node


def group(name, *members, after=(), **fields):
    made = {"id": name, "type": "parallel_group", "nodes": list(members)}
    return {**made, "dependsOn": list(after), **fields}


def stands(run, *names):
    return [run.stands(name) for name in names]


def test_members_wait_for_their_group_and_followers_for_all_members():
    run = Run(node("u"), group("g", node("a"), node("b", "a"), after=["u"]), node("z", "g")).step()
    assert stands(run, "g", "g.a") == ["WaitingForDependencies", "Pending"]
    assert run.launched == ["u-1"]
    run.ok("u-1")
    assert stands(run, "g", "g.a", "g.b") == ["Running", "Running", "WaitingForDependencies"]
    run.ok("g.a-1", {"x": 1})
    assert run.launched == ["g.b-1"]
    assert run.launches["g.b-1"].input["dependencyOutputs"] == {"a": {"x": 1}, "u": {}}
    assert run.launches["g.b-1"].delivered == ["g.a", "u"]
    run.ok("g.b-1", {"y": 2})
    assert run.stands("g") == "Completed"
    assert run.launched == ["z-1"]
    expected = {"g": {"a": {"x": 1}, "b": {"y": 2}}, "u": {}}
    assert run.launches["z-1"].input["dependencyOutputs"] == expected
    assert run.launches["z-1"].delivered == ["g", "u"]


def test_the_output_of_a_group_is_stored_with_its_members_only():
    run = Run(group("g", node("a"), group("h", node("b")))).step()
    run.ok("g.a-1", {"x": 1}).ok("g.h.b-1", {"y": 2})
    assert run.state("g").output == run.state("g.h").output == {}
    whole = context_at(run.engine.status, {})
    assert whole["outputs"] == {"g": {"a": {"x": 1}, "h": {"b": {"y": 2}}}}
    first = context_at(run.engine.status, {}, run.state("g.a").context_version)
    assert first["outputs"] == {"g.a": {"x": 1}}


def test_a_group_takes_no_slot_and_its_own_limit_holds_for_all_in_it():
    inner = group("h", node("b"), node("c"))
    run = Run(group("g", node("a"), inner, maxParallel=2), node("z"), max_parallel=3).step()
    assert run.launched == ["g.a-1", "g.h.b-1", "z-1"]
    run.ok("g.a-1")
    assert run.launched == ["g.h.c-1"]


def test_a_member_that_cannot_start_leaves_its_slot_to_the_next():
    broken = node("b", inputContract={"requiredFields": ["nothing"]}, allowFailure=True)
    run = Run(group("g", node("a"), broken, node("c"), maxParallel=1), context={}).step()
    run.ok("g.a-1")
    assert run.stands("g.b") == "Failed InputContract"
    assert run.launched == ["g.c-1"]


def test_a_failed_member_counts_through_its_group_only():
    run = Run(group("g", node("a"), node("b")), node("z"), fail_fast=True).step()
    run.fail("g.a-1", reason="Error")
    assert stands(run, "g", "g.b", "z") == ["Running", "Running", "Running"]
    run.ok("g.b-1")
    assert stands(run, "g", "z") == ["Failed MemberFailed", "Cancelled FailFast"]
    assert run.phase == "Failed"


def test_a_group_with_enough_members_completes():
    run = Run(group("g", node("a"), node("b"), minSuccess=1), node("z", "g")).step()
    run.fail("g.a-1", reason="Error").ok("g.b-1")
    assert run.stands("g") == "Completed"
    run.ok("z-1")
    assert run.phase == "Succeeded"
    run.engine.take_changes()
    assert run.engine.status.progress == "4/4"


def test_a_retry_runs_all_members_again_with_executions_of_their_own():
    retry = {"maxAttempts": 2, "backoffSeconds": 5}
    run = Run(group("g", node("a"), node("b", "a"), retryPolicy=retry), node("z", "g")).step()
    run.ok("g.a-1").fail("g.b-1", reason="Error")
    assert stands(run, "g", "g.a", "g.b") == ["Ready MemberFailed", "Completed", "Failed Error"]
    assert run.wakes == [1005.0]
    run.crash().later(5)
    assert run.launched == ["g.a-2"]
    assert stands(run, "g", "g.b") == ["Running", "WaitingForDependencies"]
    run.ok("g.a-2").ok("g.b-2")
    assert run.state("g").execution_id == "g-2"
    assert run.launched == ["z-1"]


def test_a_time_out_stops_members_and_what_follows_waits_until_they_are_gone():
    last = node("z", "g", triggerRule="AllDone")
    run = Run(group("g", node("a"), node("b", "a"), timeoutSeconds=10), last).step()
    run.later(10)
    assert stands(run, "g", "g.a") == ["Failed Timeout", "Cancelled GroupEnded"]
    assert run.stands("g.b") == "Cancelled GroupEnded"
    assert run.stopped == ["g.a-1"]
    assert run.launched == []
    run.step(run.see("g.a-1", AttemptPhase.GONE))
    assert run.launched == ["z-1"]


def test_a_lost_member_holds_up_what_follows_for_five_minutes():
    last = node("z", "g", triggerRule="AllDone")
    run = Run(group("g", node("a"), node("b"), timeoutSeconds=10), last).step()
    run.later(10).step(run.see("g.a-1", AttemptPhase.GONE))
    assert run.launched == []
    run.later(301)
    assert run.launched == ["z-1"]


def test_a_time_out_that_is_retried_waits_for_its_members():
    run = Run(group("g", node("a"), timeoutSeconds=10, retryPolicy={"maxAttempts": 2})).step()
    run.later(10)
    assert stands(run, "g", "g.a") == ["Running", "Ready"]
    assert run.launched == []
    run.step(run.see("g.a-1", AttemptPhase.GONE))
    assert run.launched == ["g.a-2"]


def test_a_crash_between_the_last_member_and_the_end_of_its_group_loses_nothing():
    run = Run(group("g", group("h", node("a"))), node("z", "g")).step()
    run.ok("g.h.a-1").crash().step()
    assert run.stands("g") == "Completed"
    run = Run(group("g", node("a"), node("b", "a"))).step()
    run.ok("g.a-1").crash().step(run.see("g.b-1", AttemptPhase.RUNNING))
    assert stands(run, "g", "g.b") == ["Running", "Running"]
    assert run.launched == []
    assert run.ok("g.b-1").phase == "Succeeded"


def test_a_member_that_is_run_again_while_its_group_runs_leaves_the_others_alone():
    run = Run(group("g", node("a"), node("b")), node("z", "g")).step()
    run.rerun("g.a")
    assert run.stopped == ["g.a-1"]
    run.step(run.see("g.a-1", AttemptPhase.GONE))
    assert run.launched == ["g.a-2"]
    assert run.stands("g.b") == "Running"
    run.ok("g.b-1").ok("g.a-2")
    assert (run.state("g").execution_id, run.state("g.b").execution_id) == ("g-2", "g.b-1")
    assert run.launched == ["z-1"]


def test_a_rerun_without_cascade_runs_the_member_and_its_group():
    run = Run(group("g", node("a"), node("b", "a")), node("z", "g")).step()
    run.ok("g.a-1").ok("g.b-1").ok("z-1")
    run.rerun("g.a", cascade=False)
    assert run.launched == ["g.a-2"]
    run.ok("g.a-2")
    assert run.phase == "Succeeded"
    assert [run.state(name).stale for name in ("g", "g.a", "g.b", "z")] == [
        *(False, False, True, True)
    ]
    assert run.state("g").execution_id == "g-2"


def test_what_failed_of_a_group_are_its_members():
    run = Run(group("g", node("a"), node("b")), node("z", "g")).step()
    run.ok("g.a-1").fail("g.b-1", reason="Error")
    assert failed_nodes(run.plan, run.engine.status) == ["g.b", "z"]
    skipped = Run(node("u"), group("g", node("a"), after=["u"])).step()
    skipped.fail("u-1", reason="Error")
    assert skipped.stands("g.a") == "Skipped GroupSkipped"
    assert failed_nodes(skipped.plan, skipped.engine.status) == ["u", "g"]
    skipped.rerun(failed=True).ok("u-2")
    assert skipped.launched == ["g.a-1"]


def test_a_restore_goes_back_into_a_group():
    run = Run(group("g", node("a"), node("b", "a")), node("z", "g")).step()
    run.ok("g.a-1").ok("g.b-1").ok("z-1")
    run.step(requests=[RestoreRequest("r", 1)])
    assert stands(run, "g", "g.a", "g.b") == ["Running", "Completed", "Running"]
    run.ok("g.b-2").ok("z-2")
    assert run.phase == "Succeeded"


def moved(run, *nodes):
    """Ask for a re-run at a newer definition."""
    spec = WorkflowSpec.model_validate({"nodes": list(nodes)})
    plan = Plan.build(spec, workflow_id="w", revision="next")
    run.plan = plan
    return run.step(requests=[RerunRequest("q", (), plan=plan)])


def test_a_newer_definition_compares_members_each_for_itself():
    run = Run(group("g", node("a"), node("b"), node("c")), node("z", "g")).step()
    run.ok("g.a-1").ok("g.b-1").ok("g.c-1").ok("z-1")
    changed = node("b", config={"script": "false"})
    moved(run, group("g", node("a", title="A"), changed, node("d"), maxParallel=3), node("z", "g"))
    assert run.launched == ["g.b-2", "g.d-1"]
    assert run.state("g.a").execution_id == "g.a-1"
    assert list(run.engine.status.removed_nodes) == ["g.c"]
    run.ok("g.b-2").ok("g.d-1")
    assert run.launches["z-2"].input["dependencyOutputs"]["g"].keys() == {"a", "b", "d"}


def test_a_member_that_a_newer_definition_removes_gives_its_group_another_output():
    run = Run(group("g", node("a"), node("b")), node("z", "g")).step()
    run.ok("g.a-1").ok("g.b-1").ok("z-1")
    moved(run, group("g", node("a")), node("z", "g"))
    assert run.state("g").execution_id == "g-2"
    assert run.launches["z-2"].input["dependencyOutputs"] == {"g": {"a": {}}}


def test_a_run_without_groups_is_written_as_before():
    run = Run(node("a"), node("b", "a")).step().ok("a-1", {"x": 1}).ok("b-1")
    keys = {key for state in dump_status(run.engine.status)["nodes"].values() for key in state}
    assert keys == {
        *("status", "executionId", "createdAt", "updatedAt", "startedAt", "completedAt"),
        *("durationSeconds", "launchedAt", "output", "executionCount", "contextVersion"),
    }


def test_a_cancelled_run_cancels_members_and_leaves_groups_of_finally():
    last = {"finally": [group("f", node("clean"))]}
    run = Run(group("g", node("a"), node("b", "a")), **last).step()
    run.step(control=Control(cancel=True))
    assert stands(run, "g", "g.a", "g.b") == ["Cancelled RunCancelled"] * 3
    assert run.stands("f.clean") == "Pending"
    run.step(run.see("g.a-1", AttemptPhase.GONE), control=Control(cancel=True))
    assert run.launched == ["f.clean-1"]
    run.step(run.see("f.clean-1", AttemptPhase.SUCCEEDED), control=Control(cancel=True))
    assert (run.phase, run.stands("f")) == ("Cancelled", "Completed")


def test_thousands_of_stopped_members_that_go_one_by_one_cost_little_each():
    members = [node(f"n{i}") for i in range(2000)]
    last = node("z", "g", triggerRule="AllDone")
    run = Run(group("g", *members, timeoutSeconds=10), last, max_parallel=2000).step()
    run.later(10)
    assert len(run.stopped) == 2000
    looked = 0
    real = run.engine._run.executions.holds_followers

    def counted(name):
        nonlocal looked
        looked += 1
        return real(name)

    run.engine._run.executions.holds_followers = counted
    for i in range(2000):
        run.step(run.see(f"g.n{1999 - i}-1", AttemptPhase.GONE))
    assert run.launched == ["z-1"]
    assert looked < 50_000
