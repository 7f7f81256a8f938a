"""How the input of an execution reaches its Pod: as it is, packed in variables, or by the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium.api.reasons import NodeReason
from podium.artifacts.carried_input import (
    MAX_CARRIED_BYTES,
    MAX_PIECES,
    Carried,
    measure,
    written,
)
from podium.artifacts.packed_input import MAX_PLAIN_BYTES, PIECE_BYTES, pack_input
from podium.cluster.jobs.errors import BuildError

__all__ = ["SMALL_BYTES", "GivenInput", "given_input", "large_input", "small_input"]

SMALL_BYTES = 200_000
"""With a script, a larger input may not fit into a Pod as it is: then it is packed at once."""


@dataclass(frozen=True, slots=True)
class GivenInput:
    """The input of an execution, in one of its forms."""

    text: bytes = b""
    """As JSON; empty: it is carried."""
    packed: tuple[str, ...] = ()
    """For variables, where the annotations of a Pod may not carry it."""
    carried: Carried | None = None
    """In the store, where no Pod can hold it."""


def small_input(document: Mapping[str, Any]) -> GivenInput | None:
    """Return an input that a Pod carries as it is; None: it is large."""
    text = written(document, SMALL_BYTES)
    return None if text is None else GivenInput(text)


def large_input(document: Mapping[str, Any], *, has_store: bool) -> GivenInput:
    """Return an input that a Pod may not carry as it is. It takes long.

    Raises `BuildError` if nothing carries it.
    """
    text = written(document, MAX_PLAIN_BYTES)
    packed = pack_input(text) if text is not None else None
    if text is not None and packed is not None:
        return GivenInput(text, packed)
    if not has_store:
        raise BuildError(
            NodeReason.INPUT_TOO_LARGE,
            f"its input has more than the {MAX_PLAIN_BYTES:,} bytes, or packed more than the"
            " 600,000, that a Pod carries, and this cluster has no store to hand it over by: set"
            " the chart's value artifacts.s3 or artifacts.pvc, or name an ArtifactStore in"
            " spec.artifacts.store; or hand over less",
        )
    carried = measure(document)
    if carried is None:
        raise BuildError(
            NodeReason.INPUT_TOO_LARGE,
            f"its input has more than {MAX_CARRIED_BYTES:,} bytes, or packed more than"
            f" {MAX_PIECES * PIECE_BYTES:,}, beside what rests in the store: set largeOutput: true"
            " on the nodes whose outputs it gets, or hand over files in artifacts",
        )
    return GivenInput(carried=carried)


def given_input(document: Mapping[str, Any], *, has_store: bool) -> GivenInput:
    """Return an input in the form that its size takes. Raises `BuildError`."""
    return small_input(document) or large_input(document, has_store=has_store)
