"""Jobs and Pods of a run, against a server that has them: made once, found again, stopped."""

import asyncio
import copy
import itertools
import logging

import pytest

from podium.api.names import FINALIZER, LABEL_RECORDED
from podium.cluster.jobs.builder import Owner, job_name
from podium.cluster.kube.client import ApiError
from podium.cluster.kube.events import Subject
from podium.cluster.kube.views import controller_of, dig, job_view, pod_view
from podium.cluster.metrics import Metrics
from podium.cluster.runs import attempts as attempts_module
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.attempts import PODS_OF_JOB, Attempts
from podium.cluster.settings import Limits, Settings
from podium.cluster.watch.store import Cache
from podium.engine import AttemptPhase, Control, Launch, Stop
from tests.unit.cluster import support
from tests.unit.cluster.support import NOON, RUN_UID, condition, running, terminated
from tests.unit.engine.support import Run, node

QUOTA = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small')
POLICY = ApiError(403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted"')
TERMINATING = ApiError(403, "Forbidden", "no", causes=["NamespaceTerminating"])
SCHEDULED = condition("PodScheduled")


class Server:
    """Has Jobs and Pods."""

    def __init__(self):
        self.jobs, self.pods, self.accounts, self.events = {}, {}, {}, []
        self.refuse = {}
        self.calls = []
        self.count = itertools.count(1)
        self.admit = lambda job: job
        """What the server and webhooks make of a Job."""

    def take(self, verb, kind):
        self.calls.append(f"{verb} {kind}")
        if self.refuse.get((verb, kind)):
            raise self.refuse[verb, kind].pop(0)

    def put(self, objects, body):
        body = copy.deepcopy(body)
        number = next(self.count)
        body["metadata"].setdefault("uid", f"uid-{number}")
        body["metadata"].setdefault("creationTimestamp", support.at(number))
        body["metadata"]["resourceVersion"] = str(number)
        objects[body["metadata"]["name"]] = body
        return copy.deepcopy(body)

    def create(self, objects, body):
        if body["metadata"]["name"] in objects:
            raise ApiError(409, "AlreadyExists", "it exists")
        return self.put(objects, body)

    def get(self, objects, name):
        if name not in objects:
            raise ApiError(404, "NotFound", f"there is no {name}")
        return copy.deepcopy(objects[name])

    async def create_job(self, job):
        self.take("create", "job")
        return self.create(self.jobs, self.admit(copy.deepcopy(job)))

    async def get_job(self, namespace, name):
        self.take("get", "job")
        return self.get(self.jobs, name)

    async def create_pod(self, pod):
        self.take("create", "pod")
        return self.create(self.pods, pod)

    async def get_pod(self, namespace, name):
        self.take("get", "pod")
        return self.get(self.pods, name)

    async def delete_job(self, namespace, name, uid):
        self.take("delete", "job")
        if name in self.jobs:
            assert self.jobs[name]["metadata"]["uid"] == uid
            self.jobs[name]["metadata"]["deletionTimestamp"] = support.at(40)

    async def delete_pod(self, namespace, name, uid, *, force=False):
        self.take("delete", "pod")
        assert self.pods[name]["metadata"]["uid"] == uid
        self.pods[name]["metadata"] |= {
            "deletionTimestamp": support.at(45),
            "deletionGracePeriodSeconds": 0 if force else 5,
        }

    async def list_events(self, namespace, uid):
        self.take("list", "events")
        return [event for event in self.events if event.pop("uid") == uid]

    async def get_service_account(self, namespace, name):
        self.take("get", "serviceaccount")
        return self.get(self.accounts, name)


class Keeper:
    def __init__(self):
        self.outcomes = {}
        self.disrupted = []
        self.asked = []

    def recorded(self, job, *, succeeded):
        self.outcomes[job.name] = succeeded

    def spent(self, pod):
        self.disrupted.append(pod.uid)

    def changed(self, job_uid):
        self.asked.append(job_uid)


class Clock:
    now = NOON + 20.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


class World:
    """One operator and its server; `crash` makes another operator."""

    def __init__(self, *nodes, **settings):
        self.server, self.settings = Server(), Settings(**settings)
        self.paper = Run(*nodes or [node("a")], max_parallel=10)
        self.begin()

    def begin(self):
        self.cache, self.keeper = Cache(), Keeper()
        self.metrics = Metrics()
        self.wakes, self.later = [], []
        self.seen, self.stops = [], []
        self.attempts = Attempts(
            self.server,
            self.cache,
            self.keeper,
            self.settings,
            self.wakes.append,
            self.metrics,
        )
        self.attempts._look_later = lambda _run, name, seconds: self.later.append((name, seconds))
        self.run = ActiveRun(
            owner=Owner("team", "release-x7", RUN_UID, "release", None),
            subject=Subject("WorkflowRun", "team", "release-x7", RUN_UID),
            engine=self.paper.engine,
            known={},
            version="100",
            generation=2,
        )

    async def crash(self):
        """Begin again with what the server and the status have."""
        for task in self.run.tasks:
            task.cancel()
        await asyncio.gather(*self.run.tasks, return_exceptions=True)
        self.paper.crash()
        self.begin()
        self.tell()
        self.attempts.adopt(self.run)

    def tell(self):
        """Let the watches tell everything."""
        for body in self.server.jobs.values():
            self.cache.put_job(body)
            self.run.dirty.add(body["metadata"]["name"])
        for body in self.server.pods.values():
            if LABEL_RECORDED not in body["metadata"].get("labels", {}):
                self.cache.put_pod(body)
        return self

    async def turn(self, **control):
        """Do what a turn of the controller does, and let its launches end."""
        self.seen = await self.attempts.look(self.run)
        actions = self.paper.engine.step(
            self.paper.now, observations=self.seen, control=Control(**control)
        )
        self.attempts.note(self.run)
        for action in actions:
            if isinstance(action, Launch):
                self.attempts.launch(self.run, action)
        self.stops = [action for action in actions if isinstance(action, Stop)]
        while self.run.tasks:
            await asyncio.wait(self.run.tasks)
            await asyncio.sleep(0)
        return self

    async def start(self):
        """Launch what is due, and take in what became of it."""
        await self.turn()
        await self.turn()
        return self

    async def again(self, seconds):
        self.paper.now += seconds
        self.server.calls = []
        return await self.start()

    async def written(self):
        """Do what follows the writing of a status."""
        run = self.run
        await self.attempts.carry_out(run, self.stops, run.remove, run.ended, run.spent)
        run.remove, run.ended, run.spent = set(), {}, []

    def counted(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels) or 0

    @property
    def job(self):
        (only,) = self.server.jobs.values()
        return only

    @property
    def pod(self):
        (only,) = self.server.pods.values()
        return only

    def change(self, body, **changes):
        objects = self.server.jobs if body["kind"] == "Job" else self.server.pods
        self.server.put(objects, support.changed(body, changes))
        return self.tell()

    def stands(self, name="a"):
        return self.paper.stands(name)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(attempts_module, "time", clock)
    return clock


@pytest.fixture
def world(clock):
    return World()


NAME = job_name("release-x7", RUN_UID, "a-1", 0)


def others(body):
    """Return an object that somebody else controls."""
    owner = {**body["metadata"]["ownerReferences"][0], "uid": "another"}
    return support.changed(body, {"metadata": {"ownerReferences": [owner]}})


# A launch


async def test_a_launch_makes_a_job_and_its_pod(world):
    await world.start()
    assert world.server.calls == ["create job", "create pod"]
    assert world.job["metadata"]["name"] == NAME
    assert controller_of(world.pod, "Job", "batch/v1") == world.job["metadata"]["uid"]
    assert world.pod["metadata"]["finalizers"] == [FINALIZER]
    assert world.stands() == "Running Scheduling"
    assert world.wakes == [world.run]
    assert world.counted("podium_node_schedule_seconds_count") == 1
    assert world.counted("podium_jobs_total", pods_by="podium") == 1
    assert world.cache.pods(world.job["metadata"]["uid"])


async def test_what_is_there_already_is_found(world):
    """The status was not written before the operator died."""
    await world.start()
    before = copy.deepcopy((world.server.jobs, world.server.pods))
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert (world.server.jobs, world.server.pods) == before
    assert world.stands() == "Running Scheduling"


async def test_the_pod_is_made_of_the_job_as_the_server_has_it(world):
    def admit(job):
        job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = NAME
        job["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "batch"}
        return job

    world.server.admit = admit
    await world.start()
    assert world.pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == NAME
    assert world.pod["spec"]["nodeSelector"] == {"pool": "batch"}


async def test_a_job_of_somebody_else_is_not_ours_by_its_name(world):
    await world.start()
    world.server.jobs[NAME] = others(world.job)
    world.server.pods = {}
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Failed NameTaken"
    assert world.server.pods == {}
    assert "delete it" in world.paper.state("a").message


async def test_a_pod_of_somebody_else_is_not_ours_by_its_name(world):
    await world.start()
    name = world.pod["metadata"]["name"]
    world.server.pods[name] = others(world.pod)
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Failed NameTaken"
    await world.written()
    assert world.keeper.outcomes == {NAME: False}, "the Job has no use any more"


async def test_a_job_that_is_being_deleted_is_waited_for(world):
    await world.start()
    world.job["metadata"]["deletionTimestamp"] = support.at(40)
    world.paper = Run(node("a"))
    world.begin()
    await world.start()
    assert world.stands() == "Ready Terminating"


async def test_a_job_that_was_deleted_before_the_answer_that_it_is_made_is_made_again(world):
    def deleted(job):
        job["metadata"]["uid"] = "first"
        world.cache.bury(job)
        return job

    world.server.admit = deleted
    await world.start()
    assert world.stands() == "Ready Terminating"
    assert world.cache.jobs(RUN_UID) == {}
    assert world.server.pods == {}


# Where the server does not know managedBy


def drop_managed_by(job):
    del job["spec"]["managedBy"]
    return job


async def test_a_server_that_drops_managed_by_has_a_controller_that_makes_the_pods(world, caplog):
    world.server.admit = drop_managed_by
    await world.start()
    assert world.server.pods == {}
    assert world.stands().startswith("Running")
    assert world.counted("podium_jobs_total", pods_by="builtin") == 1
    world.attempts.launch(world.run, Launch("a", "a-2", 0, {"script": "true"}, {}))
    await world.turn()
    assert caplog.text.count("does not know spec.managedBy") == 1


async def test_jobs_of_another_manager_get_no_pod(world):
    def admit(job):
        job["spec"]["managedBy"] = "podium.dev/another"
        return job

    world.server.admit = admit
    await world.start()
    await world.tell().turn()
    assert world.server.pods == {}


async def test_a_switch_leaves_the_pods_to_the_built_in_controller(clock, caplog):
    world = World(feature_gates={"ManagedJobs": False})
    await world.start()
    assert "managedBy" not in world.job["spec"]
    assert world.server.pods == {}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (None, "Running Scheduling"),
        ("exceeded quota: small", "Running QuotaExceeded"),
        ("connection refused", "Running FailedCreate"),
        ('is forbidden: violates PodSecurity "restricted"', "Failed PodRefused"),
    ],
)
async def test_the_events_of_a_job_say_why_it_has_no_pod(world, clock, message, expected):
    world.server.admit = drop_managed_by
    await world.start()
    uid = world.job["metadata"]["uid"]
    if message is not None:
        world.server.events = [
            {"uid": uid, "reason": "FailedCreate", "message": "old", "lastTimestamp": "1"},
            {"uid": uid, "reason": "FailedCreate", "message": message, "lastTimestamp": "2"},
            {"uid": uid, "reason": "Other", "message": "later", "lastTimestamp": "3"},
        ]
    clock.now += 100
    await world.tell().turn()
    assert world.stands() == expected
    assert (NAME in world.run.remove) is expected.startswith("Failed")


