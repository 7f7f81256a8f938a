"""Retention: which ended runs go, and what may be written."""

import pytest

from podium.api.problems import InvalidError, format_path
from podium.api.retention import EndedRun, Retention, no_longer_kept
from podium.api.source import files
from tests.unit.api.workflow_test import said

NOW = 1000.0
RUNS = [
    EndedRun("old", True, 100.0),
    EndedRun("new", True, 900.0),
    EndedRun("old-failure", False, 200.0),
    EndedRun("new-failure", False, 950.0),
    EndedRun("own-ttl", True, 50.0, has_own_ttl=True),
]


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({}, set()),
        ({"successfulRuns": 1}, {"old", "own-ttl"}),
        ({"successfulRuns": 0}, {"old", "new", "own-ttl"}),
        ({"successfulRuns": 3}, set()),
        ({"failedRuns": 1}, {"old-failure"}),
        ({"secondsAfterSuccess": 100}, {"old", "new"}),
        ({"secondsAfterSuccess": 101}, {"old"}),
        ({"secondsAfterFailure": 0}, {"old-failure", "new-failure"}),
        ({"secondsAfterFailure": 600, "failedRuns": 1}, {"old-failure"}),
    ],
)
def test_what_is_too_old_or_too_much_goes(fields, gone):
    retention = Retention.model_validate(fields)
    assert {run.key for run in no_longer_kept(retention, RUNS, NOW)} == gone


@pytest.mark.parametrize(
    ("retention", "line"),
    [
        ({"successfulRuns": -1}, "spec.retention.successfulRuns: must be at least 0, not -1"),
        ({"failedRuns": "many"}, "spec.retention.failedRuns: "),
        ({"seconds": 5}, "spec.retention.seconds: unknown field"),
        (
            {"secondsAfterSuccess": 1_000_000_000_000},
            "spec.retention.secondsAfterSuccess: must be at most ",
        ),
    ],
)
def test_what_is_wrong_names_its_field(retention, line):
    assert [each for each in said({"retention": retention}) if each.startswith(line)]


def test_a_graph_within_a_run_has_none():
    run = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "WorkflowRun",
        "metadata": {"name": "r"},
        "spec": {"workflowSpec": {"nodes": [{"id": "a"}], "retention": {"failedRuns": 1}}},
    }
    with pytest.raises(InvalidError) as refused:
        files.parse(run)
    found = {format_path(each.path): each.message for each in refused.value.problems}
    assert "ttlSecondsAfterFinished" in found["spec.workflowSpec.retention"]
