"""The election: one leader at a time, whatever stands still, is lost or comes late.

The candidates live in a small world: each has an event loop of its own on a clock of its own, which
may run fast or slow, and is paused by not running its loop, between any two callbacks, as SIGSTOP
does. What was sent before a pause goes on under way and is answered during it.
"""

import asyncio
import copy
import heapq
import itertools
import logging
import os
import random
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.cluster.kube import leader_election as leader_module
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.leader_election import Leader, LeadershipLostError, Timing

TICK = 0.2
KEY = ("podium", "podium-operator")
TIMES = Timing()
LEASE = TIMES.lease_duration


class Server:
    """Holds Leases, with optimistic concurrency as the API server has it."""

    def __init__(self):
        self.leases = {}
        self.count = 100

    def put(self, lease):
        self.count += 1
        lease = copy.deepcopy(lease)
        lease["metadata"]["resourceVersion"] = str(self.count)
        meta = lease["metadata"]
        self.leases[meta["namespace"], meta["name"]] = lease
        return copy.deepcopy(lease)

    def get(self, namespace, name):
        if (namespace, name) not in self.leases:
            raise ApiError(404, "NotFound", "no such lease")
        return copy.deepcopy(self.leases[namespace, name])

    def create(self, lease):
        assert "resourceVersion" not in lease["metadata"]
        if (lease["metadata"]["namespace"], lease["metadata"]["name"]) in self.leases:
            raise ApiError(409, "AlreadyExists", "it exists")
        return self.put(lease)

    def replace(self, lease):
        old = self.get(lease["metadata"]["namespace"], lease["metadata"]["name"])
        if lease["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        return old if lease == old else self.put(lease)

    @property
    def spec(self):
        return self.leases[KEY]["spec"]

    @property
    def holder(self):
        return self.spec.get("holderIdentity", "")


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock):
        self._own_clock = clock
        super().__init__()

    def time(self):
        return self._own_clock()


