"""The status of the Indexed Job of a map, by the API server's own rules (kubernetes.md 2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.index_ranges import IndexRanges
from podium.api.names import FINALIZER
from podium.cluster.jobs.map_status import MapProgress, MapStatuses, map_status
from podium.cluster.kube.views import LABEL_INDEX, job_view, pod_view
from podium.cluster.settings import Settings
from tests.unit.cluster import support
from tests.unit.cluster.jobs.controller_test import check, merged
from tests.unit.cluster.support import NOON, condition, running

COMPLETIONS = 6


def job(**changes):
    spec = {"managedBy": Settings().manager, "completionMode": "Indexed", "backoffLimitPerIndex": 0}
    return support.changed(support.job(spec=spec, status=None), changes)


def pod(index=0, *conditions):
    notes = {
        LABEL_INDEX: str(index),
        "podium.dev/node": f"build[{index}]",
        "podium.dev/execution": f"build[{index}]-1",
    }
    meta = {"uid": f"pod-{index}", "annotations": notes, "finalizers": [FINALIZER]}
    return pod_view(support.pod(*conditions, phase="Running", state=running(), metadata=meta))


def progress(completed="", failed="", skipped=0):
    done = IndexRanges.parse(completed, below=COMPLETIONS)
    return MapProgress(done, IndexRanges.parse(failed, below=COMPLETIONS), len(done) - skipped)


def told(a_job, stands, *pods, outcome=None, now=NOON + 10):
    return map_status(job_view(a_job), stands, pods, outcome, now)


def test_what_runs_and_what_has_ended():
    status = told(job(), progress("0-2", "3"), pod(4, condition("Ready")), pod(5))
    assert (status["active"], status["ready"]) == (2, 1)
    assert (status["succeeded"], status["failed"]) == (3, 1)
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0-2", "3")
    assert status["startTime"] == support.at(1)


def test_nothing_is_told_before_something_runs():
    assert told(job(), progress()) is None
    assert told(job(), progress(), pod()) is not None


def test_skipped_items_are_completed_and_did_not_succeed():
    status = told(job(), progress("0-2", skipped=2), pod(4))
    assert (status["completedIndexes"], status["succeeded"]) == ("0-2", 1)


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [(True, ["SuccessCriteriaMet", "Complete"]), (False, ["FailureTarget", "Failed"])],
)
def test_its_end(outcome, kinds):
    status = told(job(), progress("0,1", "2"), outcome=outcome)
    assert [each["type"] for each in status["conditions"]] == kinds
    assert (status["active"], status["completedIndexes"]) == (0, "0,1")
    assert ("completionTime" in status) is outcome
    assert told(job(status=status), progress("0-2"), outcome=outcome) is None


def test_one_that_is_suspended():
    suspended = job(spec={"suspend": True})
    assert told(suspended, progress("0"), pod(1)) is None, "its Pods end first"
    status = told(suspended, progress("0"))
    assert (status["startTime"], status["active"], status["completedIndexes"]) == (None, 0, "0")


@given(
    st.lists(st.integers(0, COMPLETIONS - 1), unique=True, max_size=COMPLETIONS),
    st.lists(st.booleans(), min_size=COMPLETIONS, max_size=COMPLETIONS),
    st.booleans(),
)
@settings(deadline=None)
def test_the_server_takes_each_one_after_another(order, succeeds, outcome):
    """Items end in any order; the status never says less than before."""
    state, completed, failed = {}, IndexRanges(), IndexRanges()
    for number, index in enumerate(order):
        (completed if succeeds[index] else failed).add(index)
        stands = MapProgress(completed.copy(), failed.copy(), len(completed))
        is_last = number == len(order) - 1
        pods = [] if is_last else [pod(each) for each in order[number + 1 :]]
        status = told(
            job(status=state),
            stands,
            *pods,
            outcome=outcome if is_last else None,
            now=NOON + 10 + number,
        )
        if status is not None:
            new = merged(state, {k: v for k, v in status.items() if v is not None})
            check(state, new, suspended=False)
            done = IndexRanges.parse(new["completedIndexes"], below=COMPLETIONS)
            lost = IndexRanges.parse(new["failedIndexes"], below=COMPLETIONS)
            assert not set(done) & set(lost)
            state = new


def test_a_status_is_written_once_a_second_and_a_large_one_more_seldom():
    statuses = MapStatuses()
    view = job_view(job())
    statuses.set_progress(view.uid, progress("0"))
    first = statuses.status(view, [pod(1)], None, NOON)
    statuses.written(view.uid, first, 100.0)
    assert statuses.wait(view.uid, 100.2) == pytest.approx(0.8)
    assert statuses.wait(view.uid, 101.0) == 0
    assert statuses.status(view, [pod(1)], None, NOON) is None, "it was said"
    apart = IndexRanges(range(0, 100_000, 2))
    statuses.written(view.uid, {"completedIndexes": str(apart), "failedIndexes": ""}, 100.0)
    assert statuses.wait(view.uid, 104.0) > 1
    statuses.forget(view.uid)
    assert statuses.wait(view.uid, 100.0) == 0


def test_an_operator_that_does_not_know_the_map_ends_its_job_at_most():
    view = job_view(job())
    assert MapStatuses().status(view, [pod()], None, NOON) is None
    status = MapStatuses().status(view, [], True, NOON)
    assert "completedIndexes" not in status
    assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
