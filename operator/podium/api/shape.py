"""What the models say of their fields: for hints, for the seed's format, for the CRDs."""

import types
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from podium.api.problems import Path

__all__ = ["FieldShape", "closest", "fields", "model_at", "walk"]

Model = type[BaseModel]


class FieldShape(NamedTuple):
    """One field of a model."""

    alias: str
    """Its name in resources: `retryPolicy`, `from`."""
    snake: str
    """Its name in the seed's format: `retry_policy`, `from`."""
    model: Model | None
    """The model that it holds, directly, in a list or by key."""
    container: Literal["list", "dict"] | None
    enum: type[Enum] | None


@cache
def fields(model: Model) -> dict[str, FieldShape]:
    """Return the fields of a model that users write, by their name in resources."""
    found = {}
    for name, info in model.model_fields.items():
        if any(type(each) is SkipJsonSchema for each in info.metadata):
            continue
        alias = info.alias or name
        held, container, enum = _held(info.annotation)
        found[alias] = FieldShape(alias, name.rstrip("_"), held, container, enum)
    return found


def walk(model: Model, path: Path) -> Iterator[tuple[str | int, FieldShape | None, Model | None]]:
    """Go along a path: each part with its field (None inside free-form data) and its model."""
    here: Model | None = model
    waiting: FieldShape | None = None
    for part in path:
        if waiting is not None:
            yield part, None, waiting.model
            here, waiting = waiting.model, None
            continue
        shape = fields(here).get(str(part)) if here is not None else None
        yield part, shape, here
        if shape is not None and shape.container is not None:
            here, waiting = None, shape
        else:
            here = shape.model if shape is not None else None


def model_at(model: Model, path: Path) -> Model | None:
    """Return the model at a path; None where there is free-form data or a plain value."""
    here: Model | None = model
    waiting: FieldShape | None = None
    for part in path:
        if waiting is not None:
            here, waiting = waiting.model, None
            continue
        shape = fields(here).get(str(part)) if here is not None else None
        if shape is None:
            return None
        if shape.container is None:
            here = shape.model
        else:
            here, waiting = None, shape
    return here


def closest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the name that was probably meant: equal but for case and underscores, or similar."""
    import difflib  # noqa: PLC0415 - only on the way to an error

    names = list(known)
    bare = {_bare(name): name for name in reversed(names)}
    if _bare(word) in bare:
        return bare[_bare(word)]
    close = difflib.get_close_matches(word[:100], names, n=1, cutoff=cutoff)
    if not close:
        close = difflib.get_close_matches(_bare(word[:100]), list(bare), n=1, cutoff=cutoff)
        return bare[close[0]] if close else None
    return close[0]


def _bare(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _held(
    annotation: Any,
) -> tuple[Model | None, Literal["list", "dict"] | None, type[Enum] | None]:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return _held(arguments[0])
    if origin in (Union, types.UnionType):
        for argument in arguments:
            held = _held(argument)
            if held != (None, None, None):
                return held
        return None, None, None
    if origin is list:
        return _held(arguments[0])[0], "list", _held(arguments[0])[2]
    if origin is dict:
        return _held(arguments[1])[0], "dict", None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None, None
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return None, None, annotation
    return None, None, None
