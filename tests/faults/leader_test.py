"""Leaders that lose their lease, stand still or die at work: nothing runs twice, nothing is lost."""

import os
import signal
import time
from datetime import timedelta

import pytest

from podium.cluster.settings import LeaderElection
from tests.e2e.support import until
from tests.faults.proxy import Rule
from tests.faults.testbed import HELD, PATIENCE, node, once

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

LEASE_SECONDS = LeaderElection().lease_duration_seconds
BURST = [node(f"n{i}") for i in range(60)]
"""All at once: more than are launched at the same time."""
STREAM = [node(f"n{i}_{j}", *([f"n{i - 1}_{j}"] if i else [])) for i in range(10) for j in range(3)]
"""Some all the time, for ten seconds at least: longer than a leader goes on that cannot renew."""
SLOWLY = Rule("POST (jobs|pods)", delay=0.5)


def slowly():
    return Rule(**vars(SLOWLY))


def under_load(place, nodes):
    """Start a leader and one who waits; return both once the leader is amid its work."""
    first = place.start(slowly())
    leader = place.leader().holder_identity
    second = place.start(slowly())
    until(lambda: second.proxy.times_of("GET leases"), PATIENCE)
    place.run(nodes)
    until(lambda: len(place.pods()) >= 6, PATIENCE)
    assert len(first.proxy.times_of("POST jobs")) < len(nodes), "nothing is left to do: no load"
    return first, second, leader


def taken_over(place, second, leader):
    """Hold the lease against what it is after a change of leaders, and the order of that."""
    lease = place.lease()
    assert lease.lease_transitions > 0
    assert lease.holder_identity != leader
    taken = second.proxy.times_of("PUT leases")[0]
    assert all(at > taken for at, _ in second.changes()), "it changed something before it led"
    launches = [at for at, what in second.changes() if what in ("POST jobs", "POST pods")]
    assert launches
    assert launches[0] - taken >= LEASE_SECONDS, "what the one before it sent may still arrive"


def test_a_leader_goes_on_renewing_while_everything_else_gets_429(place):
    place.start()
    before = place.leader()
    place.run(HELD)
    place.held()
    busy = Rule("(?!.* leases).*", 429, retry_after=1)
    place.proxy.rules.append(busy)
    place.proxy.break_watches()
    place.let_go()
    past_its_lease = place.lease().renew_time + timedelta(seconds=2 * LEASE_SECONDS)
    until(lambda: place.lease().renew_time > past_its_lease, PATIENCE)
    assert busy.hits
    place.proxy.rules.clear()
    once(place, HELD)
    after = place.lease()
    assert (after.holder_identity, after.lease_transitions) == (before.holder_identity, 0)


@pytest.mark.parametrize(
    "rule",
    [Rule(".* leases", 403), Rule(".* leases", 429, retry_after=1), Rule(".* leases", delay=60)],
    ids=["403", "429", "no answer"],
)
def test_a_leader_that_cannot_renew_ends_before_another_one_begins(place, rule):
    first, second, leader = under_load(place, STREAM)
    first.proxy.rules.append(Rule(**vars(rule)))
    assert first.ended() == 1
    once(place, STREAM)
    taken_over(place, second, leader)
    assert first.changes()[-1][0] < second.changes()[0][0], "both changed something"


def test_a_leader_that_stood_still_with_requests_queued_sends_none_of_them(place):
    first, second, leader = under_load(place, BURST)
    os.kill(first.pid, signal.SIGSTOP)
    until(lambda: second.proxy.times_of("POST pods"), PATIENCE)
    woken = time.monotonic()
    os.kill(first.pid, signal.SIGCONT)
    assert first.ended() == 1
    assert first.changes(since=woken) == []
    once(place, BURST)
    taken_over(place, second, leader)


def test_a_leader_that_is_killed_under_load_is_taken_over_from(place):
    first, second, leader = under_load(place, STREAM)
    first.kill()
    once(place, STREAM)
    taken_over(place, second, leader)
