"""`podium init`: a first workflow that runs at once."""

import json
import os
from pathlib import Path

import click

from podium.cli import schemas
from podium.cli.output import CliError, escape_control

__all__ = ["init"]

SCHEMA_FILE = "podium.schema.json"
_MODELINE = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
_HEAD = "apiVersion: podium.dev/v1alpha1\nkind: Workflow\n"

_HELLO = """\
metadata: {name: hello}
spec:
  description: Greets whom you name.
  inputs:                             # JSON Schema of what a run is given: -c who=Ada
    type: object
    properties: {who: {type: string, minLength: 1, default: world}}
    additionalProperties: false
  nodes:
  - id: greet
    executor: script
    config:
      env: [{name: WHO, value: "${{ context.who }}"}]
      script: |
        echo "Hello, $WHO"
        printf '{"letters": %d}' "${#WHO}" > "$PODIUM_OUTPUT"

  - id: praise
    executor: script
    dependsOn: [greet]
    condition: "context.greet.letters > 3"      # otherwise it is Skipped
    config: {script: 'echo "What a long name!"'}
"""

_PARALLEL = """\
metadata: {name: checks}
spec:
  description: Two checks side by side, a retry and a report.
  nodes:
  - id: lint
    executor: script
    timeoutSeconds: 60
    config: {script: "printf '{\\"ok\\": true}' > \\"$PODIUM_OUTPUT\\""}

  - id: test
    executor: script
    retryPolicy: {maxAttempts: 3, backoffSeconds: 1}
    config: {script: "printf '{\\"passed\\": 12}' > \\"$PODIUM_OUTPUT\\""}
    outputContract: {produces: [passed]}

  - id: report
    executor: script
    dependsOn: [lint, test]
    triggerRule: AllDone                        # also when a check has failed
    config:
      interpreter: python3
      script: |
        import json, os
        inputs = json.load(open(os.environ["PODIUM_INPUT"]))
        print(json.dumps(inputs, indent=1))
"""

EXAMPLES = {"hello": _HELLO, "parallel": _PARALLEL}


@click.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="[DIR]"
)
@click.option(
    "--example",
    type=click.Choice(list(EXAMPLES)),
    default="hello",
    show_default=True,
    help="What the workflow shows.",
)
def init(directory: Path, example: str) -> None:
    """Write a workflow.yaml that runs at once, and the schema that editors check it by.

    Files that exist are never overwritten.
    """
    workflow, schema = directory / "workflow.yaml", directory / SCHEMA_FILE
    if os.path.lexists(workflow):
        raise CliError(f"{workflow} exists already: remove it, or name another directory")
    directory.mkdir(parents=True, exist_ok=True)
    text = f"{_MODELINE}{_HEAD}{EXAMPLES[example]}"
    _write(workflow, text)
    click.echo(escape_control(f"wrote {workflow}"))
    if not os.path.lexists(schema):
        _write(schema, json.dumps(schemas.schema("podium"), indent=2, ensure_ascii=False) + "\n")
        click.echo(escape_control(f"wrote {schema}"))
    click.echo(escape_control(f"run it: podium run {_quoted(workflow)}"))


def _write(path: Path, text: str) -> None:
    """Write a file that is not there; never through a link."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CliError(f"{path} exists already: remove it, or name another directory") from None


def _quoted(path: Path) -> str:
    import shlex  # noqa: PLC0415 - as little as possible is loaded at the start

    return shlex.quote(str(path))
