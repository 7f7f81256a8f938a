"""What history keeps of earlier executions."""

import pytest

from podium.engine import VersionGoneError, context_at
from tests.unit.engine.support import Run, node


def test_an_old_version_answers_with_a_clear_error_once_history_forgot_it():
    run = Run(node("a")).step()
    run.ok("a-1", {"n": 1})
    for number in range(2, 14):
        run.rerun("a", id=f"q{number}").ok(f"a-{number}", {"n": number})
    assert len(run.state("a").history) == 10
    with pytest.raises(VersionGoneError, match="no longer kept"):
        context_at(run.engine.status, {}, 1)
