"""Rollbacks under random graphs with groups, random ends of compensations, and a hostile world.

Whatever happens, exactly what completed and has a compensation is undone, each after all that is
after it in the graph, before the nodes of finally, and the run ends as it would have.
"""

from hypothesis import given, note
from hypothesis import strategies as st

from podium.api.names import compensated_path, compensation_path
from podium.api.run import NodeStatus, RunPhase
from podium.api.workflow import Compensation, RetryPolicy, WorkflowSpec
from podium.engine import Control, RerunRequest
from podium.engine.reach import descendants
from podium.engine.run_outcome import ending_of
from tests.property import engine_test, groups_test
from tests.property.amount import tried

SETTINGS = tried(80)
BROKEN = {"executor": "script", "config": {"script": "true"}, "retryPolicy": {"maxAttempts": 1}}
POLICIES = ["OnFailure", "OnCancel", "Always", "Never"]
ENDS = {
    "ok": ("Completed", ""),
    "no": ("Completed", ""),
    "fail": ("Failed", "Error"),
    "bad-json": ("Failed", "OutputNotJSON"),
    "refuse": ("Failed", "Refused"),
    "hang": ("Failed", "Timeout"),
}


def _with_compensations(draw, nodes, outcomes, prefix=""):
    for node in nodes:
        if node.nodes:
            _with_compensations(draw, node.nodes, outcomes, f"{prefix}{node.id}.")
        elif draw(st.booleans()):
            path = compensation_path(prefix + node.id)
            drawn = st.sampled_from(["ok", "ok", "ok", *ENDS])
            outcomes[path] = draw(st.lists(drawn, min_size=1, max_size=2))
            tries = draw(st.integers(1, 2))
            node.compensation = Compensation(
                executor="script",  # its node may be a child run
                config={"script": "true"},
                timeout_seconds=engine_test.TIMEOUT,
                retry_policy=RetryPolicy(max_attempts=tries),
            )


def _calm(graph):
    for edge in graph.get("edges", ()):
        edge["condition"] = None
    for node in graph["nodes"]:
        node |= {"condition": None, "triggerRule": "NoneFailed"}
        if node.get("nodes"):
            _calm(node)


@st.composite
def cases(draw):
    is_nested = draw(st.booleans())
    case = draw(groups_test.cases() if is_nested else engine_test.cases(most=6, last=2))
    spec = case.spec.model_copy(deep=True)
    _with_compensations(draw, spec.nodes, case.outcomes)
    document = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["rollback"] = draw(st.sampled_from(["OnFailure", "OnFailure", *POLICIES]))
    if draw(st.integers(0, 4)):  # else little completes, and there is little to undo
        _calm(document)
        for name, row in case.outcomes.items():
            if compensated_path(name) is None:
                row[:] = ["ok" if draw(st.integers(0, 5)) else each for each in row]
        document["nodes"].append({**BROKEN, "id": "broken"})
        case.outcomes["broken"] = ["fail"]
    return engine_test.Case(WorkflowSpec.model_validate(document), case.outcomes)


class Harness(engine_test.Harness):
    """Checks what holds for compensations when they, and nodes of finally, are launched."""

    def __init__(self, case, **more):
        super().__init__(case, **more)
        self.below = {
            node: {each for each in descendants(self.plan, [node]) if each not in self.plan.members}
            for node in self.plan.nodes
        }
        self.undone = []

    def _ended(self):
        """Return what has ended for good."""
        return {
            name: status
            for name, status in super()._ended().items()
            if name not in self.plan.compensations
            and all(self.plan.nodes[g].retry.max_attempts == 1 for g in self.plan.dag.around(name))
        }

    def _check_launches(self, launches):
        states, plan = self.engine.status.nodes, self.plan
        live = {self.world.executions[e]["node"] for e in self.world.live()}
        own = set(states) - plan.finally_nodes - plan.compensations.keys()
        for launch in launches:
            node = compensated_path(launch.node)
            if launch.node in plan.finally_nodes:
                before = own | plan.compensations.keys()
                assert all(states[each].status.ended for each in before), "finally comes last"
                assert not before & live, "it is not gone yet"
            elif node is not None:
                assert all(states[each].status.ended for each in own), "it comes after all others"
                assert not own & live, "it is not gone yet"
                assert states[node].status is NodeStatus.COMPLETED
                for after in self.below[node]:
                    undoing = compensation_path(after)
                    assert undoing not in live, "what rests on it is undone first"
                    if undoing in states:
                        assert states[undoing].status.ended
                self.undone.append(launch.node)
            else:
                undoing = {plan.compensations[each] for each in live & plan.compensations.keys()}
                assert launch.node not in undoing, "it is being undone"
                assert not undoing & self.below[launch.node], "what comes after it is being undone"

    def want(self, name, tries):
        """Return how a compensation ends that runs."""
        for number in range(1, tries + 1):
            outcome = self.case.outcome(name, number)
            if outcome in ("ok", "no", "refuse"):
                break
        return ENDS[outcome]


def _own(harness):
    plan = harness.plan
    return [n for n in plan.nodes if n not in plan.compensations and n not in plan.finally_nodes]


