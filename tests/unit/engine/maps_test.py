"""Maps: a node that runs once for each item of a list, and how little that takes."""

import json
from dataclasses import replace

import pytest

from podium.api.index_ranges import IndexRanges
from podium.engine import Control, RerunRequest, RestoreRequest, context_at, dump_status
from podium.engine.items import FAILED_KEPT
from tests.unit.engine.judged import Judged
from tests.unit.engine.support import AttemptPhase, Run, node


def over(count, *after, **fields):
    return node("m", *after, **{"forEach": "context.list", **fields}), list(range(count))


def run_over(count, *others, **fields):
    limits = {key: fields.pop(key) for key in ("max_parallel", "fail_fast") if key in fields}
    made, items = over(count, **fields)
    return Run(made, *others, context={"list": items}, **limits)


def items(run, name="m"):
    state = run.state(name).items
    return str(state.completed), str(state.failed), str(state.skipped)


def test_items_get_their_item_and_followers_all_outputs_in_order():
    run = run_over(3, node("z", "m")).step()
    assert run.launched == ["m[0]-1", "m[1]-1", "m[2]-1"]
    launch = run.launches["m[1]-1"]
    assert (launch.input["item"], launch.input["index"]) == (1, 1)
    assert (launch.item.map, launch.item.execution, launch.item.count) == ("m", "m-1", 3)
    run.ok("m[2]-1", {"n": 2}).ok("m[0]-1").fail("m[1]-1")
    assert run.stands("m") == "Failed ItemFailed"
    run = run_over(3, node("z", "m"), allowedFailures="34%").step()
    run.ok("m[2]-1", {"n": 2}).ok("m[0]-1").fail("m[1]-1")
    counts = {"succeeded": 2, "failed": 1, "skipped": 0}
    output = {"items": [{}, None, {"n": 2}], **counts}
    assert run.launches["z-1"].input["dependencyOutputs"] == {"m": output}
    assert context_at(run.engine.status, {})["outputs"] == {"m": output}


def test_the_state_of_100_000_items_is_small_and_an_event_costs_the_same():
    run = run_over(100_000, max_parallel=10, allowedFailures=10).step()
    for index in range(3000):
        run.step(run.see(f"m[{index}]-1", AttemptPhase.SUCCEEDED, output={}))
    run.fail("m[3001]-1")
    changes = run.engine.take_changes()
    assert len(run.engine.status.nodes) == 1 + 10 + 1
    assert len(json.dumps(dump_status(run.engine.status))) < 10_000
    assert items(run) == ("0-2999", "3001", "")
    assert changes.nodes
    run.ok("m[3000]-1")
    assert run.engine.take_changes().nodes == {"m", "m[3000]", "m[3011]"}


def test_how_many_items_there_are_does_not_change_what_one_event_looks_at():
    looked = []
    for count in (100, 20_000):
        run = run_over(count, max_parallel=3).step()
        number, real = [0], IndexRanges.__contains__

        def counted(ranges, index, number=number, real=real):
            number[0] += 1
            return real(ranges, index)

        IndexRanges.__contains__ = counted
        try:
            for index in range(20):
                run.ok(f"m[{index}]-1")
        finally:
            IndexRanges.__contains__ = real
        looked.append(number[0])
    assert looked[0] == looked[1]


def test_only_the_first_failed_items_keep_a_state():
    count = FAILED_KEPT + 20
    run = run_over(count, max_parallel=count, allowedFailures=count).step()
    for index in range(count):
        run.fail(f"m[{index}]-1")
    assert run.stands("m") == "Completed"
    assert len(run.engine.status.nodes) == 1 + FAILED_KEPT
    assert items(run) == ("", f"0-{count - 1}", "")


def test_events_about_items_are_few():
    run = run_over(300, max_parallel=300, allowedFailures=300).step()
    told = 0
    for index in range(300):
        run.fail(f"m[{index}]-1")
        told += sum("NodeFailed" in event for event in run.events)
    assert told == FAILED_KEPT


