"""Decisions about approvals, from another podium to the one that works on the run.

Each is a file in RUN/approvals, there until the run's state says that it was carried out: after a
crash it is read again, and its id keeps it from being carried out twice.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from podium.engine import ApprovalRequest
from podium.kinds import Answer
from podium.local.files import read_regular, write_private
from podium.local.store import RunDirectory

__all__ = ["clear", "is_pending", "pending", "put"]

_LIMIT = 100_000
_FILE = re.compile(r"[0-9a-f-]{8,64}")


def put(directory: RunDirectory, request: ApprovalRequest) -> None:
    """Leave a decision for the podium that works on the run, or the next one that does."""
    answer = request.answer
    data = {
        "node": request.node,
        "executionId": request.execution,
        "approved": answer.is_approved,
        "by": answer.by,
        "comment": answer.comment,
        "values": answer.values,
    }
    place = _place(directory)
    place.mkdir(mode=0o700, exist_ok=True)
    temporary = place / f"{request.id}.new"
    write_private(temporary, orjson.dumps(data))
    temporary.replace(place / request.id)  # whole, or not there at all


def is_pending(directory: RunDirectory, identity: str) -> bool:
    """Return whether a decision waits to be carried out."""
    return (_place(directory) / identity).exists()


def pending(directory: RunDirectory) -> Iterator[ApprovalRequest]:
    """Return the decisions that wait; what is not one is removed."""
    with suppress(OSError):
        for path in sorted(_place(directory).iterdir()):
            if not _FILE.fullmatch(path.name):
                continue
            request = _read(path)
            if request is None:
                clear(directory, path.name)
            else:
                yield request


def _read(path: Path) -> ApprovalRequest | None:
    try:
        data = orjson.loads(read_regular(path, _LIMIT)[0])
        by = str(data["by"])
        values = dict(data["values"])
        answer = Answer(data["approved"] is True, by, by, None, str(data["comment"]), values)
        return ApprovalRequest(path.name, str(data["node"]), str(data["executionId"]), answer)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear(directory: RunDirectory, identity: str) -> None:
    """Remove a decision that was carried out."""
    with suppress(OSError):
        (_place(directory) / identity).unlink(missing_ok=True)


def _place(directory: RunDirectory) -> Path:
    return directory.path / "approvals"
