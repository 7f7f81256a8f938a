"""A run's Jobs and Pods, and a server that has them."""

import asyncio
import copy
import itertools

from podium.api.names import LABEL_RECORDED
from podium.cluster.jobs.builder import Owner, job_name
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.events import Subject
from podium.cluster.metrics import Metrics
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.runs.closer import JobCloser
from podium.cluster.runs.launcher import JobLauncher
from podium.cluster.runs.map_progress import take_after_write
from podium.cluster.runs.observer import JobObserver
from podium.cluster.settings import Settings
from podium.cluster.watch.store import InformerCache
from podium.engine import Control, Launch, Stop
from tests.unit.cluster import support
from tests.unit.cluster.support import NOON, RUN_UID, condition, terminated
from tests.unit.engine.support import Run, node

QUOTA = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: small')
POLICY = ApiError(403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted"')
TERMINATING = ApiError(403, "Forbidden", "no", causes=["NamespaceTerminating"])
SCHEDULED = condition("PodScheduled")


class Server:
    """Has Jobs and Pods."""

    def __init__(self):
        self.jobs, self.pods, self.accounts, self.events = {}, {}, {}, []
        self.claims = {}
        self.artifact_stores = []
        self.logs = []
        """What is answered to those that ask for logs."""
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

    async def try_out_job(self, job):
        self.take("try out", "job")
        return self.create(dict.fromkeys(self.jobs), self.admit(copy.deepcopy(job)))

    async def get_job(self, namespace, name):
        self.take("get", "job")
        return self.get(self.jobs, name)

    async def create_claim(self, claim):
        self.take("create", "claim")
        return self.create(self.claims, claim)

    async def get_claim(self, namespace, name):
        self.take("get", "claim")
        return self.get(self.claims, name)

    async def list_artifact_stores(self, namespace):
        return self.artifact_stores

    async def create_pod(self, pod):
        self.take("create", "pod")
        return self.create(self.pods, pod)

    async def get_pod(self, namespace, name):
        self.take("get", "pod")
        return self.get(self.pods, name)

    async def read_log(self, namespace, name, container, most):
        self.take("read", "log")
        assert (namespace, container) == ("team", "node")
        self.get(self.pods, name)
        return self.logs.pop(0)

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


class ManagedJobs:
    def __init__(self):
        self.outcomes, self.progress = {}, {}
        self.disrupted = []
        self.asked = []

    def set_outcome(self, job, *, succeeded):
        self.outcomes[job.name] = succeeded

    def set_progress(self, job, progress):
        self.progress[job.name] = progress

    def release_disrupted(self, pod):
        self.disrupted.append(pod.uid)

    def changed(self, job_uid):
        self.asked.append(job_uid)


class Clock:
    now = NOON + 20.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


class WatchedRun(ActiveRun):
    """A run that notes what is to be looked at later, the latest only, instead of a timer."""

    looks = None

    def look_later(self, name, seconds):
        self.looks[:] = [(name, seconds)]


class World:
    """One operator and its server; `crash` makes another operator."""

    def __init__(self, *nodes, **settings):
        self.server, self.settings = Server(), Settings(**settings)
        self.paper = Run(*nodes or [node("a")], max_parallel=10)
        self.begin()

    def begin(self):
        self.cache, self.jobs = InformerCache(), ManagedJobs()
        self.metrics = Metrics()
        self.wakes, self.later = [], []
        self.seen, self.stops = [], []
        self.launcher = JobLauncher(self.server, self.cache, self.settings, self.metrics)
        self.closer = JobCloser(self.server, self.cache, self.jobs)
        self.observer = JobObserver(self.server, self.cache, self.jobs, self.launcher, self.closer)
        self.run = WatchedRun(
            owner=Owner("team", "release-x7", RUN_UID, "release", None),
            subject=Subject("WorkflowRun", "team", "release-x7", RUN_UID),
            engine=self.paper.engine,
            persisted_status={},
            version="100",
            generation=2,
            wake=lambda: self.wakes.append(self.run),
        )
        self.run.looks = self.later

    async def crash(self):
        """Begin again with what the server and the status have."""
        for task in self.run.tasks:
            task.cancel()
        await asyncio.gather(*self.run.tasks, return_exceptions=True)
        self.paper.crash()
        self.begin()
        self.tell()
        self.observer.resume_tracking(self.run)

    def tell(self):
        """Let the watches tell everything."""
        for body in self.server.jobs.values():
            self.cache.put_job(body)
            self.run.dirty.add(body["metadata"]["name"])
        for body in self.server.pods.values():
            if LABEL_RECORDED not in body["metadata"].get("labels", {}):
                self.cache.put_pod(body)
        return self

    async def half_turn(self, requests=(), **control):
        """Do what a turn of the controller does; its launches go on."""
        batch = await self.observer.collect_observations(self.run)
        self.seen = batch.observations
        actions = self.paper.engine.step(
            self.paper.now, observations=self.seen, requests=requests, control=Control(**control)
        )
        batch.commit()
        for action in actions:
            if isinstance(action, Launch):
                self.launcher.launch(self.run, action)
        self.stops = [action for action in actions if isinstance(action, Stop)]
        self.run.after_write.stops += self.stops
        return self

    async def turn(self, requests=(), **control):
        """Do what a turn of the controller does, and let its launches end."""
        await self.half_turn(requests, **control)
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
        work = take_after_write(self.run, self.cache)
        work.stops += [stop for stop in self.stops if stop not in work.stops]
        await self.closer.apply_after_write(self.run, work)

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


ENDED = support.pod(SCHEDULED, phase="Failed", state=terminated(143, until=26))["status"]

NAME = job_name("release-x7", RUN_UID, "a-1", 0)


def others(body):
    """Return an object that another owner controls."""
    owner = {**body["metadata"]["ownerReferences"][0], "uid": "another"}
    return support.changed(body, {"metadata": {"ownerReferences": [owner]}})
