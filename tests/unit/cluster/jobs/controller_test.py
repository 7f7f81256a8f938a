"""The controller of managed Jobs: the status of Jobs whose Pods Podium makes, and when their Pods are let go.

The rules of kubernetes.md 2 are those of the API server's validation; `check` is written after it.
"""

import asyncio
import copy
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.names import FINALIZER, LABEL_RECORDED
from podium.cluster.jobs import controller as controller_module
from podium.cluster.jobs.controller import ManagedJobController
from podium.cluster.jobs.job_status import STARTED_SECONDS, job_status
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import job_view, pod_view
from podium.cluster.metrics import Metrics
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.cluster.worker import Worker
from tests.unit.cluster import support
from tests.unit.cluster.support import JOB_UID, NOON, condition, running, terminated

SETTINGS = Settings()
READY = condition("Ready")
SCHEDULED = condition("PodScheduled")


def job(**changes):
    """Return a managed Job as it is created: without a status."""
    plain = support.job(spec={"managedBy": SETTINGS.manager}, status=None)
    return support.changed(plain, changes)


def pod(*conditions, **changes):
    meta = {"finalizers": ["other.io/x", FINALIZER], **changes.pop("metadata", {})}
    return support.pod(*conditions, metadata=meta, **changes)


RUNNING = pod(SCHEDULED, phase="Running", state=running())
DONE = pod(SCHEDULED, phase="Succeeded", state=terminated(0, "Completed"))
BROKEN = pod(SCHEDULED, phase="Failed", state=terminated(1))


def time_of(text):
    return datetime.fromisoformat(text).timestamp()


def kinds(status):
    return {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}


def merged(status, patch):
    return support.changed(status, patch)


def check(old, new, *, suspended):
    """Raise where the API server would refuse a status after another one."""
    before, now = kinds(old), kinds(new)
    for name in ("active", "ready", "terminating", "succeeded", "failed"):
        assert new.get(name, 0) >= 0
    assert new.get("ready", 0) <= new.get("active", 0)
    for name in ("succeeded", "failed"):
        assert new.get(name, 0) >= old.get(name, 0)
    for final in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"):
        assert final not in before or final in now
    assert not {"Complete", "Failed"} <= now
    assert not {"Complete", "FailureTarget"} <= now
    assert not ("SuccessCriteriaMet" in now and now & {"Failed", "FailureTarget"})
    if old.get("startTime") and old["startTime"] != new.get("startTime"):
        resumed = "Suspended" in before and "Suspended" not in now
        assert suspended or resumed, "startTime never changes unless suspended or resuming"
    if before & {"Complete", "Failed"}:
        assert new == old, "what ended is final"
    if now & {"Complete", "Failed"}:
        assert new.get("startTime"), "an end without a start"
        assert new.get("active", 0) == new.get("ready", 0) == new.get("terminating", 0) == 0
        assert new.get("uncountedTerminatedPods") == {}
    if "Complete" in now:
        assert "SuccessCriteriaMet" in now
        assert time_of(new["completionTime"]) >= time_of(new["startTime"])
    else:
        assert "completionTime" not in new
    if "Failed" in now:
        assert "FailureTarget" in now
    types = [each["type"] for each in new.get("conditions", [])]
    assert len(types) == len(set(types))


# The rules, row by row


def told(a_job, *pods, outcome=None, now=NOON + 10):
    return job_status(job_view(a_job), [pod_view(each) for each in pods], outcome, now)


STARTED = {
    "startTime": support.at(1),
    "active": 1,
    "ready": 0,
    "terminating": 0,
    "uncountedTerminatedPods": {},
}
SUSPENDED = {"conditions": [condition("Suspended")], "active": 0, "ready": 0}


def test_a_start():
    assert told(job(), RUNNING) == STARTED
    assert told(job(status=STARTED), RUNNING) is None
    assert told(job()) is None, "nothing runs yet"
    assert told(job(), BROKEN) is None, "nor any more"


def test_ready_follows_the_pod():
    ready = pod(SCHEDULED, READY, phase="Running", state=running())
    assert told(job(status=STARTED), ready)["ready"] == 1
    assert told(job(status={**STARTED, "ready": 1}), ready) is None
    assert told(job(status={**STARTED, "ready": 1}), RUNNING)["ready"] == 0