async def test_events_that_cannot_be_read_say_nothing(world, clock):
    world.server.admit = drop_managed_by
    await world.start()
    clock.now += 100
    world.server.refuse["list", "events"] = [ApiError(403, "Forbidden", "no")]
    await world.tell().turn()
    assert world.stands() == "Running Scheduling"


# What is refused


@pytest.mark.parametrize("kind", ["job", "pod"])
async def test_a_quota_is_waited_for_longer_and_longer(world, kind):
    world.server.refuse["create", kind] = [QUOTA] * 6
    waits = []
    await world.start()
    for _ in range(6):
        assert world.stands() == "Ready QuotaExceeded"
        waits.append(world.paper.state("a").next_attempt_at - world.paper.now)
        await world.again(waits[-1])
    assert waits == [5, 10, 20, 40, 60, 60]
    assert world.stands() == "Running Scheduling"
    assert (len(world.server.jobs), len(world.server.pods)) == (1, 1)
    assert world.counted("podium_jobs_total", pods_by="podium") == 1
    assert not world.run.refusals, "the next time it begins again"


async def test_a_quota_may_be_used_up_for_weeks(world):
    world.run.refusals["a"] = 5000
    world.server.refuse["create", "pod"] = [QUOTA]
    await world.start()
    assert world.stands() == "Ready QuotaExceeded"


