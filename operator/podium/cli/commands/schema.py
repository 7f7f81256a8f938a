"""`podium schema`: JSON Schema of definition files, for editors."""

import json

import click

from podium.cli import schemas

__all__ = ["schema"]


@click.command()
@click.argument("name", type=click.Choice(schemas.NAMES), default="podium", metavar="[KIND]")
def schema(name: str) -> None:
    """Print the JSON Schema of definition files, or of one KIND.

    KIND: workflow, workflowrun, executor, clusterexecutor, artifactstore, contractschema,
    persona or modelconfig.

    An editor with a YAML language server completes and checks each document of a file that has
    this line at its top:

      # yaml-language-server: $schema=podium.schema.json

    after: podium schema > podium.schema.json
    """
    click.echo(json.dumps(schemas.schema(name), indent=2, ensure_ascii=False))
