"""A run on paper: tests say what is seen, and look at what the engine does."""

import json

from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import (
    AttemptPhase,
    Control,
    Emit,
    Engine,
    Launch,
    Observation,
    Plan,
    RerunRequest,
    RunInfo,
    Stop,
    WakeAt,
    dump_status,
    initial_context,
    initial_status,
    load_status,
)


def node(id, *after, **fields):  # noqa: A002
    return {
        "id": id,
        "executor": "script",
        "config": {"script": "true"},
        "dependsOn": list(after),
        **fields,
    }


class Run:
    """A run whose launches succeed at once and whose programs end when told."""

    def __init__(self, *nodes, edges=(), context=None, max_parallel=10, fail_fast=False, **spec):
        self.spec = WorkflowSpec.model_validate(
            {"nodes": list(nodes), "edges": list(edges), **spec}
        )
        self.plan = Plan.build(self.spec, workflow_id="w")
        self.run_spec = WorkflowRunSpec(workflow_spec=self.spec, context=context or {})
        self.now = 1000.0
        self.actions = []
        self.launches = {}
        self.engine = Engine(
            self.plan,
            RunInfo("run", "uid", max_parallel, fail_fast),
            initial_context(self.plan, self.run_spec),
            initial_status(self.plan, self.now),
        )

    def step(self, *seen, control=None, requests=()):
        self.actions = []
        queue = list(seen)
        while True:
            actions = self.engine.step(
                self.now, observations=queue, control=control or Control(), requests=requests
            )
            requests = ()
            self.actions += actions
            launches = [action for action in actions if isinstance(action, Launch)]
            if not launches:
                return self
            queue = []
            for launch in launches:
                self.launches[launch.execution_id] = launch
                queue.append(self.see(launch.execution_id, AttemptPhase.LAUNCHED))

    def see(self, execution, phase, **facts):
        name = execution.rsplit("-", 1)[0]
        if isinstance(facts.get("output"), dict):
            facts["output"] = json.dumps(facts["output"]).encode()
        return Observation(name, execution, phase, **facts)

    def ok(self, execution, output=None, **facts):
        return self.step(self.see(execution, AttemptPhase.SUCCEEDED, output=output or {}, **facts))

    def fail(self, execution, **facts):
        return self.step(self.see(execution, AttemptPhase.FAILED, **facts))

    def later(self, seconds, **facts):
        self.now += seconds
        return self.step(**facts)

    def rerun(self, *nodes, id="q", **facts):  # noqa: A002
        return self.step(requests=[RerunRequest(id, nodes, **facts)])

    def crash(self):
        """Throw the engine away and make a new one of what the status says."""
        status = load_status(json.loads(json.dumps(dump_status(self.engine.status))))
        self.engine = Engine(self.plan, self.engine.info, self.engine.initial_context, status)
        return self

    @property
    def phase(self):
        return self.engine.status.phase.value

    def state(self, name):
        return self.engine.status.nodes[name]

    def stands(self, name):
        state = self.state(name)
        return state.status.value + (f" {state.reason}" if state.reason else "")

    @property
    def launched(self):
        return [a.execution_id for a in self.actions if isinstance(a, Launch)]

    @property
    def stopped(self):
        return [a.execution_id for a in self.actions if isinstance(a, Stop)]

    @property
    def wakes(self):
        return [a.at for a in self.actions if isinstance(a, WakeAt)][-1:]

    @property
    def events(self):
        return [f"{a.reason} {a.message}" for a in self.actions if isinstance(a, Emit)]