@pytest.mark.parametrize("kind", ["job", "pod"])
@pytest.mark.parametrize(
    ("error", "stands", "wait"),
    [
        (TERMINATING, "Ready Terminating", 5),
        (ApiError(0, "NoAnswer", "refused"), "Ready ApiUnavailable", 2),
        (ApiError(503, "Unavailable", "later"), "Ready ApiUnavailable", 2),
        (ApiError(429, "TooMany", "later", retry_after=9.0), "Ready ApiUnavailable", 9),
        (ApiError(404, "NotFound", "gone"), "Ready ApiUnavailable", 2),
        (POLICY, "Failed Forbidden", None),
        (ApiError(422, "Invalid", "spec.x: Required value"), "Failed Invalid", None),
        (ApiError(400, "BadRequest", "denied by a webhook"), "Failed Invalid", None),
    ],
)
async def test_refusals(world, kind, error, stands, wait):
    world.server.refuse["create", kind] = [error]
    await world.start()
    assert world.stands() == stands
    if wait is not None:
        assert world.paper.state("a").next_attempt_at == world.paper.now + wait
        return
    assert error.message in world.paper.state("a").message
    await world.written()
    assert world.keeper.outcomes == ({NAME: False} if kind == "pod" else {})


async def test_a_job_taken_away_between_two_requests_is_made_later(world):
    await world.start()
    world.paper = Run(node("a"))
    world.begin()
    world.server.refuse["get", "job"] = [ApiError(404, "NotFound", "gone")]
    await world.start()
    assert world.stands() == "Ready ApiUnavailable"