class Candidate:
    """A process with a `Leader`; what it sends goes through the world."""

    def __init__(self, world, name, *, rate=1.0, offset=0.0, wall=0.0, timing=TIMES):
        self.world = world
        self.name = name
        self.rate = rate
        self.offset = offset
        self.wall = wall
        self.timing = timing
        self.loop = Loop(self.clock)
        self.lives = itertools.count(1)
        self.paused_until = 0.0
        self.restarts = False
        self.fault = lambda _op: (0.01, 0.01, "ok")
        self.calls = []
        self.boot()

    def boot(self):
        self.ends = []
        self.leader = Leader(
            self,
            *KEY,
            identity=f"{self.name}-{next(self.lives)}",
            timing=self.timing,
            boottime=self.clock,
            wall=lambda: self.world.now + self.wall,
            end=self.ends.append,
        )
        self.settle = self.launch_at = None
        self.lost = ""
        self.released = False
        self.task = self.loop.create_task(self.live(self.leader))

    def clock(self):
        return self.offset + self.rate * self.world.now

    async def live(self, leader):
        self.settle = await leader.acquire()
        self.launch_at = self.clock() + self.settle
        try:
            await leader.keep()
        except LeadershipLostError as error:
            self.lost = str(error)

    # What happens to it

    def pause(self, seconds):
        self.paused_until = max(self.paused_until, self.world.now + seconds)

    def crash(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        if self.restarts:
            self.boot()

    def stop(self):
        async def stop(task, leader):
            task.cancel()
            await asyncio.wait([task])
            self.released = True
            self.world.clean.add(leader.identity)
            await leader.release()

        if not self.released:
            self.task = self.loop.create_task(stop(self.task, self.leader))

    def step(self):
        if self.world.now < self.paused_until:
            return
        for _ in range(3):
            self.loop.stop()
            self.loop.run_forever()
        if self.restarts and self.task.done():
            self.boot()

    def close(self):
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()

    # What it sees

    def passes(self):
        """Whether it would pass `check`, which leaves no trace."""
        before = len(self.ends)
        try:
            self.leader.check()
        except LeadershipLostError:
            del self.ends[before:]
            return False
        return True

    # Its connection

    async def get_lease(self, namespace, name):
        return await self._call("get", namespace, name)

    async def create_lease(self, lease):
        return await self._call("create", copy.deepcopy(lease))

    async def replace_lease(self, lease):
        return await self._call("replace", copy.deepcopy(lease))

    async def _call(self, op, *args):
        there, back, what = self.fault(op)
        self.calls.append((self.world.now, op))
        answer = self.loop.create_future()

        def arrive():
            if what == "request lost":
                return
            if what == "refused":
                result = ApiError(500, "InternalError", "refused")
            else:
                try:
                    result = getattr(self.world.server, op)(*args)
                except ApiError as error:
                    result = error
            if what == "failed after it was done":
                result = ApiError(504, "Timeout", "unknown")
            if what != "answer lost":
                self.world.after(back, lambda: come(result))

        def come(result):
            if answer.done() or self.loop.is_closed():
                return
            if isinstance(result, ApiError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self.world.after(there, arrive)
        return await answer


class World:
    def __init__(self):
        self.now = 0.0
        self.server = Server()
        self.candidates = []
        self.last_pass = {}
        self.clean = set()
        self._heap = []
        self._order = itertools.count()

    def add(self, name, **how):
        candidate = Candidate(self, name, **how)
        self.candidates.append(candidate)
        return candidate

    def after(self, seconds, what):
        heapq.heappush(self._heap, (self.now + seconds, next(self._order), what))

    def run(self, seconds, until=lambda: False):
        """Let time pass; return how much did. At each instant one candidate leads, at most."""
        begin = self.now
        while self.now < begin + seconds and not until():
            self.now += TICK
            while self._heap and self._heap[0][0] <= self.now:
                heapq.heappop(self._heap)[2]()
            for candidate in self.candidates:
                candidate.step()
            self.look()
        return self.now - begin

    def look(self):
        # Also of one that is paused: the first thing it does on waking may be a queued request.
        leading = [one for one in self.candidates if one.passes()]
        assert len(leading) <= 1, f"at {self.now:g} s: {[one.leader.identity for one in leading]}"
        for one in leading:
            if one.launch_at is not None and one.clock() >= one.launch_at:
                self.launch(one)
            self.last_pass[one.leader.identity] = self.now

    def launch(self, one):
        """Whatever another leader let through and nobody waited for is a lease duration old."""
        for identity, moment in self.last_pass.items():
            if identity != one.leader.identity and identity not in self.clean:
                age = (self.now - moment) * one.rate
                assert age >= LEASE, f"{one.leader.identity} launches {age:g} s after {identity}"

    @property
    def leaders(self):
        return [one for one in self.candidates if one.passes()]

    def renewal(self, leader):
        """Let time pass until the leader has sent a renewal that has not arrived."""
        before = len(leader.calls)
        self.run(60, until=lambda: len(leader.calls) > before)
        assert leader.calls[-1][1] == "replace"

    def elect(self):
        self.run(60, until=lambda: bool(self.leaders))
        (leader,) = self.leaders
        self.run(1)
        return leader


@pytest.fixture
def world():
    random.seed(7)  # of the jitter
    world = World()
    yield world
    for candidate in world.candidates:
        candidate.close()


def lease(holder="somebody", **spec):
    namespace, name = KEY
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": name, "labels": {"a": "b"}},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec},
    }


# To acquire


def test_one_of_many_acquires_and_keeps(world):
    for n in range(5):
        world.add(f"c{n}")
    leader = world.elect()
    assert leader.settle == 0
    world.run(120)
    assert world.leaders == [leader]
    assert not leader.lost
    spec = world.server.spec
    assert spec["holderIdentity"] == leader.leader.identity
    assert spec["leaseDurationSeconds"] == 15
    assert spec["leaseTransitions"] == 0
    assert spec["renewTime"].startswith("1970-01-01T00:02:")
    assert len(spec["renewTime"]) == len("1970-01-01T00:02:00.000000Z")
    assert spec["acquireTime"] < spec["renewTime"]
    renewals = [moment for moment, op in leader.calls if op == "replace" and moment > 60]
    assert len(renewals) == pytest.approx(31, abs=3)


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_expiry_is_measured_by_our_own_clock_alone(world, renewed):
    world.server.put(lease(renewTime=renewed, leaseTransitions=4))
    candidate = world.add("a", offset=5_000_000.0, wall=-1e6 + 1e8)
    world.run(LEASE - 0.1)
    assert not world.leaders
    world.run(2)
    assert world.leaders == [candidate]
    assert candidate.settle == LEASE
    assert world.server.spec["leaseTransitions"] == 5
    assert world.server.leases[KEY]["metadata"]["labels"] == {"a": "b"}


def test_a_change_seen_late_counts_from_then(world):
    world.server.put(lease())
    world.add("a")
    for n in range(4):
        world.run(10)
        world.server.put(lease(renewTime=str(n)))
    world.run(LEASE - 0.1)
    assert not world.leaders
    world.run(2 * TIMES.retry_period + 2)
    assert world.leaders


def test_a_longer_duration_in_the_lease_is_respected(world):
    world.server.put(lease(leaseDurationSeconds=40))
    candidate = world.add("a")
    world.run(39)
    assert not world.leaders
    world.run(3)
    assert world.leaders == [candidate]
    assert candidate.settle == 40


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": ""}, {"holderIdentity": None}, None])
def test_a_lease_without_a_holder_is_taken_at_once(world, spec):
    world.server.put({**lease(), "spec": spec})
    candidate = world.add("a")
    world.run(1)
    assert world.leaders == [candidate]
    assert candidate.settle == 0


def test_a_lease_that_vanished_was_not_released(world):
    world.server.put(lease())
    candidate = world.add("a")
    world.run(5)
    del world.server.leases[KEY]
    world.run(9)
    assert not world.leaders
    world.run(5)
    assert world.leaders == [candidate]
    assert candidate.settle == LEASE


def test_a_killed_leader_is_followed_after_the_lease_and_a_time_to_settle(world):
    first, second = world.add("a"), world.add("b")
    leader = world.elect()
    other = second if leader is first else first
    leader.crash()
    passed = world.run(60, until=lambda: world.leaders == [other])
    assert LEASE - TIMES.retry_period < passed < LEASE + 3 * TIMES.retry_period
    world.run(1)
    assert other.settle == LEASE


def test_a_released_lease_is_taken_at_once(world):
    first, second = world.add("a"), world.add("b")
    leader = world.elect()
    other = second if leader is first else first
    leader.stop()
    passed = world.run(60, until=lambda: world.leaders == [other])
    assert passed < 3 * TIMES.retry_period
    world.run(1)
    assert other.settle == 0
    assert not leader.passes()


def test_what_has_not_settled_is_not_released(world):
    # The one that takes over next has to settle for the leader before, too.
    world.server.put(lease())
    candidate = world.add("a")
    world.elect()
    candidate.stop()
    world.run(1)
    assert candidate.task.done()
    assert world.server.holder == candidate.leader.identity
    follower = world.add("b")
    world.run(LEASE + 2)
    assert world.leaders == [follower]
    assert follower.settle == LEASE


def test_after_it_settled_it_is_released(world):
    world.server.put(lease())
    candidate = world.add("a")
    world.elect()
    world.run(LEASE + 1)
    candidate.stop()
    world.run(1)
    assert world.server.holder == ""
    assert not world.leaders


def test_a_lost_race_is_no_error(world, caplog):
    # Everybody looks at the same instant, and one is faster.
    for n in range(6):
        world.add(f"c{n}").fault = lambda _op: (0.5, 0.5, "ok")
    leader = world.elect()
    attempts = [op for one in world.candidates for _, op in one.calls if op != "get"]
    assert attempts.count("create") > 1
    assert world.leaders == [leader]
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize(("holder", "settle"), [("somebody", LEASE), (None, 0)])
def test_a_take_over_whose_answer_was_lost_is_found_and_settles_as_before(world, holder, settle):
    world.server.put(lease(holder))
    candidate = world.add("a")
    answers = iter(["answer lost"])
    candidate.fault = lambda op: (
        0.01,
        0.01,
        next(answers, "ok") if op == "replace" else "ok",
    )
    world.run(LEASE + 15, until=lambda: bool(world.leaders))
    world.run(1)
    assert [op for _, op in candidate.calls if op == "replace"][:2] == ["replace"] * 2
    assert candidate.settle == settle
    assert world.server.spec["leaseTransitions"] == 0


def test_errors_while_waiting_are_logged_once(world, caplog):
    candidate = world.add("a")
    candidate.fault = lambda _op: (0.01, 0.01, "refused")
    world.run(60)
    assert len(candidate.calls) > 15
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    candidate.fault = lambda _op: (0.01, 0.01, "ok")
    assert world.elect() is candidate


def test_no_answer_is_an_error_of_the_kind(world, caplog):
    candidate = world.add("a")
    candidate.fault = lambda _op: (0.01, 0.01, "answer lost")
    world.run(5)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "none within 4 s" in warning
    assert len(candidate.calls) == 1


def test_what_does_not_pass_by_waiting_is_raised(world):
    def refuse(*_):
        raise ApiError(403, "Forbidden", "no leases for you")

    world.server.get = refuse
    candidate = world.add("a")
    world.run(1)
    with pytest.raises(ApiError, match="no leases for you"):
        candidate.task.result()


# To keep


def test_lost_when_nothing_is_answered_until_the_deadline(world):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (0.01, 0.01, "request lost")
    passed = world.run(30, until=lambda: not world.leaders)
    assert passed < TIMES.renew_deadline + TICK
    world.run(TIMES.request_timeout + TICK)
    assert "not renewed for 10 s" in candidate.lost


def test_an_outage_shorter_than_the_deadline_is_survived(world, caplog):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (0.01, 0.01, "refused")
    world.run(6)
    candidate.fault = lambda _op: (0.01, 0.01, "ok")
    world.run(30)
    assert world.leaders == [candidate]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_a_renewal_whose_answer_was_lost_is_made_up_for(world):
    candidate = world.add("a")
    world.elect()
    answers = iter(["answer lost"])
    candidate.fault = lambda op: (0.01, 0.01, next(answers, "ok") if op == "replace" else "ok")
    world.run(30)
    assert world.leaders == [candidate]


def test_a_client_labels_the_lease(world):
    candidate = world.add("a")
    world.elect()
    for n in range(5):
        changed = world.server.get(*KEY)
        changed["metadata"]["labels"] = {"n": str(n)}
        world.server.put(changed)
        world.run(3)
    assert world.leaders == [candidate]
    assert world.server.leases[KEY]["metadata"]["labels"] == {"n": "4"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda server: server.put(lease("somebody-else")), "held by somebody-else"),
        (lambda server: server.put(lease(None)), "held by no operator"),
        (lambda server: server.leases.clear(), "the Lease is gone"),
    ],
)
def test_lost_when_we_do_not_stand_in_the_lease(world, change, why):
    candidate = world.add("a")
    world.elect()
    change(world.server)
    world.run(3)
    assert why in candidate.lost
    assert not candidate.passes()


