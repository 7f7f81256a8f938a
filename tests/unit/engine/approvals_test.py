"""Approvals in the engine (semantics.md 9)."""

import pytest

from podium.api.problems import InvalidError
from podium.engine import ApprovalRequest, AttemptPhase, Control, RestoreRequest
from podium.kinds import Answer, CheckedValues
from tests.unit.engine.support import Run, node


def gate(name="gate", *after, **config):
    return {"id": name, "type": "approval", "dependsOn": list(after), "config": config}


def decision(name="gate", execution=None, *, approve=True, by="alice", id="d", **more):  # noqa: A002
    groups, values = more.pop("groups", ()), more.pop("values", {})
    answer = Answer(approve, by, by, groups, more.pop("comment", ""), values, **more)
    return ApprovalRequest(id, name, execution or f"{name}-1", answer)


def decide(run, *arguments, control=None, **facts):
    return run.step(requests=[decision(*arguments, **facts)], control=control)


def test_it_waits_without_a_launch_or_a_slot_and_says_for_whom():
    config = {"message": "ship ${{ context.v }}?", "approvers": {"users": ["bob"], "groups": ["g"]}}
    run = Run(gate(**config), node("a"), node("b", "gate"), context={"v": 1}, max_parallel=1).step()
    assert run.stands("gate") == "Running WaitingForApproval"
    said = "ship 1? (for bob, and members of g): podium approve run gate"
    assert run.state("gate").message == said
    assert f"NodeWaiting {said}" in run.events
    assert run.launched == ["a-1"]
    assert run.engine.take_changes()
    assert run.engine.status.reason == "WaitingForApproval"


def test_a_decision_is_its_output():
    run = Run(gate(), node("b", "gate")).step()
    decide(run, comment="fine")
    assert run.state("gate").output == {
        "approved": True,
        "by": "alice",
        "at": "1970-01-01T00:16:40Z",
        "comment": "fine",
        "values": {},
    }
    assert "Approved by alice: fine" in run.events
    assert run.launched == ["b-1"]


def test_a_decision_is_carried_out_once_also_after_a_crash():
    run = Run(gate(), node("b", "gate")).step()
    decide(run, id="d")
    run.crash()
    decide(run, id="d", approve=False)
    assert run.stands("gate") == "Completed"
    assert not [event for event in run.events if "Refused" in event]


def test_after_a_crash_it_still_waits_and_its_time_goes_on():
    run = Run(gate(timeoutSeconds=10)).step().crash().later(4)
    assert run.stands("gate") == "Running WaitingForApproval"
    assert run.wakes == [1010.0]
    assert run.crash().later(6).stands("gate") == "Failed Timeout"


