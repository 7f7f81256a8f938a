"""Values that `outputs` of a node names, made part of its output."""

from collections.abc import Mapping
from typing import Any

import orjson

from podium import contracts
from podium.api.outputs import OutputFormat, OutputValue
from podium.api.reasons import NodeReason
from podium.errors import PodiumError

__all__ = ["OutputValueError", "described", "require_small", "with_values"]

_REPLACED = "\ufffd"
"""What Kubernetes puts in the place of bytes that are not UTF-8."""


class OutputValueError(PodiumError):
    """A value cannot be had; `reason` is one word for the node's state."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def with_values(
    outputs: Mapping[str, OutputValue],
    written: Mapping[str, Any],
    values: Mapping[str, bytes],
    limit: int | None,
) -> dict[str, Any]:
    """Return an output with the values that `outputs` names. Raises `OutputValueError`.

    `written` is what $PODIUM_OUTPUT held, `values` what was found for the others; from `limit`
    bytes on they are too large.
    """
    made = dict(written)
    for name, source in sorted(outputs.items()):  # of several that are wrong, the same everywhere
        where = described(name, source)
        if name in written:
            raise OutputValueError(
                NodeReason.OUTPUT_CONTRACT,
                f"{where}: $PODIUM_OUTPUT has {name!r} too: leave it out in one of them",
            )
        raw = values.get(name, b"")
        if raw:
            require_small(where, len(raw), limit)
            made[name] = _read(where, source, raw)
        elif source.default is not None:
            made[name] = source.default
        else:
            raise OutputValueError(NodeReason.OUTPUT_MISSING, f"{where} {_missing(source)}")
    if limit is not None and len(orjson.dumps(made)) >= limit:
        raise OutputValueError(
            NodeReason.OUTPUT_TOO_LARGE,
            f"the output has {limit} bytes or more with the values of outputs: hand over less, or"
            " files as artifacts",
        )
    return made


def described(name: str, source: OutputValue) -> str:
    """Return where a value is had from, as the beginning of a message."""
    return f"outputs.{name}: {source.path or 'standard output'}"


def require_small(where: str, size: int, limit: int | None) -> None:
    """Raise `OutputValueError` for what is too large for an output."""
    if limit is not None and size >= limit:
        raise OutputValueError(
            NodeReason.OUTPUT_TOO_LARGE,
            f"{where} has {limit} bytes or more: hand over less, or files as artifacts",
        )


def _missing(source: OutputValue) -> str:
    if source.path is None:
        return "is empty: let the program print a value, or set a default"
    return "is missing or empty: let the program write it, or set a default"


def _read(where: str, source: OutputValue, raw: bytes) -> Any:
    try:
        text = contracts.decoded(raw)
        if _REPLACED in text:
            raise contracts.OutputNotJSONError("is not UTF-8 text")
        if source.read_as is OutputFormat.JSON:
            return contracts.parse_value(text)
    except contracts.OutputNotJSONError as error:
        raise OutputValueError(NodeReason.OUTPUT_NOT_JSON, f"{where} {error}") from None
    text = text.removesuffix("\n")
    return text.split("\n") if source.read_as is OutputFormat.LINES else text
