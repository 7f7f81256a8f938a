"""A status is the same however it is made and read."""

import pytest
from pydantic import ValidationError

from podium.engine import dump_status, initial_status, load_in_slices, load_status
from podium.engine.start import initial_status_in_slices
from tests.unit.engine.support import Run, node


def result(work):
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


def test_a_status_that_is_read_in_slices_is_the_same():
    run = Run(node("a"), node("b", "a")).step().ok("a-1", {"x": [1, None]})
    written = dump_status(run.engine.status)
    assert result(load_in_slices(written)) == load_status(written) == run.engine.status


def test_a_damaged_state_of_a_node_is_refused_in_slices_too():
    written = dump_status(Run(node("a")).step().engine.status)
    written["nodes"]["a"]["status"] = "Flying"
    with pytest.raises(ValidationError, match="Flying"):
        result(load_in_slices(written))


def test_a_first_status_that_is_made_in_slices_is_the_same():
    plan = Run(node("a"), node("b")).plan
    assert result(initial_status_in_slices(plan, 1.0)) == initial_status(plan, 1.0)