async def test_a_fault_of_ours_is_tried_again(world, caplog):
    world.server.refuse["create", "job"] = [ValueError("odd")]
    await world.start()
    assert world.stands() == "Ready Stalled"
    assert "a launch failed" in caplog.text
    await world.again(5)
    assert world.stands() == "Running Scheduling"


async def test_a_node_that_cannot_be_built_fails_in_words(clock):
    world = World(node("a", executor="persona", config={"personas": ["writer"]}))
    await world.start()
    assert world.stands() == "Failed NoRecordedAnswer"
    assert world.server.calls == []


ACCOUNT = {"metadata": {"name": "builder", "labels": {"podium.dev/usable": "true"}}}


@pytest.mark.parametrize(
    ("account", "stands"),
    [
        (ACCOUNT, "Running Scheduling"),
        (support.changed(ACCOUNT, {"metadata": {"labels": None}}), "Failed ServiceAccount"),
        (None, "Failed ServiceAccount"),
    ],
)
async def test_a_service_account_has_to_allow_it(clock, account, stands):
    world = World(node("a", pod={"serviceAccountName": "builder"}))
    world.server.accounts = {"builder": account} if account is not None else {}
    await world.start()
    assert world.stands() == stands


async def test_a_service_account_that_cannot_be_read_now_is_read_later(clock):
    world = World(node("a", pod={"serviceAccountName": "builder"}))
    world.server.accounts = {"builder": ACCOUNT}
    world.server.refuse["get", "serviceaccount"] = [ApiError(503, "Unavailable", "later")]
    await world.start()
    assert world.stands() == "Ready ApiUnavailable"
    await world.again(2)
    assert world.stands() == "Running Scheduling"


# Limits