def test_the_start_is_not_later_than_the_end_whatever_the_clocks_say():
    """Ours may be behind the server's."""
    early = told(job(), outcome=True, now=NOON - 60)
    assert early["startTime"] == early["completionTime"]
    early = told(job(status=STARTED), outcome=True, now=NOON - 60)
    assert (early["startTime"], early["completionTime"]) == (support.at(1),) * 2


def test_success_is_one_write():
    status = told(job(status=STARTED), DONE, outcome=True)
    assert kinds(status) == {"SuccessCriteriaMet", "Complete"}
    assert status["completionTime"] == support.at(10)
    assert (status["startTime"], status["succeeded"]) == (support.at(1), 1)
    assert (status["active"], status["ready"], status["terminating"]) == (0, 0, 0)


@pytest.mark.parametrize("pods", [(), (BROKEN,), (BROKEN, RUNNING)])
def test_failure_has_no_completion_time(pods):
    status = told(job(status=STARTED), *pods, outcome=False)
    assert kinds(status) == {"FailureTarget", "Failed"}
    assert "completionTime" not in status
    assert status["failed"] == max(1, len(pods))


@pytest.mark.parametrize("outcome", [True, False])
def test_an_end_has_a_start(outcome):
    """A Job that ended before it was said to run, or while it was suspended."""
    assert told(job(), outcome=outcome)["startTime"] == support.at(1)
    suspended = job(spec={"suspend": True}, status=SUSPENDED)
    assert told(suspended, outcome=outcome)["startTime"] == support.at(1)


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
@pytest.mark.parametrize("outcome", [True, False, None])
def test_an_end_is_final(kind, outcome):
    ended = job(spec={"suspend": True}, status={**STARTED, "conditions": [condition(kind)]})
    assert told(ended, RUNNING, outcome=outcome) is None


def test_a_suspended_job_says_so_once_its_pod_is_gone():
    suspended = job(spec={"suspend": True}, status=STARTED)
    assert told(suspended, RUNNING) is None
    status = told(suspended, BROKEN)
    assert (status["startTime"], status["active"], status["ready"]) == (None, 0, 0)
    assert kinds(status) == {"Suspended"}
    assert told(job(spec={"suspend": True}, status=SUSPENDED)) is None


def test_a_resumed_job_starts_again():
    status = told(job(status=SUSPENDED), RUNNING)
    assert status["startTime"] == support.at(10)
    (only,) = status["conditions"]
    assert (only["type"], only["status"], only["reason"]) == ("Suspended", "False", "JobResumed")


# Any history


EVENTS = st.one_of(
    st.sampled_from(["suspend", "resume", "no pod"]),
    st.sampled_from([RUNNING, pod(READY, phase="Running"), DONE, BROKEN, pod()]),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.4, 1.0, 60.0, -30.0])), max_size=12))
def test_no_history_breaks_a_rule_of_the_server(history):
    body, pods, outcome, now = job(), [], None, NOON + 1.7
    for happened, later in history:
        now += later
        if happened in ("suspend", "resume"):
            ended = job_view(body).ended
            body["spec"]["suspend"] = happened == "suspend" and not ended
        elif happened == "no pod":
            pods = []
        elif isinstance(happened, bool):
            outcome = happened if outcome is None else outcome  # recorded once
        else:
            pods = [*pods[:2], happened]
        for _ in range(3):
            patch = told(body, *pods, outcome=outcome, now=now)
            if patch is None:
                break
            old = body.get("status", {})
            body["status"] = merged(old, patch)
            check(old, body["status"], suspended=body["spec"].get("suspend") is True)
        else:
            raise AssertionError("it is never satisfied")
        view = job_view(body)
        assert view.ended is (outcome is not None)
        if outcome is not None:
            assert view.complete is outcome


# The controller


