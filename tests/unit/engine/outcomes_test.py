"""How an execution ends: its output, its retry, its disruption (semantics.md 4)."""

import pytest

from podium.engine import AttemptPhase
from tests.unit.engine.support import Run, node

P = AttemptPhase


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


def test_a_failed_node_is_tried_again_after_its_back_off():
    policy = {"maxAttempts": 3, "backoffSeconds": 10, "backoffFactor": 3}
    run = Run(node("a", retryPolicy=policy)).step()
    run.fail("a-1", reason="Error", exit_code=1)
    assert run.stands("a") == "Ready Error"
    assert run.wakes == [1010.0]
    assert run.later(10).launched == ["a-2"]
    run.fail("a-2")
    assert run.wakes == [1040.0]
    run.later(30).ok("a-3", {"x": 1})
    assert run.stands("a") == "Completed"
    state = run.state("a")
    assert (state.retry_count, state.execution_count, state.error) == (2, 3, None)
    assert [r.execution_id for r in state.history] == ["a-2", "a-1"]


def test_a_back_off_survives_a_crash():
    run = Run(node("a", retryPolicy={"maxAttempts": 2, "backoffSeconds": 10})).step()
    run.fail("a-1").crash()
    assert run.step().launched == []
    assert run.later(10).launched == ["a-2"]


def test_retry_on_names_the_reasons():
    run = Run(node("a", retryPolicy={"maxAttempts": 3, "retryOn": ["Timeout"]})).step()
    assert run.fail("a-1", reason="Error").stands("a") == "Failed Error"


def test_a_retry_after_a_disruption_is_no_restart():
    run = Run(node("a", retryPolicy={"maxAttempts": 2})).step()
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-1", reason="Preempted")).later(1)
    assert run.launches["a-1"].restart == 1
    run.fail("a-1", reason="Error")
    assert run.launches["a-2"].restart == 0
    assert run.state("a").disruptions == 0


def test_a_disruption_starts_the_same_execution_again_and_is_not_counted():
    run = Run(node("a", maxDisruptions=1)).step()
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-1", reason="Preempted"))
    assert run.stands("a") == "Running Preempted"
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-1", reason="Preempted"))
    assert run.state("a").disruptions == 1
    run.later(1)
    assert run.launched == ["a-1"]
    assert run.launches["a-1"].restart == 1
    assert (run.state("a").execution_count, run.state("a").retry_count) == (1, 0)
    run.step(run.see("a-1", P.DISRUPTED, attempt="pod-2"))
    assert run.stands("a") == "Failed TooManyDisruptions"