def test_beyond_the_allowed_failures_nothing_new_starts_and_what_runs_goes_on():
    retries = {"maxAttempts": 3, "backoffSeconds": 100}
    run = run_over(9, max_parallel=3, retryPolicy=retries, allowedFailures=0).step()
    run.step(run.see("m[0]-1", AttemptPhase.FAILED, retryable=False))
    assert run.launched == []
    run.fail("m[1]-1")  # no other try of it
    assert run.stands("m") == "Running"
    run.ok("m[2]-1")
    assert run.stands("m") == "Failed ItemFailed"
    assert (
        "2 of 9 items failed (allowedFailures: 0): m[0] (Error), m[1] (Error); 6 did not run"
        in (run.state("m").message)
    )
    assert run.phase == "Failed"


def test_an_item_that_waits_for_its_next_try_holds_up_no_other():
    retries = {"maxAttempts": 2, "backoffSeconds": 100}
    run = run_over(4, max_parallel=1, retryPolicy=retries).step()
    run.fail("m[0]-1")
    assert run.launched == ["m[1]-1"]
    run.ok("m[1]-1")
    assert run.stands("m[0]") == "Ready Error"
    run.later(100)
    assert run.launched == []
    run.ok("m[2]-1")
    assert run.launched == ["m[0]-2"]
    run.ok("m[0]-2").ok("m[3]-1")
    assert run.stands("m") == "Completed"


def test_outputs_that_are_too_large_together_fail_the_items_beyond():
    run = run_over(3, max_parallel=3, allowedFailures=1).step()
    large = {"v": "x" * 100_000}
    run.ok("m[0]-1", large).ok("m[1]-1", large).ok("m[2]-1", large)
    assert run.stands("m[2]") == "Failed OutputTooLarge"
    assert run.stands("m") == "Completed"
    run.crash().step()
    run.rerun("m[2]")
    run.ok("m[2]-2", {"v": "x" * 10_000})
    assert items(run) == ("0-2", "", "")


def test_too_many_items_are_refused():
    run = run_over(4)
    run.engine._run.info = replace(run.engine.info, max_items=3)
    run.step()
    assert run.stands("m") == "Failed NeedsManagedJobs"
    assert "gives 4 items, and 3 are the limit" in run.state("m").message


@pytest.mark.parametrize("crash", [False, True])
def test_a_list_that_is_expensive_is_judged(crash):
    run = Judged(
        node("m", forEach="[1, 2] if all_of(context.list) else []".replace("all_of", "len")),
        context={"list": list(range(5))},
    )
    run.engine._run.questions._fuel = 0
    run.step()
    if crash:
        run.crash().step()
    for _ in range(3):
        run.answered()
    assert run.state("m").items.count == 2


def test_a_new_operator_goes_on_where_the_former_was():
    run = run_over(5, max_parallel=2).step()
    run.ok("m[0]-1", {"n": 1})
    run.crash()
    seen = [run.see(f"m[{i}]-1", AttemptPhase.RUNNING) for i in (1, 2)]
    run.step(*seen)
    assert (run.launched, run.stopped) == ([], [])
    run.ok("m[1]-1")
    assert run.launched == ["m[3]-1"]


def test_another_list_after_a_crash_fails_the_map():
    run = run_over(5, max_parallel=1).step()
    run.ok("m[0]-1")
    run.crash()
    run.engine._run.context["list"] = [7]
    run.step()
    assert run.stands("m") == "Failed ItemsChanged"
    assert run.stopped == ["m[1]-1"]


def test_a_launch_that_a_crashed_operator_did_not_write_is_found_again():
    run = run_over(4, max_parallel=1).step()
    run.ok("m[0]-1")
    before = dump_status(run.engine.status)
    run.engine.step(run.now)
    run.crash()
    assert before["nodes"]["m"]["items"]["completed"] == "0"
    run.step(run.see("m[1]-1", AttemptPhase.RUNNING), run.see("m[3]-1", AttemptPhase.RUNNING))
    assert run.stopped == []  # its turn comes
    run.ok("m[1]-1").ok("m[2]-1")
    assert run.launched == ["m[3]-1"]


def test_what_a_map_has_not_begun_is_stopped_when_the_map_ends():
    run = run_over(4, max_parallel=1).step().crash()
    run.step(run.see("m[0]-1", AttemptPhase.RUNNING), run.see("m[3]-1", AttemptPhase.RUNNING))
    run.fail("m[0]-1")
    assert run.stands("m") == "Failed ItemFailed"
    assert run.stopped == ["m[3]-1"]


