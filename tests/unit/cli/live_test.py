"""The lines that follow a run without a terminal: a cause comes before what it led to."""

import io

from podium.api.reasons import EventReason
from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunStatus
from podium.cli.live import view_on
from podium.engine import Changes, Emit, EventType


def told(changed, *events, before="Running"):
    """Return the first words of the lines that a change of these nodes makes, in their order."""
    stream = io.StringIO()
    nodes = {node: NodeState(status=NodeStatus(before)) for node in changed}
    status = WorkflowRunStatus(phase=RunPhase.RUNNING, nodes=nodes)
    view = view_on(stream)
    view.begin(status)
    for node, now in changed.items():
        nodes[node].status = NodeStatus(now)
    emitted = [Emit(EventType.NORMAL, reason, "it is so") for reason in events]
    view.update(emitted, Changes(run=True, nodes=set(changed)))
    return [line.split()[1] for line in stream.getvalue().splitlines()]


def test_what_failed_comes_before_what_this_cancelled():
    assert told({"a": "Cancelled", "b": "Failed", "c": "Skipped"}) == ["b", "a", "c"]


def test_members_and_items_end_before_what_they_are_of():
    ends = {"g": "Failed", "g.h": "Failed", "g.h.a": "Failed", "m": "Failed", "m[3]": "Failed"}
    assert told(ends) == ["g.h.a", "g.h", "m[3]", "g", "m"]


def test_what_starts_comes_after_what_ended_in_the_definitions_order():
    changed = {"g": "Running", "g.a": "Running", "z": "Completed"}
    assert told(changed, before="Pending") == ["z", "g", "g.a"]


def test_a_rollback_begins_after_the_ends_that_led_to_it_and_before_its_compensations():
    changed = {"a": "Failed", "b.compensation": "Running"}
    said = told(changed, EventReason.RUN_ROLLING_BACK, before="Ready")
    assert said == ["a", "RunRollingBack", "b.compensation"]


def test_a_rollback_ends_after_its_compensations():
    said = told({"b.compensation": "Completed"}, EventReason.RUN_ROLLED_BACK)
    assert said == ["b.compensation", "RunRolledBack"]


def test_a_request_comes_before_what_it_runs():
    assert told({"a": "Failed"}, EventReason.RERUN, before="Pending") == ["Rerun", "a"]
