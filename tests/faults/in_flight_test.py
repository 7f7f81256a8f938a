"""A creation that is in flight when its execution is told to stop leaves nothing behind."""

import time

import pytest

from tests.cluster.kwok import FAIL, HOLD
from tests.e2e.support import until
from tests.faults.proxy import Rule
from tests.faults.testbed import PATIENCE, node

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

DELAY = 6.0
HELD = node("a", notes={HOLD: "true"})


def cancel(place):
    place.run([HELD])
    return lambda: place.change(cancel=True)


def fail_fast(place):
    place.run([HELD, node("b", notes={FAIL: "b-1"})], failFast=True)
    return lambda: None


def time_out(place):
    place.run([HELD], graph={"timeoutSeconds": 3})
    return lambda: None


@pytest.mark.parametrize("kind", ["jobs", "pods"])
@pytest.mark.parametrize(
    ("stop", "phase", "reason"),
    [
        (cancel, "Cancelled", "RunCancelled"),
        (fail_fast, "Failed", "FailFast"),
        (time_out, "Failed", "RunTimeout"),
    ],
)
def test_what_is_made_after_its_run_was_stopped_is_removed(place, kind, stop, phase, reason):
    place.start(Rule(f"POST {kind}", delay=DELAY, times=1))
    act = stop(place)
    (at, *_) = until(lambda: place.proxy.times_of(f"POST {kind}"), PATIENCE)
    act()
    status = place.wait()
    a = status["nodes"]["a"]
    assert (status["phase"], a["status"], a["reason"]) == (phase, "Cancelled", reason)
    until(lambda: time.monotonic() > at + DELAY + 2, PATIENCE)  # by then it was made

    def nothing_of_it():
        jobs = [job.metadata.labels["podium.dev/node"] for job in place.jobs()]
        return "a" not in jobs and not place.pods("a-1")

    until(nothing_of_it, PATIENCE)
    assert any(what.startswith("DELETE") for _, what in place.proxy.requests), "it was made"


def test_a_rerun_while_the_creation_is_in_flight_gets_an_id_of_its_own(place):
    place.start(Rule("POST jobs", delay=DELAY, times=1))
    place.run([node("a")])
    until(lambda: place.proxy.times_of("POST jobs"), PATIENCE)
    place.change(notes={"podium.dev/rerun": "a"})
    until(lambda: place.status().get("handledRequests"), PATIENCE)
    status = place.wait()
    place.settled()
    assert (status["phase"], status["nodes"]["a"]["executionId"]) == ("Succeeded", "a-2")
    until(lambda: not place.pods("a-1"), PATIENCE)