def test_keep_after_a_pause_sends_nothing(world):
    candidate = world.add("a")
    world.elect()
    candidate.pause(11)
    world.run(10.5)
    sent = len(candidate.calls)
    world.run(5)
    assert "not renewed" in candidate.lost
    assert len(candidate.calls) == sent


def test_without_acquire_there_is_nothing_to_keep():
    leader = Leader(None, *KEY)
    with pytest.raises(LeadershipLostError):
        asyncio.run(leader.keep())


# To check


def test_check_before_acquire_ends():
    ends = []
    with pytest.raises(LeadershipLostError):
        Leader(None, *KEY, end=ends.append).check()
    assert ends == [1]


def test_check_ends_after_a_pause_though_the_loop_did_not_run(world):
    candidate = world.add("a")
    world.elect()
    world.run(20)
    candidate.leader.check()
    assert candidate.ends == []
    world.now += TIMES.renew_deadline - 2 * TIMES.retry_period
    candidate.leader.check()
    assert candidate.ends == []
    world.now += 2 * TIMES.retry_period
    with pytest.raises(LeadershipLostError):
        candidate.leader.check()
    assert candidate.ends == [1]


def test_a_leader_woken_beside_the_next_one_does_no_harm(world):
    first, second = world.add("a"), world.add("b")
    leader = world.elect()
    other = second if leader is first else first
    leader.pause(60)
    world.run(59)
    assert world.leaders == [other]
    world.run(10)  # awake
    assert world.leaders == [other]
    assert leader.lost


