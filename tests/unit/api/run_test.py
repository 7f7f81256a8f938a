"""What a WorkflowRun may ask for, and the times and states of its status."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.api.base import format_duration, format_time, parse_time
from podium.api.problems import InvalidError, format_path
from podium.api.run import NodeState, NodeStatus, RunPhase, WorkflowRunStatus
from podium.api.source import files

HEAD = {"apiVersion": "podium.dev/v1alpha1", "kind": "WorkflowRun", "metadata": {"name": "r"}}
BY_NAME = {"workflowRef": {"name": "hello"}}
INLINE = {"workflowSpec": {"nodes": [{"id": "a"}]}}


def said(spec):
    try:
        files.parse({**HEAD, "spec": spec})
    except InvalidError as error:
        return [f"{format_path(each.path)}: {each.message}" for each in error.problems]
    return []


def test_what_is_left_out_has_its_default():
    spec = files.parse({**HEAD, "spec": BY_NAME}).spec
    assert (spec.max_parallel, spec.fail_fast, spec.suspend, spec.cancel) == (
        None,
        None,
        False,
        False,
    )
    assert (spec.context, spec.ttl_seconds_after_finished) == ({}, None)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            {},
            (
                "spec: names no workflow: write workflowRef: {name: …} for a Workflow of this"
                " namespace, or workflowSpec with the graph itself"
            ),
        ),
        (
            {**BY_NAME, **INLINE},
            "spec: has both workflowRef and workflowSpec: exactly one, remove the other",
        ),
        (
            {"workflowRef": {"name": "a b"}},
            "spec.workflowRef.name: 'a b' is neither the name nor the spec.id of a Workflow",
        ),
        ({"workflowRef": {}}, "spec.workflowRef.name: is missing"),
        ({"workflowRef": "hello"}, "spec.workflowRef: must be a mapping, not the string 'hello'"),
        ({**BY_NAME, "maxParallel": 0}, "spec.maxParallel: must be at least 1, not 0"),
        ({**BY_NAME, "maxParallel": 10_001}, "spec.maxParallel: must be at most 10,000, not 10001"),
        (
            {**BY_NAME, "suspend": "true"},
            "spec.suspend: must be true or false, not the string 'true': remove the quotes",
        ),
        ({**BY_NAME, "context": []}, "spec.context: must be a mapping, not a list"),
        (
            {**BY_NAME, "ttlSecondsAfterFinished": -1},
            "spec.ttlSecondsAfterFinished: must be at least 0, not -1",
        ),
        (
            {**BY_NAME, "recordedAnswers": {}},
            "spec.recordedAnswers: has none of configMapKeyRef, file: name exactly one",
        ),
        (
            {**BY_NAME, "mocks": {"a": {}}},
            'spec.mocks: unknown field "mocks": it comes in a later version',
        ),
        (
            {**BY_NAME, "globalContext": {}},
            (
                'spec.globalContext: unknown field "globalContext": "globalContext" belongs to the'
                " Workflow's spec"
            ),
        ),
        (
            {"workflowSpec": {"nodes": [{"id": "a", "pod": {"env": [{"name": "A"}]}}]}},
            (
                "spec.workflowSpec.nodes[0].pod.env[0]: has no value: write value or valueFrom"
                ' (value: "" for an empty one)'
            ),
        ),
        (
            {"workflowSpec": {"nodes": [{"id": "a"}], "metadata": {"x": "x" * 900_000}}},
            (
                "spec.workflowSpec: the definition has 900,042 bytes as JSON, and 900,000 is the"
                " limit: keep long scripts and data in images, volumes or ConfigMaps"
            ),
        ),
    ],
)
def test_what_cannot_be_asked_is_reported(spec, line):
    assert said(spec) == [line]


@pytest.mark.parametrize("name", ["hello", "sdlc_complete_workflow", "a.b"])
def test_a_workflow_is_named_by_its_name_or_its_id(name):
    assert said({"workflowRef": {"name": name}}) == []


# States


def test_only_what_has_ended_is_said_to_have():
    assert {phase for phase in RunPhase if phase.ended} == {"Succeeded", "Failed", "Cancelled"}
    assert {status for status in NodeStatus if status.ended} == {
        "Completed",
        "Failed",
        "Skipped",
        "Cancelled",
    }


def test_a_status_leaves_out_what_is_at_its_default():
    status = WorkflowRunStatus(
        phase=RunPhase.RUNNING,
        started_at=1769860800.0,
        nodes={"a": NodeState(status=NodeStatus.READY, next_attempt_at=1769860800.25)},
    )
    dumped = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert dumped == {
        "phase": "Running",
        "startedAt": "2026-01-31T12:00:00Z",
        "nodes": {"a": {"status": "Ready", "nextAttemptAt": "2026-01-31T12:00:00.250Z"}},
    }
    assert WorkflowRunStatus.model_validate(dumped) == status


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T12:00:00Z", 1769860800),
        ("2026-01-31T13:00:00+01:00", 1769860800),
        ("2026-01-31T12:00:00.123456789Z", 1769860800.123),
        (1769860800, 1769860800),
        (1.0004, 1.0),
    ],
)
def test_times_are_seconds_to_the_millisecond(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-02-31T12:00:00Z",
        "2026-01-31T12:00:00z\n",
        "٢٠٢٦-01-31T12:00:00Z",
        "",
        True,
        None,
        [],
    ],
)
def test_another_time_is_refused(text):
    with pytest.raises(ValueError, match=r"RFC 3339|day|month"):
        parse_time(text)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 4_102_444_800_000))
def test_times_read_back_as_they_were_written(milliseconds):
    seconds = milliseconds / 1000
    assert parse_time(format_time(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10.0s"),
        (10, "10s"),
        (59.4, "59s"),
        (59.6, "1m0s"),
        (125, "2m5s"),
        (3599.6, "1h0m"),
        (7380, "2h3m"),
        (90_000, "25h0m"),
    ],
)
def test_durations_are_short(seconds, text):
    assert format_duration(seconds) == text
