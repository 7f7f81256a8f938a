"""Logs of a run whose Pods are gone: from the store, by way of a Pod that mounts it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from podium.api.artifact_stores import ArtifactLocation
from podium.artifacts.errors import ArtifactError
from podium.artifacts.kept_logs import KeptLog, log_key, log_of, log_prefix
from podium.artifacts.store import ArtifactStore
from podium.cli.cluster.artifact_store import opened_at
from podium.cli.cluster.connection import Cluster
from podium.cli.output import CliError

__all__ = ["KeptLogs", "opened_logs"]

MOST_BYTES = 65 << 20
"""Of one: the chart bounds them."""
_TIME = re.compile(rb"\A\d{4}-\d\d-\d\dT[0-9:.]{8,18}(Z|[+-]\d\d:\d\d) ")


class KeptLogs:
    """The logs of a run, in its store. Methods raise `CliError`."""

    def __init__(self, store: ArtifactStore, run: str) -> None:
        self._backend = store.backend
        self._run = run
        """Its UID."""

    def logs(self, node: str | None) -> list[KeptLog]:
        """Return those that are there, of all nodes or of one."""
        try:
            objects = self._backend.objects(log_prefix(self._run, node))
            found = [log_of(each.key) for each in objects]
        except ArtifactError as error:
            raise CliError(str(error)) from None
        return [log for log in found if log is not None]

    def lines(self, log: KeptLog, tail: int | None, *, timestamps: bool) -> list[bytes]:
        """Return the lines of one, all or the last."""
        try:
            data = bytes(self._backend.read(log_key(log), MOST_BYTES))
        except ArtifactError as error:
            raise CliError(str(error)) from None
        lines = data.removesuffix(b"\n").split(b"\n") if data else []
        shown = lines if tail is None else lines[max(0, len(lines) - tail) :]
        return shown if timestamps else [_TIME.sub(b"", line, count=1) for line in shown]


@asynccontextmanager
async def opened_logs(
    cluster: Cluster, run: str, place: ArtifactLocation
) -> AsyncIterator[KeptLogs]:
    """Open the logs of a run, by its UID, as `opened_at` opens their store."""
    async with opened_at(cluster, place) as store:
        yield KeptLogs(store, run)