class Server:
    """Has Jobs and Pods; answers as an API server does."""

    def __init__(self):
        self.objects = {}
        self.calls = []
        self.hurried = 0
        self.refuse = {}
        self.version = 200

    def put(self, body):
        body = copy.deepcopy(body)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[body["kind"], body["metadata"]["name"]] = body
        return copy.deepcopy(body)

    def take(self, verb, kind, name):
        self.calls.append((verb, kind))
        if self.refuse.get((verb, kind)):
            raise self.refuse[verb, kind].pop(0)
        if (kind, name) not in self.objects:
            raise ApiError(404, "NotFound", "there is none")
        return self.objects[kind, name]

    async def patch_job_status(self, namespace, name, status):
        body = self.take("status", "Job", name)
        old = body.get("status", {})
        new = merged(old, status)
        check(old, new, suspended=body["spec"].get("suspend") is True)
        return self.put({**body, "status": new})

    async def set_job_ttl(self, namespace, name, seconds):
        body = self.take("ttl", "Job", name)
        self.put(support.changed(body, {"spec": {"ttlSecondsAfterFinished": seconds}}))

    async def get_pod(self, namespace, name):
        return copy.deepcopy(self.take("get", "Pod", name))

    async def get_job(self, namespace, name):
        return copy.deepcopy(self.take("get", "Job", name))

    async def patch_pod(self, namespace, name, operations, *, hurry=False):
        self.hurried += hurry
        body = copy.deepcopy(self.take("patch", "Pod", name))
        test, remove, add = operations
        assert (test["op"], remove["op"], add["op"]) == ("test", "remove", "add")
        assert test["path"] == remove["path"]
        at = int(test["path"].rpartition("/")[2])
        finalizers = body["metadata"]["finalizers"]
        if at >= len(finalizers) or finalizers[at] != test["value"]:
            raise ApiError(422, "Invalid", "the server rejected our request: testing value failed")
        del finalizers[at]
        assert add["path"] == "/metadata/labels/podium.dev~1recorded"
        body["metadata"]["labels"][LABEL_RECORDED] = add["value"]
        if not finalizers and body["metadata"].get("deletionTimestamp"):
            del self.objects["Pod", name]
            return body
        return self.put(body)

    async def delete_pod(self, namespace, name, uid, *, version=""):
        body = self.take("delete", "Pod", name)
        assert body["metadata"]["uid"] == uid
        if version and body["metadata"]["resourceVersion"] != version:
            raise ApiError(409, "Conflict", "the resourceVersion does not match")
        meta = {"deletionTimestamp": support.at(40), "deletionGracePeriodSeconds": 5}
        self.put(support.changed(body, {"metadata": meta}))


class Clock:
    now = NOON + 10.0

    def time(self):
        return self.now


class World:
    """A controller and its server; what happens there, the controller is told."""

    def __init__(self):
        self.server, self.cache = Server(), InformerCache()
        self.jobs = ManagedJobController(self.server, self.cache, SETTINGS)
        self.later = []
        self.worker = Worker(self.jobs.queue, lambda _: ("Job", self.jobs), Metrics())
        self.jobs.queue.add_after = lambda key, seconds: self.later.append(seconds)

    def job(self, body):
        view = self.cache.put_job(self.server.put(body))
        self.jobs.changed(view.uid)
        return view

    def pod(self, body):
        view, _ = self.cache.put_pod(self.server.put(body))
        self.jobs.changed(view.job_uid)
        return view

    def gone(self, kind, name):
        """Let an object vanish, as the watch tells it."""
        body = self.server.objects.pop((kind, name))
        if kind == "Job":
            self.cache.drop_job(job_view(body))
        elif self.cache.has_pod(body):
            self.cache.lose_pod(body["metadata"]["uid"])
        self.jobs.changed(JOB_UID)

    async def settle(self):
        """Let the controller work until it has nothing to do; return what it called."""
        self.server.calls = []
        working = asyncio.create_task(self.worker.run())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not working.done()
        working.cancel()
        await asyncio.wait([working])
        return self.server.calls

    @property
    def held(self):
        """Whether the Pod still has Podium's finalizer."""
        body = self.server.objects.get(("Pod", RUNNING["metadata"]["name"]))
        return body is not None and FINALIZER in body["metadata"]["finalizers"]

    @property
    def status(self):
        return self.server.objects["Job", job()["metadata"]["name"]].get("status", {})


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(controller_module, "time", clock)
    return clock


