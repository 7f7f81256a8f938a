"""The engine under random graphs, random outcomes and a hostile world.

Observations come lost, doubled, late, stale and out of order; the engine is thrown away and
rebuilt from what was last written at any moment. Whatever happens, the end state is the one that
a few lines straight from semantics.md compute (`expected`).
"""

import json
from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given, note
from hypothesis import strategies as st

from podium.api.run import NodeStatus, RunPhase, WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Control,
    Earlier,
    Engine,
    Launch,
    Observation,
    Plan,
    RerunRequest,
    RunInfo,
    Stop,
    WakeAt,
    copied_states,
    dump_status,
    initial_context,
    initial_status,
    load_status,
)
from tests.property.amount import tried

RULES = [
    "NoneFailedMinOneSuccess",
    "NoneFailed",
    "AllSuccess",
    "OneSuccess",
    "OneFailed",
    "AllDone",
]
EDGE_CONDITIONS = [None, None, None, "context.ok == true", "context.absent == 1"]
NODE_CONDITIONS = [None, None, None, "1 == 1", "1 == 2", "context.nothing > 1"]
EXECUTORS = [
    *[("script", {"script": "true"})] * 3,
    ("workflow", {"workflowRef": {"name": "w"}}),
    ("persona", {"personas": ["p"]}),
    ("persona", {"personas": ["p"], "limits": {"tokens": 3000}}),
]
SPENT = {"totalTokens": 7, "calls": 1, "cost": 0.5}
TIMEOUT = 1000
"""Seconds after which a node that hangs is stopped; it takes a while to be gone."""
OUTCOMES = ["ok", "ok", "ok", "no", "fail", "bad-json", "refuse", "hang"]


@dataclass
class Case:
    """A graph, and how each try of each node ends."""

    spec: WorkflowSpec
    outcomes: dict[str, list[str]]

    @property
    def nodes(self):
        return [node for _, node in self.spec.placed_nodes()]

    def outcome(self, node: str, number: int) -> str:
        row = self.outcomes[node]
        return row[min(number - 1, len(row) - 1)]


@st.composite
def cases(draw, most=7, last=0):
    """Draw a graph of at most so many nodes, and so many of `finally`."""
    count = draw(st.integers(1, most))
    names = [f"n{i}" for i in range(count)]
    names += [f"f{i}" for i in range(draw(st.integers(1, last)) if last else 0)]
    nodes, edges, outcomes = [], [], {}
    for position, name in enumerate(names):
        for source in (each for each in names[:position] if each[0] == name[0]):
            if draw(st.integers(0, 2)) == 0:
                edges.append(
                    {
                        "from": source,
                        "to": name,
                        "type": draw(st.sampled_from(["depends_on", "triggers"])),
                        "condition": draw(st.sampled_from(EDGE_CONDITIONS)),
                        "allowFailure": draw(st.integers(0, 5)) == 0,
                    }
                )
        # A child run is an execution as any other, and takes no slot; personas tell what they spent.
        executor, config = draw(st.sampled_from(EXECUTORS))
        nodes.append(
            {
                "id": name,
                "executor": executor,
                "config": config,
                "triggerRule": draw(st.sampled_from(RULES)),
                "condition": draw(st.sampled_from(NODE_CONDITIONS)),
                "allowFailure": draw(st.integers(0, 4)) == 0,
                "timeoutSeconds": TIMEOUT,
                "retryPolicy": {
                    "maxAttempts": draw(st.integers(1, 3)),
                    "backoffSeconds": draw(st.sampled_from([0, 5])),
                },
            }
        )
        outcomes[name] = draw(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3))
    spec = WorkflowSpec.model_validate(
        {
            "nodes": [each for each in nodes if each["id"][0] == "n"],
            "finally": [each for each in nodes if each["id"][0] == "f"],
            "finallyTimeoutSeconds": 100 * TIMEOUT,
            "edges": edges,
            # Enough for all of them, but not for all at the same time.
            "limits": draw(st.sampled_from([None, {"tokens": 10_000}])),
        }
    )
    return Case(spec, outcomes)