def test_the_fence_counts_from_the_start_of_the_renewal(world):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (0.1, 3.5, "ok")
    world.run(2.2)  # a renewal is under way
    (began, _) = candidate.calls[-1]
    candidate.fault = lambda _op: (0.1, 0.1, "request lost")
    world.run(60, until=lambda: not world.leaders)
    assert world.now - began == pytest.approx(TIMES.renew_deadline, abs=2 * TICK)


def test_so_it_does_from_the_start_of_the_take_over(world):
    candidate = world.add("a")
    candidate.fault = lambda op: (
        0.1,
        3.0 if op == "create" else 0.1,
        "request lost" if op == "replace" else "ok",
    )
    world.run(60, until=lambda: bool(candidate.calls) and candidate.calls[-1][1] == "create")
    began = world.now
    world.run(60, until=lambda: bool(world.leaders))
    world.run(60, until=lambda: not world.leaders)
    assert world.now - began == pytest.approx(TIMES.renew_deadline, abs=2 * TICK)


def test_reading_our_own_name_in_the_lease_is_no_renewal(world):
    # Others have seen that name before, and count from then.
    candidate = world.add("a")
    world.elect()
    answers = iter(["ok", "answer lost", "ok"])
    candidate.fault = lambda op: (
        0.01,
        0.01,
        next(answers, "request lost") if op == "replace" else "ok",
    )
    world.renewal(candidate)
    began = world.now
    world.run(60, until=lambda: not world.leaders)
    assert [op for _, op in candidate.calls[-2:]] == ["get", "replace"]
    assert world.now - began == pytest.approx(TIMES.renew_deadline, abs=2 * TICK)


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch):
    monkeypatch.setattr(leader_module.time, "clock_gettime", {time.CLOCK_BOOTTIME: 42.0}.get)
    assert leader_module._boottime() == 42.0