@pytest.mark.parametrize("limits", [{"maxRunning": 2}, {"maxRunningPerNamespace": 2}])
async def test_launches_under_way_count(clock, limits):
    world = World(*map(node, "abc"), limits=limits)
    await world.turn()
    assert len(world.server.jobs) == 2
    await world.turn()
    standing = [world.stands(name) for name in "abc"]
    assert standing.count("Ready OperatorLimit") == 1
    world.server.jobs[NAME]["status"] = {"conditions": [condition("Complete")]}
    world.tell()
    world.run.dirty.clear()
    await world.again(1)
    assert len(world.server.jobs) == 3


async def test_what_others_run_in_other_namespaces_counts_for_all_but_not_for_each(clock):
    others_job = support.job(metadata={"namespace": "other", "uid": "another"})
    for limits, stands in (
        (Limits(max_running=1), "Ready OperatorLimit"),
        (Limits(max_running_per_namespace=1), "Running Scheduling"),
    ):
        world = World(limits=limits)
        world.cache.put_job(others_job)
        await world.start()
        assert world.stands() == stands


async def test_a_launch_that_failed_is_under_way_no_more(clock):
    world = World(limits=Limits(max_running=1))
    world.server.refuse["create", "job"] = [ValueError("odd")]
    await world.start()
    await world.again(5)
    assert world.stands() == "Running Scheduling"


async def test_a_launch_that_was_cancelled_before_it_began_is_under_way_no_more(clock):
    """The run is dropped, and whoever takes it up launches again."""
    world = World(limits=Limits(max_running=1))
    (launch,) = [action for action in world.paper.engine.step(1000.0) if isinstance(action, Launch)]
    world.attempts.launch(world.run, launch)
    (task,) = world.run.tasks
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    world.attempts.launch(world.run, launch)
    await asyncio.gather(*world.run.tasks)
    assert [seen.phase for seen in world.run.answers] == [AttemptPhase.LAUNCHED]


# After a crash


async def test_a_pod_that_was_not_made_is_made(world):
    """The operator died between the Job and its Pod, with the node written as running."""
    await world.start()
    world.server.pods = {}
    await world.crash()
    await world.turn()
    assert world.server.calls[-2:] == ["get job", "create pod"]
    assert controller_of(world.pod, "Job", "batch/v1") == world.job["metadata"]["uid"]
    assert not world.run.making
    await world.turn()
    assert world.stands() == "Running Scheduling"