def expected(case, numbers=None):
    """Compute each node's end straight from the tables of semantics.md 3 and 4."""
    ends = {}
    for node in case.nodes:
        edges = []
        for edge in case.spec.edges:
            if edge.to != node.id:
                continue
            status, reason, output = ends[edge.from_]
            source = next(n for n in case.nodes if n.id == edge.from_)
            if status == "Completed":
                if edge.condition is None:
                    edges.append("Active")
                elif "absent" in edge.condition:
                    edges.append("Broken")
                else:
                    edges.append("Active" if output.get("ok") is True else "Absent")
            elif status == "Failed":
                is_allowed = source.allow_failure or edge.allow_failure
                edges.append("Allowed" if is_allowed else "Failed")
            else:
                edges.append("Failed" if reason == "UpstreamFailed" else "Inactive")
        ends[node.id] = _node_end(case, node, edges)
    return ends


def _node_end(case, node, edges):
    rule = node.trigger_rule.value
    seen = Counter(edges)
    active = seen["Active"] + seen["Allowed"]
    broken = ("Failed", "ConditionError", None) if seen["Broken"] else None
    failed = ("Skipped", "UpstreamFailed", None) if seen["Failed"] else None
    undone = None
    match rule if edges else "":
        case "NoneFailedMinOneSuccess" if not active:
            undone = ("Skipped", "NoActiveEdge", None)
        case "NoneFailed" if seen["Absent"] == len(edges):
            undone = ("Skipped", "NoActiveEdge", None)
        case "AllSuccess" if active < len(edges):
            undone = ("Skipped", "EdgeInactive", None)
        case "OneSuccess":
            broken, failed = (None, None) if active else (broken, failed)
            undone = None if active else ("Skipped", "NoActiveEdge", None)
        case "OneFailed":
            starts = seen["Failed"] or seen["Allowed"]
            broken, failed = None if starts else broken, None
            undone = None if starts else ("Skipped", "NoFailedEdge", None)
        case "AllDone":
            failed = None
    if end := broken or failed or undone:
        return end
    if node.condition is not None and "nothing" in node.condition:
        return ("Failed", "ConditionError", None)
    if node.condition == "1 == 2":
        return ("Skipped", "ConditionFalse", None)
    for number in range(1, node.retry_policy.max_attempts + 1):
        match case.outcome(node.id, number):
            case "ok":
                return ("Completed", "", {"ok": True})
            case "no":
                return ("Completed", "", {"ok": False})
            case "refuse":
                return ("Failed", "Refused", None)
            case "bad-json":
                end = ("Failed", "OutputNotJSON", None)
            case "hang":
                end = ("Failed", "Timeout", None)
            case _:
                end = ("Failed", "Error", None)
    return end


PHASES = [AttemptPhase.LAUNCHED, AttemptPhase.RUNNING]


@dataclass
class World:
    """Programs as a cluster would run them: each started once by its name."""

    case: Case
    executions: dict[str, dict] = field(default_factory=dict)
    starts: Counter = field(default_factory=Counter)
    stopping: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    overlaps: list[str] = field(default_factory=list)
    unknown: list[Stop] = field(default_factory=list)
    """Asked to end, and never started: shells say that nothing of it runs."""

    def start(self, launch: Launch) -> None:
        if launch.execution_id in self.executions:
            return  # AlreadyExists: ours, adopted
        self.starts[launch.execution_id] += 1
        number = int(launch.execution_id.rsplit("-", 1)[1])
        if any(self.executions[e]["node"] == launch.node for e in self.live()):
            self.overlaps.append(launch.execution_id)
        self.executions[launch.execution_id] = {
            "node": launch.node,
            "number": number,
            "step": 0,
        }

    def stop(self, stop: Stop) -> None:
        """Ask an execution to end; it takes a moment (`settle`)."""
        self.stopping.add(stop.execution_id)
        if stop.execution_id not in self.executions:
            self.unknown.append(stop)

    def settle(self) -> None:
        self.stopped |= self.stopping

    def live(self):
        return [e for e, x in self.executions.items() if x["step"] < 2 and e not in self.stopped]

    def going_on(self):
        """Return the live executions of which something is still to come."""
        return [e for e in self.live() if e in self.stopping or not self._hangs(e)]

    def ended_personas(self):
        """Return the number of executions that told what they spent."""
        asking = {node.id for node in self.case.nodes if node.executor == "persona"}
        done = [facts for e, facts in self.executions.items() if e not in self.stopped]
        return sum(facts["node"] in asking and facts["step"] == 2 for facts in done)

    def _hangs(self, execution: str) -> bool:
        facts = self.executions[execution]
        is_last = self.case.outcome(facts["node"], facts["number"]) == "hang"
        return is_last and facts["step"] == 1

    def advance(self, execution: str) -> None:
        facts = self.executions[execution]
        facts["step"] = facts["step"] if self._hangs(execution) else min(2, facts["step"] + 1)

    def see(self, execution: str, step: int | None = None) -> Observation:
        facts = self.executions[execution]
        step = facts["step"] if step is None else min(step, facts["step"])
        common = {"node": facts["node"], "execution_id": execution}
        if step == 2:
            common["usage"] = SPENT
        if execution in self.stopped:
            return Observation(phase=AttemptPhase.GONE, **common)
        if step < 2:
            return Observation(phase=PHASES[step], **common)
        outcome = self.case.outcome(facts["node"], facts["number"])
        if outcome in ("ok", "no"):
            output = json.dumps({"ok": outcome == "ok"}).encode()
            return Observation(phase=AttemptPhase.SUCCEEDED, output=output, **common)
        if outcome == "bad-json":
            return Observation(phase=AttemptPhase.SUCCEEDED, output=b"[1", **common)
        return Observation(
            phase=AttemptPhase.FAILED,
            reason="Refused" if outcome == "refuse" else "Error",
            retryable=outcome != "refuse",
            exit_code=1,
            **common,
        )


