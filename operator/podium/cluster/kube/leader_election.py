"""Which one of several operators works: leader election by a Lease, with a fence for the loser.

What holds: no two operators pass `Leader.check` at the same instant. A leader passes for less than
`renew_deadline` after it *began* its last good renewal; another one takes the lease no sooner than
`lease_duration` after it *saw* that renewal, which is later. Each measures with its own clock, so
only the speed of the clocks must agree, to within lease_duration / renew_deadline (1.5).

What does not hold: that a request which was let through has arrived by then. Hence the time to
settle that `acquire` returns; and names and resourceVersions go on refusing what comes later still.
A user who deletes the Lease or empties its holder by hand, and a hypervisor that stops a guest
together with its CLOCK_BOOTTIME, defeat the election.
"""

import asyncio
import logging
import math
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from podium.cluster.kube.errors import ApiError
from podium.errors import PodiumError

__all__ = ["Leader", "LeadershipLostError", "Leases", "Timing"]

log = logging.getLogger(__name__)


class Leases(Protocol):
    """The requests of the election, each raising `ApiError`.

    They share neither connections nor slots with other requests, which could hold them up.
    """

    async def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Lease as it stands now, not as some cache has it."""

    async def create_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Lease; 409 if there is one."""

    async def replace_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Replace a Lease; 409 if its resourceVersion is not the current one."""


class LeadershipLostError(PodiumError):
    """This operator is not the leader any more: the process must end."""


@dataclass(frozen=True)
class Timing:
    """Times of the election, in seconds. Raises `ValueError` naming the one that is wrong."""

    lease_duration: float = 15.0
    """A lease that has not changed for so long may be taken."""
    renew_deadline: float = 10.0
    """A leader stops that has not renewed for so long."""
    retry_period: float = 2.0
    """A leader renews, and the others look, so often."""
    request_timeout: float = 4.0
    """One request for the lease takes at most so long."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 < getattr(self, field.name) < math.inf:
                raise ValueError(f"{field.name} must be more than 0 s")
        if self.renew_deadline >= self.lease_duration:
            raise ValueError(
                f"renew_deadline ({self.renew_deadline:g} s) must be less than "
                f"lease_duration ({self.lease_duration:g} s)"
            )
        # A request that is sent just before the deadline ends before the lease can be taken.
        if self.request_timeout + self.renew_deadline >= self.lease_duration:
            raise ValueError(
                f"request_timeout ({self.request_timeout:g} s) must be less than lease_duration - "
                f"renew_deadline ({self.lease_duration - self.renew_deadline:g} s)"
            )
        # At least one renewal is through before the deadline, however slow.
        if self.retry_period + self.request_timeout >= self.renew_deadline:
            raise ValueError(
                f"retry_period ({self.retry_period:g} s) must be less than renew_deadline - "
                f"request_timeout ({self.renew_deadline - self.request_timeout:g} s)"
            )


