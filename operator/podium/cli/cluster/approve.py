"""`podium --cluster approve` and `reject`."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click
import orjson

from podium import kinds
from podium.api.reasons import EventReason
from podium.cli.approvals import (
    Asked,
    answer_options,
    comment_option,
    find_asked,
    outcome_of,
    values_of,
)
from podium.cli.cluster.connection import Cluster, on_cluster
from podium.cli.cluster.definitions import definition_of
from podium.cli.cluster.requests import POLL_SECONDS, TAKEN_UP_SECONDS, annotate, refusals
from podium.cli.cluster.runs import ClusterRun, name_of, read_run
from podium.cli.output import CliError, ExitCode, warn
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import dig, mapping, text
from podium.cluster.runs.decisions import APPROVE, APPROVED_BY, APPROVED_GROUPS, MAX_GROUPS

__all__ = ["approve", "reject"]

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("node", metavar="[NODE]", required=False)
@answer_options
@on_cluster()
async def approve(
    cluster: Cluster,
    name: str,
    node: str | None,
    comment: str,
    values: tuple[str, ...],
    values_file: str | None,
) -> int:
    """Approve what a run waits for. NODE may be left out where one node waits."""
    given = values_of(values, values_file)
    return await _decide(cluster, name, node, {"comment": comment, "values": given}, "Approve")


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("node", metavar="[NODE]", required=False)
@comment_option
@on_cluster()
async def reject(cluster: Cluster, name: str, node: str | None, comment: str) -> int:
    """Reject what a run waits for: the node fails."""
    return await _decide(cluster, name, node, {"comment": comment}, "Reject")


async def _decide(
    cluster: Cluster, name: str, node: str | None, said: Mapping[str, Any], decision: str
) -> int:
    run = await read_run(cluster, await name_of(cluster, name))
    asked = find_asked(run.name, run.status, node)
    me = mapping(dig(await _who_am_i(cluster), "status", "userInfo"))
    by, groups = text(me.get("username")), [text(each) for each in me.get("groups") or ()]
    groups = await _check(cluster, run, asked, said, decision, by, groups)
    begin = time.time()
    body = {
        "node": asked.node,
        "executionId": asked.execution,
        "decision": decision,
        **{key: value for key, value in said.items() if value},
    }
    notes = {APPROVE: orjson.dumps(body).decode(), APPROVED_BY: by}
    if groups:
        notes[APPROVED_GROUPS] = "\n".join(groups)
    await annotate(cluster, run, notes)
    outcome = await _outcome(cluster, run, asked, begin)
    if outcome:
        click.echo(f"{asked.node} of run {run.name} is {outcome}")
    return ExitCode.OK


async def _who_am_i(cluster: Cluster) -> dict[str, Any]:
    """Return what the API server knows the caller as."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return await cluster.client.call("POST", WHO_AM_I, review)


async def _check(
    cluster: Cluster,
    run: ClusterRun,
    asked: Asked,
    said: Mapping[str, Any],
    decision: str,
    by: str,
    groups: Iterable[str],
) -> list[str]:
    """Return the groups that count for the decision. Raises `CliError` if it would be refused.

    Who may not read the definition sends all groups, and hears from the operator.
    """
    mine = [each for each in groups if each and "\n" not in each][:MAX_GROUPS]
    try:
        definition = await definition_of(cluster, run)
    except ApiError as error:
        if error.status != 403:
            raise
        return mine
    node = next((each for _, each in definition.placed_nodes() if each.id == asked.node), None)
    if node is None:
        return mine
    kind = kinds.of(node)
    if not isinstance(kind, kinds.Answerable):
        return mine
    named = dig(node.config, "approvers", "groups")
    counting = [each for each in mine if isinstance(named, list) and each in named]
    is_approved, comment, values = decision == "Approve", said["comment"], said.get("values", {})
    answer = kinds.Answer(is_approved, by, by, tuple(counting), comment, values)
    try:
        kind.answer(kinds.NodeView(node, asked.execution, dict, time.time()), answer)
    except kinds.AnswerRefusedError as refusal:
        raise CliError(f"{asked.node}: {refusal}") from None
    return counting


async def _outcome(cluster: Cluster, run: ClusterRun, asked: Asked, begin: float) -> str:
    """Wait until the decision was carried out; empty: it was not so far.

    Raises `CliError` if it was refused.
    """
    end = time.monotonic() + TAKEN_UP_SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(POLL_SECONDS)
        now = await read_run(cluster, run.name)
        if outcome := outcome_of(now.status, asked):
            return outcome
        said = await refusals(cluster, run, EventReason.APPROVAL_REFUSED, begin)
        if mine := next((each for each in said if asked.node in each or APPROVE in each), ""):
            raise CliError(mine)
    warn("podium: the operator has not taken the decision in so far: does it run?")
    return ""
