"""Inputs that no Pod can hold: Pods of Podium's own carry them to the store before a Job is made.

A Pod carries a piece of bounded size. The input is written again as the pieces are made: the
operator holds a few of them at a time, whatever the input has.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from podium.api.reasons import NodeReason
from podium.artifacts.carried_input import Carried, pieces
from podium.cluster.jobs.adoption import is_pod_as_built
from podium.cluster.jobs.given_input import GivenInput, large_input, small_input
from podium.cluster.jobs.helpers import how_ended, read_error
from podium.cluster.jobs.input_carrier import build_carrier
from podium.cluster.jobs.pod_check import check_pod
from podium.cluster.kube.client import KubernetesClient
from podium.cluster.kube.errors import ApiError
from podium.cluster.kube.views import FETCHER, dig, helper_end, items, text
from podium.cluster.runs.active_run import ActiveRun
from podium.cluster.settings import Settings
from podium.cluster.turns import FairSlots
from podium.engine import AttemptPhase, Launch, Observation, not_started

__all__ = ["InputStore"]

MEASURED, CARRIED = 2, 2
"""Inputs that are measured and carried at the same time. Namespaces take turns."""
PODS = 4
"""Pods that carry one: as many pieces are in memory."""
LOOK_SECONDS = 1.0
START_SECONDS = 300.0
"""How long a Pod may wait for a machine, beside the time for storing."""
TRIES = 3
"""Pods for a piece, where some are lost."""
KNOWN_SECONDS = 12 * 3600.0
"""A piece that was stored is not carried again so long: then a sweep may have removed it."""
KNOWN = 1000


class InputStore:
    """Carries inputs to the store."""

    def __init__(self, client: KubernetesClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._measuring, self._carrying = FairSlots(MEASURED), FairSlots(CARRIED)
        self._known: dict[tuple[str, str], float] = {}
        """When (monotonic) pieces were stored, by UID of the run and digest."""

    async def given(self, run: ActiveRun, launch: Launch) -> GivenInput:
        """Return an execution's input in the form that its size takes. Raises `BuildError`."""
        small = small_input(launch.input)
        if small is not None:
            return small
        store = run.engine.plan.spec.pinned_store
        has_store = self._settings.artifacts.of(store).has_store
        make = partial(large_input, launch.input, has_store=has_store)
        # In a thread: else it would hold up everything else.
        async with self._measuring.slot(run.owner.namespace):
            return await asyncio.to_thread(make)

    async def carry(
        self, run: ActiveRun, launch: Launch, job: Mapping[str, Any], given: GivenInput
    ) -> Observation | None:
        """Store an input. Return why that cannot be; None: it is stored, or not wanted any more.

        `job` is the one that the execution gets then. It may take minutes. Raises `ApiError`.
        """
        async with self._carrying.slot(run.owner.namespace):
            waiting: set[asyncio.Task[Observation | None]] = set()
            problem = None
            try:
                async for piece, digest in self._missing(run, launch, given.carried):
                    waiting.add(asyncio.create_task(self._one(run, launch, job, piece, digest)))
                    if len(waiting) == PODS:
                        problem, waiting = await _next(waiting)
                    if problem is not None or not self._is_wanted(run, launch):
                        return problem
                while waiting and problem is None:
                    problem, waiting = await _next(waiting)
                return problem
            finally:
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

    async def _missing(
        self, run: ActiveRun, launch: Launch, carried: Carried | None
    ) -> AsyncIterator[tuple[bytes, str]]:
        """Give the pieces of an input that are not known to be stored."""
        made = pieces(launch.input)
        for digest in carried.digests if carried is not None else ():
            piece = await asyncio.to_thread(next, made, b"")
            if hashlib.sha256(piece).hexdigest() != digest:
                raise RuntimeError("an input is not the same when it is written again")
            known = self._known.get((run.owner.uid, digest))
            if known is None or time.monotonic() - known > KNOWN_SECONDS:
                yield piece, digest

    async def _one(
        self, run: ActiveRun, launch: Launch, job: Mapping[str, Any], piece: bytes, digest: str
    ) -> Observation | None:
        """Carry one piece."""
        plan, settings, store = run.engine.plan, self._settings, run.engine.plan.spec.pinned_store
        words = "another Pod has the name: delete it"
        for number in range(TRIES):
            pod = build_carrier(run.owner, plan, launch, job, piece, digest, settings, number)
            if problems := check_pod(pod, settings, store):
                listed = "; ".join(map(str, problems))
                message = f"the Pod that stores its input: {listed:.1000}"
                return not_started(launch, NodeReason.FORBIDDEN, message)
            made = await self._make(pod)
            if made is None:
                continue
            try:
                ended = await self._end_of(run, launch, made)
            finally:
                await self._remove(made)
            if isinstance(ended, Observation):
                return ended
            if ended is None:
                return None
            if ended == "":
                self._note(run.owner.uid, digest)
                return None
            words = ended
        name = pod["metadata"]["name"]
        return _retried(launch, f"its input could not be stored: the Pod {name}: {words}")

    async def _end_of(
        self, run: ActiveRun, launch: Launch, pod: Mapping[str, Any]
    ) -> Observation | str | None:
        """Wait for a Pod; return why the node has failed, or how the Pod was lost.

        An empty string: the piece is stored. None: it is not wanted any more.
        """
        begin = time.monotonic()
        most = START_SECONDS + self._settings.artifacts.upload_seconds
        meta = pod["metadata"]
        while True:
            phase = dig(pod, "status", "phase")
            if phase == "Succeeded":
                return ""
            if not self._is_wanted(run, launch):
                return None
            if phase == "Failed":
                return _failed(launch, pod)
            if time.monotonic() - begin > most:
                message = f"its input was not stored within {most:.0f} seconds: {_state(pod)}"
                return _retried(launch, message)
            await asyncio.sleep(LOOK_SECONDS)
            try:
                pod = await self._client.get_pod(meta["namespace"], meta["name"])
            except ApiError as error:
                if error.status == 404:
                    return "it was deleted"
                if not error.transient:
                    raise

    async def _make(self, pod: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make a Pod, or find the one that was made before a crash; None: it is another one."""
        try:
            return await self._client.create_pod(pod)
        except ApiError as error:
            if error.status != 409:
                raise
        meta = pod["metadata"]
        found = await self._client.get_pod(meta["namespace"], meta["name"])
        verified = self._settings.creators_are_verified
        return found if is_pod_as_built(pod, found, creators_are_verified=verified) else None

    async def _remove(self, pod: Mapping[str, Any]) -> None:
        """Delete a Pod: it holds a megabyte. At the latest it goes with its run."""
        meta = pod["metadata"]
        with suppress(ApiError):
            await self._client.delete_pod(meta["namespace"], meta["name"], meta["uid"])

    def _note(self, run: str, digest: str) -> None:
        self._known.pop((run, digest), None)
        self._known[run, digest] = time.monotonic()
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    @staticmethod
    def _is_wanted(run: ActiveRun, launch: Launch) -> bool:
        return run.engine.is_execution_current(launch.node, launch.execution_id)


async def _next(
    waiting: set[asyncio.Task[Observation | None]],
) -> tuple[Observation | None, set[asyncio.Task[Observation | None]]]:
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    problems = [each.result() for each in done]
    return next((each for each in problems if each is not None), None), rest


def _failed(launch: Launch, pod: Mapping[str, Any]) -> Observation | str:
    """Return why a piece cannot be stored, or how its Pod was lost."""
    end = helper_end(items(dig(pod, "status", "initContainerStatuses")), FETCHER)
    if end is None:
        return _state(pod)
    error = read_error(end)
    if error is None:
        return f"its container {how_ended(end)}"
    return _retried(launch, error.message, is_retryable=error.is_retryable)


def _retried(launch: Launch, message: str, *, is_retryable: bool = True) -> Observation:
    return Observation(
        launch.node,
        launch.execution_id,
        AttemptPhase.FAILED,
        reason=NodeReason.UPLOAD,
        message=message,
        retryable=is_retryable,
    )


def _state(pod: Mapping[str, Any]) -> str:
    """Describe how a Pod stands."""
    conditions = items(dig(pod, "status", "conditions"))
    words = [text(each.get("message")) for each in conditions if each.get("status") == "False"]
    said = [text(dig(pod, "status", "message")), *words]
    told = next((each for each in said if each), "")
    return (
        f"it is {text(dig(pod, 'status', 'phase')) or 'Pending'}{': ' if told else ''}{told:.300}"
    )