def test_items_run_again_with_numbers_of_their_own():
    run = run_over(3, node("z", "m")).step()
    for index in range(3):
        run.ok(f"m[{index}]-1", {"n": index})
    run.ok("z-1")
    run.rerun("m[1]")
    assert run.launched == ["m[1]-2"]
    assert run.state("m").execution_id == "m-2"
    run.ok("m[1]-2", {"n": 9})
    assert run.launched == ["z-2"]
    given = run.launches["z-2"].input["dependencyOutputs"]["m"]["items"]
    assert given == [{"n": 0}, {"n": 9}, {"n": 2}]
    run.ok("z-2").rerun("m", id="q2")
    assert run.launched == ["m[0]-3", "m[1]-3", "m[2]-3"]


def test_an_ended_item_of_a_map_that_runs_goes_again_beside_the_others():
    run = run_over(3, node("z", "m"), max_parallel=1).step()
    run.ok("m[0]-1", {"n": 1})
    run.rerun("m[0]")
    run.ok("m[1]-1")
    assert run.launched == ["m[0]-2"]
    assert run.state("m").execution_id == "m-1"
    run.ok("m[0]-2").ok("m[2]-1")
    assert run.launched == ["z-1"]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("m[7]", "m has no item 7: items are 0 to 1"),
        ("m[1]", "m[1] has not ended"),
        ("z[0]", "unknown node z[0]"),
    ],
)
def test_items_that_cannot_run_again_are_refused(item, why):
    run = run_over(2, node("z", "m")).step().ok("m[0]-1")
    run.rerun(item)
    assert any(why in event for event in run.events), run.events


def test_what_failed_runs_again_and_nothing_else():
    run = run_over(4, max_parallel=4).step()
    run.ok("m[0]-1", {"n": 1}).fail("m[1]-1").ok("m[2]-1").ok("m[3]-1")
    run.rerun(failed=True)
    assert run.launched == ["m[1]-2"]
    run.ok("m[1]-2")
    assert run.phase == "Succeeded"


def test_an_edit_runs_all_items_again():
    run = run_over(2).step().ok("m[0]-1").ok("m[1]-1")
    run.rerun("m[1]", context={"list": ["x"]})
    assert run.launched == ["m[0]-2"]


def test_a_restore_to_an_earlier_execution_runs_the_map_again():
    run = run_over(1).step().ok("m[0]-1", {"n": 1})
    run.rerun("m").ok("m[0]-2", {"n": 2})
    run.step(requests=[RestoreRequest("q2", 1)])
    assert run.launched == ["m[0]-3"]
    run.ok("m[0]-3").step(requests=[RestoreRequest("q3", run.engine.status.context_version)])
    assert run.launched == []


def test_a_restore_that_runs_a_map_again_runs_what_comes_after_it_too():
    run = run_over(1, node("z", "m")).step().ok("m[0]-1", {"n": 1}).ok("z-1", {"z": 1})
    run.rerun("m").ok("m[0]-2", {"n": 2}).ok("z-2", {"z": 2})
    run.step(requests=[RestoreRequest("q2", 2)])
    assert run.launched == ["m[0]-3"]
    assert run.stands("z") == "WaitingForDependencies"
    assert run.ok("m[0]-3", {"n": 3}).launched == ["z-3"]
    output = {"items": [{"n": 3}], "succeeded": 1, "failed": 0, "skipped": 0}
    assert run.launches["z-3"].input["dependencyOutputs"] == {"m": output}


def test_a_restore_that_runs_a_map_in_a_group_again_runs_the_group():
    member, values = over(1)
    group = {"id": "g", "type": "parallel_group", "nodes": [member, node("beside")]}
    run = Run(group, node("z", "g"), context={"list": values}).step()
    run.ok("g.m[0]-1").ok("g.beside-1").ok("z-1")
    version = run.engine.status.context_version
    run.rerun("g.m").ok("g.m[0]-2").ok("z-2")
    run.step(requests=[RestoreRequest("q2", version)])
    assert run.launched == ["g.m[0]-3"]
    assert run.ok("g.m[0]-3").launched == ["z-3"]
    assert run.ok("z-3").phase == "Succeeded"