class Harness:
    """A shell that writes the status at the end of a turn, and may die at any point in it."""

    def __init__(self, case, *, max_parallel=3, fail_fast=False, earlier=None, **part):
        self.case = case
        self.world = World(case)
        self.plan = Plan.build(case.spec, workflow_id="w")
        self.info = RunInfo("r", "u", max_parallel, fail_fast)
        run = WorkflowRunSpec(workflow_spec=case.spec, **part)
        self.context = initial_context(self.plan, run)
        self.now = 1000.0
        self.copied = {}
        self.granted = {}
        """What executions were granted of the run's limits."""
        if earlier is not None:  # as it was last written
            status = load_status(json.loads(json.dumps(earlier.written)))
            known = Earlier("earlier", "uid", earlier.plan, status, earlier.context)
            self.copied = copied_states(self.plan, run, self.context, known, self.now)
        self.written = dump_status(initial_status(self.plan, self.now, run, self.copied))
        self.crash()

    def crash(self):
        status = load_status(json.loads(json.dumps(self.written)))
        self.engine = Engine(self.plan, self.info, self.context, status)
        self.rebuilt = True

    def turn(self, observations=(), *, die_at=None, requests=(), control=None):
        """One reconcile; `die_at` n: killed before the n-th side effect."""
        effects = 0
        stops = []
        control = control or Control()
        queue = list(observations)
        unknown, self.world.unknown = self.world.unknown, []
        for stop in unknown:
            queue.append(Observation(stop.node, stop.execution_id, AttemptPhase.GONE))
        if self.rebuilt:  # what a new shell does first: it lists everything that there is
            queue += [self.world.see(e) for e in self.world.executions]
            self.rebuilt = False
        while True:
            before = self._ended()
            actions = self.engine.step(
                self.now, observations=queue, requests=requests, control=control
            )
            if not requests:
                after = self._ended()
                assert all(after.get(n) == s for n, s in before.items()), (before, after)
            requests = ()
            queue = []
            launches = [a for a in actions if isinstance(a, Launch)]
            self._check_launches(launches)
            for launch in launches:
                if effects == die_at:
                    return self.crash()
                effects += 1
                answer = Observation(launch.node, launch.execution_id, AttemptPhase.LAUNCHED)
                if self.refuses(launch):
                    answer = replace(answer, phase=AttemptPhase.REFUSED, reason="OperatorLimit")
                else:
                    self.world.start(launch)
                queue.append(answer)
            stops += [a for a in actions if isinstance(a, Stop)]
            if not launches:
                break
        if effects == die_at:
            return self.crash()
        self.engine.take_changes()
        self.written = dump_status(self.engine.status)
        for stop in stops:
            self.world.stop(stop)
        return actions

    def refuses(self, launch):
        """Return whether a launch cannot be carried out for now."""
        return False

    def _ended(self):
        nodes = self.engine.status.nodes
        return {n: s.status for n, s in nodes.items() if s.status.ended}

    def _check_limits(self, launches):
        """What runs at the same time cannot pass the run's limits together.

        A launch that is given out again after a crash is the same: else a shell would not know again
        what it had made of it.
        """
        for each in launches:
            assert self.granted.setdefault(each.execution_id, each.limits) == each.limits
        if self.plan.spec.limits is None:
            assert all(each.limits is None for each in launches)
            return
        states = self.engine.status.nodes
        running = {n for n, s in states.items() if s.status is NodeStatus.RUNNING}
        own = {
            node.id: node.config.get("limits", {}).get("tokens", 10_000)
            for node in self.case.nodes
            if node.executor == "persona"
        }
        usage = self.engine.status.token_usage
        left = 10_000 - (0 if usage is None else usage.total_tokens)
        begun = {each.node: each.limits for each in launches if each.node in own}
        held = [min(own[n], left) for n in running & own.keys() - begun.keys()]
        held += [limits["tokens"] for limits in begun.values()]
        assert not begun or sum(held) <= left

    def _check_launches(self, launches):
        """No node starts before its join allows it."""
        states = self.engine.status.nodes
        running = sum(
            s.status is NodeStatus.RUNNING and self.plan.nodes[n].kind.holds_slot
            for n, s in states.items()
        )
        taking = sum(self.plan.nodes[each.node].kind.holds_slot for each in launches)
        assert not taking or running + taking <= self.info.max_parallel
        self._check_limits(launches)
        for launch in launches:
            node = next(n for n in self.case.nodes if n.id == launch.node)
            sources = [states[e.from_] for e in self.case.spec.edges if e.to == launch.node]
            sources = [state for state in sources if state.reason != "NotSelected"]
            above = {e.from_ for e in self.case.spec.edges if e.to == launch.node}
            live = {self.world.executions[e]["node"] for e in self.world.live()}
            if node.id in self.plan.finally_nodes:
                others = set(states) - self.plan.finally_nodes
                assert all(states[n].status.ended for n in others), "finally comes last"
                assert not others & live, "it is not gone yet"
            if node.trigger_rule.value in ("OneSuccess", "OneFailed"):
                # It waits for one end: another source may be stopped while it waits for a slot.
                gone = [n for n in above - live if states[n].status.ended]
                assert gone or not above, "it is not gone yet"
            else:
                assert not [n for n in above & live if states[n].status.ended], "it is not gone yet"
            if node.trigger_rule.value == "OneFailed" and sources:
                assert any(
                    s.status in (NodeStatus.FAILED, NodeStatus.CANCELLED)
                    or s.reason == "UpstreamFailed"
                    for s in sources
                )
            elif node.trigger_rule.value != "OneSuccess":
                assert all(s.status.ended for s in sources)
            elif sources:
                assert any(s.status in (NodeStatus.COMPLETED, NodeStatus.FAILED) for s in sources)

    def finish(self, control=None):
        for _ in range(800):
            if self.engine.status.phase.ended:
                return
            self.world.settle()
            for execution in self.world.live():
                self.world.advance(execution)
            before = self.written
            actions = self.turn([self.world.see(e) for e in self.world.executions], control=control)
            wakes = [a.at for a in actions or () if isinstance(a, WakeAt)]
            # What was launched again after a crash may have ended: that is seen first.
            if wakes and not self.world.going_on() and self.written == before:
                self.now = max(self.now, wakes[-1])
        raise AssertionError(f"the run does not end: {self.written}")

    def ends(self):
        return {
            name: (state.status.value, state.reason, state.output)
            for name, state in self.engine.status.nodes.items()
        }


