"""podium eval."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from podium.cli.checked_file import sound_file
from podium.cli.documents import to_json
from podium.cli.evaluation import Outcome, evaluate, read_evaluation, subjects
from podium.cli.options import executor_files_option, secrets_option
from podium.cli.output import ExitCode, escape_control
from podium.cli.selection import select_run
from podium.local.secrets import load_secrets
from podium.personas.usage import Counts

__all__ = ["evaluation"]

SHOWN = 20
"""Cases that failed, of which the reasons are shown."""


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@executor_files_option
@secrets_option
@click.option(
    "--parallel",
    type=click.IntRange(1, 100),
    default=4,
    help="Cases that run at the same time; default: 4.",
)
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print one JSON object.")
def evaluation(
    file: Path, more: tuple[str, ...], secrets: Path | None, parallel: int, output: str | None
) -> int:
    """Run a persona node on each input of a file, and count the answers that are as expected.

    FILE names a workflow, its node, cases with expected values, and the ModelConfigs to compare.
    Exits 0, 1 if an answer is not as expected, 2 if a file is invalid.
    """
    asked = read_evaluation(file)
    checked = sound_file(str(file.parent / asked.workflow), more)
    spec = select_run(checked, asked.name).workflow
    of = subjects(asked, checked, spec)
    known = load_secrets(secrets) if secrets is not None else {}
    found = asyncio.run(evaluate(of, asked.cases, known, parallel))
    if output is not None:
        click.echo(to_json({name: _summary(each) for name, each in found.items()}))
    else:
        for line in _table(found):
            click.echo(escape_control(line))
    is_good = all(each.is_good for outcomes in found.values() for each in outcomes)
    return ExitCode.OK if is_good else ExitCode.FAILED


def _summary(outcomes: Sequence[Outcome]) -> dict[str, object]:
    rates = {"contract": _rate([each.reason is None for each in outcomes])}
    return {
        "passed": sum(each.is_good for each in outcomes),
        "cases": len(outcomes),
        "rates": rates | {path: _rate(_values(path, outcomes)) for path in _paths(outcomes)},
        "tokenUsage": _total(outcomes).counts(),
        "outcomes": [each.dump() for each in outcomes],
    }


def _table(found: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """Return a row for each field and a column for each model, then what failed."""
    paths = _paths([each for outcomes in found.values() for each in outcomes])
    rows = [["", *found]]
    rows.append(["passed", *(_rate([o.is_good for o in each]) for each in found.values())])
    rows.append(["answered", *(_rate([o.reason is None for o in each]) for each in found.values())])
    rows += [[path, *(_rate(_values(path, each)) for each in found.values())] for path in paths]
    totals = [_total(each) for each in found.values()]
    rows.append(["tokens", *(f"{each.tokens:,}" for each in totals)])
    if any(each.cost is not None for each in totals):
        rows.append(["cost", *("" if t.cost is None else f"{t.cost:.6g}" for t in totals)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    failed = [(name, o) for name, each in found.items() for o in each if not o.is_good]
    for name, each in failed[:SHOWN]:
        lines.append(f"{each.case.name} ({name}): {_why(each)}")
    if len(failed) > SHOWN:
        lines.append(f"and {len(failed) - SHOWN} more: -o json has all")
    return lines


def _why(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return f"{outcome.reason}: {outcome.message}"
    wrong = [path for path, is_there in outcome.fields.items() if not is_there]
    return f"not as expected: {', '.join(wrong)}"


def _paths(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(path for each in outcomes for path in each.case.expect))


def _values(path: str, outcomes: Sequence[Outcome]) -> list[bool]:
    return [each.fields.get(path, False) for each in outcomes if path in each.case.expect]


def _rate(values: Sequence[bool]) -> str:
    return f"{sum(values)}/{len(values)}"


def _total(outcomes: Sequence[Outcome]) -> Counts:
    total = Counts()
    for each in outcomes:
        total.add(each.usage)
    return total