def test_a_rejection_is_no_failure_that_is_retried():
    run = Run(gate(), defaults={"retryPolicy": {"maxAttempts": 3}}).step()
    decide(run, approve=False, comment="no")
    assert run.stands("gate") == "Failed Rejected"
    assert run.state("gate").message == "rejected by alice: no"
    assert run.phase == "Failed"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"execution": "gate-2"}, "is not what waits now, which is gate-1"),
        ({"execution": "other"}, "is not what waits now"),
        ({"by": "mallory"}, "mallory is not among its approvers"),
        ({"by": "g"}, "not among its approvers"),
        ({"groups": ("bob",)}, "nor in a group that may (bob)"),
        ({"by": "bob", "values": {"n": "x"}}, "values.n"),
        ({"by": "bob", "values": {}}, "'n' is missing"),
        ({"by": "bob", "values": {"n": 1, "more": 2}}, "more"),
        ({"by": "bob", "values": {"n": 1, "s": "x" * 5000}}, "must have less than 4096"),
        ({"by": "bob", "checked": CheckedValues({}, ("values.n: too bad",))}, "values.n: too bad"),
    ],
)
def test_what_does_not_count_is_refused_and_it_waits_on(facts, said):
    fields = {
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    run = Run(gate(approvers={"users": ["bob"], "groups": ["g"]}, fields=fields)).step()
    decide(run, **facts)
    assert said in next(event for event in run.events if event.startswith("ApprovalRefused"))
    assert run.stands("gate") == "Running WaitingForApproval"
    decide(run, id="e", by="eve", groups=("x", "g"), values={"n": 1})
    assert run.stands("gate") == "Completed"


def test_what_is_no_approval_or_does_not_wait_is_refused():
    run = Run(gate(), node("a"), gate("later", "a")).step()
    for name, said in (
        ("a", "of type phase"),
        ("x", "unknown node 'x'"),
        ("later", "does not wait"),
    ):
        decide(run, name, id=name)
        assert said in run.events[-1]
        assert "what waits is gate" in run.events[-1]
    assert len(run.engine.status.handled_requests) == 3


def test_a_laptop_knows_no_approvers():
    run = Run(gate(approvers={"users": ["bob"]})).step()
    decide(run, groups=None)
    assert run.stands("gate") == "Completed"


def test_of_two_decisions_at_once_the_first_counts():
    run = Run(gate()).step()
    run.step(requests=[decision(id="1", approve=False), decision(id="2")])
    assert run.stands("gate") == "Failed Rejected"
    assert "ApprovalRefused" in run.events[-1] or any("ApprovalRefused" in e for e in run.events)


def test_a_cancelled_run_takes_none_but_for_finally():
    run = Run(gate(), **{"finally": [gate("last")]}).step()
    decide(run, control=Control(cancel=True))
    assert run.stands("gate") == "Cancelled RunCancelled"
    decide(run, "last", id="e", control=Control(cancel=True))
    assert run.stands("last") == "Completed"
    assert run.phase == "Cancelled"


@pytest.mark.parametrize(
    ("how", "stands", "after"),
    [
        ("Fail", "Failed Timeout", "Skipped UpstreamFailed"),
        ("Skip", "Skipped Timeout", "Skipped NoActiveEdge"),
        ("Approve", "Completed", "Running"),
    ],
)
def test_the_end_of_its_time(how, stands, after):
    fields = {"properties": {"n": {"default": 3}}}
    run = Run(gate(timeoutSeconds=5, onTimeout=how, fields=fields), node("b", "gate")).step()
    run.later(5)
    assert run.stands("gate") == stands
    assert run.stands("b") == after
    if how == "Approve":
        assert run.state("gate").output["values"] == {"n": 3}
        assert run.state("gate").output["by"] is None


def test_one_whose_time_was_over_is_asked_again_and_its_history_kept():
    run = Run(gate(timeoutSeconds=5, onTimeout="Skip")).step().later(5)
    assert run.phase == "Succeeded"
    run.rerun("gate")
    assert run.stands("gate") == "Running WaitingForApproval"
    assert run.state("gate").execution_id == "gate-2"
    assert [(r.execution_id, r.status.value) for r in run.state("gate").history] == [
        ("gate-1", "Skipped")
    ]


# Edited contexts


def approved():
    run = Run(gate(), node("x"), node("b", "gate"), node("c", "b"), context={"v": 1}).step()
    decide(run)
    return run


def test_an_edited_context_asks_again_upstream_of_what_runs_again():
    run = approved().ok("x-1").ok("b-1").ok("c-1")
    run.rerun("c", id="1")
    assert run.stands("gate") == "Completed"
    run.ok("c-2")
    run.rerun("c", id="2", context={"v": 2})
    assert run.stands("gate") == "Running WaitingForApproval"
    assert run.stands("b") == "WaitingForDependencies"


def test_an_edited_context_asks_again_where_what_was_approved_has_not_ended():
    run = approved()
    run.rerun("x", context={"v": "evil"})
    assert run.stopped == ["x-1", "b-1"]
    run.step(run.see("b-1", AttemptPhase.GONE))
    assert run.stands("gate") == "Running WaitingForApproval"


def test_an_edited_context_leaves_approvals_of_what_has_ended():
    run = approved().ok("b-1").ok("c-1")
    run.rerun("x", context={"v": 2})
    assert run.stands("gate") == "Completed"


def test_what_was_edited_before_counts_for_a_rerun_without_an_edit():
    run = approved().ok("b-1").ok("c-1")
    run.rerun("x", id="1", context={"v": "evil"})
    assert run.stands("gate") == "Completed", "nothing that was approved runs"
    run.ok("x-2") if run.stands("x") == "Running" else None
    run.rerun("b", id="2")
    assert run.stands("gate") == "Running WaitingForApproval"
    assert run.stands("b") == "WaitingForDependencies"


def test_no_other_try_of_what_runs_reads_an_edited_context():
    retried = node("b", "gate", retryPolicy={"maxAttempts": 3})
    run = Run(gate(), retried, node("x"), context={"v": 1}).step()
    decide(run)
    run.ok("x-1")
    run.rerun("x", cascade=False, context={"v": "evil"})
    assert run.stopped == ["b-1"]
    run.step(run.see("b-1", AttemptPhase.GONE))
    assert run.stands("gate") == "Running WaitingForApproval"
    assert run.stands("b") == "WaitingForDependencies"


def test_what_ran_again_before_an_approval_without_cascade_is_asked_about_again():
    run = Run(node("a"), gate("gate", "a"), node("b", "gate")).step().ok("a-1")
    run.rerun("a", id="1", cascade=False)
    assert run.stands("gate") == "WaitingForDependencies", "what was asked about is not there"
    run.ok("a-2")
    assert run.state("gate").execution_id == "gate-2"
    decide(run, execution="gate-2")
    run.ok("b-1")
    run.rerun("a", id="2", cascade=False)
    run.ok("a-3")
    assert run.stands("gate") == "Completed"
    assert run.state("gate").stale
    run.rerun("b", id="3")
    assert run.stands("gate") == "Running WaitingForApproval"


def test_a_newer_definition_of_what_was_approved_asks_again():
    run = approved().ok("x-1").ok("b-1").ok("c-1")
    other = Run(gate(), node("x"), node("b", "gate"), node("c", "b", config={"script": "evil"}))
    run.rerun(plan=other.plan, initial_context={"v": 1})
    assert run.stands("gate") == "Running WaitingForApproval"


def test_a_restore_puts_the_approval_back_that_the_version_had():
    run = approved().ok("b-1").ok("c-1").ok("x-1")
    before = run.engine.status.context_version
    run.rerun("c", context={"v": 2})
    assert run.stands("gate") == "Running WaitingForApproval"
    run.step(requests=[RestoreRequest("r", before)])
    assert run.stands("gate") == "Completed"


def test_a_message_is_bounded_and_keeps_the_command():
    run = Run(gate(message="m" * 5000, approvers={"users": ["u" * 1000], "groups": ["g" * 1000]}))
    assert run.step().state("gate").message.endswith(": podium approve run gate")


@pytest.mark.parametrize(
    "config",
    [
        {"approvers": ["alice"]},
        {"approvers": {"users": "alice"}},
        {"fields": []},
        {"fields": {"type": "array"}},
        {"timeoutSeconds": 0},
        {"timeoutSeconds": 5, "onTimeout": "approve"},
        {"message": "${{ context.other.output }"},
    ],
)
def test_what_is_wrong_is_found_before(config):
    with pytest.raises(InvalidError, match="config"):
        Run(gate(**config))