def hostile(draw, harness, steps, asked=()):
    """Let the world go on in any order, and tell the engine about it badly.

    What was asked of the run stays there until it is carried out, as its annotation does.
    """
    for _ in range(steps):
        handled = harness.written.get("handledRequests", ())
        waiting = [request for request in asked if request.id not in handled]
        if draw(st.booleans()):
            harness.world.settle()
        live = harness.world.live()
        if live and draw(st.booleans()):
            harness.world.advance(draw(st.sampled_from(live)))
        known = list(harness.world.executions)
        seen = []
        if known:
            for execution in draw(st.lists(st.sampled_from(known), max_size=4)):
                step = draw(st.sampled_from([None, None, 0, 1]))
                seen.append(harness.world.see(execution, step))
        if draw(st.integers(0, 3)) == 0:
            harness.now += draw(st.sampled_from([0.5, 3, 20]))
        die_at = draw(st.sampled_from([None, None, None, 0, 1, 2]))
        harness.turn(seen, die_at=die_at, requests=waiting)
        if draw(st.integers(0, 5)) == 0:
            harness.crash()


def from_earlier(draw, make, case, names=()):
    """Return a harness whose run copies from an earlier one, which may still run, and its `from`."""
    earlier = make(case)
    hostile(draw, earlier, draw(st.integers(0, 20)))
    if draw(st.booleans()):
        earlier.finish()
    begin = {"run": "earlier"}
    if draw(st.booleans()):
        begin["node"] = draw(st.sampled_from(names or list(earlier.plan.nodes)))
    return make(case, earlier=earlier, max_parallel=draw(st.integers(1, 4)), from_=begin), begin


