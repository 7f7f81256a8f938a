"""Random graphs with approvals, decisions that come late, twice or for another execution, crashes.

Each approval ends as it was decided, once, and everything else as the tables say.
"""

import json

from hypothesis import given, note
from hypothesis import strategies as st

from podium.api.run import NodeStatus
from podium.api.workflow import WorkflowSpec
from podium.engine import ApprovalRequest, AttemptPhase, Observation, RerunRequest
from podium.kinds import Answer
from tests.property.amount import tried
from tests.property.engine_test import Case, Harness, cases, expected, hostile

SETTINGS = tried(60)


@st.composite
def gated(draw):
    """Draw a graph some of whose nodes are approvals, and its twin of tasks alone."""
    case = draw(cases(most=6))
    names = [node.id for node in case.spec.nodes]
    gates = draw(st.sets(st.sampled_from(names), min_size=1))
    spec = case.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for edge in spec["edges"]:
        if edge["from"] in gates:
            edge["condition"] = None  # an approval has no `ok`
    twin = json.loads(json.dumps(spec))
    for node, as_task in zip(spec["nodes"], twin["nodes"], strict=True):
        if node["id"] in gates:
            as_task["retryPolicy"] = {"maxAttempts": 1}
            for field in ("executor", "config", "retryPolicy", "timeoutSeconds"):
                del node[field]
            node["type"] = "approval"
    outcomes = {
        name: [draw(st.sampled_from(["ok", "fail"]))] if name in gates else row
        for name, row in case.outcomes.items()
    }
    real, tasks = (WorkflowSpec.model_validate(each) for each in (spec, twin))
    return Case(real, outcomes), Case(tasks, outcomes), gates


class Gated(Harness):
    """A shell with persons, who decide and are heard after any crash."""

    def __init__(self, case, gates, **more):
        self.gates, self.asked, self.counted = gates, [], {}
        super().__init__(case, **more)

    def waiting(self):
        states = self.engine.status.nodes
        return [n for n in self.gates if states[n].status is NodeStatus.RUNNING]

    def decide(self, node, *, right=True):
        """Decide about what waits; a wrong decision is the opposite, about another execution."""
        execution = self.engine.status.nodes[node].execution_id
        is_approved = (self.case.outcome(node, 1) == "ok") is right
        answer = Answer(is_approved, "p", "p", (), "", {})
        execution = execution if right else f"{node}-{int(execution.rsplit('-', 1)[1]) + 1}"
        self.asked.append(ApprovalRequest(f"q{len(self.asked)}", node, execution, answer))

    def turn(self, observations=(), *, requests=(), **more):
        handled = self.written.get("handledRequests", ())
        left = [each for each in self.asked if each.id not in handled]
        self.asked = [*self.asked[: len(self.asked) - len(left)], *left]
        gone = [
            Observation(each.rsplit("-", 1)[0], each, AttemptPhase.GONE)
            for each in self.world.stopping
            if each not in self.world.executions  # it was stopped before it was started
        ]
        return super().turn([*observations, *gone], requests=[*left[:10], *requests], **more)

    def finish(self, control=None):
        for _ in range(50):
            for node in self.waiting():
                self.decide(node)
            if self.engine.status.phase.ended:
                return
            self.world.settle()
            for execution in self.world.live():
                self.world.advance(execution)
            self.turn([self.world.see(e) for e in self.world.executions], control=control)
            if not self.world.going_on() and not self.waiting():
                self.now += 2000
        raise AssertionError(f"the run does not end: {self.written}")


def plain(ends):
    """Return ends as one of tasks has them."""
    return {
        node: (status, "Error" if reason == "Rejected" else reason)
        for node, (status, reason, _) in ends.items()
    }


@SETTINGS
@given(gated(), st.data())
def test_approvals_end_as_they_were_decided(drawn, data):
    case, twin, gates = drawn
    harness = Gated(case, gates, max_parallel=data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(0, 4))):
        hostile(data.draw, harness, data.draw(st.integers(0, 3)))
        for node in harness.waiting():
            if data.draw(st.booleans()):
                harness.decide(node, right=data.draw(st.booleans()))
                if data.draw(st.booleans()):
                    harness.asked.append(harness.asked[-1])  # heard twice
    harness.finish()
    ends = plain(harness.ends())
    want = plain(expected(twin))
    note(f"{ends}\n{want}")
    assert ends == want
    for node in gates:
        assert harness.engine.status.nodes[node].execution_count <= 1
        assert not harness.engine.status.nodes[node].history


@SETTINGS
@given(gated(), st.data())
def test_no_decision_counts_for_another_execution(drawn, data):
    """Re-runs with edits ask again: an answer to what was asked before changes nothing."""
    case, _, gates = drawn
    for node in case.spec.nodes:
        node.condition = None  # one that names a key which is not there has each edit refused
    harness = Gated(case, gates)
    everything = tuple(node.id for node in case.spec.nodes)
    for number in range(data.draw(st.integers(1, 3))):
        hostile(data.draw, harness, data.draw(st.integers(0, 4)))
        stale = [node for node in harness.waiting() if data.draw(st.booleans())]
        for node in stale:
            harness.decide(node)
        late = [harness.asked.pop() for _ in stale]
        request = RerunRequest(f"r{number}", everything, context={"v": number})
        harness.turn(requests=[request])
        harness.asked += late
        harness.turn()
        for each in late:
            now = harness.engine.status.nodes[each.node]
            assert now.execution_id != each.execution
            assert all(record.status is not NodeStatus.COMPLETED for record in now.history)
    harness.finish()
