"""Requests by annotation, carried out exactly once (semantics.md 8).

`podium.dev/rerun`, `restore` and `approve` are turned into `podium.dev/accepted`, a list of
requests with ids, by one patch; the status write that carries a request out names its id; then it
is taken out of the list.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from podium.api.names import GROUP, is_path
from podium.api.reasons import EventReason
from podium.api.run import HANDLED_REQUESTS
from podium.cluster.runs.decisions import (
    APPROVE,
    APPROVED_BY,
    APPROVED_GROUPS,
    Decision,
    load_decision,
    parse_decision,
)
from podium.contracts import normalise

__all__ = [
    "ACCEPTED",
    "MAX_PENDING",
    "MAX_PENDING_BYTES",
    "REFUSED",
    "REQUESTED_BY",
    "RERUN",
    "Accepted",
    "ParsedRequests",
    "accept_patch",
    "drop_patch",
    "load_accepted",
    "parse_annotations",
    "requester",
    "within_limits",
]

RERUN = f"{GROUP}/rerun"
CASCADE = f"{GROUP}/rerun-cascade"
RESTORE = f"{GROUP}/restore"
REQUESTED_BY = f"{GROUP}/requested-by"
NAME_CHARACTERS = 256
ACCEPTED = f"{GROUP}/accepted"

MAX_CHARACTERS = 65_536
MAX_PENDING = HANDLED_REQUESTS
"""Requests that wait, at most: the id of an earlier one would be forgotten too soon."""
MAX_PENDING_BYTES = 160_000
"""Bytes of them, of the 256 KiB that all annotations of an object may have."""

REFUSED = {
    "rerun": EventReason.RERUN_REFUSED,
    "restore": EventReason.RESTORE_REFUSED,
    "approve": EventReason.APPROVAL_REFUSED,
}
"""Reasons of the Events that refuse a request, by its kind."""

_HOW = (
    'write node ids separated by commas, or JSON such as {"nodes": ["build"], "cascade": true,'
    ' "context": {…}, "revision": "latest"} or {"failed": true}'
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted request, as it is stored in the annotation."""

    id: str
    kind: str
    """rerun, restore or approve."""
    nodes: tuple[str, ...] = ()
    cascade: bool = True
    context: Mapping[str, Any] | None = None
    latest: bool = False
    version: int = 0
    failed: bool = False
    decision: Decision | None = None
    """What was decided, of approve."""
    by: str = ""
    """Who asked for it, as the annotation says."""

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        made: dict[str, Any] = {"id": self.id}
        if self.by:
            made["by"] = self.by
        if self.kind == "restore":
            return {**made, "restore": self.version}
        if self.decision is not None:
            return {**made, "approve": self.decision.dump()}
        made["nodes"] = list(self.nodes)
        if not self.cascade:
            made["cascade"] = False
        if self.context:
            made["context"] = dict(self.context)
        if self.latest:
            made["revision"] = "latest"
        if self.failed:
            made["failed"] = True
        return made


@dataclass(frozen=True, slots=True)
class ParsedRequests:
    """What the annotations of a run ask for, not accepted yet."""

    requests: tuple[Accepted, ...]
    refusals: tuple[tuple[str, str], ...]
    """What cannot be understood: the reason of the Event, and what is wrong and would be right."""


def parse_annotations(
    annotations: Mapping[str, str], uid: str, resource_version: str
) -> ParsedRequests | None:
    """Read the requests in a run's annotations; None: there are none.

    The id follows from the run, its version and the text: a second look at the same object makes
    the same id.
    """
    requests: list[Accepted] = []
    refusals: list[tuple[str, str]] = []
    if not any(key in annotations for key in (RERUN, RESTORE, CASCADE, APPROVE)):
        return None
    for kind, key, read in (
        ("approve", APPROVE, _approve),
        ("restore", RESTORE, _restore),
        ("rerun", RERUN, _rerun),
    ):
        text = annotations.get(key)
        if text is None:
            continue
        digest = hashlib.sha256(f"{uid}/{resource_version}/{key}/{text}".encode("utf-8", "replace"))
        try:
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
            made = read(digest.hexdigest()[:32], text, annotations)
            requests.append(replace(made, by=requester(annotations)))
        except ValueError as error:
            refusals.append((REFUSED[kind], f"annotation {key}: {error}"))
    if RERUN not in annotations and CASCADE in annotations:
        message = f"annotation {CASCADE} has no effect alone: set {RERUN} in the same command"
        refusals.append((REFUSED["rerun"], message))
    return ParsedRequests(tuple(requests), tuple(refusals))


def requester(annotations: Mapping[str, str]) -> str:
    """Return who made a run or a request, as an annotation says; empty: it does not."""
    name = annotations.get(REQUESTED_BY, "")[:NAME_CHARACTERS]
    return "".join(each if each.isprintable() else "?" for each in name)


def _approve(identity: str, text: str, annotations: Mapping[str, str]) -> Accepted:
    return Accepted(identity, "approve", decision=parse_decision(text, annotations))


def _rerun(identity: str, text: str, annotations: Mapping[str, str]) -> Accepted:
    cascade = _cascade(annotations.get(CASCADE))
    if not text.lstrip().startswith("{"):
        nodes = (part.strip() for part in text.split(",") if part.strip())
        return Accepted(identity, "rerun", _ids(nodes), cascade)
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error}): {_HOW}") from None
    return _from_json(identity, data, cascade)