async def test_a_pod_is_supplied_once_however_often_one_looks(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    for _ in range(3):
        world.run.dirty.add(NAME)
        await world.attempts.look(world.run)
    await world.turn()
    assert world.server.calls.count("create pod") == 2


@pytest.mark.parametrize("error", [QUOTA, ApiError(503, "Unavailable", "later")])
async def test_a_pod_that_cannot_be_supplied_now_is_supplied_later(world, error):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.refuse["create", "pod"] = [error]
    await world.start()
    assert world.stands().startswith("Running ")
    ((name, seconds),) = world.later
    assert (name, seconds > 0) == (NAME, True)
    world.run.dirty.add(name)
    await world.turn()
    assert len(world.server.pods) == 1


async def test_a_pod_that_policy_refuses_fails_its_node_and_closes_its_job(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.refuse["create", "pod"] = [POLICY]
    await world.start()
    assert world.stands() == "Failed Forbidden"
    await world.written()
    assert world.keeper.outcomes == {NAME: False}


async def test_a_pod_of_a_job_that_is_gone_is_not_made(world):
    await world.start()
    world.server.pods = {}
    await world.crash()
    world.server.jobs = {}
    await world.start()
    assert world.stands() == "Running Stalled"
    assert world.later
    world.cache.lose_job(next(iter(world.cache.jobs(RUN_UID).values())).uid)
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Failed JobDeleted"


async def test_a_running_node_without_a_job_asks_the_server_first(world):
    """The watches may be behind."""
    await world.start()
    jobs, world.server.jobs = world.server.jobs, {}
    await world.crash()
    world.server.jobs = jobs
    await world.turn()
    assert "get job" in world.server.calls
    assert world.stands().startswith("Running")
    world.server.jobs = {}
    await world.crash()
    await world.turn()
    assert world.stands() == "Failed JobDeleted"


async def test_a_job_that_only_says_that_it_is_the_nodes_is_passed_over(world):
    forged = support.job(metadata={"annotations": {"podium.dev/node": "a"}})
    world.cache.put_job(forged)
    world.run.dirty.add(forged["metadata"]["name"])
    assert await world.attempts.look(world.run) == []


# Disruptions


DISRUPTED = support.pod(
    SCHEDULED, condition("DisruptionTarget", reason="Evicted"), phase="Failed", state=terminated(1)
)["status"]


async def disrupted(world):
    await world.start()
    world.change(world.pod, status=DISRUPTED)
    await world.turn()
    assert world.paper.state("a").disruptions == 1


async def test_a_disrupted_pod_is_replaced_within_its_job(world):
    await disrupted(world)
    first = world.pod["metadata"]
    await world.written()
    assert world.keeper.disrupted == [first["uid"]]
    await world.again(3600)
    assert len(world.server.jobs) == 1
    second = next(m for m in (p["metadata"] for p in world.server.pods.values()) if m != first)
    assert second["name"] != first["name"]
    assert world.stands().startswith("Running")


async def lose_machine(world):
    """A Pod runs on a machine that does not answer; the cluster asks it to end from 12:00:25 on."""
    await world.start()
    taint = condition("DisruptionTarget", reason="DeletionByTaintManager", message="lost")
    runs = support.pod(SCHEDULED, taint, phase="Running", state=running())
    world.change(world.pod, metadata=GOING, status=runs["status"])
    await world.turn()
    assert world.stands() == "Running NodeLost"


async def test_a_pod_on_a_lost_machine_is_given_up_when_its_node_says_so(clock):
    world = World(node("a", forceRestartAfterSeconds=100))
    await lose_machine(world)
    assert "delete pod" not in world.server.calls
    ((_, seconds),) = world.later
    clock.now += seconds
    await world.tell().turn()
    assert world.pod["metadata"]["deletionGracePeriodSeconds"] == 0
    await world.tell().turn()
    assert world.paper.state("a").disruptions == 1
    assert "done twice" in world.paper.state("a").message
    await world.again(5)
    assert len(world.server.pods) == 2
    assert world.paper.state("a").execution_count == 1


async def test_a_pod_on_a_lost_machine_is_waited_for_else(world, clock):
    await lose_machine(world)
    clock.now += 1_000_000
    await world.tell().turn()
    assert "delete pod" not in world.server.calls
    assert world.stands() == "Running NodeLost"


async def test_no_pod_is_supplied_while_a_restart_waits(world):
    await disrupted(world)
    assert world.paper.state("a").next_attempt_at is not None
    uid = world.pod["metadata"]["uid"]
    world.cache.drop_pod(uid)
    world.server.pods = {}
    world.server.calls = []
    world.run.dirty.add(NAME)
    await world.turn()
    assert (world.server.calls, world.server.pods) == ([], {})
    await world.again(3600)
    assert len(world.server.pods) == 1


async def test_a_restart_finds_the_pod_of_the_restart_before_the_crash(world):
    await disrupted(world)
    await world.again(3600)
    names = set(world.server.pods)
    assert len(names) == 2
    await world.crash()
    await world.start()
    assert set(world.server.pods) == names


async def test_pods_that_are_recorded_are_passed_over(world):
    await world.start()
    for body in world.server.pods.values():
        body["metadata"]["labels"][LABEL_RECORDED] = "true"
    await world.crash()
    await world.turn()
    assert len(world.server.pods) == 2


async def test_a_job_has_only_so_many_pods(world):
    await world.start()
    for _ in range(PODS_OF_JOB - 1):
        for body in world.server.pods.values():
            body["metadata"]["labels"][LABEL_RECORDED] = "true"
        await world.crash()
        await world.start()
    for body in world.server.pods.values():
        body["metadata"]["labels"][LABEL_RECORDED] = "true"
    await world.crash()
    await world.start()
    assert len(world.server.pods) == PODS_OF_JOB
    assert world.stands() == "Failed TooManyPods"


# Suspended Jobs


def suspended(job):
    job["spec"]["suspend"] = True
    return job


async def test_a_suspended_job_gets_no_pod_before_it_is_resumed(world):
    world.server.admit = suspended
    await world.start()
    await world.tell().turn()
    assert (world.server.pods, world.stands()) == ({}, "Running Queued")
    template = {"template": {"spec": {"nodeSelector": {"flavour": "spot"}}}}
    world.change(world.job, spec={"suspend": False, **template})
    await world.turn()
    assert world.pod["spec"]["nodeSelector"] == {"flavour": "spot"}, "the template as it is now"


ENDED = support.pod(SCHEDULED, phase="Failed", state=terminated(143, until=26))["status"]
GOING = {"deletionTimestamp": support.at(25), "deletionGracePeriodSeconds": 5}


async def suspend(world):
    """Suspend a Job; its Pod is asked to end, and ends."""
    await world.start()
    world.change(world.job, spec={"suspend": True})
    world.cache.excuse(world.pod["metadata"]["uid"])
    world.change(world.pod, metadata=GOING, status=ENDED)


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_pod_that_ended_by_a_suspension_is_no_failure(world, crashed):
    await suspend(world)
    if crashed:
        await world.crash()
    await world.turn()
    assert world.stands() == "Running Queued"
    assert not world.run.ended
    assert world.keeper.asked, "it can be let go"


async def test_a_pod_that_ended_before_it_was_deleted_is_the_outcome(world):
    """Although its Job was suspended then."""
    await world.start()
    world.change(world.job, spec={"suspend": True})
    done = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, "Completed", until=19))
    world.change(world.pod, metadata=GOING, status=done["status"])
    await world.turn()
    assert world.stands() == "Completed"