@pytest.fixture
def world(clock):
    return World()


async def test_a_job_is_said_to_run(world):
    world.job(job())
    world.pod(RUNNING)
    assert await world.settle() == [("status", "Job")]
    assert world.status == STARTED
    assert world.held
    world.jobs.changed(JOB_UID)
    assert await world.settle() == [], "it is true as it is"


async def test_a_job_that_ends_soon_is_never_said_to_run(world, clock):
    clock.now = NOON + 5 + STARTED_SECONDS / 2
    view = world.job(job())
    world.pod(RUNNING)
    assert await world.settle() == []
    assert world.later == [STARTED_SECONDS / 2]
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    assert await world.settle() == [("status", "Job"), ("patch", "Pod")]
    assert kinds(world.status) == {"SuccessCriteriaMet", "Complete"}


@pytest.mark.parametrize("body", [DONE, BROKEN])
@pytest.mark.parametrize("succeeded", [True, False])
async def test_an_ended_pod_is_held_until_its_outcome_is_recorded(world, body, succeeded):
    view = world.job(job())
    world.pod(body)
    await world.settle()
    assert world.held
    world.jobs.set_outcome(view, succeeded=succeeded)
    await world.settle()
    assert not world.held
    assert world.cache.pods(JOB_UID) == []
    assert ("Complete" in kinds(world.status)) is succeeded
    labels = world.server.objects["Pod", body["metadata"]["name"]]["metadata"]["labels"]
    assert labels[LABEL_RECORDED] == "true", "and nobody watches it any more"


async def test_a_pod_that_may_still_run_is_held_although_the_outcome_is_recorded(world):
    """Such as that of a node whose time is over."""
    view = world.job(job())
    world.pod(RUNNING)
    world.jobs.set_outcome(view, succeeded=False)
    await world.settle()
    assert kinds(world.status) == {"FailureTarget", "Failed"}
    assert world.held
    world.pod(BROKEN)
    await world.settle()
    assert not world.held


async def test_a_pod_of_a_deleted_job_is_held_while_it_may_run(world):
    world.job(job(metadata={"deletionTimestamp": support.at(20)}))
    world.pod(RUNNING)
    assert await world.settle() == [], "and nothing is said of a Job that goes"
    world.gone("Job", job()["metadata"]["name"])
    await world.settle()
    assert world.held
    world.pod(BROKEN)
    await world.settle()
    assert not world.held


async def test_an_ended_pod_of_a_job_that_goes_is_let_go(world):
    """Somebody may wait for it: a deletion in the foreground, or that of the namespace."""
    world.job(job(metadata={"deletionTimestamp": support.at(20)}))
    world.pod(DONE)
    assert await world.settle() == [("patch", "Pod")]
    assert not world.held


@pytest.mark.parametrize(
    ("conditions", "grace", "held"),
    [((), 0, False), ((SCHEDULED,), 5, True), ((SCHEDULED,), 0, True)],
)
async def test_a_deleted_pod_is_let_go_at_once_if_it_never_had_a_machine(
    world, conditions, grace, held
):
    """One that had a machine says how it ended; a force-deleted one is recorded as deleted."""
    meta = {"deletionTimestamp": support.at(20), "deletionGracePeriodSeconds": grace}
    world.job(job())
    world.pod(pod(*conditions, metadata=meta))
    await world.settle()
    assert world.held is held


async def test_a_pod_that_was_disrupted_is_let_go_once_that_is_recorded(world):
    world.job(job())
    view = world.pod(BROKEN)
    await world.settle()
    assert world.held
    world.jobs.release_disrupted(view)
    await world.settle()
    assert not world.held
    assert not kinds(world.status), "the Job goes on with another Pod"


async def test_a_pod_of_another_operators_job_is_not_said_to_run(world):
    world.job(job(spec={"managedBy": "podium.dev/another"}))
    world.pod(RUNNING)
    assert await world.settle() == []


