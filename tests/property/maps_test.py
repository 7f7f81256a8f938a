"""Maps under random graphs, random outcomes and a hostile world.

As `engine_test`: whatever happens, the end state is the one that a few lines straight from
semantics.md compute, no item starts beside another try of itself, and no more than may.
"""

from dataclasses import dataclass

from hypothesis import given, note
from hypothesis import strategies as st

from podium.api.names import item_path, split_item
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
PROGRAM = "script", {"script": "true"}
CHILD = "workflow", {"workflowRef": {"name": "other"}}
ITEM_CONDITIONS = [None, None, "item != 1", "item == 9", "item.missing == 1"]


@dataclass
class Case:
    """A graph with maps, some of them in a group, and how each try of each program ends."""

    spec: WorkflowSpec
    outcomes: dict[str, list[str]]

    def outcome(self, node, number):
        row = self.outcomes[node]
        return row[min(number - 1, len(row) - 1)]


@st.composite
def cases(draw):
    nodes, edges, outcomes = [], [], {}
    is_grouped = draw(st.integers(0, 3)) == 0
    for position in range(draw(st.integers(1, 4))):
        name = f"n{position}"
        path = f"g.{name}" if is_grouped else name
        # Its items may be child runs, which take no slot.
        executor, config = draw(st.sampled_from([PROGRAM, PROGRAM, CHILD]))
        node = {
            "id": name,
            "executor": executor,
            "config": config,
            "triggerRule": draw(st.sampled_from(RULES)),
            "condition": draw(st.sampled_from(NODE_CONDITIONS)),
            "allowFailure": draw(st.integers(0, 4)) == 0,
            "timeoutSeconds": TIMEOUT,
            "retryPolicy": {
                "maxAttempts": draw(st.integers(1, 2)),
                "backoffSeconds": draw(st.sampled_from([0, 5])),
            },
        }
        for source in nodes:
            if draw(st.integers(0, 2)) == 0:
                condition = draw(st.sampled_from([None, None, "context.ok == true"]))
                if "forEach" in source:
                    condition = draw(st.sampled_from([None, "context.succeeded > 1"]))
                edges.append({"from": source["id"], "to": name, "condition": condition})
        count = 1
        if draw(st.integers(0, 2)):
            count = draw(st.integers(0, 5))
            node["forEach"] = draw(st.sampled_from([str(list(range(count))), "context.no"]))
            node["forEach"] = str(list(range(count))) if draw(st.integers(0, 9)) else "context.no"
            node["maxParallel"] = draw(st.sampled_from([None, None, 1, 2]))
            node["allowedFailures"] = draw(st.sampled_from([None, 1, "50%"]))
            if draw(st.booleans()):
                node["condition"] = draw(st.sampled_from(ITEM_CONDITIONS))
        for index in range(count):
            row = draw(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3))
            outcomes[item_path(path, index) if "forEach" in node else path] = row
        nodes.append({key: value for key, value in node.items() if value is not None})
    graph = {"nodes": nodes, "edges": edges}
    if is_grouped:
        graph = {"nodes": [{"id": "g", "type": "parallel_group", **graph}]}
    return Case(WorkflowSpec.model_validate(graph), outcomes)


class MapHarness(Harness):
    """Checks what holds for items when they are launched, of which it refuses some for now."""

    refusals = ()

    def refuses(self, launch):
        refused, self.refusals = bool(self.refusals[:1]) and self.refusals[0], self.refusals[1:]
        return refused

    def _ended(self):
        nodes = self.engine.status.nodes
        return {n: s.status for n, s in nodes.items() if s.status.ended and n in self.plan.nodes}

    def _check_launches(self, launches):
        states, plan = self.engine.status.nodes, self.plan
        running = [name for name, state in states.items() if state.status is NodeStatus.RUNNING]
        here = [*running, *(each.node for each in launches)]
        slots = sum(plan.nodes[name].kind.holds_slot for name in here)
        assert slots <= self.info.max_parallel
        for launch in launches:
            if launch.item is None:
                continue
            map_ = launch.item.map
            assert states[map_].status is NodeStatus.RUNNING
            assert launch.item.execution == states[map_].execution_id
            assert launch.input["item"] == launch.input["index"] == launch.item.index
            limit = plan.nodes[map_].definition.max_parallel
            if limit is None and plan.nodes[map_].definition.executor == "workflow":
                limit = self.info.max_parallel
            if limit is not None:
                assert sum((split_item(each) or ("",))[0] == map_ for each in here) <= limit

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
            if name in self.plan.nodes and name != "g"
        }


def _inner(case):
    group = case.spec.nodes[0]
    return (
        (group.nodes, group.edges, "g.") if group.nodes else (case.spec.nodes, case.spec.edges, "")
    )


def expected(case):
    """Compute each node's end straight from the tables; a map that may stop early: None."""
    nodes, edges, prefix = _inner(case)
    ends = {}
    for node in nodes:
        states = []
        for edge in edges:
            if edge.to != node.id:
                continue
            source = next(each for each in nodes if each.id == edge.from_)
            states.append(_edge(edge, source, ends[prefix + edge.from_]))
        own = node.model_copy(update={"id": prefix + node.id})
        ends[own.id] = (
            _map_end(case, own, states) if node.for_each else _node_end(case, own, states)
        )
    return ends


def _edge(edge, source, end):
    status, reason, output = end
    if status == "Completed":
        if edge.condition is None:
            return "Active"
        if "succeeded" in edge.condition:
            return "Active" if output["succeeded"] > 1 else "Absent"
        return "Broken" if "ok" not in output else "Active" if output["ok"] is True else "Absent"
    if status == "Failed":
        return "Allowed" if source.allow_failure else "Failed"
    return "Failed" if reason == "UpstreamFailed" else "Inactive"