async def test_a_resumed_job_gets_another_pod_although_the_former_is_still_there(world):
    """Its finalizer comes off a moment later."""
    await suspend(world)
    await world.turn()
    world.change(world.job, spec={"suspend": False})
    await world.turn()
    assert len(world.server.pods) == 2
    assert any(pod.alive for pod in world.cache.pods(world.job["metadata"]["uid"]))


async def test_a_resumed_job_gets_no_second_pod_while_the_first_may_run(world):
    await world.start()
    world.change(world.job, spec={"suspend": True})
    world.cache.excuse(world.pod["metadata"]["uid"])
    state = support.pod(SCHEDULED, state=running(), phase="Running")["status"]
    world.change(world.pod, metadata=GOING, status=state)
    await world.turn()
    world.change(world.job, spec={"suspend": False})
    await world.turn()
    assert len(world.server.pods) == 1
    world.change(world.pod, status=ENDED)
    await world.turn()
    assert len(world.server.pods) == 2


def orphan(world):
    """Do what `kubectl delete job --cascade=orphan` does."""
    meta = world.job["metadata"]
    labels = {f"batch.kubernetes.io/{name}": meta[of] for name, of in
              [("job-name", "name"), ("controller-uid", "uid")]}  # fmt: skip
    world.server.jobs.clear()
    world.change(world.pod, metadata={"ownerReferences": [], "labels": labels})


async def test_an_orphaned_pod_is_waited_for_also_by_the_next_operator(world):
    await world.start()
    orphan(world)
    await world.crash()
    await world.turn()
    assert world.stands() == "Running Scheduling"
    ended = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, message='{"v": 1}'))
    done = {"status": ended["status"]}
    _, gone = world.cache.put_pod(
        world.server.put(world.server.pods, support.changed(world.pod, done))
    )
    assert (gone.name, gone.run_uid) == (NAME, RUN_UID), "that run is told of it"
    world.run.dirty.add(gone.name)
    await world.turn()
    assert world.stands() == "Completed"


async def test_the_next_operator_asks_for_the_job_of_the_last_restart(world):
    """The watch does not show it yet, and the one before it is gone."""
    await world.start()
    state = world.paper.state("a")
    state.disruptions = 1
    body = world.server.jobs.pop(NAME)
    name = job_name("release-x7", RUN_UID, state.execution_id, 1)
    notes = {"podium.dev/restart": "1"}
    body = support.changed(body, {"metadata": {"name": name, "annotations": notes}})
    world.server.jobs[name] = body
    world.begin()
    world.attempts.adopt(world.run)
    await world.turn()
    assert world.stands() == "Running Scheduling"
    assert world.run.jobs_of[state.execution_id][-1] == name


# Ends, and stops