async def test_finalizers_that_moved_are_looked_at_again(world):
    view = world.job(job())
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    meta = {"finalizers": [FINALIZER]}
    world.server.put(support.changed(DONE, {"metadata": meta}))
    calls = await world.settle()
    assert calls[1:] == [("patch", "Pod"), ("get", "Pod")]
    assert world.held
    assert world.later, "it comes again"
    world.jobs.changed(JOB_UID)
    assert await world.settle() == [("patch", "Pod")]
    assert not world.held


async def test_a_pod_that_is_gone_is_forgotten(world):
    view = world.job(job())
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    del world.server.objects["Pod", DONE["metadata"]["name"]]
    await world.settle()
    assert world.cache.pods(JOB_UID) == []


async def test_a_status_that_the_server_refuses_holds_nothing_up(world, caplog):
    """kubernetes.md 2: a 422 is logged and never blocks the run."""
    invalid = ApiError(422, "Invalid", "status.startTime: Required value")
    world.server.refuse["status", "Job"] = [invalid] * 3
    view = world.job(job())
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    await world.settle()
    assert not world.held
    assert "status.startTime" in caplog.text


@pytest.mark.parametrize(("status", "wait"), [(0, 0.5), (409, 0.1), (429, 0.5), (503, 0.5)])
async def test_what_fails_is_tried_again_in_order(world, monkeypatch, status, wait):
    """A Pod that vanished before its Job ended would look like one that is to be made."""
    monkeypatch.setattr(controller_module, "PAUSE_SECONDS", 0)
    world.server.refuse["status", "Job"] = [ApiError(status, "Away", "try again")]
    view = world.job(job())
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    assert await world.settle() == [("status", "Job")]
    assert world.held
    assert world.later == [wait]
    world.jobs.changed(JOB_UID)
    await world.settle()
    assert not world.held


async def test_nothing_ends_the_work(world, caplog):
    """Not even years of it."""
    world.server.refuse["status", "Job"] = [ValueError("odd"), ApiError(400, "Odd", "odd")]
    world.worker._failures[JOB_UID] = 5000
    world.job(job())
    world.pod(RUNNING)
    await world.settle()
    world.jobs.changed(JOB_UID)
    await world.settle()
    assert world.later == [60.0, 60.0]
    world.jobs.changed(JOB_UID)
    await world.settle()
    assert world.status == STARTED


# Jobs of the built-in controller


COMPLETE = {**STARTED, "active": 0, "conditions": [condition("Complete")]}


async def test_a_foreign_controllers_job_gets_its_time_to_live_once_it_ended_and_is_recorded(world):
    plain = support.job()
    view = world.job(plain)
    world.jobs.set_outcome(view, succeeded=True)
    assert await world.settle() == [], "its own controller has not ended it"
    view = world.job(support.changed(plain, {"status": COMPLETE}))
    assert await world.settle() == [("ttl", "Job")]
    live = world.server.objects["Job", view.name]["spec"]
    assert live["ttlSecondsAfterFinished"] == SETTINGS.jobs.succeeded_ttl_seconds


async def test_an_ended_job_gets_no_time_to_live_before_it_is_recorded(world):
    view = world.job(support.job(status=COMPLETE))
    assert await world.settle() == []
    world.jobs.set_outcome(view, succeeded=False)
    assert await world.settle() == [("ttl", "Job")]
    live = world.server.objects["Job", view.name]["spec"]
    assert live["ttlSecondsAfterFinished"] == SETTINGS.jobs.failed_ttl_seconds


async def test_what_is_done_is_not_done_again(world):
    view = world.job(support.job(status=COMPLETE, spec={"ttlSecondsAfterFinished": 5}))
    await world.settle()
    world.jobs.set_outcome(view, succeeded=True)
    assert await world.settle() == []
    assert not world.jobs._outcomes


# Suspended, as Kueue does it


