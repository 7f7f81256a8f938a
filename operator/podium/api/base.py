"""What the models of the API share: their configuration and the types of their fields."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

__all__ = [
    "ApiModel",
    "Id",
    "JsonObject",
    "LongText",
    "Name",
    "NodePath",
    "Quantity",
    "Text",
    "Timestamp",
    "format_duration",
    "format_time",
    "parse_time",
    "shorten",
]

MESSAGE_CHARACTERS = 1000
"""Characters that a status keeps of a message."""


class ApiModel(BaseModel):
    """A part of a resource: camelCase outside, unknown fields refused.

    The docstrings of its fields are what `kubectl explain` shows (`podium.api.crd`).
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        validate_default=False,
        ser_json_inf_nan="constants",
        # Podium starts often: a model is made ready when it is first used. Those that all commands
        # use as parts of several others are not deferred: each of these would make them again.
        defer_build=True,
    )


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(value: object) -> float:
    """Read an RFC 3339 time (or seconds) as seconds since 1970, to the millisecond."""
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError(f"{value!r:.40} is not an RFC 3339 time such as 2026-01-31T12:00:00Z")
        return round(datetime.fromisoformat(value).timestamp(), 3)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(float(value), 3)
    raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00Z")


@lru_cache(maxsize=4096)  # a status says the same moments over and over
def format_time(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC, with milliseconds where there are some."""
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    kind = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=kind).replace("+00:00", "Z")


def format_duration(seconds: float) -> str:
    """Write seconds as `2h3m`, `2m5s`, `5s` or `0.4s`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m"


Timestamp = Annotated[
    float,
    BeforeValidator(parse_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
"""A point in time: seconds since 1970 inside the program, RFC 3339 outside."""

JsonObject = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""Free-form JSON: a context, an output, a config, a JSON Schema."""

Id = Annotated[str, Field(max_length=63, min_length=1)]
"""A node id; its pattern is checked by the graph's validation, which names the place."""

NodePath = Annotated[str, Field(max_length=200, min_length=1)]
"""A node as a status names it: its id, or the path of a member (`group.member`)."""

Name = Annotated[str, Field(max_length=253, min_length=1)]
Text = Annotated[str, Field(max_length=1024)]
LongText = Annotated[str, Field(max_length=32768)]

Quantity = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True}),
]
"""A Kubernetes quantity: `500m`, `1Gi`, `2`."""


def shorten(message: str, limit: int = MESSAGE_CHARACTERS) -> str:
    """Cut a message that is longer than a status keeps."""
    return message if len(message) <= limit else message[: limit - 1] + "…"
