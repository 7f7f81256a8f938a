"""semantics.md 6, row by row: what a Job and its Pods say of an execution."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.cluster.jobs.interpret import observe
from podium.cluster.kube.views import job_view, pod_view
from podium.engine import AttemptPhase
from tests.unit.cluster import support
from tests.unit.cluster.support import NOON, POD_UID, condition, running, terminated, waiting
from tests.unit.engine.support import Run, node

RUNS = support.job()
COMPLETE = support.job(status={"conditions": [condition("Complete")]})
FAILED = support.job(
    status={"conditions": [condition("Failed", message="Job has reached the backoff limit")]}
)
DELETING = support.job(metadata={"deletionTimestamp": support.at(20)})
SUSPENDED = support.job(spec={"suspend": True})


def look(job, *pods, stuck_for=0.0, age=1.0, gone=False):
    views = [replace(pod_view(body), gone=gone) for body in pods]
    view = job_view(job) if job is not None else None
    return observe("build", "build-1", view, views, stuck_for=stuck_for, age=age)


def one(job, *pods, **facts):
    seen = look(job, *pods, **facts)
    assert len(seen.observations) == 1
    assert (seen.observations[0].node, seen.observations[0].execution_id) == ("build", "build-1")
    return seen.observations[0]


def told(job, *pods, **facts):
    """Return phase, reason and message of the one observation."""
    seen = one(job, *pods, **facts)
    return seen.phase.value, seen.reason, seen.message


def ended(code, **facts):
    return support.pod(phase="Failed", state=terminated(code, **facts))


def deleted(body, asked=20, grace=5):
    meta = {"deletionTimestamp": support.at(asked + grace), "deletionGracePeriodSeconds": grace}
    return support.changed(body, {"metadata": meta})


SCHEDULED = condition("PodScheduled")
SANDBOX = condition("PodReadyToStartContainers")
UNSCHEDULABLE = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
EVICTED = condition("DisruptionTarget", reason="EvictionByEvictionAPI", message="drained")


# Before its program runs


@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        (support.pod(), "Scheduling", ""),
        (support.pod(UNSCHEDULABLE), "Unschedulable", "0/3 nodes are available"),
        (support.pod(SCHEDULED), "Starting", ""),
        (support.pod(SCHEDULED, SANDBOX), "PullingImage", ""),
        (support.pod(SCHEDULED, SANDBOX, state=waiting("ContainerCreating")), "PullingImage", ""),
    ],
)
def test_a_pod_on_its_way_says_what_it_waits_for(pod, reason, message):
    assert told(RUNS, pod) == ("Waiting", reason, message)
    assert not look(RUNS, pod, stuck_for=1e6).remove


def test_a_running_program():
    seen = one(RUNS, support.pod(SCHEDULED, state=running(6), phase="Running"))
    assert (seen.phase, seen.reason) == (AttemptPhase.RUNNING, "")
    assert (seen.created_at, seen.scheduled_at, seen.started_at) == (NOON + 2, NOON + 3, NOON + 6)
    assert seen.attempt == POD_UID


HOPELESS = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
PULLING = ("ErrImagePull", "ImagePullBackOff")


@pytest.mark.parametrize(
    ("word", "bound", "reason"),
    [
        ("InvalidImageName", 10, "ImagePull"),
        ("ErrImageNeverPull", 10, "ImagePull"),
        ("CreateContainerConfigError", 10, "Config"),
        ("CreateContainerError", 10, "Config"),
        ("ErrImagePull", 60, "ImagePull"),
        ("ImagePullBackOff", 60, "ImagePull"),
    ],
)
def test_an_image_that_never_comes_fails_in_time_with_the_kubelets_words(word, bound, reason):
    pod = support.pod(SCHEDULED, SANDBOX, state=waiting(word, "the kubelet's words"))
    early = look(RUNS, pod, stuck_for=bound - 1)
    assert early.observations[0].phase is AttemptPhase.WAITING
    assert early.observations[0].reason == word
    assert early.observations[0].message == "the kubelet's words"
    assert (early.look_again, early.remove) == (1, False)
    late = look(RUNS, pod, stuck_for=bound)
    assert late.observations[0].phase is AttemptPhase.FAILED
    assert late.observations[0].reason == reason
    assert late.observations[0].message == f"{word}: the kubelet's words"
    assert late.remove, "such a Job does not end by itself"


def test_a_job_without_a_pod():
    assert told(RUNS) == ("Launched", "", "")
    early, late = look(RUNS, age=10), look(RUNS, age=15)
    assert (early.look_again, early.ask_why) == (5, False)
    assert (late.look_again, late.ask_why) == (15, True)
    assert told(SUSPENDED) == ("Waiting", "Queued", "the Job is suspended")
    assert look(SUSPENDED).observations[0].idle, "what ran of it is gone"


MANAGED = support.job(spec={"managedBy": "podium.dev/podium"})


def managed(**changes):
    return support.changed(MANAGED, changes)


@pytest.mark.parametrize("age", [0, 15, 10**6])
def test_a_managed_job_without_a_pod_needs_one(age):
    seen = look(MANAGED, age=age)
    assert (seen.needs_pod, seen.ask_why, seen.look_again) == (True, False, None)
    assert told(MANAGED, age=age) == ("Launched", "", "")


@pytest.mark.parametrize(
    "job",
    [
        managed(spec={"suspend": True}),
        managed(status={"conditions": [condition("Complete")]}),
        managed(status={"conditions": [condition("Failed")]}),
        managed(metadata={"deletionTimestamp": support.at(20)}),
        RUNS,
        SUSPENDED,
        None,
    ],
)
def test_no_other_job_needs_one(job):
    assert not look(job).needs_pod


@pytest.mark.parametrize(
    "pod",
    [
        support.pod(),
        support.pod(phase="Running", state=running()),
        ended(1),
        support.pod(phase="Succeeded", state=terminated(0)),
        support.pod(EVICTED, phase="Failed", state=terminated(1)),
    ],
)
def test_a_managed_job_that_has_or_had_a_pod_needs_none(pod):
    """After a disruption the engine says when there is another."""
    assert not look(MANAGED, pod).needs_pod
    assert not look(MANAGED, pod, gone=True).needs_pod


# Its end


def test_success_hands_over_what_was_written():
    pod = support.pod(phase="Succeeded", state=terminated(0, "Completed", '{"v": "ä"}'))
    seen = one(COMPLETE, pod)
    assert (seen.phase, seen.output) == (AttemptPhase.SUCCEEDED, '{"v": "ä"}'.encode())
    assert (seen.started_at, seen.at, seen.output_limit) == (NOON + 5, NOON + 9, 4096)


def test_success_without_a_message_is_no_output():
    assert one(RUNS, support.pod(phase="Succeeded", state=terminated(0))).output is None
    assert one(RUNS, support.pod(phase="Succeeded")).output is None


@pytest.mark.parametrize(("containers", "limit"), [(1, 4096), (2, 4096), (3, 4096), (4, 3072)])
def test_injected_containers_leave_less_room_for_the_output(containers, limit):
    pod = support.pod(phase="Succeeded", containers=containers, state=terminated(0))
    assert one(RUNS, pod).output_limit == limit
    spec = {"initContainers": [{}] * 5}
    pod = support.pod(phase="Succeeded", containers=containers, spec=spec, state=terminated(0))
    assert one(RUNS, pod).output_limit == 12_288 // (containers + 5)


@pytest.mark.parametrize(
    ("written", "containers", "stands"),
    [
        ('{"v": "%s"}' % ("x" * 4086), 1, "Completed"),
        ('{"v": "%s"}' % ("x" * 4087), 1, "Failed OutputTooLarge"),
        ("5" * 4096, 1, "Failed OutputTooLarge"),  # a tail that is JSON
        ('{"v": "%s"}' % ("x" * 3063), 4, "Failed OutputTooLarge"),
        ('{"v": "%s"}' % ("x" * 3062), 4, "Completed"),
        ('{"v": "%s"}' % ("ä" * 2044), 1, "Failed OutputTooLarge"),  # bytes, not characters
        ("5678", 1, "Failed OutputNotJSON"),
        ("", 1, "Completed"),
    ],
)
def test_a_message_that_fills_its_place_was_cut(written, containers, stands):
    state = terminated(0, message=written)
    pod = support.pod(phase="Succeeded", containers=containers, state=state)
    run = Run(node("build")).step().step(one(RUNS, pod))
    assert run.stands("build") == stands


@pytest.mark.parametrize("job", [RUNS, FAILED, DELETING, None])
def test_success_is_success_whatever_became_of_the_job(job):
    pod = support.pod(phase="Succeeded", state=terminated(0, message="{}"))
    assert one(job, pod).phase is AttemptPhase.SUCCEEDED
    assert one(job, pod, gone=True).phase is AttemptPhase.SUCCEEDED


def test_success_is_success_although_an_injected_container_failed():
    pod = support.pod(phase="Failed", containers=2, state=terminated(0, message='{"v": 1}'))
    seen = one(FAILED, pod)
    assert (seen.phase, seen.output) == (AttemptPhase.SUCCEEDED, b'{"v": 1}')


@pytest.mark.parametrize(
    ("pod", "reason", "message", "code"),
    [
        (ended(3), "Error", "exit code 3", 3),
        (ended(3, message="a\nb\n"), "Error", "exit code 3; last lines: a / b", 3),
        (ended(137), "Signal", "ended by signal 9", 137),
        (ended(137, reason="OOMKilled"), "OOMKilled", "it used more memory than its limit", 137),
        (
            ended(1, message='{"podiumError": {"reason": "Config", "message": "no persona"}}'),
            "Config",
            "no persona",
            1,
        ),
        (ended(255), "Error", "exit code 255", 255),
        (ended(192), "Signal", "ended by signal 64", 192),
        (ended(193), "Error", "exit code 193", 193),
    ],
)
@pytest.mark.parametrize("job", [RUNS, FAILED, None])
def test_failures(job, pod, reason, message, code):
    seen = one(job, pod)
    assert (seen.phase, seen.reason, seen.message) == (AttemptPhase.FAILED, reason, message)
    assert (seen.exit_code, seen.at, seen.attempt) == (code, NOON + 9, POD_UID)
    assert seen.retryable is (reason != "Config")


@pytest.mark.parametrize(
    ("code", "word"), [(128, "StartError"), (127, "ContainerCannotRun"), (126, "StartError")]
)
@pytest.mark.parametrize("job", [MANAGED, RUNS, FAILED])
def test_a_program_that_cannot_be_started_never_began_and_is_tried_once(job, code, word):
    state = terminated(code, word, 'exec: "nope": executable file not found in $PATH')
    state["terminated"]["startedAt"] = "1970-01-01T00:00:00Z"
    seen = one(job, support.pod(phase="Failed", state=state))
    assert (seen.phase, seen.reason, seen.retryable) == (AttemptPhase.FAILED, "Config", False)
    assert (seen.started_at, seen.exit_code) == (None, None)
    assert "executable file not found" in seen.message


def test_a_start_that_the_memory_limit_ended_says_so():
    message = "container init was OOM-killed (memory limit too low?)"
    state = terminated(128, "StartError", message)
    assert one(MANAGED, support.pod(phase="Failed", state=state)).reason == "OOMKilled"


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_a_persona_that_is_killed_has_told_what_it_spent(reason):
    written = '{"podiumUsage":{"calls":2}}'
    seen = one(MANAGED, ended(137, reason=reason, message=written))
    assert seen.usage == {"calls": 2}
    assert "podiumUsage" not in seen.message


@pytest.mark.parametrize(
    ("word", "retryable"),
    [
        ("CreateContainerConfigError", False),
        ("RunContainerError", False),
        ("CreateContainerError", True),
        ("ErrImagePull", True),
    ],
)
def test_a_wrong_configuration_is_tried_once(word, retryable):
    pod = support.pod(SCHEDULED, SANDBOX, state=waiting(word))
    assert one(RUNS, pod, stuck_for=60).retryable is retryable


def test_an_end_that_the_kubelet_lost_is_no_signal():
    words = "The container could not be located when the pod was terminated"
    lost = terminated(137, "ContainerStatusUnknown", words)
    seen = one(MANAGED, support.pod(phase="Failed", state=lost))
    assert (seen.phase, seen.reason, seen.exit_code) == (AttemptPhase.FAILED, "NodeLost", None)
    assert seen.message == f"{words}: how its program ended is not known"
    assert seen.retryable
    disrupted = support.pod(EVICTED, phase="Failed", state=lost)
    assert one(MANAGED, disrupted).phase is AttemptPhase.DISRUPTED


def test_an_end_that_was_known_before_the_kubelet_lost_it_counts():
    last = terminated(0, "Completed", '{"v": 1}')
    state = {**terminated(137, "ContainerStatusUnknown")}
    status = {"containerStatuses": [{"name": "node", "state": state, "lastState": last}]}
    seen = one(MANAGED, support.pod(phase="Failed", status=status))
    assert (seen.phase, seen.output) == (AttemptPhase.SUCCEEDED, b'{"v": 1}')


# Other containers beside the program

ISTIO = {"name": "istio-proxy", "state": running(4)}


def beside(state, *others, kind="containerStatuses", phase="Running", conditions=(), **more):
    """Return a Pod whose program is in a state, with other containers of a kind."""
    statuses = [{"name": "node", "state": state}]
    status = {"containerStatuses": statuses}
    status[kind] = [*(statuses if kind == "containerStatuses" else []), *others]
    return support.pod(SCHEDULED, *conditions, phase=phase, containers=3, status=status, **more)


DONE = terminated(0, "Completed", '{"v": 1}')
PULLS = {"name": "agent", "state": waiting("ImagePullBackOff")}


@pytest.mark.parametrize(
    "pod",
    [
        beside(DONE, ISTIO),
        beside(DONE, ISTIO, {"name": "agent", "state": running(4)}),
        beside(DONE, {"name": "agent", "state": terminated(1)}, ISTIO),
        beside(DONE, PULLS, phase="Pending"),
        beside(DONE, ISTIO, kind="initContainerStatuses"),  # a native sidecar
        beside(DONE, ISTIO, kind="ephemeralContainerStatuses"),
        beside(DONE, ISTIO, phase="Unknown"),
    ],
)
def test_a_node_has_ended_when_its_own_container_has(pod):
    early = look(MANAGED, pod, stuck_for=1)
    assert early.observations[0].phase is AttemptPhase.RUNNING, "its Pod may be ending as a whole"
    assert early.look_again == 6
    late = look(MANAGED, pod, stuck_for=7)
    (seen,) = late.observations
    assert (seen.phase, seen.output, seen.at) == (
        AttemptPhase.SUCCEEDED,
        b'{"v": 1}',
        NOON + 9,
    )
    assert (late.remove, late.remove_pods) == (False, True)
    plain = look(RUNS, pod, stuck_for=7)
    assert (plain.remove, plain.remove_pods) == (True, False), "its controller would call it failed"


def test_a_program_that_failed_beside_a_sidecar_failed():
    seen = one(MANAGED, beside(terminated(3), ISTIO), stuck_for=7)
    assert (seen.phase, seen.reason, seen.exit_code) == (AttemptPhase.FAILED, "Error", 3)


def test_a_program_of_which_nothing_else_runs_waits_for_its_pods_end():
    """The kubelet says Running for a moment more, and what it says then may be a disruption."""
    pod = beside(DONE, {"name": "agent", "state": terminated(0)})
    seen = look(MANAGED, pod, stuck_for=1e6)
    assert (seen.observations[0].phase, seen.remove_pods) == (AttemptPhase.RUNNING, False)


def test_a_sidecar_that_ends_is_nothing_to_a_program_that_runs():
    pod = beside(running(6), {"name": "agent", "state": terminated(137, "OOMKilled")})
    assert one(MANAGED, pod, stuck_for=1e6).phase is AttemptPhase.RUNNING


def test_a_pod_deleted_while_a_sidecar_ran_on_keeps_its_programs_end():
    pod = deleted(beside(DONE, ISTIO))
    assert one(MANAGED, pod, stuck_for=7).phase is AttemptPhase.SUCCEEDED
    assert one(MANAGED, pod, gone=True).phase is AttemptPhase.SUCCEEDED
    ended = beside(DONE, {"name": "istio-proxy", "state": terminated(143)}, phase="Failed")
    assert one(MANAGED, deleted(ended)).phase is AttemptPhase.SUCCEEDED


def test_a_program_that_was_stopped_with_its_pod_did_not_end_by_itself():
    pod = deleted(beside(terminated(143, until=21), ISTIO), asked=20)
    assert one(MANAGED, pod, stuck_for=100).phase is AttemptPhase.RUNNING
    assert told(MANAGED, pod, gone=True)[:2] == ("Failed", "PodDeleted")


def test_a_program_that_ended_before_its_pod_was_disrupted_ended_by_itself():
    late = condition("DisruptionTarget", reason="EvictionByEvictionAPI", since=15)
    pod = beside(DONE, ISTIO, conditions=(late,))
    assert one(MANAGED, pod, stuck_for=7).phase is AttemptPhase.SUCCEEDED
    same = condition("DisruptionTarget", reason="EvictionByEvictionAPI", since=9)
    pod = support.pod(same, phase="Failed", state=terminated(143))
    assert one(MANAGED, pod).phase is AttemptPhase.DISRUPTED


def announced(since, by="EvictionByEvictionAPI"):
    return condition("DisruptionTarget", reason=by, message="drained", since=since)


HOUR = 3600


def test_a_program_that_fails_long_after_a_disruption_that_never_came_failed_by_itself():
    pod = support.pod(announced(20), phase="Failed", state=terminated(3, until=20 + HOUR))
    assert told(MANAGED, pod)[:2] == ("Failed", "Error")
    assert one(MANAGED, pod).exit_code == 3
    assert not look(MANAGED, pod).remove
    later = deleted(pod, asked=30 + HOUR)  # once it had failed
    assert told(MANAGED, later)[:2] == ("Failed", "Error")
    assert told(MANAGED, pod, gone=True)[:2] == ("Failed", "Error")
    done = support.pod(announced(20), phase="Failed", state=terminated(0, until=20 + HOUR))
    assert one(MANAGED, done).phase is AttemptPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("since", "until", "by", "asked"),
    [
        (20, 20, "EvictionByEvictionAPI", None),
        (20, 140, "EvictionByEvictionAPI", None),  # its deletion may be on its way
        (20, HOUR, "EvictionByEvictionAPI", 21),  # within a long grace period
        (20, HOUR, "PreemptionByScheduler", HOUR),
        (20, HOUR, "TerminationByKubelet", None),
    ],
)
def test_a_program_that_ends_while_its_pod_is_disrupted_is_disrupted(since, until, by, asked):
    pod = support.pod(announced(since, by), phase="Failed", state=terminated(143, until=until))
    if asked is not None:
        pod = deleted(pod, asked=asked, grace=2 * HOUR)
    for job in (MANAGED, RUNS):
        assert (one(job, pod).phase, one(job, pod).reason) == (AttemptPhase.DISRUPTED, by)


def test_a_failure_that_the_built_in_controller_takes_for_a_disruption_counts():
    """It makes another Pod, before or after this is seen: the Job must go."""
    pod = support.pod(announced(20), phase="Failed", state=terminated(3, until=20 + HOUR))
    next_pod = support.pod(phase="Running", state=running(HOUR + 30), metadata={"uid": "next"})
    next_pod["metadata"]["creationTimestamp"] = support.at(HOUR + 25)
    for pods in ([pod], [pod, next_pod], [next_pod, pod]):
        seen = look(RUNS, *pods)
        assert (seen.observations[0].phase, seen.remove) == (AttemptPhase.FAILED, True)
        assert (seen.observations[0].reason, seen.observations[0].exit_code) == ("Error", 3)
    assert not look(FAILED, pod).remove
    disrupted = support.pod(EVICTED, phase="Failed", state=terminated(143))
    assert one(RUNS, disrupted, next_pod).phase is AttemptPhase.RUNNING


def test_an_init_container_that_cannot_be_pulled_or_fails_is_named():
    init = {"name": "istio-init", "state": waiting("ImagePullBackOff", "Back-off")}
    pod = beside(waiting("PodInitializing", ""), init, kind="initContainerStatuses")
    assert told(MANAGED, pod, stuck_for=60) == (
        "Failed",
        "ImagePull",
        "ImagePullBackOff: init container istio-init: Back-off",
    )
    init = {"name": "istio-init", "state": terminated(1, message="no iptables")}
    pod = beside(waiting("PodInitializing", ""), init, kind="initContainerStatuses", phase="Failed")
    words = "the init container istio-init failed with exit code 1: no iptables"
    assert told(MANAGED, pod) == ("Failed", "PodFailed", words)


def test_the_end_of_a_log_is_never_output():
    """By FallbackToLogsOnError it stands where an output would."""
    seen = one(FAILED, ended(1, message='{"v": 1}'))
    assert (seen.phase, seen.output) == (AttemptPhase.FAILED, None)


EPHEMERAL = 'Container node exceeded its local ephemeral storage limit "1Gi".'


@pytest.mark.parametrize("code", [0, 137, 143])
def test_own_container_over_its_storage_is_a_failure_with_the_kubelets_words(code):
    """The kubelet sets no DisruptionTarget then."""
    status = {"reason": "Evicted", "message": EPHEMERAL}
    pod = support.pod(phase="Failed", state=terminated(code, message="{}"), status=status)
    assert told(FAILED, pod) == ("Failed", "Evicted", EPHEMERAL)
    assert told(FAILED, support.pod(phase="Failed", status=status)) == (
        "Failed",
        "Evicted",
        EPHEMERAL,
    )


def test_a_pod_that_failed_without_running_says_so():
    words = "the Pod failed without running the program"
    assert told(FAILED, support.pod(phase="Failed")) == ("Failed", "PodFailed", words)
    pod = support.pod(phase="Failed", state=waiting("PodInitializing", "an init container failed"))
    assert told(FAILED, pod) == ("Failed", "PodFailed", "an init container failed")


# Disruptions


@pytest.mark.parametrize("code", [0, 1, 143])
def test_a_disrupted_pod_is_made_again_whatever_its_exit_code(code):
    pod = support.pod(EVICTED, phase="Failed", state=terminated(code), status={"reason": "Evicted"})
    seen = one(RUNS, pod)
    assert (seen.phase, seen.reason) == (AttemptPhase.DISRUPTED, "EvictionByEvictionAPI")
    assert seen.message == "EvictionByEvictionAPI: drained"
    assert seen.attempt == POD_UID


def test_a_disrupted_pod_that_vanished_was_disrupted():
    pod = deleted(support.pod(EVICTED, phase="Running", state=running()))
    assert one(RUNS, pod, gone=True).phase is AttemptPhase.DISRUPTED


@pytest.mark.parametrize("job", [FAILED, DELETING, None])
def test_a_disruption_that_ended_the_job_is_reported_apart(job):
    pod = support.pod(EVICTED, phase="Failed", state=terminated(143))
    assert one(job, pod).attempt == f"{POD_UID}/ended"


def test_the_next_pod_of_a_managed_job_is_podiums_to_make():
    """Its Job replaces none, so nothing is waited for."""
    pod = support.pod(EVICTED, phase="Failed", state=terminated(143))
    assert one(MANAGED, pod).attempt == f"{POD_UID}/ended"
    refused = support.pod(phase="Failed", status={"reason": "OutOfcpu", "message": "no room"})
    assert told(MANAGED, refused) == ("Disrupted", "OutOfcpu", "no room")
    assert one(MANAGED, refused).attempt == POD_UID


@pytest.mark.parametrize("job", [MANAGED, managed(status={"conditions": [condition("Failed")]})])
def test_a_pod_of_a_managed_job_that_still_runs_is_not_disrupted_yet(job):
    going = deleted(support.pod(EVICTED, phase="Running", state=running()))
    assert one(job, going).phase is AttemptPhase.RUNNING


def test_a_pod_deleted_by_force_was_deleted_although_its_finalizer_holds_it():
    forced = deleted(support.pod(phase="Running", state=running()), grace=0)
    name = "release-x7-build-1-0hash-abcde"
    assert told(MANAGED, forced) == ("Failed", "PodDeleted", f"its Pod {name} was deleted")


def test_a_disruption_without_words():
    pod = support.pod(condition("DisruptionTarget"), phase="Failed")
    assert told(RUNS, pod) == ("Disrupted", "Disrupted", "the platform ended its Pod")


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "InvalidNodeInfo",
        "NodeAffinity",
        "NodePorts",
        "NodeShutdown",
        "TaintToleration",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
        "OfALaterKubelet",
    ],
)
def test_a_pod_refused_by_the_kubelet_is_made_again_once_the_job_ended(reason):
    pod = support.pod(phase="Failed", status={"reason": reason, "message": "Pod was rejected"})
    assert told(RUNS, pod) == ("Launched", "", "")
    assert told(FAILED, pod) == ("Disrupted", reason, "Pod was rejected")
    assert one(FAILED, pod).attempt == POD_UID


@pytest.mark.parametrize("reason", ["SysctlForbidden", "AppArmor", "PodOSNotSupported"])
def test_what_no_machine_would_take_is_a_failure(reason):
    pod = support.pod(phase="Failed", status={"reason": reason, "message": "Pod was rejected: no"})
    assert told(MANAGED, pod) == ("Failed", reason, "Pod was rejected: no")


def test_a_program_that_ran_was_not_refused():
    pod = support.pod(phase="Failed", status={"reason": "NodeShutdown"}, state=terminated(1))
    assert one(FAILED, pod).phase is AttemptPhase.FAILED


# Deleted by somebody


@pytest.mark.parametrize(
    ("job", "reason", "message"),
    [
        (RUNS, "PodDeleted", "its Pod release-x7-build-1-0hash-abcde was deleted"),
        (FAILED, "PodDeleted", "its Pod release-x7-build-1-0hash-abcde was deleted"),
        (DELETING, "JobDeleted", "its Job was deleted"),
        (None, "JobDeleted", "its Job was deleted"),
    ],
)
def test_a_deleted_pod(job, reason, message):
    for pod in (
        deleted(ended(143), asked=8),
        deleted(support.pod(phase="Running", state=running())),
        support.pod(phase="Running", state=running()),
        support.pod(),
    ):
        assert told(job, pod, gone=True) == ("Failed", reason, message)


def test_a_program_that_failed_before_its_pod_was_deleted_failed_by_itself():
    assert told(RUNS, deleted(ended(3), asked=10), gone=True) == ("Failed", "Error", "exit code 3")


def test_a_pod_that_is_being_deleted_is_waited_for():
    assert told(RUNS, deleted(support.pod())) == ("Launched", "", "")
    alive = deleted(support.pod(phase="Running", state=running()))
    assert one(RUNS, alive).phase is AttemptPhase.RUNNING


def test_a_deleted_job_that_never_had_a_pod():
    assert told(None) == ("Failed", "JobDeleted", "its Job was deleted")
    assert told(DELETING) == ("Failed", "JobDeleted", "its Job was deleted")
    message = "its Pod was deleted: Job has reached the backoff limit"
    assert told(FAILED) == ("Failed", "PodDeleted", message)


# Unreachable machines


def test_a_machine_that_does_not_answer_is_shown():
    lost = support.pod(phase="Running", state=running(), status={"reason": "NodeLost"})
    taint = condition("DisruptionTarget", reason="DeletionByTaintManager", message="not ready")
    tainted = deleted(support.pod(taint, phase="Running", state=running()))
    for pod in (lost, tainted):
        assert told(RUNS, pod) == (
            "Running",
            "NodeLost",
            "its machine does not answer; it may still run there",
        )


# Several Pods


def other(body, uid, created):
    meta = {"uid": uid, "creationTimestamp": support.at(created)}
    return support.changed(body, {"metadata": meta})


def test_the_newest_pod_speaks():
    first = support.pod(EVICTED, phase="Failed", state=terminated(143))
    second = other(support.pod(phase="Running", state=running()), "second", 30)
    for pods in ((first, second), (second, first)):
        seen = one(RUNS, *pods)
        assert (seen.phase, seen.attempt) == (AttemptPhase.RUNNING, "second")
    third = other(support.pod(EVICTED, phase="Failed", state=terminated(143)), "third", 40)
    assert one(RUNS, first, third).attempt == "third"


def test_an_older_pod_that_still_lives_is_waited_for():
    older = support.pod(phase="Running", state=running())
    newer = other(ended(1), "newer", 30)
    assert told(RUNS, older, newer) == ("Launched", "", "")


def test_a_pod_that_succeeded_speaks_for_all():
    done = support.pod(phase="Succeeded", state=terminated(0, message="{}"))
    assert one(RUNS, done, other(ended(1), "newer", 30)).phase is AttemptPhase.SUCCEEDED


# Whatever there is

CONDITIONS = st.lists(
    st.sampled_from([SCHEDULED, SANDBOX, UNSCHEDULABLE, EVICTED]), unique_by=id, max_size=3
)
STATES = st.one_of(
    st.none(),
    st.just(running()),
    st.sampled_from([*HOPELESS, *PULLING, "ContainerCreating"]).map(waiting),
    st.builds(terminated, st.sampled_from([0, 1, 137]), message=st.sampled_from([None, "{}"])),
)
PODS = st.builds(
    lambda conditions, **facts: support.pod(*conditions, **facts),
    CONDITIONS,
    state=STATES,
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    status=st.sampled_from(
        [
            {},
            {"reason": "Evicted"},
            {"reason": "OutOfcpu"},
            {"initContainerStatuses": [{"name": "istio-proxy", "state": running(4)}]},
        ]
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([RUNS, MANAGED, COMPLETE, FAILED, DELETING, SUSPENDED, None]),
    st.lists(st.tuples(PODS, st.booleans()), max_size=3),
    st.sampled_from([0.0, 20.0, 100.0]),
)
def test_nothing_ends_while_something_of_it_may_run(job, drawn, seconds):
    pods = [
        replace(pod_view(other(body, f"p{i}", i)), gone=gone)
        for i, (body, gone) in enumerate(drawn)
    ]
    view = job_view(job) if job is not None else None
    seen = observe("build", "build-1", view, pods, stuck_for=seconds, age=seconds)
    (last,) = seen.observations
    if last.output is not None:
        assert last.phase is AttemptPhase.SUCCEEDED
    if last.phase in (AttemptPhase.FAILED, AttemptPhase.DISRUPTED):
        assert last.reason
        assert last.message
        ended = not any(pod.alive and not pod.outlived for pod in pods)
        assert seen.remove or seen.remove_pods or ended
    if last.phase is AttemptPhase.WAITING:
        assert last.reason
    if seen.needs_pod:
        assert (job, pods) == (MANAGED, [])