SETTINGS = tried(100)


@SETTINGS
@given(cases(), st.data())
def test_every_run_ends_as_the_tables_say_whatever_the_order_of_events(case, data):
    harness = Harness(case, max_parallel=data.draw(st.integers(1, 4)))
    hostile(data.draw, harness, data.draw(st.integers(0, 20)))
    harness.finish()
    ends = harness.ends()
    want = expected(case)
    note(f"{ends}\n{want}")
    assert {n: e[:2] for n, e in ends.items()} == {n: e[:2] for n, e in want.items()}
    assert {n: e[2] for n, e in ends.items()} == {n: e[2] for n, e in want.items()}
    assert max(harness.world.starts.values(), default=0) <= 1
    bad = any(
        (s == "Failed" and not node.allow_failure) or r == "UpstreamFailed"
        for node in case.spec.nodes
        for s, r, _ in [want[node.id]]
    )
    assert harness.engine.status.phase is (RunPhase.FAILED if bad else RunPhase.SUCCEEDED)
    spent = harness.engine.status.token_usage
    ended = harness.world.ended_personas()
    assert (0 if spent is None else spent.total_tokens) == 7 * ended, "each execution counts once"
    assert (harness.engine.status.cost or 0) == 0.5 * ended


@SETTINGS
@given(cases(last=2), st.data())
def test_a_part_of_a_graph_runs_as_if_it_were_all_of_it(case, data):
    names = [node.id for node in case.spec.nodes]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    field = data.draw(st.sampled_from(["only", "until"]))
    part = set(chosen)
    if field == "until":
        for name in reversed(names):  # edges lead from earlier nodes to later ones
            if name in part:
                part |= {edge.from_ for edge in case.spec.edges if edge.to == name}
    harness = Harness(case, max_parallel=data.draw(st.integers(1, 4)), **{field: chosen})
    hostile(data.draw, harness, data.draw(st.integers(0, 15)))
    harness.finish()
    kept = part | harness.plan.finally_nodes
    alone = case.spec.model_copy(
        update={
            "nodes": [node for node in case.spec.nodes if node.id in part],
            "edges": [e for e in case.spec.edges if e.from_ in kept and e.to in kept],
        }
    )
    want = expected(Case(alone, case.outcomes))
    want |= dict.fromkeys(set(names) - part, ("Skipped", "NotSelected", None))
    assert harness.ends() == want
    # A re-run stays within the part.
    node = data.draw(st.sampled_from(sorted(part)))
    harness.turn(requests=[RerunRequest("q1", (node,))])
    hostile(data.draw, harness, data.draw(st.integers(0, 5)))
    harness.finish()
    for name in set(names) - part:
        assert harness.engine.status.nodes[name].execution_count == 0
    assert max(harness.world.starts.values(), default=0) <= 1


@SETTINGS
@given(cases(last=2), st.data())
def test_a_run_from_an_earlier_one_ends_as_if_it_had_run_all_of_it(case, data):
    """The earlier one may still run; of what is copied nothing runs, and after it all is as ever."""
    names = [node.id for node in case.spec.nodes]
    harness, begin = from_earlier(data.draw, Harness, case, names)
    assert begin.get("node") not in harness.copied
    hostile(data.draw, harness, data.draw(st.integers(0, 15)))
    harness.finish()
    assert harness.ends() == expected(case)
    started = {facts["node"] for facts in harness.world.executions.values()}
    assert not started & harness.copied.keys()
    for name in names:  # what is copied comes after nothing that ran
        sources = {edge.from_ for edge in case.spec.edges if edge.to == name}
        assert name not in harness.copied or sources <= harness.copied.keys()
    # A re-run of a copied node gives it an execution id that is new.
    if harness.copied:
        node = data.draw(st.sampled_from(sorted(harness.copied)))
        harness.turn(requests=[RerunRequest("q1", (node,))])
        hostile(data.draw, harness, data.draw(st.integers(0, 5)))
        harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps


