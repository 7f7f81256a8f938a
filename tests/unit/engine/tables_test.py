"""The tables of docs/design/semantics.md and those of the code say the same."""

import re
from pathlib import Path

import pytest

from podium.api.reasons import EventReason, NodeReason, RunReason
from podium.api.run import NodeStatus
from podium.api.workflow import TriggerRule
from podium.contracts import check
from podium.engine import AttemptPhase
from podium.engine.observing import ON_PHASE
from podium.engine.run_outcome import RUN_OUTCOMES
from podium.engine.transitions import TRANSITIONS
from podium.engine.trigger_rules import TRIGGER_RULES, Verdict

DOCUMENT = Path(__file__).parents[3] / "docs/design/semantics.md"


def table(*head):
    """Return the rows of the table with this head, each a list of cells."""
    lines = iter(DOCUMENT.read_text().splitlines())
    assert f"| {' | '.join(head)} |" in lines, f"no table {head}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def words(cell, known):
    return {word for word in re.findall(r"\w+", cell) if word in set(known)}


def test_transitions():
    names = {status.value for status in NodeStatus}
    documented = {row[0]: words(row[1], names) for row in table("from", "to")}
    assert documented == {
        source.value: {target.value for target in targets}
        for source, targets in TRANSITIONS.items()
    }


def test_trigger_rules_skip_for_the_documented_reasons():
    documented = {
        words(row[0], TriggerRule).pop(): words(row[2], NodeReason)
        for row in table("triggerRule", "starts", "is Skipped")
        if words(row[0], TriggerRule)
    }
    plain = (Verdict.START, Verdict.WAIT, Verdict.CONDITION_ERROR)
    assert {
        rule.value: {then.value for _, then in rows if then not in plain}
        for rule, rows in TRIGGER_RULES.items()
    } == documented


def test_every_trigger_rule_has_rows_and_decides_in_the_end():
    assert set(TRIGGER_RULES) == set(TriggerRule)


def test_run_outcomes():
    documented = [tuple(row[1:]) for row in table("when", "phase", "reason")]
    assert documented == [(phase.value, f"`{reason}`") for _, phase, reason in RUN_OUTCOMES]


def test_phases():
    documented = [row[0] for row in table("phase", "what the node becomes")]
    assert documented == [phase.value for phase in AttemptPhase]
    assert set(ON_PHASE) == set(AttemptPhase) - {AttemptPhase.GONE}


def test_contracts_and_the_engine_use_the_same_words():
    assert check.OUTPUT_CONTRACT == NodeReason.OUTPUT_CONTRACT
    assert check.QUALITY == NodeReason.QUALITY_BELOW_THRESHOLD


@pytest.mark.parametrize("reasons", [NodeReason, RunReason, EventReason])
def test_reasons_are_one_word(reasons):
    assert all(re.fullmatch(r"([A-Z][A-Za-z]+)+", reason) for reason in reasons)
