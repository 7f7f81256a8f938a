"""What is read of objects of the cluster, whatever they hold."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.names import FINALIZER, LABEL_RECORDED
from podium.cluster.jobs.interpret import observe
from podium.cluster.kube.views import (
    finalizer_of,
    job_view,
    pod_view,
    run_view,
    when,
    workflow_view,
)
from tests.unit.cluster import support
from tests.unit.cluster.support import JOB_UID, NOON, POD_UID, RUN_UID, at, condition, damaged

FULL_JOB = support.job(
    metadata={"annotations": {"podium.dev/restart": "2"}, "deletionTimestamp": at(50)},
    spec={"suspend": True, "ttlSecondsAfterFinished": 600, "managedBy": "podium.dev/podium"},
    status={"conditions": [condition("Failed", message="BackoffLimitExceeded")]},
)
FULL_POD = support.pod(
    condition("PodScheduled"),
    condition("PodReadyToStartContainers"),
    condition("DisruptionTarget", reason="EvictionByEvictionAPI", message="drained"),
    state=support.terminated(1, message="words"),
    phase="Failed",
    containers=2,
    metadata={
        "deletionTimestamp": at(40),
        "deletionGracePeriodSeconds": 5,
        "finalizers": [FINALIZER],
    },
    status={"reason": "Evicted", "message": "too much"},
)


def test_a_job_is_read():
    view = job_view(FULL_JOB)
    assert (view.namespace, view.name, view.uid) == ("team", "release-x7-build-1-0hash", JOB_UID)
    assert (view.run_uid, view.version) == (RUN_UID, "101")
    assert (view.node, view.execution, view.restart) == ("build", "build-1", 2)
    assert (view.created_at, view.deleting, view.suspended) == (NOON + 1, True, True)
    assert (view.complete, view.failed, view.failure) == (False, True, "BackoffLimitExceeded")
    assert (view.ended, view.has_ttl) == (True, True)
    view = job_view(support.job())
    assert (view.restart, view.deleting, view.suspended, view.ended) == (0, False, False, False)


def test_what_a_managed_job_says_of_itself_is_read():
    view = job_view(
        support.job(
            spec={"managedBy": "podium.dev/podium"},
            status={"ready": 1, "conditions": [condition("Suspended"), condition("Failed")]},
        )
    )
    assert (view.managed_by, view.start_time) == ("podium.dev/podium", at(1))
    assert (view.active, view.ready, view.is_suspension_recorded) == (1, 1, True)
    assert view.ended_at == NOON + 3
    view = job_view(support.job(status=None))
    assert (view.managed_by, view.start_time, view.active, view.ready) == ("", "", 0, 0)
    assert (view.is_suspension_recorded, view.ended_at) == (False, None)
    resumed = support.job(status={"conditions": [condition("Suspended", "False")]})
    assert job_view(resumed).is_suspension_recorded is False


@pytest.mark.parametrize("odd", [None, 7, ["podium.dev/podium"], {"a": "b"}])
def test_a_manager_that_is_no_name_is_none(odd):
    view = job_view(support.job(spec={"managedBy": odd}, status={"active": odd, "startTime": odd}))
    assert view.managed_by == ""
    assert isinstance(view.active, int)
    assert view.start_time == ""


@pytest.mark.parametrize(
    ("kind", "status", "ended"),
    [
        ("Complete", "True", True),
        ("Failed", "True", True),
        ("Complete", "False", False),
        ("Complete", True, False),
        ("FailureTarget", "True", False),
        ("SuccessCriteriaMet", "True", False),
    ],
)
def test_a_job_ends_with_its_last_condition(kind, status, ended):
    body = support.job(status={"conditions": [condition(kind, status)]})
    assert job_view(body).ended is ended


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "٣", "1" * 30, " 1"])
def test_a_restart_that_is_no_number_is_the_first_start(text):
    assert (
        job_view(support.job(metadata={"annotations": {"podium.dev/restart": text}})).restart == 0
    )


def test_a_pod_is_read():
    view = pod_view(FULL_POD)
    assert (view.uid, view.job_uid, view.version) == (POD_UID, JOB_UID, "102")
    assert (view.phase, view.reason, view.message) == ("Failed", "Evicted", "too much")
    assert (view.created_at, view.scheduled_at, view.sandbox) == (NOON + 2, NOON + 3, True)
    assert (view.started_at, view.finished_at) == (NOON + 5, NOON + 9)
    assert (view.exit_code, view.ended, view.written) == (1, "Error", "words")
    assert view.disruption == "EvictionByEvictionAPI: drained"
    assert (view.delete_asked_at, view.containers) == (NOON + 35, 2)
    assert (view.alive, view.unschedulable, view.waiting) == (False, None, "")


def test_a_pod_that_nothing_happened_to_is_pending():
    view = pod_view(support.pod(spec=None, status={"phase": None}))
    assert (view.phase, view.alive, view.containers) == ("Pending", True, 1)
    assert (view.scheduled_at, view.started_at, view.exit_code, view.written) == (None,) * 4
    assert (view.disruption, view.delete_asked_at) == (None, None)


def test_a_pod_that_waits_is_read():
    body = support.pod(
        condition("PodScheduled", "False", "Unschedulable", "0/3 nodes"),
        state=support.waiting("ImagePullBackOff", "no such image"),
    )
    view = pod_view(body)
    assert (view.unschedulable, view.scheduled_at) == ("0/3 nodes", None)
    assert (view.waiting, view.waiting_message) == ("ImagePullBackOff", "no such image")


def test_all_kinds_of_containers_share_the_message():
    spec = {"initContainers": [{}, {}], "ephemeralContainers": [{}]}
    assert pod_view(support.pod(containers=2, spec=spec)).containers == 5


@pytest.mark.parametrize("grace", [None, True, "5", 10**400, -(10**400)])
def test_a_grace_period_that_is_none_counts_as_none(grace):
    meta = {"deletionTimestamp": at(40), "deletionGracePeriodSeconds": grace}
    assert pod_view(support.pod(metadata=meta)).delete_asked_at == NOON + 40


def test_only_the_container_node_counts():
    body = support.pod(phase="Running")
    body["status"]["containerStatuses"] = [
        {"name": "proxy", "state": support.terminated(7, message="not mine")},
        {"name": "node", "state": support.running(6)},
    ]
    view = pod_view(body)
    assert (view.exit_code, view.written, view.started_at) == (None, None, NOON + 6)


@pytest.mark.parametrize(
    ("finalizers", "position"),
    [
        (None, None),
        ([], None),
        (["other.io/x"], None),
        ([FINALIZER], 0),
        (["other.io/x", FINALIZER], 1),
        ([7, None, FINALIZER], 2),
        (FINALIZER, None),
        ({FINALIZER: True}, None),
    ],
)
def test_podiums_finalizer_is_found_where_it_stands(finalizers, position):
    body = support.pod(metadata={"finalizers": finalizers})
    assert pod_view(body).finalizer == finalizer_of(body) == position


def test_a_pod_whose_outcome_is_recorded_says_so_by_a_label():
    assert pod_view(support.pod(metadata={"labels": {LABEL_RECORDED: "true"}})).recorded is True
    assert pod_view(support.pod()).recorded is False
    assert pod_view(support.pod(metadata={"labels": None})).recorded is False


@pytest.mark.parametrize(
    ("deleted", "grace", "forced"),
    [(40, 0, True), (40, 5, False), (40, None, False), (None, 0, False), (None, None, False)],
)
def test_a_pod_deleted_without_grace_does_not_run(deleted, grace, forced):
    """Somebody vouches for it; the kubelet does so as well, once all has ended."""
    meta = {
        "deletionTimestamp": None if deleted is None else at(deleted),
        "deletionGracePeriodSeconds": grace,
    }
    view = pod_view(support.pod(phase="Running", metadata=meta))
    assert (view.forced, view.alive) == (forced, not forced)


def test_a_pod_is_alive_until_it_ended_or_vanished():
    standing = {
        phase: pod_view(support.pod(phase=phase)).alive
        for phase in ("Pending", "Running", "Unknown", "Succeeded", "Failed")
    }
    assert [phase for phase, alive in standing.items() if alive] == [
        "Pending",
        "Running",
        "Unknown",
    ]
    assert not replace(pod_view(support.pod(phase="Running")), gone=True).alive


def test_a_pod_is_ready_as_its_condition_says():
    assert pod_view(support.pod(condition("Ready"))).ready is True
    assert pod_view(support.pod(condition("Ready", "False"))).ready is False
    assert pod_view(support.pod(phase="Running")).ready is False


def test_a_program_that_could_not_start_did_not_start_in_1970():
    state = support.terminated(128, "StartError", "exec: no such file")
    state["terminated"]["startedAt"] = "1970-01-01T00:00:00Z"
    assert pod_view(support.pod(phase="Failed", state=state)).started_at is None


def test_a_run_is_read():
    view = run_view(support.run(spec={"suspend": True, "cancel": True}))
    assert (view.namespace, view.name, view.uid) == ("team", "release-x7", RUN_UID)
    assert (view.version, view.generation, view.workflow) == ("100", 2, "release")
    assert view.annotations == {"podium.dev/rerun": "build"}
    assert (view.suspend, view.cancel, view.ttl, view.deleting) == (True, True, 60, False)
    assert (view.phase, view.ended, view.started) == ("Succeeded", True, True)
    assert (view.completed_at, view.revision) == (NOON + 30, "release-abc")
    view = run_view(support.run(spec={"cancel": "true", "suspend": 1}, status=None))
    assert (view.cancel, view.suspend, view.started, view.ended) == (False, False, False, False)


def test_a_workflow_is_read():
    view = workflow_view(support.workflow())
    assert (view.namespace, view.name, view.id) == ("team", "release", "release_workflow")
    assert (view.generation, view.observed_generation) == (3, 2)
    assert workflow_view(support.workflow(spec={"id": None}, status=None)).id == ""


RUN_OWNER = support.job()["metadata"]["ownerReferences"][0]
JOB_OWNER = support.pod()["metadata"]["ownerReferences"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"controller": False},
        {"controller": "true"},
        {"kind": "Workflow"},
        {"apiVersion": "evil.dev/v1alpha1"},
        {"uid": ""},
        {"uid": 7},
    ],
)
def test_labels_without_a_controller_are_nothing(change):
    forged = {"ownerReferences": [{**RUN_OWNER, **change}]}
    assert job_view(support.job(metadata=forged)) is None
    forged = {"ownerReferences": [{**JOB_OWNER, **change}]}
    assert pod_view(support.pod(metadata=forged)) is None


def test_an_orphaned_pod_that_waits_to_be_let_go_says_whose_it_was():
    """Else its finalizer would stay until cancelled: nobody else takes it off."""
    labels = {"batch.kubernetes.io/controller-uid": JOB_UID}
    orphan = {"ownerReferences": [], "labels": labels}
    assert pod_view(support.pod(metadata=orphan)) is None
    held = pod_view(support.pod(metadata={**orphan, "finalizers": [FINALIZER]}))
    assert held.job_uid == JOB_UID
    assert (
        pod_view(support.pod(metadata={**orphan, "labels": {}, "finalizers": [FINALIZER]})) is None
    )


def test_no_kind_passes_for_another():
    assert job_view(support.job(metadata={"ownerReferences": None})) is None
    assert pod_view(support.pod(metadata={"ownerReferences": [RUN_OWNER]})) is None
    assert job_view(support.job(metadata={"ownerReferences": [JOB_OWNER]})) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T12:00:00Z", NOON),
        ("2026-01-01T13:00:00.5+01:00", NOON + 0.5),
        ("0001-01-01T00:00:00", None),
        ("yesterday", None),
        ("", None),
        (12, None),
        (None, None),
    ],
)
def test_times(text, seconds):
    assert when(text) == seconds


READERS = (job_view, pod_view, run_view, workflow_view)
BODIES = (FULL_JOB, FULL_POD, support.run(), support.workflow())


@settings(max_examples=300, deadline=None)
@given(st.one_of(*map(damaged, BODIES)))
def test_no_object_raises(body):
    for read in READERS:
        view = read(body)
        if view is not None:
            assert isinstance(hash(view.name), int)


@settings(max_examples=200, deadline=None)
@given(damaged(FULL_JOB), damaged(FULL_POD), st.floats(0, 100))
def test_no_object_raises_when_it_is_looked_at(a_job, a_pod, seconds):
    job, pod = job_view(a_job), pod_view(a_pod)
    seen = observe(
        "n", "n-1", job, [pod] if pod is not None else [], stuck_for=seconds, age=seconds
    )
    assert len(seen.observations) == 1


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=30), support.JSON, max_size=5))
def test_annotations_of_any_kind_are_taken(notes):
    notes = {**notes, "podium.dev/x": "y"}
    bodies = [support.job(), support.pod(), support.run(), support.workflow()]
    for body, read in zip(bodies, READERS, strict=True):
        body["metadata"] |= {"annotations": notes, "labels": notes}
        view = read(body)
        assert view is not None
        if read is run_view:
            assert view.annotations["podium.dev/x"] == "y"
            assert all(isinstance(value, str) for value in view.annotations.values())
