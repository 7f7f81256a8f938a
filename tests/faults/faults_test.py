"""A run under each fault ends as without it, each execution started once; no request storms."""

import os
import signal
import time

import pytest

from tests.cluster.kwok import HOLD
from tests.e2e.support import until
from tests.faults.proxy import Rule
from tests.faults.testbed import ALONE, HELD, PATIENCE, TEN, node, once, started

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

DOWN_SECONDS = float(os.environ.get("PODIUM_DOWN_SECONDS", "20"))
"""How long the server is gone: 120 for the whole test."""
REQUESTS_WHILE_DOWN = 10
"""Requests a second, at most: four watches and what the run wants to write."""

CHANGES = "(POST|PATCH) (jobs|pods|workflowruns).*"
OURS = ".* (jobs|pods|workflowruns).*"
FAULTS = {
    "nothing": [],
    "403": [Rule("PATCH (workflowruns|jobs)/status|(LIST|WATCH) .*|PATCH pods", 403, share=0.2)],
    "409": [Rule(CHANGES, 409, share=0.3)],
    "410 to lists and watches": [Rule("(LIST|WATCH) (jobs|pods)", 410, share=0.4)],
    "410 in watches": [Rule("WATCH (jobs|pods|workflowruns)", expire=3)],
    "422 to what the controller of Jobs writes": [Rule("PATCH (jobs/status|pods)", 422, share=0.4)],
    "429 with Retry-After": [Rule(OURS, 429, share=0.3, retry_after=1)],
    "500": [Rule(OURS, 500, share=0.3)],
    "503 with Retry-After": [
        Rule("(?!.* leases).*", 503, share=0.2, retry_after=1),
        Rule(".* leases", 503, times=2, retry_after=1),
    ],
    "delays": [Rule(".*", share=0.5, delay=0.4)],
    "time-outs": [Rule(CHANGES, times=3, delay=11, lose=True)],
    "answers that are lost": [Rule(CHANGES, share=0.3, lose=True)],
    "watches that break off": [Rule("WATCH .*", cut=3)],
    "stale lists": [Rule("WATCH (jobs|pods)", 410, share=0.5), Rule("LIST (jobs|pods)", stale=True, share=0.5)],
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_as_without_faults(place, fault):
    place.start(*(Rule(**{**vars(rule), "hits": 0}) for rule in FAULTS[fault]))
    place.run(TEN)
    once(place)
    if fault != "nothing":
        assert all(rule.hits for rule in place.proxy.rules), "the fault never happened"


PAIR = [node("a", retryPolicy={"maxAttempts": 3}), node("b", "a")]
QUOTA = "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"
TERMINATING = "unable to create new content in namespace x because it is being terminated"
FOR_NOW = {
    "a quota": (Rule("", 403, message=f'"x" is forbidden: {QUOTA}'), "QuotaExceeded"),
    "a namespace that is being deleted": (
        Rule("", 403, message=f'"x" is forbidden: {TERMINATING}', causes=("NamespaceTerminating",)),
        "Terminating",
    ),
    "429": (Rule("", 429, retry_after=3), "ApiUnavailable"),
}
SECURITY = 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
FOR_GOOD = {
    "403": (Rule("", 403, message=f'"x" is forbidden: {SECURITY}'), "Forbidden"),
    "422": (Rule("", 422, message="spec.containers[0].image: Required value"), "Invalid"),
}


def to_creations(rule, kind):
    return Rule(**{**vars(rule), "what": f"POST {kind}"})


@pytest.mark.parametrize("kind", ["jobs", "pods"])
@pytest.mark.parametrize("refusal", FOR_NOW)
def test_a_creation_that_is_refused_for_now_is_tried_again_and_not_counted(place, refusal, kind):
    rule, reason = FOR_NOW[refusal]
    place.start(to_creations(rule, kind))
    place.run(PAIR)

    def waits():
        a = place.status().get("nodes", {}).get("a", {})
        return (a.get("status"), a.get("reason")) == ("Ready", reason)

    until(waits, PATIENCE)
    tries = until(lambda: len(t := place.proxy.times_of(f"POST {kind}")) > 1 and t, PATIENCE)
    if rule.retry_after is not None:
        assert tries[1] - tries[0] > rule.retry_after - 0.1, "sooner than the server said"
    place.proxy.rules.clear()
    once(place, PAIR)


@pytest.mark.parametrize("kind", ["jobs", "pods"])
@pytest.mark.parametrize("refusal", FOR_GOOD)
def test_a_creation_that_is_refused_for_good_fails_its_execution_at_once(place, refusal, kind):
    rule, reason = FOR_GOOD[refusal]
    place.start(to_creations(rule, kind))
    place.run(PAIR)
    status = place.wait()
    place.settled()
    a, b = status["nodes"]["a"], status["nodes"]["b"]
    assert (status["phase"], a["status"], a["executionCount"]) == ("Failed", "Failed", 1)
    assert a["error"] == {"reason": reason, "message": rule.message}
    assert b["status"] == "Skipped"
    assert len(place.proxy.times_of(f"POST {kind}")) == 1, "the same would be answered"
    assert not place.pods()


@pytest.mark.parametrize("how", ["gone", "503"])
def test_a_server_that_is_away_for_some_time_finds_no_storm_when_it_is_back(place, how):
    place.start(election=ALONE)
    begun = time.monotonic()
    place.run([*TEN[:5], node("hold", "a", notes={HOLD: "true"}), node("last", "hold")])
    place.held()
    if how == "gone":
        place.proxy.leave()
    else:  # a balancer that stands before it says so
        place.proxy.rules.append(Rule(".*", 503))
        place.proxy.break_watches()
    left = time.monotonic()
    place.let_go()
    time.sleep(DOWN_SECONDS)
    back = time.monotonic()
    place.proxy.gone = False
    place.proxy.rules.clear()
    status = place.wait()
    time.sleep(max(0.0, back + 10 - time.monotonic()))
    before, down, after = (
        place.proxy.count(*times) for times in ((begun, left), (left, back), (back, back + 10))
    )
    print(f"before: {sum(before.values())} {before}")
    print(f"down {DOWN_SECONDS:g} s: {sum(down.values())} {down}")
    print(f"after: {sum(after.values())} {after}")
    assert status["phase"] == "Succeeded"
    assert set(started(place).values()) == {1}
    assert sum(down.values()) <= REQUESTS_WHILE_DOWN * DOWN_SECONDS, down
    # The watches begin again, one node ends and another runs: less than the six nodes before took.
    assert sum(after.values()) <= sum(before.values()), (after, before)


def test_an_operator_whose_list_of_runs_expired_lists_again(place):
    """The server forgot the version that a page or a watch goes on from."""
    operator = place.start()
    place.run(HELD)
    place.held()
    operator.proxy.rules += [
        Rule("WATCH workflowruns", expire=0, times=2),
        Rule("LIST workflowruns", 410, times=2),
    ]
    operator.proxy.break_watches()
    place.let_go()
    once(place, HELD)


def test_a_job_whose_end_is_refused_is_ended_by_the_next_operator_and_keeps_its_pod(place):
    first = place.start(Rule("PATCH jobs/status", 422))
    place.run(PAIR)
    assert place.wait()["phase"] == "Succeeded"
    until(lambda: not any(pod.metadata.finalizers for pod in place.pods()), PATIENCE)
    first.kill()
    assert not any(job.status.conditions for job in place.jobs())
    place.start()
    once(place, PAIR)
    assert [job.status.conditions[-1].type for job in place.jobs()] == ["Complete"] * 2


def test_an_operator_that_stood_still_goes_on(place):
    place.start(election=ALONE)
    place.run(TEN)
    until(lambda: place.pods("b0-1"), PATIENCE)
    os.kill(place.operator.pid, signal.SIGSTOP)
    try:
        time.sleep(5)
    finally:
        os.kill(place.operator.pid, signal.SIGCONT)
    once(place)


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_what_a_client_deletes_fails_its_execution_once(place, kind):
    place.start()
    place.run(HELD)
    pod = place.held().metadata
    if kind == "Job":
        job = pod.owner_references[0].name
        place.batch.delete_namespaced_job(job, place.name, propagation_policy="Background")
    else:  # by force
        place.core.delete_namespaced_pod(pod.name, place.name, grace_period_seconds=0)
    place.held("hold-2")
    place.let_go("hold-2")
    status = place.wait()
    place.settled()
    hold = status["nodes"]["hold"]
    assert (status["phase"], hold["executionCount"]) == ("Succeeded", 2)
    assert hold["history"][0]["reason"] == f"{kind}Deleted"
    assert not place.pods("hold-1")


def test_a_pod_whose_run_is_deleted_meanwhile_is_let_go_at_the_next_start(place):
    place.start()
    place.run(HELD)
    place.held()
    place.operator.kill()
    place.delete_run()

    def only_the_finalizer():
        pods = place.pods("hold-1")
        assert pods, "the Pod is gone without an operator: it had no finalizer"
        return (
            not place.batch.list_namespaced_job(place.name).items
            and pods[0].status.phase == "Failed"
        )

    until(only_the_finalizer, PATIENCE)
    place.start()
    until(lambda: not place.pods(), PATIENCE)
