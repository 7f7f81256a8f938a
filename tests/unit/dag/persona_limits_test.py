"""Items whose part of the run's limits is missing or too large are told of before they run."""

import pytest

from podium.api.problems import Severity, format_path
from tests.unit.dag.dag_test import dag, node


def warned(own, **spec):
    config = {"personas": ["p"], **({"limits": own} if own else {})}
    map_ = node("m", executor="persona", config=config, forEach="[1, 2]")
    found = dag(map_, node("s", forEach="[1]"), **spec).problems()
    return [
        f"{format_path(each.path)}: {each.message}"
        for each in found
        if each.severity is Severity.WARNING
    ]


@pytest.mark.parametrize(
    ("own", "limits", "words"),
    [
        (None, {"tokens": 9000}, ["tokens is missing: limits.tokens of the Workflow (9,000)"]),
        ({"tokens": 10}, {"tokens": 9000, "cost": 0.5}, ["cost is missing"]),
        ({"tokens": 9001}, {"tokens": 9000}, ["tokens: 9,001 is more than the Workflow's (9,000)"]),
    ],
)
def test_items_that_would_fail_are_named(own, limits, words):
    found = warned(own, limits=limits)
    assert len(found) == len(words)
    for part, text in zip(words, found, strict=True):
        assert part in text
        assert "nodes[0].config.limits" in text


@pytest.mark.parametrize(
    ("own", "spec"),
    [
        (None, {}),
        ({"tokens": 10}, {"limits": {"tokens": 10}}),
        ({"tokens": 10, "cost": 0.1}, {"limits": {"tokens": 100, "cost": 1.5}}),
    ],
)
def test_what_may_run_is_not_warned_of(own, spec):
    assert warned(own, **spec) == []
