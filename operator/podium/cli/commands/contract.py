"""`podium contract`: whether versions are compatible, and whether promises satisfy needs."""

from collections.abc import Mapping
from typing import Any

import click

from podium.api.contract_schemas import ContractSchemaSpec, schema_problems
from podium.api.problems import InvalidError, errors
from podium.api.source.files import read_file
from podium.cli.checked_file import CheckedFile, check_file, definition_files
from podium.cli.contract_report import BROKEN, JudgedVersion, judged, tested
from podium.cli.describe import counted
from podium.cli.documents import to_json
from podium.cli.options import executor_files_option
from podium.cli.output import CliError, ExitCode, escape_control

__all__ = ["contract", "read_contracts", "report_versions"]

_ACTIONS = ("check", "test")


@click.command()
@click.argument("action", metavar="check|test", type=click.Choice(_ACTIONS))
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@executor_files_option
@click.option("--strict", is_flag=True, help="Of test: what is left open fails, too.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print one JSON object.")
def contract(
    action: str, files: tuple[str, ...], more: tuple[str, ...], *, strict: bool, output: str | None
) -> int:
    """Check versions of ContractSchemas, or test contracts along edges. Nothing runs.

    check says of each version of a ContractSchema whether it is compatible with the one before
    it. What an earlier file has of the same name counts as published: none of it may change. With
    --cluster what the cluster has counts as published.

    test says whether what each node promises satisfies what the nodes after it need, and the
    context what all need: NODE.PATH of what breaks is an error, what the promises leave open a
    warning.

    Exits 0, 1 if something is not compatible or breaks, 2 if a file is invalid.
    """
    if action == "check":
        if more or strict:
            raise CliError("-f and --strict are of test: check takes all files as FILE")
        return report_versions(read_contracts(files), {}, output)
    return _test(files, more, strict=strict, output=output)


def read_contracts(names: tuple[str, ...]) -> list[CheckedFile]:
    """Read files with ContractSchemas. Raises `InvalidError`, `CliError`."""
    found = [read_file(path) for each in names for path in definition_files(each)]
    files = [CheckedFile(each.name, each.documents, list(each.problems)) for each in found]
    for file in files:
        for document, schema in file.contract_schemas:
            file.problems += [document.located(each) for each in schema_problems(schema.spec)]
        if errors(file.problems):
            raise InvalidError(file.problems)
    if not any(each.contract_schemas for each in files):
        raise CliError(f"{', '.join(names)}: no ContractSchema is here")
    return files


def report_versions(
    files: list[CheckedFile], published: Mapping[str, ContractSchemaSpec], output: str | None
) -> int:
    """Print the verdict on each version; return the exit code."""
    found = list(judged(files, published))
    is_good = all(each.is_compatible for each in found)
    if output is not None:
        document = {"compatible": is_good, "versions": [each.entry() for each in found]}
        click.echo(to_json(document))
    else:
        for each in found:
            click.echo(escape_control(_line(each)))
    return ExitCode.OK if is_good else ExitCode.FAILED


def _line(each: JudgedVersion) -> str:
    line = each.document.line_of(each.path)
    what = f"{each.document.file}:{line}: {each.schema}"
    what += f" version {each.version}" if each.version else ""
    if each.problems:
        return f"{what}: not compatible: {'; '.join(each.problems)}"
    if not each.compared_with:
        return f"{what}: the first"
    return f"{what}: compatible with {each.compared_with} ({each.rule})"


def _test(
    names: tuple[str, ...], more: tuple[str, ...], *, strict: bool, output: str | None
) -> int:
    others = [read_file(path) for each in more for path in definition_files(each)]
    read = [read_file(name) for name in names]
    edges, problems = [], []
    for each in read:
        file = check_file(each, others=[*others, *(other for other in read if other is not each)])
        if found := errors([*file.problems, *(p for other in others for p in other.problems)]):
            raise InvalidError(found)
        edges += list(tested(file))
    problems = [problem for each in edges for problem in each.problems]
    is_good = not problems if strict else not errors(problems)
    if output is not None:
        entries: list[dict[str, Any]] = [each.entry() for each in edges]
        click.echo(to_json({"satisfied": is_good, "edges": entries}))
        return ExitCode.OK if is_good else ExitCode.FAILED
    for edge in edges:
        click.echo(escape_control(f"{edge.producer} → {edge.consumer}: {edge.verdict}"))
        for problem in edge.problems:
            click.echo(escape_control(str(problem)))
    broken = sum(edge.verdict == BROKEN for edge in edges)
    click.echo(f"{counted(len(edges), 'edge')}, {broken} broken")
    return ExitCode.OK if is_good else ExitCode.FAILED