CANCELS = [
    Control(cancel=True),
    Control(suspend=True, cancel=True),
    Control(terminate=True),
]


@SETTINGS
@given(cases(most=5, last=3), st.data())
def test_nodes_of_finally_run_after_all_others_whatever_the_end(case, data):
    """However the others end, each of them ends as the tables say, and after all others."""
    harness = Harness(
        case, max_parallel=data.draw(st.integers(1, 4)), fail_fast=data.draw(st.booleans())
    )
    hostile(data.draw, harness, data.draw(st.integers(0, 10)))
    control = data.draw(st.sampled_from([None, *CANCELS]))
    has_begun = "startedAt" in harness.written
    if control is not None:
        for _ in range(data.draw(st.integers(1, 3))):
            harness.turn(control=control, die_at=data.draw(st.sampled_from([None, None, 0, 1])))
    if data.draw(st.booleans()):
        harness.crash()
    harness.finish(control)
    ends = {n: e[:2] for n, e in harness.ends().items() if n in harness.plan.finally_nodes}
    want = {n: e[:2] for n, e in expected(case).items() if n in ends}
    if control is not None and not has_begun:
        want = dict.fromkeys(want, ("Cancelled", "RunCancelled"))
    note(f"{harness.ends()}\n{want}")
    if control is not None and control.terminate:  # those that have not ended yet are cancelled
        cancelled = ("Cancelled", "RunCancelled")
        want = {n: cancelled if ends[n] == cancelled else end for n, end in want.items()}
    assert ends == want
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps


@SETTINGS
@given(cases(most=4, last=3), st.data())
def test_a_run_that_is_reopened_runs_all_of_finally_again(case, data):
    harness = Harness(case)
    hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    before = {n: s.execution_count for n, s in harness.engine.status.nodes.items()}
    request = RerunRequest("q1", (data.draw(st.sampled_from(case.nodes)).id,))
    harness.turn(requests=[request], die_at=data.draw(st.sampled_from([None, 0, 1])))
    harness.turn(requests=[request])
    hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    for name in harness.plan.finally_nodes:
        state = harness.engine.status.nodes[name]
        ran = state.status.value in ("Completed", "Failed") and state.reason != "ConditionError"
        assert (state.execution_count > before[name]) == ran
    assert not harness.world.overlaps


@SETTINGS
@given(cases(), st.data())
def test_rerun_touches_exactly_the_node_and_its_descendants(case, data):
    harness = Harness(case)
    harness.finish()
    before = dump_status(harness.engine.status)["nodes"]
    node = data.draw(st.sampled_from([n.id for n in case.spec.nodes]))
    cascade = data.draw(st.booleans())
    request = RerunRequest("q1", (node,), cascade=cascade)
    harness.turn(requests=[request])
    harness.turn(requests=[request])  # asked twice, carried out once
    hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    harness.finish()
    after = dump_status(harness.engine.status)["nodes"]
    descendants = {node}
    for edge in case.spec.edges:
        if edge.from_ in descendants:
            descendants.add(edge.to)
    touched = descendants if cascade else {node}
    for name in after:
        if name not in touched:
            kept = {k: v for k, v in after[name].items() if k not in ("stale", "updatedAt")}
            was = {k: v for k, v in before[name].items() if k not in ("stale", "updatedAt")}
            assert kept == was
        assert bool(after[name].get("stale")) == (not cascade and name in descendants - {node})
    ran_before = before[node].get("executionCount", 0)
    assert after[node].get("executionCount", 0) >= ran_before
    assert harness.engine.status.handled_requests == ["q1"]
    assert max(harness.world.starts.values(), default=0) <= 1