def _from_json(identity: str, data: Mapping[str, Any], cascade: bool) -> Accepted:
    unknown = set(data) - {"nodes", "failed", "cascade", "context", "revision"}
    if unknown:
        raise ValueError(f"unknown field {min(unknown)!r:.80}: {_HOW}")
    nodes = data.get("nodes", [])
    if isinstance(nodes, str):
        nodes = [nodes]
    if not isinstance(nodes, list) or not all(isinstance(node, str) for node in nodes):
        raise ValueError(f"nodes must be a list of node ids: {_HOW}")
    cascade = data.get("cascade", cascade)
    if not isinstance(cascade, bool):
        raise ValueError("cascade must be true or false")  # noqa: TRY004 - said to the user
    context = data.get("context")
    if context is not None and not isinstance(context, dict):
        raise ValueError("context must be an object of context keys")
    try:
        context = normalise(context)
    except ValueError as error:
        raise ValueError(f"context {error}") from None
    revision = data.get("revision")
    if revision not in (None, "latest"):
        raise ValueError('revision must be "latest", or be left out')
    latest = revision is not None
    failed = data.get("failed", False)
    if not isinstance(failed, bool):
        raise ValueError("failed must be true or false")  # noqa: TRY004 - said to the user
    found = _ids(nodes, none=latest or failed)
    return Accepted(identity, "rerun", found, cascade, context, latest, failed=failed)


def _ids(nodes: Iterable[str], *, none: bool = False) -> tuple[str, ...]:
    """Check what names nodes; whether the run has them is the engine's question."""
    found = tuple(dict.fromkeys(nodes))
    wrong = next((node for node in found if not is_path(node)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r:.80} is not a node id: {_HOW}")
    if not found and not none:
        raise ValueError(f"names no node: {_HOW}")
    return found


def _cascade(text: str | None) -> bool:
    if text is None:
        return True
    if text.strip().lower() not in ("true", "false"):
        raise ValueError(f'{CASCADE} must be "true" or "false", not {text!r:.80}')
    return text.strip().lower() == "true"


def _restore(identity: str, text: str, annotations: Mapping[str, str]) -> Accepted:
    del annotations
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise ValueError(f'must be a context version such as "3", not {text!r:.80}')
    return Accepted(identity, "restore", version=int(digits))


def load_accepted(annotations: Mapping[str, str]) -> list[Accepted] | None:
    """Read the accepted requests; None: the annotation is damaged."""
    text = annotations.get(ACCEPTED)
    if text is None:
        return []
    if len(text) > MAX_PENDING_BYTES:
        return None  # Podium writes no more
    try:
        rows = orjson.loads(text)
        if len(rows) > MAX_PENDING:
            return None
        found = []
        for row in rows:
            identity, by = row.pop("id"), row.pop("by", "")
            if not isinstance(identity, str) or not identity or len(identity) > 100:
                return None
            by = requester({REQUESTED_BY: by})
            if "approve" in row:
                made = Accepted(identity, "approve", decision=load_decision(row["approve"]))
            elif "restore" in row:
                made = _restore(identity, str(row["restore"]), {})
            else:
                made = _from_json(identity, row, cascade=True)
            found.append(replace(made, by=by))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found


def within_limits(accepted: list[Accepted]) -> bool:
    """Return whether so many requests may wait."""
    return len(accepted) <= MAX_PENDING and len(_dump(accepted)) <= MAX_PENDING_BYTES


def accept_patch(
    annotations: Mapping[str, str], resource_version: str, accepted: list[Accepted]
) -> list[dict[str, Any]]:
    """Return the JSON Patch that turns what is asked into `accepted`."""
    operations: list[dict[str, Any]] = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}
    ]
    operations += [
        {"op": "remove", "path": _pointer(key)}
        # Who asked is kept with what was asked: the next one to ask says so again.
        for key in (RERUN, CASCADE, RESTORE, REQUESTED_BY, *_of_decision(annotations))
        if key in annotations
    ]
    return [*operations, *_write(annotations, accepted)]


def _of_decision(annotations: Mapping[str, str]) -> tuple[str, ...]:
    return (APPROVE, APPROVED_BY, APPROVED_GROUPS) if APPROVE in annotations else ()


def drop_patch(
    annotations: Mapping[str, str], resource_version: str, left: list[Accepted]
) -> list[dict[str, Any]]:
    """Return the JSON Patch that leaves only these requests in `accepted`."""
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}
    return [version, *_write(annotations, left)]


def _write(annotations: Mapping[str, str], accepted: list[Accepted]) -> list[dict[str, Any]]:
    if accepted:
        return [{"op": "add", "path": _pointer(ACCEPTED), "value": _dump(accepted).decode()}]
    if ACCEPTED in annotations:
        return [{"op": "remove", "path": _pointer(ACCEPTED)}]
    return []


def _dump(accepted: list[Accepted]) -> bytes:
    return orjson.dumps([request.dump() for request in accepted])


def _pointer(annotation: str) -> str:
    return "/metadata/annotations/" + annotation.replace("~", "~0").replace("/", "~1")
