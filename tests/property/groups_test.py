"""Groups under random nested graphs, random outcomes and a hostile world.

As `engine_test`: whatever happens, the end state is the one that a few lines straight from
semantics.md compute, and no execution starts before its group, or beside one of its node.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, note
from hypothesis import strategies as st

from podium.api.run import NodeStatus, RunPhase
from podium.api.workflow import WorkflowSpec
from podium.engine import Control, RerunRequest
from podium.engine.context import output_of
from tests.property.amount import tried
from tests.property.engine_test import (
    NODE_CONDITIONS,
    OUTCOMES,
    RULES,
    TIMEOUT,
    Harness,
    _node_end,
    from_earlier,
    hostile,
)

SETTINGS = tried(100)


@dataclass
class Case:
    """A nested graph, and how each try of each program ends, by path."""

    spec: WorkflowSpec
    outcomes: dict[str, list[str]]

    def outcome(self, node, number):
        row = self.outcomes[node]
        return row[min(number - 1, len(row) - 1)]


def _graph(draw, numbers, prefix, depth, outcomes, most):
    """Draw nodes and edges of one graph; the ids are different everywhere."""
    nodes, edges = [], []
    for _ in range(draw(st.integers(1, most))):
        name = f"n{next(numbers)}"
        node = {
            "id": name,
            "triggerRule": draw(st.sampled_from(RULES)),
            "condition": draw(st.sampled_from(NODE_CONDITIONS)),
            "allowFailure": draw(st.integers(0, 4)) == 0,
            "retryPolicy": {
                "maxAttempts": draw(st.integers(1, 2)),
                "backoffSeconds": draw(st.sampled_from([0, 5])),
            },
        }
        for source in nodes:
            if draw(st.integers(0, 2)) == 0:
                condition = draw(st.sampled_from([None, None, "context.ok == true"]))
                edges.append({"from": source["id"], "to": name, "condition": condition})
        if depth < 3 and draw(st.integers(0, 2 - (not depth))) == 0:
            inner = _graph(draw, numbers, f"{prefix}{name}.", depth + 1, outcomes, 3)
            node |= {"type": "parallel_group", "nodes": inner[0], "edges": inner[1]}
            node["minSuccess"] = draw(st.sampled_from([None, None, 1, len(inner[0])]))
            node["maxParallel"] = draw(st.sampled_from([None, 1, 2]))
        else:
            node |= {"executor": "script", "config": {"script": "true"}}
            node["timeoutSeconds"] = TIMEOUT
            drawn = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3)
            outcomes[prefix + name] = draw(drawn)
        nodes.append({key: value for key, value in node.items() if value is not None})
    return nodes, edges


@st.composite
def cases(draw):
    outcomes = {}
    nodes, edges = _graph(draw, count(), "", 0, outcomes, 4)
    return Case(WorkflowSpec.model_validate({"nodes": nodes, "edges": edges}), outcomes)


@dataclass
class Expected:
    """Each node's end, straight from the tables of semantics.md."""

    case: Case
    ends: dict = field(default_factory=dict)
    tries: Counter = field(default_factory=Counter)

    def outcome(self, node, number):
        """Return how a try ends; `number` counts from the last reset."""
        return self.case.outcome(node, self.tries[node] + number)

    def graph(self, nodes, edges, prefix=""):
        for node in nodes:
            name = prefix + node.id
            node = node.model_copy(update={"id": name})  # noqa: PLW2901 - as the engine knows it
            states = [self._edge(edge, prefix, nodes) for edge in edges if prefix + edge.to == name]
            self.ends[name] = self._group(node, states) if node.nodes else self._task(node, states)
        return self.ends

    def _edge(self, edge, prefix, nodes):
        status, reason, output = self.ends[prefix + edge.from_]
        source = next(each for each in nodes if each.id == edge.from_)
        match status:
            case "Completed" if edge.condition is None:
                return "Active"
            case "Completed" if "ok" not in output:
                return "Broken"
            case "Completed":
                return "Active" if output["ok"] is True else "Absent"
            case "Failed":
                return "Allowed" if source.allow_failure else "Failed"
        return "Failed" if reason == "UpstreamFailed" else "Inactive"

    def _task(self, node, edges):
        end = _node_end(self, node, edges)
        if end[1] in ("", "Refused", "OutputNotJSON", "Timeout", "Error"):
            self.tries[node.id] += self._number_of_tries(node)
        return end

    def _number_of_tries(self, node):
        for number in range(1, node.retry_policy.max_attempts + 1):
            if self.outcome(node.id, number) in ("ok", "no", "refuse"):
                return number
        return node.retry_policy.max_attempts

    def _group(self, node, edges):
        started = _node_end(_AlwaysOk(), node, edges)
        if started[0] != "Completed":
            self._skip(node.nodes, f"{node.id}.")
            return started
        for _ in range(node.retry_policy.max_attempts):
            self.graph(node.nodes, node.edges, f"{node.id}.")
            ends = {each.id: self.ends[f"{node.id}.{each.id}"] for each in node.nodes}
            allowed = {each.id for each in node.nodes if each.allow_failure}
            bad = [
                name
                for name, (status, reason, _) in ends.items()
                if (status == "Failed" and name not in allowed) or reason == "UpstreamFailed"
            ]
            done = {name: end[2] for name, end in ends.items() if end[0] == "Completed"}
            if not bad or (node.min_success is not None and len(done) >= node.min_success):
                return ("Completed", "", done)
        return ("Failed", "MemberFailed", None)

    def _skip(self, nodes, prefix):
        for node in nodes:
            self.ends[prefix + node.id] = ("Skipped", "GroupSkipped", None)
            self._skip(node.nodes, f"{prefix}{node.id}.")