def test_what_items_of_an_earlier_execution_handed_over_is_null():
    run = run_over(1, node("z", "m")).step().ok("m[0]-1", {"n": 1}).ok("z-1", {"z": 1})
    run.rerun("m").ok("m[0]-2", {"n": 2}).ok("z-2", {"z": 2})
    assert context_at(run.engine.status, {}, 2)["outputs"] == {"m": None, "z": {"z": 1}}


def test_a_map_that_a_newer_definition_no_longer_has_is_stopped():
    run = run_over(2, node("z")).step().ok("z-1")
    newer = Run(node("z"), context={"list": []})
    run.step(requests=[RerunRequest("q", (), plan=newer.plan, initial_context={"list": []})])
    assert sorted(run.stopped) == ["m[0]-1", "m[1]-1"]
    assert list(run.engine.status.nodes) == ["z"]
    run.step(*(run.see(execution, AttemptPhase.GONE) for execution in run.stopped))
    assert run.ok("z-2").phase == "Succeeded"


@pytest.mark.parametrize("newer", [[node("z")], [node("m"), node("z")]])
def test_nothing_is_left_of_items_of_what_is_no_map_any_more(newer):
    run = run_over(2, node("z"), allowedFailures=1).step()
    run.ok("m[0]-1", {"n": 1}).fail("m[1]-1").ok("z-1")
    later = Run(*newer, context={"list": []})
    run.step(requests=[RerunRequest("q", (), plan=later.plan, initial_context={"list": []})])
    assert list(run.engine.status.nodes) == [each["id"] for each in newer]
    for execution in list(run.launched):
        run.ok(execution)
    assert context_at(run.engine.status, {})["outputs"] == {each["id"]: {} for each in newer}
    assert all(state.items is None for state in run.engine.status.nodes.values())
    made, items = over(2)  # and it is one again: no id is given twice
    again = Run(made, node("z"), context={"list": items})
    run.step(requests=[RerunRequest("q2", (), plan=again.plan, initial_context={"list": items})])
    assert {"m[0]-2", "m[1]-2"} <= set(run.launched)


def test_followers_wait_until_stopped_items_are_gone():
    run = run_over(1, node("z", "m", triggerRule="AllDone"), timeoutSeconds=10)
    run.step()
    run.step(run.see("m[0]-1", AttemptPhase.RUNNING)).later(11)
    assert run.stopped == ["m[0]-1"]
    assert run.stands("m") == "Failed ItemFailed"
    assert run.launched == []
    run.step(run.see("m[0]-1", AttemptPhase.GONE))
    assert run.launched == ["z-1"]


def test_cancel_stops_items_and_leaves_none_open():
    run = run_over(5, max_parallel=2).step().ok("m[0]-1", {"n": 1})
    run.step(control=Control(cancel=True))
    assert sorted(run.stopped) == ["m[1]-1", "m[2]-1"]
    assert set(run.engine.status.nodes) == {"m", "m[0]"}
    assert run.stands("m") == "Cancelled RunCancelled"


def test_a_map_in_a_group_is_stopped_with_it():
    made, values = over(3)
    group = {"id": "g", "type": "parallel_group", "timeoutSeconds": 5, "nodes": [made]}
    run = Run(group, context={"list": values}).step()
    assert run.launched == ["g.m[0]-1", "g.m[1]-1", "g.m[2]-1"]
    run.later(5)
    assert len(run.stopped) == 3
    assert set(run.engine.status.nodes) == {"g", "g.m"}
    assert run.stands("g.m") == "Cancelled GroupEnded"


def test_an_end_that_a_new_operator_sees_first_counts_before_its_map_ends():
    run = run_over(3, max_parallel=2).step()
    run.fail("m[0]-1").crash()
    run.step(run.see("m[1]-1", AttemptPhase.SUCCEEDED, output={"n": 1}))
    assert items(run) == ("1", "0", "")
    assert "1 of 3 items failed: m[0] (Error); 1 did not run" in run.state("m").message
