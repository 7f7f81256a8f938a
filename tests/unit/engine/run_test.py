"""What a run does, rule by rule (semantics.md 3 to 6), without retries and re-runs."""

import pytest

from podium.engine import AttemptPhase, Control, check_start
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_a_node_starts_the_moment_it_may_and_not_with_its_level():
    run = Run(node("a"), node("b"), node("after_a", "a"), node("after_both", "a", "b")).step()
    assert run.launched == ["a-1", "b-1"]
    assert run.ok("a-1").launched == ["after_a-1"]
    assert run.stands("after_both") == "WaitingForDependencies"
    assert run.ok("b-1").launched == ["after_both-1"]


def test_the_run_counts_and_names_what_goes_on():
    run = Run(*[node(f"n{i}") for i in range(5)]).step()
    run.engine.take_changes()
    assert run.engine.status.current == "n0, n1, n2 +2"
    run.ok("n1-1")
    assert run.engine.take_changes().nodes == {"n1"}
    assert run.engine.status.progress == "1/5"


def test_max_parallel_bounds_what_runs_and_the_definition_gives_the_order():
    run = Run(node("a"), node("b"), node("c"), max_parallel=2).step()
    assert run.launched == ["a-1", "b-1"]
    assert run.stands("c") == "Ready"
    assert run.ok("b-1").launched == ["c-1"]


def test_outputs_reach_all_descendants_and_mapped_names_hide_nothing_else():
    run = Run(
        node("a"),
        node("b", "a"),
        node("c"),
        edges=[
            {"from": "b", "to": "c", "dataMapping": {"x.y": "deep"}},
            {"from": "a", "to": "c", "type": "produces_for", "dataMapping": {"z": "zed"}},
        ],
        globalContext={"k": 1},
        context={"k": 2},
    ).step()
    run.ok("a-1", {"z": 5})
    run.ok("b-1", {"x": {"y": [1]}})
    given = run.launches["c-1"].input
    assert given["dependencyOutputs"] == {"b": {"x": {"y": [1]}}, "a": {"z": 5}}
    assert given["inputs"] == {"deep": [1], "zed": 5}
    assert given["globalContext"] == {"k": 2}


def test_triggers_brings_order_and_no_data():
    run = Run(node("a"), node("b"), edges=[{"from": "a", "to": "b", "type": "triggers"}]).step()
    run.ok("a-1", {"z": 5})
    assert run.launches["b-1"].input["dependencyOutputs"] == {}


def test_outputs_of_all_direct_predecessors_are_delivered():
    names = [f"n{i}" for i in range(300)]
    run = Run(*(node(name) for name in names), node("sum", *names), max_parallel=300).step()
    run.step(*(run.see(f"{n}-1", AttemptPhase.SUCCEEDED, output={"x": 1}) for n in names))
    assert len(run.launches["sum-1"].input["dependencyOutputs"]) == 300
    assert run.state("sum").omitted_outputs == 0


def test_what_is_left_out_is_counted_on_each_node_and_told_once():
    names = [f"n{i}" for i in range(204)]
    chain = [node(n, *([names[i - 1]] if i else [])) for i, n in enumerate(names)]
    run = Run(*chain).step()
    events = []
    for name in names:
        run.ok(f"{name}-1", {"x": 1})
        events += [event for event in run.events if event.startswith("OutputsOmitted")]
    assert [run.state(n).omitted_outputs for n in names[200:]] == [0, 0, 1, 2]
    (event,) = events
    assert "inputContract.include" in event
    run.crash().rerun("n203")
    assert not [event for event in run.events if event.startswith("OutputsOmitted")]


def test_only_the_200_nearest_farther_outputs_are_delivered_unless_named():
    names = [f"n{i}" for i in range(300)]
    chain = [node(n, *([names[i - 1]] if i else [])) for i, n in enumerate(names)]
    chain[-1]["inputContract"] = {"requiredFields": ["n0.x"], "include": ["n1"]}
    run = Run(*chain).step()
    for name in names[:-1]:
        run.ok(f"{name}-1", {"x": 1})
    given = run.launches["n299-1"].input["dependencyOutputs"]
    assert len(given) == 203
    assert {"n0", "n1", "n298", "n98"} <= set(given)
    assert "n97" not in given


def test_a_waived_field_is_listed_as_a_warning():
    run = Run(
        node("a", condition="1 == 2"),
        node("b"),
        node("c", "a", "b", inputContract={"requiredFields": ["a.x", "b.y"]}),
    ).step()
    assert run.stands("a") == "Skipped ConditionFalse"
    run.ok("b-1", {"y": 1})
    assert run.launched == ["c-1"]
    assert run.state("c").warnings == ["requiredFields: a.x: not demanded, because a is Skipped"]