def _check_rollback(harness, *, is_rolled_back):
    status, plan = harness.engine.status, harness.plan
    states = status.nodes
    failed = False
    for name, node in plan.compensations.items():
        state, of = states[name], states[node]
        end = (state.status.value, state.reason)
        note(f"{name}: {end}, {of.status.value} {of.reason}")
        if not is_rolled_back or of.status is not NodeStatus.COMPLETED:
            assert end == ("Skipped", "NotNeeded")
            assert of.reason not in ("Compensated", "CompensationFailed")
            continue
        assert end == harness.want(name, plan.nodes[name].retry.max_attempts)
        is_good = state.status is NodeStatus.COMPLETED
        assert of.reason == ("Compensated" if is_good else "CompensationFailed")
        failed |= not is_good
    said = [c for c in status.conditions if c.type == "RolledBack"]
    if is_rolled_back and harness.undone:
        assert [c.status.value for c in said] == ["False" if failed else "True"]
    else:
        assert not said


@SETTINGS
@given(cases(), st.data())
def test_what_completed_is_undone_in_reverse_order(case, data):
    harness = Harness(case, max_parallel=data.draw(st.integers(1, 4)))
    engine_test.hostile(data.draw, harness, data.draw(st.integers(0, 25)))
    harness.finish()
    states = harness.engine.status.nodes
    plan = harness.plan
    bad = any(
        (states[n].status is NodeStatus.FAILED and not plan.nodes[n].definition.allow_failure)
        or states[n].reason == "UpstreamFailed"
        for n in _own(harness)
        if not plan.nodes[n].group
    )
    policy = case.spec.rollback.value
    _check_rollback(harness, is_rolled_back=bad and policy in ("OnFailure", "Always"))
    if bad:
        assert harness.engine.status.phase is RunPhase.FAILED
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps
    run = harness.engine._run
    assert run.counters.open == run.counters.open_compensations == run.counters.open_finally == 0
    # What is derived is the same after a crash, and the end stays the end.
    before = harness.written
    harness.crash()
    harness.turn([harness.world.see(e) for e in harness.world.executions])
    assert harness.written["nodes"] == before["nodes"]


CONTROLS = [
    Control(cancel=True),
    Control(suspend=True, cancel=True),
    Control(terminate=True),
]


@SETTINGS
@given(cases(), st.data())
def test_a_cancel_rolls_back_and_terminate_does_not(case, data):
    harness = Harness(case, fail_fast=data.draw(st.booleans()))
    engine_test.hostile(data.draw, harness, data.draw(st.integers(0, 25)))
    if data.draw(st.booleans()):
        for _ in range(2):
            harness.turn(control=Control(suspend=True))
    was_rolling_back = harness.engine._run.is_rolling_back
    was_over = harness.engine.status.phase.ended
    control = data.draw(st.sampled_from(CONTROLS))
    begun = set(harness.undone)
    for _ in range(data.draw(st.integers(1, 3))):
        harness.turn(control=control, die_at=data.draw(st.sampled_from([None, None, 0, 1])))
    harness.finish(control)
    status = harness.engine.status
    assert all(state.status.ended for state in status.nodes.values())
    if control.terminate:
        if not was_over and not was_rolling_back:
            assert set(harness.undone) == begun, "nothing new is undone"
    else:
        phase = ending_of(harness.engine._run)["phase"]
        policy = case.spec.rollback
        has_rolled_back = bool(harness.undone)
        if has_rolled_back:
            assert policy.covers(phase)
        _check_rollback(harness, is_rolled_back=has_rolled_back)
        if status.phase is RunPhase.CANCELLED and policy.value in ("OnCancel", "Always"):
            done = [
                node
                for node in harness.plan.compensations.values()
                if status.nodes[node].status is NodeStatus.COMPLETED
            ]
            cancelled = any(status.nodes[n].reason == "RunCancelled" for n in _own(harness))
            assert not done or has_rolled_back or not cancelled
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps


@SETTINGS
@given(cases(), st.data())
def test_a_rerun_runs_again_what_was_undone(case, data):
    harness = Harness(case)
    engine_test.hostile(data.draw, harness, data.draw(st.integers(0, 15)))
    harness.finish()
    before = {n: s.execution_count for n, s in harness.engine.status.nodes.items()}
    undone = [
        node
        for name, node in harness.plan.compensations.items()
        if harness.engine.status.nodes[name].execution_id is not None
    ]
    target = data.draw(st.sampled_from(_own(harness)))
    cascade = data.draw(st.booleans())
    request = RerunRequest("q1", (target,), cascade=cascade)
    harness.turn(requests=[request], die_at=data.draw(st.sampled_from([None, 0, 1])))
    harness.turn(requests=[request])
    states = harness.engine.status.nodes
    for node in undone:
        assert states[node].reason not in ("Compensated", "CompensationFailed")
    engine_test.hostile(data.draw, harness, data.draw(st.integers(0, 10)))
    harness.finish()
    for node in undone:
        ran = states[node].status in (NodeStatus.COMPLETED, NodeStatus.FAILED)
        is_new = harness.engine.status.nodes[node].execution_count > before[node]
        assert is_new or not ran or states[node].reason == "ConditionError"
    assert harness.engine.status.handled_requests == ["q1"]
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps
