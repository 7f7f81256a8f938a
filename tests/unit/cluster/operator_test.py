"""What the operator works on first."""

import pytest

from podium.cluster.kube.errors import ApiError, ConflictError
from podium.cluster.kube.events import Subject
from podium.cluster.metrics import Metrics
from podium.cluster.operator import Operator
from podium.cluster.settings import Settings
from podium.cluster.worker import ObjectKey
from tests.unit.cluster import support


@pytest.fixture
def operator():
    return Operator(None, Settings(), Metrics())


def run(number, version=1, generation=1, *, status=None, annotations=None, **spec):
    return {
        "metadata": {
            "namespace": "team",
            "name": f"run-{number}",
            "uid": f"uid-{number}",
            "resourceVersion": str(version),
            "generation": generation,
            "annotations": annotations or {},
        },
        "spec": {"workflowRef": {"name": "build"}, **spec},
        "status": status or {},
    }


async def order(operator):
    found = []
    while len(operator.queue):
        key = await operator.queue.get()
        operator.queue.done(key)
        found.append(key[2])
    return found


async def test_runs_begin_in_the_order_in_which_they_were_made(operator):
    for number in range(100):
        operator.ingest.run_event("ADDED", run(number))
    assert await order(operator) == [f"run-{number}" for number in range(100)]


async def test_what_has_begun_comes_before_what_has_not(operator):
    operator.ingest.run_event("ADDED", run(0))
    await order(operator)
    for number in range(1, 100):
        operator.ingest.run_event("ADDED", run(number))
    operator.ingest.run_event("MODIFIED", run(0, 2, status={"phase": "Running"}))
    assert (await order(operator))[0] == "run-0"


@pytest.mark.parametrize(
    "asked",
    [{"generation": 2, "cancel": True}, {"annotations": {"podium.dev/rerun": "test"}}],
    ids=["cancel", "rerun"],
)
async def test_what_a_user_asks_of_a_run_comes_before_all_else(operator, asked):
    for number in range(100):
        operator.ingest.run_event("ADDED", run(number))
        operator.queue.add(ObjectKey("WorkflowRun", "team", f"other-{number}"))
    operator.ingest.run_event("MODIFIED", run(50, 2, **asked))
    assert (await order(operator))[0] == "run-50"


async def test_a_crowd_of_events_does_not_keep_a_new_run_from_beginning(operator):
    for number in range(100):
        operator.queue.add(ObjectKey("WorkflowRun", "team", f"other-{number}"))
    operator.ingest.run_event("ADDED", run(1))
    assert "run-1" in (await order(operator))[:20]


async def test_nothing_is_kept_of_a_run_whose_deletion_the_watch_missed(operator):
    operator.ingest.run_event("ADDED", run(1))
    operator.ingest.run_gone(operator.cache.runs["team", "run-1"])
    assert operator.cache.runs == {}
    assert operator.cache.keys == {}
    assert await order(operator) == ["run-1"], "whoever works on it has to hear of it"


async def test_nothing_is_kept_of_the_events_of_a_deleted_workflow(operator):
    body = {"metadata": {"namespace": "team", "name": "build", "uid": "w", "generation": 1}}
    operator.ingest.workflow_event("ADDED", body)
    operator.recorder.warn(Subject("Workflow", "team", "build", "w"), "InvalidWorkflow", "a cycle")
    operator.ingest.workflow_event("DELETED", body)
    assert operator.recorder._buckets == {}


@pytest.mark.parametrize("kind", ["DELETED", "LOST"])
async def test_an_answer_that_comes_after_the_end_brings_nothing_back(operator, kind):
    bodies = support.run(), support.job(), support.pod()
    takes = operator.ingest.run_event, operator.ingest.job_event, operator.ingest.pod_event
    for take, body in zip(takes, bodies, strict=True):
        take("ADDED", body)
    for take, body in zip(takes, bodies, strict=True):
        take("DELETED" if take == operator.ingest.run_event else kind, body)
    for put, body in zip(
        (operator.cache.put_run, operator.cache.put_job, operator.cache.put_pod),
        bodies,
        strict=True,
    ):
        put(body)
    assert {name: count() for name, count in operator.cache.counts().items()} == {
        "runs": 0,
        "workflows": 0,
        "jobs": 0,
        "pods": 0,
    }


async def test_the_answer_to_the_making_of_a_pod_that_was_let_go_already(operator):
    operator.ingest.pod_event("DELETED", support.pod())
    operator.cache.put_pod(support.pod())
    assert operator.cache.counts()["pods"]() == 0


# What fails


@pytest.mark.parametrize(
    ("problem", "first", "told"),
    [(ApiError(403, "Forbidden", "no"), 0.5, 2), (ApiError(503, "Unavailable", "no"), 0.5, 0),
     (ApiError(409, "Conflict", "no"), 0.1, 0), (ConflictError(), 0.1, 0)],
    ids=["for good", "for now", "conflict", "another version"],
)  # fmt: skip
async def test_a_status_that_cannot_be_written_is_tried_less_and_less_often(
    operator, monkeypatch, problem, first, told
):
    """Although the run can be read and worked on each time."""
    waits, warnings, problems = [], [], [problem] * 6
    monkeypatch.setattr(operator.queue, "add_after", lambda *call: waits.append(call))
    monkeypatch.setattr(operator.recorder, "warn", lambda *words: warnings.append(words))

    async def reconcile(key):
        monkeypatch.setattr(operator.runs, "has_pending_writes", lambda _: True)

    async def flush(key):
        if problems:
            raise problems.pop()

    monkeypatch.setattr(operator.runs, "_reconcile", reconcile)
    monkeypatch.setattr(operator.runs, "flush", flush)
    operator.ingest.run_event("ADDED", run(1))
    key = ObjectKey("WorkflowRun", "team", "run-1")
    for _ in range(7):
        await operator.worker.work_on(key)
        await operator.worker.work_on(ObjectKey("Status", "team", "run-1"))
    assert waits == [(key, pytest.approx(first * 2**times)) for times in range(6)]
    assert len(warnings) == told
    assert operator.worker._failures == {}, "it could be written at last"


async def test_a_judge_that_answers_nothing_is_unhealthy_and_who_waits_for_it_is_not(
    operator, monkeypatch
):
    assert operator.unhealthy() == ""
    monkeypatch.setattr(type(operator.judge), "stalled", 299.0)
    assert operator.unhealthy() == ""
    monkeypatch.setattr(type(operator.judge), "stalled", 301.0)
    assert operator.unhealthy() == "stuck: the judge, which answers nothing"


async def test_failures_of_a_run_that_is_gone_are_forgotten(operator, monkeypatch):
    async def flush(key):
        raise ApiError(503, "Unavailable", "no")

    monkeypatch.setattr(operator.runs, "flush", flush)
    await operator.worker.work_on(ObjectKey("Status", "team", "run-1"))
    assert len(operator.worker._failures) == 1
    await operator.worker.work_on(ObjectKey("WorkflowRun", "team", "run-1"))
    assert operator.worker._failures == {}