def _boottime() -> float:
    # Goes on while the machine sleeps, which CLOCK_MONOTONIC does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leader:
    """One candidate, for one term: `acquire`, then `keep` until it is lost or until `release`."""

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        name: str,
        *,
        identity: str = "",
        timing: Timing | None = None,
        boottime: Callable[[], float] = _boottime,
        wall: Callable[[], float] = time.time,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """Stand for election by this Lease.

        No two processes may have the same `identity`; none: hostname and a random part. `boottime`
        returns seconds that go on while the process or the machine stands still. `wall` returns
        seconds since 1970; they are shown to readers of the Lease and used for nothing else. `end`
        ends the process at once, with an exit code.
        """
        self.identity = identity or f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self._leases = leases
        self._namespace = namespace
        self._name = name
        self._timing = timing or Timing()
        self._boottime = boottime
        self._wall = wall
        self._end = end
        # As a candidate: the lease as last seen, and from when on it may be taken.
        self._version = ""
        self._holder = ""
        self._span = self._timing.lease_duration
        self._free_at = -math.inf
        self._settle = 0.0
        # As the leader: the lease as last written, and when the last good renewal began.
        self._lease: dict[str, Any] = {}
        self._good: float | None = None
        self._settled_at = math.inf

    @property
    def leading(self) -> bool:
        """Whether this is the leader now; whatever is to be fenced asks `check` instead."""
        good = self._good
        return good is not None and self._boottime() - good < self._timing.renew_deadline

    def check(self) -> None:
        """End the process unless this is the leader now. Called right before what changes anything.

        Asks only the clock: it holds also when the process stood still and the event loop has not
        run since. An `end` that returns, as in tests, is followed by `LeadershipLostError`.
        """
        if not self.leading:
            log.critical("not the leader any more: the process ends before it changes anything")
            self._end(1)
            raise LeadershipLostError(f"{self.identity} is not the leader")

    # As a candidate

    async def acquire(self) -> float:
        """Wait until this is the leader; return how many seconds not to launch anything.

        `keep` must run meanwhile. They are one lease duration after a leader that did not release
        the lease, whose last requests may still be under way, otherwise 0. Raises `ApiError` where
        trying again does not help, such as a missing permission.
        """
        failing = False
        while True:
            try:
                if await self._try():
                    log.info(
                        "%s became the leader, after %g s to settle", self.identity, self._settle
                    )
                    return self._settle
                failing = False
            except ApiError as error:
                if not error.transient:
                    raise
                if not failing:
                    log.warning("the lease %s cannot be acquired, retrying: %s", self._name, error)
                failing = True
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds until the next look: jittered, and not long after the lease runs out."""
        period = self._timing.retry_period
        pause = period * random.uniform(0.5, 1.5)  # noqa: S311  # no secret
        left = self._free_at - self._boottime()
        return min(pause, left + 0.05 * pause) if left > 0 else pause

    async def _try(self) -> bool:
        """Take the lease if it is free; return whether it was taken. Raises `ApiError`."""
        try:
            lease = await self._in_time(self._leases.get_lease(self._namespace, self._name))
        except ApiError as error:
            if error.status != 404:
                raise
            # One that vanished was not released: what was seen of its holder still counts.
            lease = None
        now = self._boottime()
        if lease is not None:
            self._look(lease, now)
        if now < self._free_at:
            return False
        # Our own identity stands there after a try of ours whose answer was lost; what that try
        # had to settle, this one has.
        if self._holder != self.identity:
            self._settle = self._span if self._holder else 0.0
        start = self._boottime()
        try:
            if lease is None:
                metadata = {"namespace": self._namespace, "name": self._name}
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
                lease["metadata"] = metadata
                taken = await self._in_time(self._leases.create_lease(self._held(lease)))
            else:
                taken = await self._in_time(self._leases.replace_lease(self._held(lease)))
        except ApiError as error:
            if error.status == 409:  # another operator was faster
                return False
            raise
        self._lease = taken
        self._good = start
        self._settled_at = self._boottime() + self._settle
        return True

    def _look(self, lease: Mapping[str, Any], now: float) -> None:
        """Note who holds the lease, and since when on our clock it has not changed."""
        version = lease["metadata"]["resourceVersion"]
        if version == self._version:
            return
        spec = lease.get("spec") or {}
        self._version = version
        self._holder = spec.get("holderIdentity") or ""
        # An operator with a longer duration of its own trusts that others wait for that long.
        self._span = max(self._timing.lease_duration, spec.get("leaseDurationSeconds") or 0.0)
        others = self._holder not in ("", self.identity)
        self._free_at = now + self._span if others else -math.inf

    # As the leader

    async def keep(self) -> NoReturn:
        """Renew the lease. Raises `LeadershipLostError` when that failed for too long.

        Also when the lease names another holder, or when `acquire` was not called.
        """
        timing = self._timing
        failing = reread = False
        due = (self._good or 0.0) + timing.retry_period
        while True:
            await asyncio.sleep(max(0.0, due - self._boottime()))
            if not self.leading:
                late = f"not renewed for {timing.renew_deadline:g} s"
                raise self._lost("not held" if self._good is None else late)
            start = self._boottime()
            due = start + timing.retry_period
            try:
                if reread:
                    lease = await self._in_time(self._leases.get_lease(self._namespace, self._name))
                else:
                    lease = await self._in_time(self._leases.replace_lease(self._held(self._lease)))
            except ApiError as error:
                if error.status == 404:
                    raise self._lost("the Lease is gone") from None
                if error.status == 409:
                    # A renewal of ours whose answer was lost, a label, or another holder.
                    reread, due = True, start
                elif not failing:
                    log.warning("the lease %s was not renewed, retrying: %s", self._name, error)
                    failing = True
                continue
            if self._good is None:
                raise self._lost("not held")
            self._lease = lease
            if reread:
                holder = _holder(lease)
                if holder != self.identity:
                    raise self._lost(f"held by {holder or 'no operator'}")
                reread, due = False, start
            else:
                self._good = start
                failing = False

    def _lost(self, why: str) -> LeadershipLostError:
        self._good = None
        return LeadershipLostError(f"{self.identity} lost the lease {self._name}: {why}")

    async def release(self) -> None:
        """Let another one lead at once, if this still is the leader. Takes `request_timeout` s.

        Call it when `keep` has been cancelled and when every request that `check` let through has
        been answered: the next leader does not wait for any. From here on `check` refuses. A term
        that ends before it settled is not released, for the requests of the leader before. Raises
        nothing: a lease that cannot be released runs out.
        """
        leading, self._good = self.leading, None
        if not leading or self._boottime() < self._settled_at:
            return
        try:
            async with asyncio.timeout(self._timing.request_timeout):
                while not await self._clear():
                    pass
        except (ApiError, TimeoutError) as error:
            log.warning("the lease %s was not released and will expire: %s", self._name, error)

    async def _clear(self) -> bool:
        """Take our name out of the lease; return False for another try. Raises `ApiError`."""
        lease = await self._leases.get_lease(self._namespace, self._name)
        if _holder(lease) != self.identity:
            return True
        # Without a value rather than with an empty one, as client-go does.
        spec = {key: value for key, value in lease["spec"].items() if key != "holderIdentity"}
        spec["renewTime"] = _micro_time(self._wall())
        try:
            await self._leases.replace_lease({**lease, "spec": spec})
        except ApiError as error:
            if error.status == 409:  # a cancelled renewal of ours that arrived in between
                return False
            raise
        return True

    # Both

    def _held(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Return the lease with us as its holder, renewed now."""
        spec = dict(lease.get("spec") or {})
        now = _micro_time(self._wall())
        if _holder(lease) != self.identity:
            times = spec.get("leaseTransitions")
            spec["leaseTransitions"] = 0 if times is None else times + 1
            spec["acquireTime"] = now
        spec["holderIdentity"] = self.identity
        spec["leaseDurationSeconds"] = math.ceil(self._timing.lease_duration)
        spec["renewTime"] = now
        return {**lease, "spec": spec}

    async def _in_time(self, request: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        # Not left to the client's own time-out: waiting for a connection is not part of that.
        try:
            async with asyncio.timeout(self._timing.request_timeout):
                return await request
        except TimeoutError:
            limit = self._timing.request_timeout
            raise ApiError(0, "NoAnswer", f"none within {limit:g} s") from None


def _holder(lease: Mapping[str, Any]) -> str:
    return (lease.get("spec") or {}).get("holderIdentity") or ""


def _micro_time(seconds: float) -> str:
    # Always six digits: the API server reads a MicroTime by that very layout.
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