class _AlwaysOk:
    def outcome(self, node, number):
        return "ok"


class GroupHarness(Harness):
    """Checks what holds for members when they are launched."""

    def _ended(self):
        """Return what has ended for good: a group that is tried again runs its members again."""
        return {
            name: status
            for name, status in super()._ended().items()
            if all(self.plan.nodes[g].retry.max_attempts == 1 for g in self.plan.dag.around(name))
        }

    def _check_launches(self, launches):
        states, plan = self.engine.status.nodes, self.plan
        running = [
            name
            for name, state in states.items()
            if state.status is NodeStatus.RUNNING and name not in plan.members
        ]
        assert len(running) + len(launches) <= self.info.max_parallel
        for name in plan.members:
            limit = plan.nodes[name].definition.max_parallel
            if limit is not None and any(launch.node.startswith(f"{name}.") for launch in launches):
                here = [*running, *(launch.node for launch in launches)]
                assert sum(each.startswith(f"{name}.") for each in here) <= limit
        for launch in launches:
            around = {states[group].status for group in plan.dag.around(launch.node)}
            # Ready: it is to run again, beside what goes on of it, and groups in it wait for it.
            again = {NodeStatus.READY, NodeStatus.PENDING} if NodeStatus.READY in around else set()
            assert around <= {NodeStatus.RUNNING} | again
            node = plan.nodes[launch.node]
            sources = [states[plan.edges[index].source] for index in node.incoming]
            if node.rule.value not in ("OneSuccess", "OneFailed"):
                assert all(source.status.ended for source in sources)

    def ends(self):
        states = self.engine.status.nodes
        return {
            name: (
                state.status.value,
                state.reason,
                output_of(self.plan, name, states)
                if state.status is NodeStatus.COMPLETED
                else state.output,
            )
            for name, state in states.items()
        }


@SETTINGS
@given(cases(), st.data())
def test_groups_end_as_the_tables_say_whatever_the_order_of_events(case, data):
    harness = GroupHarness(case, max_parallel=data.draw(st.integers(1, 4)))
    hostile(data.draw, harness, data.draw(st.integers(0, 20)))
    harness.finish()
    want = Expected(case).graph(case.spec.nodes, case.spec.edges)
    ends = harness.ends()
    note(f"{ends}\n{want}")
    assert ends == want
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps
    bad = any(
        (want[node.id][0] == "Failed" and not node.allow_failure)
        or want[node.id][1] == "UpstreamFailed"
        for node in case.spec.nodes
    )
    assert harness.engine.status.phase is (RunPhase.FAILED if bad else RunPhase.SUCCEEDED)
    assert harness.engine._run.counters.open == 0
    assert not any(harness.engine._run.counters.open_members.values())
    assert not any(harness.engine._run.counters.slots_in.values())


