"""Objects as an API server hands them over, and JSON that nobody would write."""

import contextlib
import copy

from hypothesis import strategies as st

from podium.api.names import API_VERSION

RUN_UID = "11111111-aaaa-4bbb-8ccc-000000000001"
JOB_UID = "22222222-aaaa-4bbb-8ccc-000000000002"
POD_UID = "33333333-aaaa-4bbb-8ccc-000000000003"

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def at(seconds):
    minutes, second = divmod(seconds, 60)
    return f"2026-01-01T{12 + minutes // 60:02}:{minutes % 60:02}:{second:02}Z"


def run(**changes):
    return changed(
        {
            "apiVersion": API_VERSION,
            "kind": "WorkflowRun",
            "metadata": {
                "name": "release-x7",
                "namespace": "team",
                "uid": RUN_UID,
                "resourceVersion": "100",
                "generation": 2,
                "creationTimestamp": at(0),
                "annotations": {"podium.dev/rerun": "build", "other.io/x": "y"},
            },
            "spec": {"workflowRef": {"name": "release"}, "ttlSecondsAfterFinished": 60},
            "status": {
                "phase": "Succeeded",
                "nodes": {"build": {"status": "Completed"}},
                "completedAt": at(30),
                "workflowRevision": "release-abc",
            },
        },
        changes,
    )


def workflow(**changes):
    return changed(
        {
            "apiVersion": API_VERSION,
            "kind": "Workflow",
            "metadata": {"name": "release", "namespace": "team", "uid": "w", "generation": 3},
            "spec": {"id": "release_workflow", "nodes": [{"id": "build"}]},
            "status": {"observedGeneration": 2},
        },
        changes,
    )


def job(**changes):
    return changed(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "release-x7-build-1-0hash",
                "namespace": "team",
                "uid": JOB_UID,
                "resourceVersion": "101",
                "creationTimestamp": at(1),
                "labels": {"podium.dev/run": "release-x7"},
                "annotations": {"podium.dev/node": "build", "podium.dev/execution": "build-1"},
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": "WorkflowRun",
                        "name": "release-x7",
                        "uid": RUN_UID,
                        "controller": True,
                    }
                ],
            },
            "spec": {"backoffLimit": 0},
            "status": {"active": 1, "startTime": at(1)},
        },
        changes,
    )


def pod(*conditions, state=None, phase="Pending", containers=1, status=None, **changes):
    """Return a Pod of the Job above; `state` is that of its container `node`."""
    return changed(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "release-x7-build-1-0hash-abcde",
                "namespace": "team",
                "uid": POD_UID,
                "resourceVersion": "102",
                "creationTimestamp": at(2),
                "labels": {
                    "podium.dev/run": "release-x7",
                    "batch.kubernetes.io/job-name": "release-x7-build-1-0hash",
                },
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "Job", "uid": JOB_UID, "controller": True}
                ],
            },
            "spec": {
                "containers": [
                    {"name": name} for name in ("node", "proxy", "agent", "more")[:containers]
                ]
            },
            "status": {
                "phase": phase,
                "conditions": list(conditions),
                **(
                    {"containerStatuses": [{"name": "proxy"}, {"name": "node", "state": state}]}
                    if state is not None
                    else {}
                ),
                **(status or {}),
            },
        },
        changes,
    )


def condition(kind, status="True", reason="", message="", since=3):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at(since),
    }


def waiting(reason, message="words"):
    return {"waiting": {"reason": reason, "message": message}}


def running(since=5):
    return {"running": {"startedAt": at(since)}}


def terminated(code, reason="Error", message=None, since=5, until=9):
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": at(since),
            "finishedAt": at(until),
            **({"message": message} if message is not None else {}),
        }
    }


def changed(body, changes):
    """Merge changes into an object, as a merge patch does; a list is replaced."""
    body = copy.deepcopy(body)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = changed(body[key], value)
        elif value is None:
            body.pop(key, None)
        else:
            body[key] = value
    return body


# Fuzzing

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 10**400]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "True",
            "node",
            "2026-01-01T12:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "batch/v1",
            "Job",
            "-1",
            "٣",
            "1" * 30,
            "a/b/c",
            "/",
            "\ud800",
        ]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["metadata", "status", "name", "uid"])),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def places(body, path=()):
    """Return all paths into JSON, the root included."""
    yield path
    if isinstance(body, dict | list):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from places(value, (*path, key))


def put(body, path, value):
    """Return JSON with another value at a path, where there is one."""
    if not path:
        return value
    body = copy.copy(body)
    with contextlib.suppress(KeyError, IndexError, TypeError):  # replaced before
        body[path[0]] = put(body[path[0]], path[1:], value)
    return body


@st.composite
def damaged(draw, body):
    """Draw a real-looking object with JSON of any kind at one to three places of it."""
    every = list(places(body))
    for path in draw(st.lists(st.sampled_from(every), min_size=1, max_size=3)):
        body = put(body, path, draw(JSON))
    return body