async def test_the_end_of_a_pod_is_the_end_of_its_node_before_that_of_its_job(world):
    await world.start()
    done = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, message='{"v": 1}'))
    world.change(world.pod, status=done["status"])
    await world.turn()
    assert world.stands() == "Completed"
    assert world.run.ended == {NAME: True}
    await world.written()
    assert world.keeper.outcomes == {NAME: True}


@pytest.mark.parametrize(
    ("phase", "code", "succeeded"), [("Succeeded", 0, True), ("Failed", 1, False)]
)
async def test_a_job_whose_end_was_not_written_before_a_crash_is_owed_it(
    world, phase, code, succeeded
):
    """The server refused that write, and the Pod was let go."""
    await world.start()
    done = support.pod(SCHEDULED, phase=phase, state=terminated(code))
    world.change(world.pod, status=done["status"], metadata={"labels": {LABEL_RECORDED: "true"}})
    world.cache.put_pod(world.pod)
    await world.turn()
    await world.crash()
    assert world.keeper.outcomes == {NAME: succeeded}
    assert world.attempts.recall(world.cache.jobs(RUN_UID)[NAME], world.paper.engine.status.nodes)


async def test_a_job_is_owed_nothing_while_its_execution_goes_on_or_was_told_to_end(world):
    await world.start()
    await world.crash()
    assert world.keeper.outcomes == {}
    await world.turn(cancel=True)
    world.server.pods = {}
    await world.crash()
    assert world.stands() == "Cancelled RunCancelled"
    assert world.keeper.outcomes == {}


async def test_a_pod_that_waits_for_its_image_too_long_is_removed_once_that_is_recorded(
    world, clock
):
    await world.start()
    stuck = support.pod(SCHEDULED, state=support.waiting("InvalidImageName", "no such name"))
    world.change(world.pod, status=stuck["status"])
    await world.turn()
    assert world.stands() == "Running InvalidImageName"
    assert world.later == [(NAME, 10.0)]
    clock.now += 10
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Failed ImagePull"
    assert (world.run.remove, world.keeper.outcomes) == ({NAME}, {})
    world.server.calls = []
    await world.written()
    assert sorted(world.server.calls) == ["delete job", "delete pod"]
    assert world.keeper.outcomes == {}, "what goes need not be closed"


async def test_what_is_stopped_is_gone_when_nothing_of_it_runs(world):
    await world.start()
    await world.turn(cancel=True)
    assert [stop.execution_id for stop in world.stops] == ["a-1"]
    stops = world.stops
    await world.written()
    assert dig(world.job, "metadata", "deletionTimestamp")
    assert dig(world.pod, "metadata", "deletionTimestamp")
    await world.tell().turn(cancel=True)
    assert AttemptPhase.GONE not in [seen.phase for seen in world.seen]
    world.server.calls, world.stops = [], stops
    await world.written()
    assert world.server.calls == [], "it was asked for"
    world.cache.drop_job(job_view(world.server.jobs.pop(NAME)))
    await world.turn(cancel=True)
    assert AttemptPhase.GONE not in [seen.phase for seen in world.seen], "its Pod lives on"
    world.change(world.pod, status=ENDED)
    await world.turn(cancel=True)
    assert AttemptPhase.GONE in [seen.phase for seen in world.seen]
    assert not world.run.stopping


async def test_a_job_may_run_until_its_pods_ended(world):
    await world.start()
    job = world.cache.jobs(RUN_UID)[NAME]
    assert world.attempts.may_run(job)
    world.cache.put_pod(support.changed(world.pod, {"status": ENDED}))
    ended = pod_view(support.changed(world.pod, {"status": ENDED}))
    assert not ended.alive
    world.cache.drop_pod(ended.uid)
    assert world.attempts.may_run(job), "a Pod may be made yet"


async def test_a_later_look_wakes_the_run(clock):
    world = World()
    del world.attempts._look_later
    asked = []

    class Loop:
        def call_later(self, seconds, call):
            asked.append(seconds)
            call()

    original = asyncio.get_running_loop
    attempts_module.asyncio.get_running_loop = Loop
    try:
        world.attempts._look_later(world.run, NAME, 0.0)
    finally:
        attempts_module.asyncio.get_running_loop = original
    assert (asked, world.run.dirty, world.wakes) == ([0.05], {NAME}, [world.run])