async def test_a_suspended_jobs_pod_is_deleted_and_no_failure(world):
    world.job(job(spec={"suspend": True}, status=STARTED))
    world.pod(RUNNING)
    assert await world.settle() == [("delete", "Pod")]
    assert "Suspended" not in kinds(world.status), "something still runs"
    assert world.held
    killed = pod(SCHEDULED, phase="Failed", state=terminated(143, until=41))["status"]
    deleted = world.server.objects["Pod", RUNNING["metadata"]["name"]]
    ended = support.changed(deleted, {"status": killed})
    assert world.cache.ended_by_suspension(world.pod(ended))
    assert await world.settle() == [("status", "Job"), ("patch", "Pod")]
    assert kinds(world.status) == {"Suspended"}
    assert "startTime" not in world.status
    assert not world.held


async def test_a_result_that_came_before_its_suspension_is_kept(world):
    """It is on its way to the controller while that deletes the Pod."""
    world.job(job(spec={"suspend": True}, status=STARTED))
    world.pod(RUNNING)
    done = world.server.put(DONE)
    assert await world.settle() == [("delete", "Pod")]
    assert (
        "deletionTimestamp" not in world.server.objects["Pod", DONE["metadata"]["name"]]["metadata"]
    )
    view, _ = world.cache.put_pod(done)
    world.jobs.changed(JOB_UID)
    await world.settle()
    assert not world.cache.ended_by_suspension(view)
    assert world.held


async def test_a_pod_that_was_not_deleted_because_its_job_was_resumed_has_an_outcome(world):
    world.job(job(spec={"suspend": True}, status=STARTED))
    world.pod(RUNNING)
    world.server.refuse["delete", "Pod"] = [ApiError(503, "Unavailable", "not now")]
    assert await world.settle() == [("delete", "Pod")]
    world.job(job(status=STARTED))
    view = world.pod(DONE)
    await world.settle()
    assert not world.cache.ended_by_suspension(view)
    assert world.held


async def test_a_pod_whose_job_the_watch_does_not_show_is_held_while_the_server_has_it(world):
    """A new leader may see the Pods first."""
    world.server.put(job())
    world.pod(DONE)
    assert await world.settle() == [("get", "Job")]
    assert world.held
    world.jobs.set_outcome(world.cache.job(JOB_UID), succeeded=True)
    await world.settle()
    assert not world.held


@pytest.mark.parametrize("other", [False, True])
async def test_a_pod_whose_job_the_server_does_not_have_is_let_go(world, other):
    if other:
        world.server.put(job(metadata={"uid": "of-another"}))
    world.pod(DONE)
    assert await world.settle() == [("get", "Job"), ("patch", "Pod")]
    assert not world.held


async def test_a_job_that_is_known_to_be_gone_is_not_asked_for(world):
    world.pod(DONE)
    world.cache.add_tombstone(job())
    assert await world.settle() == [("patch", "Pod")]


async def test_a_suspended_job_without_a_pod_says_so_at_once(world, clock):
    clock.now = NOON + 1
    world.job(job(spec={"suspend": True}))
    assert await world.settle() == [("status", "Job")]
    assert kinds(world.status) == {"Suspended"}
    world.job(job(status=SUSPENDED))
    clock.now += 30
    assert await world.settle() == [], "resumed, and its Pod is not made yet"
    world.pod(RUNNING)
    await world.settle()
    assert kinds(world.status) == set()
    assert world.status["startTime"] == support.at(31)


async def test_a_job_suspended_after_its_outcome_is_recorded_ends(world):
    view = world.job(job(spec={"suspend": True}, status=STARTED))
    world.pod(DONE)
    world.jobs.set_outcome(view, succeeded=True)
    await world.settle()
    assert kinds(world.status) == {"SuccessCriteriaMet", "Complete"}
    assert not world.held


async def test_while_the_server_does_not_answer_one_job_is_not_tried_after_the_other(world):
    world.job(job())
    world.pod(RUNNING)
    world.jobs.changed("another")
    world.server.refuse["status", "Job"] = [ApiError(0, "NoAnswer", "none")]
    assert await world.settle() == [("status", "Job")]
    assert len(world.jobs.queue) == 1, "it pauses"


async def test_the_controller_lags_when_a_job_waits_for_long(world, monkeypatch):
    world.jobs.changed(JOB_UID)
    assert not world.jobs.is_lagging()
    monkeypatch.setattr(world.jobs.queue, "age", lambda: 90.0)
    assert world.jobs.is_lagging()