def test_check_ends_the_process_after_a_real_pause():
    """With the real clock and the real end, while the event loop is held up."""
    program = """
import asyncio, time
from podium.cluster.kube.leader_election import Leader, Timing
class Leases:
    async def get_lease(self, namespace, name):
        return {"metadata": {"namespace": "a", "name": "b", "resourceVersion": "1"}}
    async def replace_lease(self, lease):
        return lease
async def main():
    times = Timing(lease_duration=1.0, renew_deadline=0.5, retry_period=0.1, request_timeout=0.2)
    leader = Leader(Leases(), "a", "b", timing=times)
    assert await leader.acquire() == 0
    keeping = asyncio.create_task(leader.keep())
    await asyncio.sleep(0.7)
    leader.check()
    print("led", flush=True)
    time.sleep(0.7)
    leader.check()
    print("harm", flush=True)
asyncio.run(main())
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, check=False
    )
    assert (done.returncode, done.stdout) == (1, "led\n"), done.stderr
    assert done.stderr.startswith("not the leader any more")


def test_check_is_cheap(world):
    candidate = world.add("a")
    world.elect()
    candidate.leader._boottime = leader_module._boottime
    candidate.leader._good = leader_module._boottime()
    begin = time.perf_counter()
    for _ in range(10_000):
        candidate.leader.check()
    assert (time.perf_counter() - begin) / 10_000 < 20e-6


# To release


def test_check_refuses_from_release_on(world):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (2.0, 0.1, "ok")
    candidate.stop()
    world.run(1)
    assert world.server.holder == candidate.leader.identity
    assert not candidate.passes()


def test_release_takes_a_bounded_time_and_raises_nothing(world, caplog):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (0.1, 0.1, "request lost")
    candidate.stop()
    world.run(TIMES.request_timeout + 3 * TICK)
    assert candidate.task.done()
    assert candidate.task.exception() is None
    assert "was not released" in caplog.text


def test_release_leaves_the_lease_of_another_client(world):
    candidate = world.add("a")
    world.elect()
    world.server.put(lease("somebody-else"))
    candidate.stop()
    world.run(2)
    assert world.server.holder == "somebody-else"


def test_a_cancelled_renewal_that_arrives_during_release_changes_nothing(world):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda op: (0.8, 0.0, "ok") if op == "replace" else (0.3, 0.1, "ok")
    world.renewal(candidate)
    candidate.stop()  # reads the lease before the renewal arrives, writes it afterwards
    world.run(10)
    assert candidate.task.done()
    assert world.server.holder == ""


def test_a_keep_that_goes_on_during_release_does_not_lead_again(world):
    candidate = world.add("a")
    world.elect()
    candidate.fault = lambda _op: (0.5, 0.5, "ok")
    world.renewal(candidate)
    releasing = candidate.loop.create_task(candidate.leader.release())
    world.run(TICK)
    assert world.run(4, until=lambda: bool(world.leaders)) == pytest.approx(4, abs=TICK)
    assert releasing.done()
    assert "not held" in candidate.lost
    assert world.server.holder == ""


# Times


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        ({"request_timeout": 5.0}, "request_timeout"),
        ({"request_timeout": 0}, "request_timeout"),
        ({"renew_deadline": 15.0}, "renew_deadline"),
        ({"renew_deadline": float("nan")}, "renew_deadline"),
        ({"retry_period": 6.0}, "retry_period"),
        ({"retry_period": -1}, "retry_period"),
        ({"lease_duration": float("inf")}, "lease_duration"),
    ],
)
def test_wrong_times_are_named(times, wrong):
    with pytest.raises(ValueError, match=f"^{wrong} "):
        Timing(**times)


def test_times_of_two_seconds_are_possible(world):
    Timing(lease_duration=2.0, renew_deadline=1.3, retry_period=0.3, request_timeout=0.6)


def test_identities_differ():
    first, second = Leader(None, *KEY), Leader(None, *KEY)
    assert first.identity != second.identity


# All of it


FAULTS = ["request lost", "answer lost", "refused", "failed after it was done"]
PAUSES = st.lists(st.tuples(st.floats(0, 150), st.floats(0.1, 45)), max_size=4)
CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {
            # Their speeds differ by less than lease_duration / renew_deadline = 1.5.
            "rate": st.sampled_from([0.85, 1.0, 1.2]),
            "offset": st.sampled_from([0.0, 1e6]),
            "wall": st.sampled_from([0.0, 9e8]),
            "pauses": PAUSES,
            "crash": st.none() | st.floats(0, 150),
            "stop": st.none() | st.floats(0, 150),
            "trouble": st.sampled_from([0.0, 0.1, 0.5]),
        }
    ),
    min_size=2,
    max_size=4,
)


@settings(
    max_examples=int(os.environ.get("ELECTIONS", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(candidates=CANDIDATES, seed=st.integers(0, 2**32))
def test_never_two_pass_check_at_one_instant(candidates, seed):
    """Nor launches one within a lease duration of what another let through (`World.look`).

    And once all is well again there is a leader.
    """
    chance = random.Random(seed)
    random.seed(seed)
    world = World()

    def fault(trouble):
        def draw(_op):
            if world.now > 150 or chance.random() >= trouble:
                return chance.uniform(0, 0.3), chance.uniform(0, 0.3), "ok"
            slow = chance.choice([0.3, 2.0, 8.0])
            what = chance.choice(["ok", *FAULTS])
            return chance.uniform(0, slow), chance.uniform(0, slow), what

        return draw

    leader_module.log.disabled = True
    try:
        for n, how in enumerate(candidates):
            one = world.add(f"c{n}", rate=how["rate"], offset=how["offset"], wall=how["wall"])
            one.restarts = True
            one.fault = fault(how["trouble"])
            for start, length in how["pauses"]:
                world.after(start, lambda one=one, length=length: one.pause(length))
            if how["crash"] is not None:
                world.after(how["crash"], one.crash)
            if how["stop"] is not None:
                world.after(how["stop"], one.stop)
        world.run(200)
        world.run(60, until=lambda: bool(world.leaders))
        assert len(world.leaders) == 1
    finally:
        leader_module.log.disabled = False
        for one in world.candidates:
            one.close()
