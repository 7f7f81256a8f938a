"""`podium --cluster contract check`: versions of files beside those that the cluster has."""

import click
from pydantic import ValidationError

from podium.api.contract_schemas import ContractSchemaSpec
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.commands.contract import read_contracts, report_versions
from podium.cluster.kube.errors import ApiError

__all__ = ["contract"]


@click.command()
@click.argument("action", metavar="check", type=click.Choice(["check"]))
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print one JSON object.")
@on_cluster()
async def contract(
    cluster: Cluster, action: str, files: tuple[str, ...], output: str | None
) -> int:
    """Check ContractSchemas before they are applied: versions that the cluster has never change.

    Exits 0, 1 if a version is not compatible or would change, 2 if a file is invalid.
    """
    del action
    read = read_contracts(files)
    published: dict[str, ContractSchemaSpec] = {}
    for name in {schema.metadata.name for file in read for _, schema in file.contract_schemas}:
        try:
            body = await cluster.client.get_contract_schema(cluster.namespace, name)
        except ApiError as error:
            if error.status != 404:
                raise
            continue
        try:
            published[name] = ContractSchemaSpec.model_validate(body.get("spec"))
        except ValidationError:
            continue  # it is not valid, so no run is pinned to it
    return report_versions(read, published, output)