@SETTINGS
@given(cases(), st.data())
def test_rerun_of_a_running_run_stops_what_runs_before_it_starts_again(case, data):
    harness = Harness(case)
    hostile(data.draw, harness, data.draw(st.integers(1, 10)))
    if harness.engine.status.phase.ended:
        return
    harness.turn()
    node = data.draw(st.sampled_from([n.id for n in case.spec.nodes]))
    harness.turn(requests=[RerunRequest("q1", (node,))])
    hostile(data.draw, harness, data.draw(st.integers(0, 10)))
    harness.finish()
    assert max(harness.world.starts.values(), default=0) <= 1
    assert not harness.world.overlaps, "an execution started while its predecessor ran"


@SETTINGS
@given(cases(), st.data())
def test_a_cancelled_run_ends_cancelled_and_stops_everything(case, data):
    harness = Harness(case)
    hostile(data.draw, harness, data.draw(st.integers(0, 8)))
    was_over = harness.engine.status.phase.ended
    harness.turn(control=Control(cancel=True))
    assert harness.engine.status.phase.ended
    if not was_over and any(
        s.reason == "RunCancelled" for s in harness.engine.status.nodes.values()
    ):
        assert harness.engine.status.phase is RunPhase.CANCELLED
    seen = [harness.world.see(e) for e in harness.world.executions]
    harness.turn(seen, control=Control(cancel=True))
    harness.world.settle()
    assert not harness.world.live()


@SETTINGS
@given(cases(), st.data())
def test_fail_fast_ends_the_run_at_its_first_failure(case, data):
    harness = Harness(case, fail_fast=True)
    hostile(data.draw, harness, data.draw(st.integers(0, 12)))
    harness.finish()
    allow = {n.id: n.allow_failure for n in case.spec.nodes}
    failed = [n for n, (s, _, _) in harness.ends().items() if s == "Failed" and not allow[n]]
    assert len(failed) <= 1
    if failed:
        assert harness.engine.status.phase is RunPhase.FAILED


@SETTINGS
@given(cases(), st.data())
def test_a_suspended_run_starts_nothing(case, data):
    harness = Harness(case)
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
    assert {n: e[:2] for n, e in harness.ends().items()} == {
        n: e[:2] for n, e in expected(case).items()
    }


@SETTINGS
@given(cases(most=4), st.data())
def test_an_execution_id_is_given_out_for_one_launch_only(case, data):
    """Whatever is cancelled, run again, or lost in a crash: a repeated id is the same launch.

    Each re-run changes the context, which each launch carries: an id that comes back with another
    value would adopt a program that was started before the re-run.
    """
    for node in case.spec.nodes:
        node.executor = "script"
        node.config = {"script": "true", "env": [{"name": "V", "value": "${{ context.v }}"}]}
    case.spec.global_context = {"v": 0}
    harness = Harness(case, fail_fast=data.draw(st.booleans()))
    given, stopped = {}, set()
    everything = tuple(node.id for node in case.spec.nodes)
    asked = []

    def start(launch, real=harness.world.start):
        value = launch.config["env"][0]["value"]
        assert given.setdefault(launch.execution_id, value) == value, launch.execution_id
        assert launch.execution_id not in stopped, launch.execution_id
        real(launch)

    def stop(action, real=harness.world.stop):
        stopped.add(action.execution_id)
        real(action)

    harness.world.start, harness.world.stop = start, stop
    cancel = False
    for number in range(1, data.draw(st.integers(1, 6)) + 1):
        what = data.draw(st.sampled_from(["go on", "rerun", "cancel", "crash", "refuse"]))
        if what == "rerun":
            cancel = False
            asked.append(RerunRequest(f"q{number}", everything, context={"v": number}))
        elif what == "cancel":
            cancel = True
        elif what == "crash":
            harness.crash()
        waiting = [r for r in asked if r.id not in harness.written.get("handledRequests", ())]
        seen = [harness.world.see(execution) for execution in harness.world.executions]
        if what == "refuse":
            seen += [
                Observation(node, execution, AttemptPhase.REFUSED, reason="QuotaExceeded")
                for node, execution in harness.engine._run.executions.launching.items()
            ]
        die_at = data.draw(st.sampled_from([None, None, 0, 1, 2]))
        control = Control(cancel=cancel)
        harness.turn(seen, die_at=die_at, requests=waiting, control=control)
        if not cancel:
            hostile(data.draw, harness, data.draw(st.integers(0, 4)), asked)
