"""What the ends of nodes make of those behind them (semantics.md 3)."""

from tests.unit.engine.support import Run, node


def test_a_node_starts_the_moment_it_may_and_not_with_its_level():
    run = Run(node("a"), node("b"), node("after_a", "a"), node("after_both", "a", "b")).step()
    assert run.launched == ["a-1", "b-1"]
    assert run.ok("a-1").launched == ["after_a-1"]
    assert run.stands("after_both") == "WaitingForDependencies"
    assert run.ok("b-1").launched == ["after_both-1"]


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