def test_an_unmet_input_contract_fails_the_node_and_is_not_retried():
    run = Run(
        node("a"),
        node("b", "a", inputContract={"requiredFields": ["a.x"]}, retryPolicy={"maxAttempts": 5}),
    ).step()
    run.ok("a-1", {"y": 1})
    assert run.stands("b") == "Failed InputContract"
    assert "a.x" in run.state("b").message
    assert run.state("b").execution_count == 0
    assert run.phase == "Failed"


@pytest.mark.parametrize(
    ("output", "fields", "stands"),
    [
        (b"[1]", {}, "Failed OutputNotJSON"),
        (b"", {}, "Completed"),
        (b'{"a": 1}', {"outputContract": {"produces": ["b"]}}, "Failed OutputContract"),
        (
            b'{"a": "x"}',
            {"outputContract": {"schema": {"properties": {"a": {"type": "integer"}}}}},
            "Failed OutputContract",
        ),
        (b'{"quality_score": 0.7}', {}, "Failed QualityBelowThreshold"),
        (b'{"quality_score": 0.9}', {}, "Completed"),
        (b"{}", {}, "Completed"),
        (b"{}", {"outputContract": {"qualityThreshold": 0.5}}, "Failed QualityBelowThreshold"),
        (
            b'{"quality_score": 0.7}',
            {"outputContract": {"qualityThreshold": 0.5}},
            "Completed",
        ),
        (b"x" * 4096, {}, "Failed OutputTooLarge"),
    ],
)
def test_output_contracts(output, fields, stands):
    run = Run(node("a", **fields), globalContext={"quality_threshold": 0.8}).step()
    run.step(run.see("a-1", P.SUCCEEDED, output=output, output_limit=4096))
    assert run.stands("a") == stands


def test_allow_failure_lets_what_follows_go_on():
    run = Run(node("a", allowFailure=True), node("b", "a")).step()
    assert run.fail("a-1", exit_code=3).launched == ["b-1"]
    run.ok("b-1")
    assert run.phase == "Succeeded"
    assert run.state("a").error.details == {"exitCode": 3}


def test_a_failure_skips_what_follows_and_other_branches_go_on():
    run = Run(node("a"), node("b", "a"), node("c", "b"), node("d")).step()
    run.fail("a-1", reason="OOMKilled")
    assert [run.stands(n) for n in "abc"] == [
        "Failed OOMKilled",
        "Skipped UpstreamFailed",
        "Skipped UpstreamFailed",
    ]
    assert run.phase == "Running"
    assert run.ok("d-1").phase == "Failed"
    assert run.engine.status.conditions[0].message == "failed: a (OOMKilled)"


def test_fail_fast_stops_what_runs():
    run = Run(node("a"), node("b"), node("c", "b"), fail_fast=True).step()
    run.fail("a-1")
    assert run.stopped == ["b-1"]
    assert [run.stands(n) for n in "bc"] == ["Cancelled FailFast", "Cancelled FailFast"]
    assert run.phase == "Failed"


def test_cancel_stops_what_runs_and_ends_the_run():
    run = Run(node("a"), node("b", "a")).step()
    run.step(control=Control(cancel=True))
    assert run.stopped == ["a-1"]
    assert run.phase == "Cancelled"
    assert run.stands("b") == "Cancelled RunCancelled"


def test_suspend_before_the_start_leaves_everything_pending():
    run = Run(node("a")).step(control=Control(suspend=True))
    assert (run.phase, run.stands("a"), run.launched) == ("Paused", "Pending", [])
    assert run.step().launched == ["a-1"]
    assert run.phase == "Running"


def test_suspend_lets_what_runs_end_and_starts_nothing_new():
    run = Run(node("a"), node("b", "a")).step()
    run.step(run.see("a-1", P.SUCCEEDED), control=Control(suspend=True))
    assert (run.phase, run.stands("b"), run.launched) == ("Paused", "Ready", [])
    assert run.step().launched == ["b-1"]


def test_time_out_counts_from_the_start_of_the_program():
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=990.0))
    assert run.wakes == [1050.0]
    run.later(49.9)
    assert run.stands("a") == "Running"
    run.later(0.1)
    assert run.stands("a") == "Failed Timeout"
    assert run.stopped == ["a-1"]


def test_what_has_ended_never_becomes_a_time_out():
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.now += 1000
    assert run.ok("a-1", at=1500.0).stands("a") == "Completed"