class _AlwaysOk:
    def outcome(self, node, number):
        return "ok"


def _map_end(case, node, edges):
    per_item = node.condition if "item" in (node.condition or "") else None
    alone = node.model_copy(update={"condition": None if per_item else node.condition})
    end = _node_end(_AlwaysOk(), alone, edges)
    if end[0] != "Completed":
        return end
    if node.for_each == "context.no":
        return ("Failed", "ConditionError", None)
    count = len(eval(node.for_each))
    items, failed, skipped = [], 0, 0
    for index in range(count):
        condition = None
        if per_item is not None:
            condition = {"item != 1": index != 1, "item == 9": False}.get(per_item, "nothing")
        if condition is False:
            skipped += 1
            items.append(None)
            continue
        words = {None: None, True: None, "nothing": "context.nothing"}[condition]
        item = alone.model_copy(update={"id": item_path(node.id, index), "condition": words})
        status, _, output = _node_end(case, item, [])
        failed += status == "Failed"
        items.append(output if status == "Completed" else None)
    allowed = node.allowed_failures or 0
    allowed = count * 50 // 100 if isinstance(allowed, str) else allowed
    if failed > allowed:
        return ("Failed", "ItemFailed", None)
    succeeded = count - failed - skipped
    counts = {"succeeded": succeeded, "failed": failed, "skipped": skipped}
    return ("Completed", "", {"items": items, **counts})


def _nothing_left(harness):
    run = harness.engine._run
    assert run.counters.open == 0
    assert not run.counters.slots
    assert not any(run.counters.slots_in.values())
    assert not any(run.items.open.values())
    assert not run.items.running
    for name, state in harness.engine.status.nodes.items():
        assert state.status.ended, name


@SETTINGS
@given(cases(), st.data())
def test_maps_end_as_the_tables_say_whatever_the_order_of_events(case, data):
    harness = MapHarness(case, max_parallel=data.draw(st.integers(1, 4)))
    harness.refusals = data.draw(st.lists(st.booleans(), max_size=15))
    hostile(data.draw, harness, data.draw(st.integers(0, 20)))
    harness.finish()
    want, ends = expected(case), harness.ends()
    note(f"{ends}\n{want}")
    assert ends == want
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps
    _nothing_left(harness)


@SETTINGS
@given(cases(), st.data())
def test_a_cancelled_run_ends_all_items_at_once(case, data):
    harness = MapHarness(case)
    hostile(data.draw, harness, data.draw(st.integers(0, 10)))
    harness.turn(control=Control(cancel=True))
    assert harness.engine.status.phase.ended
    _nothing_left(harness)
    seen = [harness.world.see(e) for e in harness.world.executions]
    harness.turn(seen, control=Control(cancel=True))
    harness.world.settle()
    assert not harness.world.live()


@SETTINGS
@given(cases(), st.data())
def test_maps_run_again_as_a_whole_or_in_parts_without_overlaps(case, data):
    harness = MapHarness(case, fail_fast=data.draw(st.booleans()))
    hostile(data.draw, harness, data.draw(st.integers(1, 12)))
    names = list(harness.plan.nodes)
    names += [path for path in case.outcomes if split_item(path)]
    asked = []
    for number in range(data.draw(st.integers(1, 3))):
        nodes = data.draw(st.lists(st.sampled_from(names), max_size=2))
        cascade = data.draw(st.booleans())
        asked.append(RerunRequest(f"q{number}", tuple(nodes), cascade=cascade, failed=not nodes))
        harness.turn(requests=asked, die_at=data.draw(st.sampled_from([None, None, 0, 1])))
        harness.turn(requests=asked)
        hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps, "an execution started while its predecessor ran"
    _nothing_left(harness)


@SETTINGS
@given(cases(), st.data())
def test_a_suspended_run_starts_no_item(case, data):
    harness = MapHarness(case)
    hostile(data.draw, harness, data.draw(st.integers(0, 6)))
    harness.turn()
    before = set(harness.world.executions)
    for _ in range(4):
        for execution in harness.world.live():
            harness.world.advance(execution)
        harness.now += 100
        seen = [harness.world.see(e) for e in harness.world.executions]
        harness.turn(seen, control=Control(suspend=True))
    assert set(harness.world.executions) == before
    harness.finish()
    assert harness.ends() == expected(case)
    assert harness.engine.status.phase in (RunPhase.SUCCEEDED, RunPhase.FAILED)


@SETTINGS
@given(cases(), st.data())
def test_a_run_from_an_earlier_one_ends_as_if_it_had_run_all_items(case, data):
    """The earlier one may still run; of maps that are copied no item runs, and they count on."""
    harness, _ = from_earlier(data.draw, MapHarness, case)
    maps = [node for node, state in harness.copied.items() if state.items is not None]
    hostile(data.draw, harness, data.draw(st.integers(0, 20)))
    harness.finish()
    assert harness.ends() == expected(case)
    ran = {facts["node"] for facts in harness.world.executions.values()}
    assert not ran & harness.copied.keys()
    assert not {(split_item(node) or ("",))[0] for node in ran} & {*maps}
    _nothing_left(harness)
    if not maps:
        return
    again = data.draw(st.sampled_from(maps))
    count = harness.engine.status.nodes[again].items.count
    asked = item_path(again, data.draw(st.integers(0, count - 1))) if count else again
    request = RerunRequest("again", (asked,), cascade=data.draw(st.booleans()))
    harness.turn(requests=[request], die_at=data.draw(st.sampled_from([None, 0, 1])))
    harness.turn(requests=[request])
    harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    _nothing_left(harness)
