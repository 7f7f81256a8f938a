"""Fuel: what several evaluations may take together, for an actor that must not take long."""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from podium.errors import PodiumError

__all__ = ["FUEL", "Fuel", "OutOfFuelError", "charge"]


class OutOfFuelError(PodiumError):
    """The evaluations take more steps than the fuel allows. They are not wrong because of that."""


class Fuel:
    """Steps for all evaluations inside its `with`; beyond them `OutOfFuelError` is raised."""

    __slots__ = ("_token", "left")

    def __init__(self, steps: int) -> None:
        self.left = steps
        self._token: Token[Fuel | None] | None = None

    def __enter__(self) -> Self:
        self._token = FUEL.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            FUEL.reset(self._token)


FUEL: ContextVar[Fuel | None] = ContextVar("fuel", default=None)
"""What an evaluation that begins may take; None: as much as a single expression may."""


def charge(steps: int) -> None:
    """Take steps that are made outside an evaluation. Raises `OutOfFuelError`."""
    fuel = FUEL.get()
    if fuel is not None:
        if fuel.left < steps:
            raise OutOfFuelError
        fuel.left -= steps