def test_the_start_time_out_does_not_count_time_unscheduled():
    run = Run(node("a"), node("own", startTimeoutSeconds=30)).step()
    run.step(
        run.see("a-1", P.WAITING, reason="Unschedulable", created_at=1000.0),
        run.see("own-1", P.WAITING, reason="Unschedulable", created_at=1000.0),
    )
    run.later(31)
    assert run.stands("own") == "Failed StartTimeout"
    run.later(5000)
    assert run.stands("a") == "Running Unschedulable"
    run.step(run.see("a-1", P.WAITING, reason="PullingImage", scheduled_at=run.now))
    run.later(600)
    assert run.stands("a") == "Failed StartTimeout"


def test_the_workflow_time_out_ends_the_run():
    run = Run(node("a"), node("b", "a"), timeoutSeconds=100).step()
    run.later(100)
    assert run.stopped == ["a-1"]
    assert run.phase == "Failed"
    assert run.engine.status.conditions[-1].reason == "Timeout"


def test_the_reason_why_nothing_runs_is_shown():
    run = Run(node("a")).step()
    run.step(run.see("a-1", P.WAITING, reason="PullingImage", message="pulling busybox"))
    assert run.stands("a") == "Running PullingImage"
    run.step(run.see("a-1", P.RUNNING))
    run.step(run.see("a-1", P.WAITING, reason="PullingImage"))  # late
    assert run.stands("a") == "Running"


def test_the_time_of_a_program_that_is_set_aside_counts_from_its_next_start():
    """As when its Job is suspended: nothing of it runs meanwhile."""
    run = Run(node("a", timeoutSeconds=60)).step()
    run.step(run.see("a-1", P.RUNNING, started_at=1000.0))
    run.now += 30
    run.step(run.see("a-1", P.WAITING, reason="Queued", idle=True))
    assert (run.stands("a"), run.state("a").started_at) == ("Running Queued", None)
    run.later(1000)
    assert run.stands("a") == "Running Queued"
    run.step(run.see("a-1", P.RUNNING, started_at=run.now))
    assert run.later(59).stands("a") == "Running"
    assert run.later(1).stands("a") == "Failed Timeout"
    assert run.state("a").execution_count == 1


def test_a_refused_launch_stays_ready_and_is_not_counted():
    run = Run(node("a"))
    run.engine.step(run.now)
    refused = run.see("a-1", P.REFUSED, reason="QuotaExceeded", retry_after=5.0)
    run.actions = run.engine.step(run.now, observations=[refused])
    assert run.stands("a") == "Ready QuotaExceeded"
    assert run.wakes == [1005.0]
    assert run.later(5).launched == ["a-1"]
    assert run.state("a").execution_count == 1


def test_a_launch_refused_for_good_fails_the_node():
    run = Run(node("a", retryPolicy={"maxAttempts": 3}))
    run.engine.step(run.now)
    seen = run.see("a-1", P.FAILED, reason="Refused", message="forbidden", retryable=False)
    run.step(seen)
    assert run.stands("a") == "Failed Refused"


def test_templates_are_filled_in_once_and_a_missing_value_fails_the_node():
    run = Run(
        {
            "id": "a",
            "executor": "container",
            "config": {"image": "x", "args": ["${{ context.who }}", "$(HOME)"]},
        },
        context={"who": "${{ context.who }} $$"},
    ).step()
    assert run.launches["a-1"].config["args"] == ["${{ context.who }} $$", "$(HOME)"]
    run = Run(
        {
            "id": "a",
            "executor": "container",
            "config": {"image": "x", "args": ["${{ context.who }}"]},
        }
    ).step()
    assert run.stands("a") == "Failed ConditionError"
    assert "context.who" in run.state("a").message


def test_an_unknown_live_execution_is_stopped_and_a_late_word_of_an_ended_one_is_not():
    run = Run(node("a"), node("b", "a")).step()
    run.ok("a-1")
    run.crash()
    run.step(
        run.see("a-1", P.RUNNING),  # stale
        run.see("b-1", P.RUNNING),
        run.see("gone-7", P.RUNNING),  # of a node that is not
    )
    assert run.stopped == ["gone-7"]


def test_inputs_may_be_closed_beside_a_global_context():
    inputs = {"type": "object", "properties": {"who": {}}, "additionalProperties": False}
    run = Run(node("a"), context={"who": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    assert check_start(run.plan, run.run_spec) == []
    other = Run(node("a"), context={"whom": 1}, inputs=inputs, globalContext={"greeting": "Hello"})
    (problem,) = check_start(other.plan, other.run_spec)
    assert "whom" in problem.message
    assert "greeting" not in problem.message
