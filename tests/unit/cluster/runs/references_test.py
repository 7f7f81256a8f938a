"""Secrets and ConfigMaps that nodes name: found missing, or forbidden, before anything starts."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from podium.api.run import RecordedAnswers
from podium.api.workflow import WorkflowSpec
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Recorder
from podium.cluster.runs import object_lookup, references
from podium.cluster.runs.named_objects import in_node, in_pod
from podium.cluster.watch.store import InformerCache
from podium.cluster.workqueue import KeyQueue
from podium.engine import AttemptPhase, Observation, Plan, dump_status
from tests.unit.cluster.runs import controller_test, world
from tests.unit.cluster.runs.controller_test import KEY, OBJECT, run_controller
from tests.unit.engine.support import Run, node

TOKEN = {"annotations": {"kubernetes.io/service-account.name": "robot"}}
USABLE = {"labels": {"podium.dev/usable": "true"}}
ANSWERS = {"labels": {"podium.dev/recorded-answers": "true"}}
PERSONA = {"executor": "persona", "config": {"personas": ["p"]}}
RECORDED = {"configMapKeyRef": {"name": "answers", "key": "a"}}


def by_key(kind, name, **more):
    field = {"Secret": "secretKeyRef", "ConfigMap": "configMapKeyRef"}[kind]
    return {"name": kind.upper(), "valueFrom": {field: {"name": name, "key": "k", **more}}}


def with_env(id_, *variables, after=(), **more):
    return node(id_, *after, config={"script": "true", "env": list(variables)}, **more)


def succeeded(execution):
    name = execution.rsplit("-", 1)[0]
    return Observation(name, execution, AttemptPhase.SUCCEEDED, output=b"{}")


def with_volume(id_, volume, **more):
    return node(id_, pod={"volumes": [{"name": "v", **volume}]}, **more)


class Server(controller_test.Server):
    """Has one run, and the objects that its nodes name."""

    def __init__(self, status=None, **spec):
        super().__init__(status, **spec)
        self.launches = world.Server()
        self.objects = {}
        self.looks = []

    def __getattr__(self, name):
        return getattr(self.launches, name)

    async def get_metadata(self, namespace, plural, name):
        self.looks.append(f"{plural}/{name}")
        await asyncio.sleep(0)
        found = self.objects.get(f"{plural}/{name}")
        if isinstance(found, ApiError):
            raise found
        if found is None:
            raise ApiError(404, "NotFound", "it is not there")
        return {"metadata": found}


class World:
    """An operator with a run that has not begun, or has ended."""

    def __init__(self, *nodes, recorded=None, status=None, run_spec=None, **settings):
        paper = Run(*nodes)
        graph = paper.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        spec = {"workflowSpec": graph}
        spec |= {"recordedAnswers": recorded} if recorded else {}
        self.server = Server(status, **spec, **(run_spec or {}))
        self.cache, self.queue = InformerCache(), KeyQueue()
        self.recorder = Recorder(self.server)
        self.events = []
        self.recorder.record = lambda _subject, event: self.events.append(event)
        self.runs = run_controller(self, **settings)
        self.cache.put_run(self.server.body)

    async def turn(self):
        """Reconcile until nothing is new, and write; return when the run is due again."""
        for _ in range(4):
            self.cache.put_run(self.server.body)
            result = await self.runs.reconcile(OBJECT)
            run = self.runs._runs.get(KEY)
            while run is not None and run.tasks:
                await asyncio.wait(run.tasks)
                await asyncio.sleep(0)
            await self.runs.flush(KEY)
            if run is None or run.idle:
                break
        return result.requeue_after

    @property
    def status(self):
        return self.server.body["status"]

    @property
    def reasons(self):
        return [event.reason for event in self.events]

    def node(self, name):
        state = self.status["nodes"][name]
        return state["status"], state.get("reason"), state.get("message")


@pytest.fixture
def clock(monkeypatch):
    clock = world.Clock()
    for module in (references, object_lookup):
        monkeypatch.setattr(module, "time", clock)
    return clock


# What names one


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            {
                "config": {
                    "script": "true",
                    "env": [by_key("Secret", "s"), {"name": "P", "value": "x"}],
                }
            },
            [("Secret", "s", "config.env[0].valueFrom.secretKeyRef", False)],
        ),
        (
            {"pod": {"env": [by_key("ConfigMap", "c", optional=True)]}},
            [("ConfigMap", "c", "pod.env[0].valueFrom.configMapKeyRef", True)],
        ),
        (
            {"pod": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}},
            [("Secret", "s", "pod.volumes[0].secret", False)],
        ),
        (
            {"pod": {"volumes": [{"name": "v", "configMap": {"name": "c", "optional": True}}]}},
            [("ConfigMap", "c", "pod.volumes[0].configMap", True)],
        ),
        (
            {
                "pod": {
                    "volumes": [
                        {
                            "name": "v",
                            "projected": {
                                "sources": [
                                    {"downwardAPI": {}},
                                    {"secret": {"name": "s"}},
                                    {"configMap": {"name": "c", "optional": True}},
                                ]
                            },
                        }
                    ]
                }
            },
            [
                ("Secret", "s", "pod.volumes[0].projected.sources[1].secret", False),
                ("ConfigMap", "c", "pod.volumes[0].projected.sources[2].configMap", True),
            ],
        ),
        ({"config": {"script": "true", "env": [by_key("Secret", "${{ context.s }}")]}}, []),
        ({**PERSONA, "config": {"personas": ["p"], "env": [by_key("Secret", "data")]}}, []),
        ({"pod": {"volumes": [{"name": "v", "emptyDir": {}}]}}, []),
    ],
)
def test_what_a_definition_names(fields, found):
    spec = WorkflowSpec.model_validate({"nodes": [node("a", **fields)]})
    planned = Plan.build(spec, workflow_id="w").nodes["a"]
    named = in_node(planned, None, spec)
    assert [(r.kind, r.name, r.field, r.optional) for r in named] == found


def test_recorded_answers_are_named_by_personas_only():
    spec = WorkflowSpec.model_validate({"nodes": [node("a", **PERSONA), node("b")]})
    plan = Plan.build(spec, workflow_id="w")
    recorded = RecordedAnswers.model_validate(RECORDED)
    (only,) = in_node(plan.nodes["a"], recorded, plan.spec)
    assert (only.name, only.field, only.is_recorded) == ("answers", "spec.recordedAnswers", True)
    assert not list(in_node(plan.nodes["b"], recorded, plan.spec))


def test_what_a_pod_names_wherever_it_does():
    spec = {
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "one"}}]}],
        "containers": [
            {
                "env": [by_key("Secret", "two"), {"name": "X", "valueFrom": {"fieldRef": {}}}],
                "envFrom": [{"configMapRef": {"name": "three"}}],
            }
        ],
        "volumes": [
            {"name": "x", "projected": {"sources": [{"secret": {"name": "four"}}]}},
            {"name": "podium-recorded", "configMap": {"name": "five"}},
        ],
    }
    assert [(each.name, each.is_recorded) for each in in_pod(spec)] == [
        *(("one", False), ("two", False), ("three", False), ("four", False), ("five", True))
    ]


# Before a run starts


async def test_a_run_without_references_does_not_pay(clock):
    here = World(node("a"))
    await here.turn()
    assert here.server.looks == []
    assert "create job" in here.server.calls


async def test_a_run_waits_for_what_is_missing_and_says_so_once(clock):
    here = World(node("a"), with_env("b", by_key("Secret", "db"), after=["a"]))
    assert await here.turn() == 1.0
    assert here.status["phase"] == "Pending"
    assert here.status["reason"] == "ReferenceNotFound"
    (told,) = (c for c in here.status["conditions"] if c["type"] == "Succeeded")
    assert (told["status"], told["reason"]) == ("Unknown", "ReferenceNotFound")
    assert told["message"] == (
        "node b: config.env[0].valueFrom.secretKeyRef: there is no Secret 'db' in the namespace"
        " team: create it"
    )
    clock.now += 1
    assert await here.turn() == 2.0
    assert here.reasons == ["ReferenceNotFound"]
    assert here.server.calls == []
    here.server.objects["secrets/db"] = {}  # as GitOps applies it, in any order
    clock.now += 2
    await here.turn()
    assert here.status["phase"] == "Running"
    assert here.node("a")[0] == "Running"
    assert here.reasons[1] == "RunStarted"


async def test_what_stays_missing_fails_the_run_and_nothing_ran(clock):
    here = World(
        node("a"),
        with_env("b", by_key("Secret", "db"), after=["a"]),
        with_volume("c", {"configMap": {"name": "rules"}}, dependsOn=["b"]),
        node("d", "c"),
    )
    here.server.objects["configmaps/rules"] = {}
    wait, waits = await here.turn(), []
    while wait is not None and len(waits) < 10:
        waits.append(wait)
        clock.now += wait
        wait = await here.turn()
    assert waits == [1.0, 2.0, 4.0, 3.0]
    assert (here.status["phase"], here.status["reason"]) == ("Failed", "Config")
    assert here.node("b")[:2] == ("Failed", "Config")
    assert "there is no Secret 'db'" in here.node("b")[2]
    assert [here.node(name)[:2] for name in "acd"] == [("Cancelled", "RunNotStarted")] * 3
    assert here.server.calls == []
    assert "RunStarted" not in here.reasons
    assert here.reasons[-1] == "RunFailed"


async def test_an_operator_that_comes_later_does_not_begin_a_run_that_was_refused(clock):
    here = World(with_env("a", by_key("Secret", "db")))
    here.server.objects["secrets/db"] = TOKEN
    await here.turn()
    here.runs.forget(KEY)
    await here.turn()
    assert here.status["phase"] == "Failed"
    assert here.server.calls == []


async def test_a_run_that_was_refused_can_be_run_again_once_it_is_mended(clock):
    here = World(node("a"), with_env("b", by_key("Secret", "db"), after=["a"]))
    await here.turn()
    clock.now += 11
    await here.turn()
    assert here.status["phase"] == "Failed"
    here.server.objects["secrets/db"] = {}
    here.server.annotate(rerun='{"failed": true}')
    clock.now += 2
    await here.turn()
    assert here.status["phase"] == "Running"
    assert here.node("a")[0] == "Running"
    assert here.server.calls[:1] == ["create job"]


async def test_each_object_is_looked_at_once(clock):
    names = [f"n{i}" for i in range(40)]
    here = World(
        *(with_env(name, by_key("Secret", "db"), by_key("ConfigMap", "c")) for name in names)
    )
    here.server.objects |= {"secrets/db": {}, "configmaps/c": {}}
    await here.turn()
    assert sorted(here.server.looks) == ["configmaps/c", "secrets/db"]


async def test_what_may_not_start_is_not_asked_for(clock):
    here = World(
        with_env("a", by_key("Secret", "opt", optional=True)),
        with_env("b", by_key("Secret", "x"), condition="context.deploy"),
        with_env("c", by_key("Secret", "y"), after=["b"]),
        with_env("d", by_key("Secret", "z"), allowFailure=True),
        run_spec={"context": {"deploy": False}},
    )
    await here.turn()
    assert here.node("a")[0] == "Running"
    assert here.node("b")[:2] == ("Skipped", "ConditionFalse")
    assert here.node("d")[:2] == ("Ready", "Config"), "it waits at its own start"


async def test_a_suspended_run_is_looked_at_when_it_resumes(clock):
    here = World(with_env("a", by_key("Secret", "db")), run_spec={"suspend": True})
    await here.turn()
    clock.now += 60
    await here.turn()
    assert (here.status["phase"], here.server.looks) == ("Paused", [])
    here.server.body["spec"]["suspend"] = False
    await here.turn()
    assert (here.status["phase"], here.status["reason"]) == ("Pending", "ReferenceNotFound")


async def test_a_run_that_waits_can_be_cancelled(clock):
    here = World(with_env("a", by_key("Secret", "db")))
    await here.turn()
    here.server.body["spec"]["cancel"] = True
    await here.turn()
    assert here.status["phase"] == "Cancelled"


# What is forbidden


@pytest.mark.parametrize(
    "named",
    [
        with_env("b", by_key("Secret", "s", optional=True)),
        with_env("b", pod={"env": [by_key("Secret", "s")]}),
        with_volume("b", {"secret": {"secretName": "s", "optional": True}}),
        with_volume("b", {"projected": {"sources": [{"secret": {"name": "s"}}]}}),
    ],
)
async def test_the_token_of_a_service_account_is_never_mounted(clock, named):
    here = World(node("a"), named)
    here.server.objects["secrets/s"] = TOKEN
    assert await here.turn() is None
    assert (here.status["phase"], here.status["reason"]) == ("Failed", "Forbidden")
    status, reason, message = here.node("b")
    assert (status, reason) == ("Failed", "Forbidden")
    assert "nodes may not use the Secret 's': it holds the token of a ServiceAccount" in message
    assert here.server.calls == []


@pytest.mark.parametrize(("metadata", "phase"), [({}, "Failed"), (USABLE, "Running")])
async def test_secrets_may_need_a_label(clock, metadata, phase):
    here = World(with_env("a", by_key("Secret", "s")), requireUsableSecrets=True)
    here.server.objects["secrets/s"] = metadata
    await here.turn()
    assert here.status["phase"] == phase


@pytest.mark.parametrize(
    ("metadata", "phase"), [({}, "Failed"), (USABLE, "Failed"), (ANSWERS, "Running")]
)
async def test_recorded_answers_need_a_label(clock, metadata, phase):
    here = World(node("a", **PERSONA), recorded=RECORDED)
    here.server.objects["configmaps/answers"] = metadata
    await here.turn()
    assert here.status["phase"] == phase
    if phase == "Failed":
        assert 'label podium.dev/recorded-answers: "true"' in here.node("a")[2]


async def test_what_may_not_be_looked_at_is_reported_once(clock, caplog):
    caplog.set_level(logging.WARNING)
    here = World(with_env("a", by_key("Secret", "s")), with_env("b", by_key("Secret", "t")))
    refused = ApiError(403, "Forbidden", "secrets is forbidden")
    here.server.objects |= {"secrets/s": refused, "secrets/t": refused}
    await here.turn()
    assert here.status["phase"] == "Running"
    assert caplog.text.count("are not checked") == 1


@pytest.mark.parametrize(
    ("nodes", "settings", "phase"),
    [
        ([with_env("a", by_key("Secret", "s"))], {}, "Running"),
        ([with_env("a", by_key("Secret", "s"))], {"requireUsableSecrets": True}, "Failed"),
        ([node("a", **PERSONA)], {}, "Failed"),
    ],
)
async def test_where_nothing_is_looked_at_what_needs_a_label_is_refused(
    clock, nodes, settings, phase
):
    here = World(*nodes, recorded=RECORDED, referenceChecks=False, **settings)
    await here.turn()
    assert (here.status["phase"], here.server.looks) == (phase, [])
    if phase == "Failed":
        assert "chart value referenceChecks" in here.node("a")[2]


async def test_a_server_that_does_not_answer_is_asked_again(clock):
    here = World(with_env("a", by_key("Secret", "s")))
    here.server.objects["secrets/s"] = ApiError(503, "Unavailable", "later")
    with pytest.raises(ApiError):
        await here.turn()
    here.server.objects["secrets/s"] = {}
    await here.turn()
    assert here.status["phase"] == "Running"


# Before each launch


async def test_a_secret_that_became_a_token_does_not_slip_in(clock):
    here = World(node("a"), with_env("b", by_key("Secret", "s"), after=["a"]))
    here.server.objects["secrets/s"] = {}
    await here.turn()
    here.server.objects["secrets/s"] = TOKEN
    clock.now += 2
    run = here.runs._runs[KEY]
    run.launch_results.append(
        succeeded("a-1"),
    )
    await here.turn()
    await here.turn()
    assert here.node("b")[:2] == ("Failed", "Forbidden")
    assert here.server.calls.count("create job") == 1


async def test_a_secret_that_is_gone_at_the_launch_is_waited_for(clock):
    here = World(node("a"), with_env("b", by_key("Secret", "s"), after=["a"]))
    here.server.objects["secrets/s"] = {}
    await here.turn()
    del here.server.objects["secrets/s"]
    clock.now += 2
    run = here.runs._runs[KEY]
    run.launch_results.append(succeeded("a-1"))
    await here.turn()
    await here.turn()
    assert here.node("b")[:2] == ("Ready", "Config")
    assert here.node("b")[2].startswith("config.env[0].valueFrom.secretKeyRef: there is no Secret")


async def test_what_the_operator_adds_is_looked_at_before_the_launch(clock):
    here = World(node("a"), podDefaults={"env": [by_key("Secret", "proxy")]})
    here.server.objects["secrets/proxy"] = TOKEN
    await here.turn()
    await here.turn()
    assert here.node("a")[:2] == ("Failed", "Forbidden")
    assert here.server.calls == []


# Re-runs


async def test_a_rerun_with_what_is_missing_is_refused_and_changes_nothing(clock):
    paper = Run(node("a"), with_env("b", by_key("Secret", "s"), after=["a"]))
    paper.step().ok("a-1").ok("b-1")
    here = World(
        node("a"),
        with_env("b", by_key("Secret", "s"), after=["a"]),
        status=dump_status(paper.engine.status),
    )
    here.server.annotate(rerun="a")
    assert await here.turn() == 1.0
    assert here.status["phase"] == "Succeeded"
    assert KEY in here.runs._runs, "it is not let go while a request waits"
    clock.now += 11
    await here.turn()
    await here.turn()
    assert here.status["phase"] == "Succeeded"
    assert here.server.accepted == []
    assert "RerunRefused" in here.reasons
    assert here.server.calls == []
    assert KEY not in here.runs._runs


async def test_a_rerun_waits_for_what_comes(clock):
    paper = Run(with_env("a", by_key("Secret", "s")))
    paper.step().ok("a-1")
    here = World(with_env("a", by_key("Secret", "s")), status=dump_status(paper.engine.status))
    here.server.annotate(rerun="a")
    await here.turn()
    here.server.objects["secrets/s"] = {}
    clock.now += 2
    await here.turn()
    assert here.status["phase"] == "Running"
    assert here.node("a")[0] == "Running"


# The credentials of the artifact store


BUCKET = {"s3": {"bucket": "artifacts", "credentialsSecret": "keys"}}
STORE = {"volumes": [{"name": "podium-store", "secret": {"secretName": "keys"}}]}


def judged(found, server_object, **settings):
    """Return what a checker finds wrong with references, where the server has one Secret."""

    class Client:
        async def get_metadata(self, _namespace, _plural, _name):
            if server_object is None:
                raise ApiError(404, "NotFound", "no")
            return server_object

        async def list_artifact_stores(self, _namespace):
            return []

    settings = references.Settings(artifacts=BUCKET, **settings)
    checker = references.ReferenceChecker(Client(), settings)
    return asyncio.run(checker._check("team", [("n", each) for each in found]))


def test_no_node_may_name_the_credentials_of_the_artifact_store():
    by_variable = {"containers": [{"env": [by_key("Secret", "keys")]}]}
    by_volume = {"volumes": [{"name": "v", "secret": {"secretName": "keys"}}]}
    for spec in (by_variable, by_volume):
        (finding,) = judged(in_pod(spec), {"metadata": {"labels": {"podium.dev/usable": "true"}}})
        assert finding.is_final
        assert "it holds the credentials of the artifact store" in str(finding)


def test_a_store_without_its_secret_is_found_before_anything_starts():
    out = {"out": [{"name": "a", "path": "a"}]}
    for artifacts, expected in ((out, [("make", "artifacts"), ("use", "artifacts")]), (None, [])):
        nodes = [node("make", artifacts=artifacts), node("use", "make")]
        plan = Plan.build(WorkflowSpec.model_validate({"nodes": nodes}), workflow_id="w")
        checker = references.ReferenceChecker(Missing(), references.Settings(artifacts=BUCKET))
        run = SimpleNamespace(owner=SimpleNamespace(recorded=None, namespace="team"))
        found = asyncio.run(checker.check_nodes(run, plan, list(plan.nodes)))
        assert [(each.node, each.field) for each in found] == expected
        assert all("there is no Secret 'keys'" in str(each) for each in found)


class Missing:
    """A server without any object."""

    async def get_metadata(self, _namespace, _plural, _name):
        raise ApiError(404, "NotFound", "no")


def test_the_stores_own_volume_needs_no_label_but_the_secret_must_be_there():
    assert judged(in_pod(STORE), {"metadata": {}}, requireUsableSecrets=True) == []
    (finding,) = judged(in_pod(STORE), None)
    assert not finding.is_final
    assert "there is no Secret 'keys' in the namespace team: create it" in str(finding)