@SETTINGS
@given(cases(), st.data())
def test_a_rerun_in_a_group_runs_what_follows_and_nothing_else(case, data):
    harness = GroupHarness(case)
    harness.finish()
    plan = harness.plan
    before = {name: state.model_copy() for name, state in harness.engine.status.nodes.items()}
    target = data.draw(st.sampled_from(list(plan.nodes)))
    request = RerunRequest("q1", (target,))
    harness.turn(requests=[request], die_at=data.draw(st.sampled_from([None, 0, 1])))
    harness.turn(requests=[request])
    hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    touched = set()
    waiting = [target, *plan.dag.within(target)]
    while waiting:
        name = waiting.pop()
        if name in touched:
            continue
        touched.add(name)
        followers = [plan.edges[index].target for index in plan.nodes[name].outgoing]
        waiting += followers
        waiting += [each for follower in followers for each in plan.dag.within(follower)]
        for group in plan.dag.around(name):
            waiting.append(group)
            policy = plan.nodes[group].definition.retry_policy
            if policy is not None and policy.max_attempts > 1:  # which runs all members again
                waiting += plan.dag.within(group)
    for name, state in harness.engine.status.nodes.items():
        if name not in touched:
            same = ("status", "reason", "execution_id", "execution_count", "output")
            was = {key: getattr(before[name], key) for key in same}
            assert {key: getattr(state, key) for key in same} == was, name
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps


@SETTINGS
@given(cases(), st.data())
def test_a_running_group_is_run_again_or_restored_without_overlaps(case, data):
    harness = GroupHarness(case, fail_fast=data.draw(st.booleans()))
    hostile(data.draw, harness, data.draw(st.integers(1, 12)))
    asked = []
    for number in range(data.draw(st.integers(1, 3))):
        nodes = data.draw(st.lists(st.sampled_from(list(harness.plan.nodes)), max_size=2))
        asked.append(RerunRequest(f"q{number}", tuple(nodes), failed=not nodes))
        harness.turn(requests=asked, die_at=data.draw(st.sampled_from([None, None, 0, 1])))
        harness.turn(requests=asked)
        hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps, "an execution started while its predecessor ran"


@SETTINGS
@given(cases(), st.data())
def test_a_cancelled_run_ends_all_members_at_once(case, data):
    harness = GroupHarness(case)
    hostile(data.draw, harness, data.draw(st.integers(0, 10)))
    harness.turn(control=Control(cancel=True))
    assert harness.engine.status.phase.ended
    assert all(state.status.ended for state in harness.engine.status.nodes.values())
    harness.turn([harness.world.see(e) for e in harness.world.executions])
    harness.world.settle()
    assert not harness.world.live()


@SETTINGS
@given(cases(), st.data())
def test_a_run_from_an_earlier_one_with_groups_ends_as_if_it_had_run_all(case, data):
    """Members are copied one by one; a group runs where one of them does."""
    harness, _ = from_earlier(data.draw, GroupHarness, case)
    plan, copied = harness.plan, harness.copied
    for name in copied:
        assert all(plan.edges[index].source in copied for index in plan.nodes[name].incoming)
        assert all(member in copied for member in plan.dag.within(name))
    hostile(data.draw, harness, data.draw(st.integers(0, 15)))
    harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps
    assert not harness.engine._run.counters.open
    if all(plan.nodes[group].retry.max_attempts == 1 for group in plan.members):
        # Else a member may run again with its group, and its next try end in another way.
        ends, want = harness.ends(), Expected(case).graph(case.spec.nodes, case.spec.edges)
        note(f"{sorted(copied)}\n{ends}\n{want}")
        assert ends == want
        started = {facts["node"] for facts in harness.world.executions.values()}
        assert not started & copied.keys()
