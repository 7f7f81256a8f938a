"""Decisions about approvals, as `podium.dev/approve` and its companions say them.

JSON of a tenant: whatever it holds, what is read of it is small and is what it says it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from podium.api.approvals import MAX_ANSWER_BYTES, MAX_COMMENT
from podium.api.names import GROUP, is_path
from podium.contracts import normalise

__all__ = [
    "APPROVE",
    "APPROVED_BY",
    "APPROVED_GROUPS",
    "MAX_GROUPS",
    "Decision",
    "load_decision",
    "parse_decision",
]

APPROVE = f"{GROUP}/approve"
APPROVED_BY = f"{GROUP}/approved-by"
APPROVED_GROUPS = f"{GROUP}/approved-groups"
"""Groups of who decided, one a line. The API server verifies both (docs/security.md)."""
MAX_GROUPS = 100
MAX_CHARACTERS = 16_384
NAME_CHARACTERS = 256

_HOW = (
    'write JSON such as {"node": "gate", "executionId": "gate-1", "decision": "Approve",'
    ' "comment": "…", "values": {…}}, or let kubectl podium approve do it'
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a node that waits for approval."""

    node: str
    execution: str
    is_approved: bool
    comment: str
    values: Mapping[str, Any]
    by: str
    groups: tuple[str, ...] = ()
    """Groups of the person that count."""

    def dump(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "node": self.node,
            "executionId": self.execution,
            "decision": "Approve" if self.is_approved else "Reject",
            "by": self.by,
            **({"comment": self.comment} if self.comment else {}),
            **({"values": dict(self.values)} if self.values else {}),
            **({"groups": list(self.groups)} if self.groups else {}),
        }


def parse_decision(text: str, annotations: Mapping[str, str]) -> Decision:
    """Read a decision from annotations. Raises `ValueError` saying what would be right."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
    by = annotations.get(APPROVED_BY, "")
    if not by or len(by) > NAME_CHARACTERS:
        raise ValueError(
            f"{APPROVED_BY} must name who decides, in at most {NAME_CHARACTERS} characters: set it"
            " to your own name in the same command"
        )
    groups = [each for each in annotations.get(APPROVED_GROUPS, "").split("\n") if each]
    if len(groups) > MAX_GROUPS or any(len(each) > NAME_CHARACTERS for each in groups):
        raise ValueError(
            f"{APPROVED_GROUPS} must have at most {MAX_GROUPS} groups, one a line, of at most"
            f" {NAME_CHARACTERS} characters each"
        )
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error}): {_HOW}") from None
    if not isinstance(data, dict):
        raise ValueError(f"is not an object: {_HOW}")  # noqa: TRY004 - said to the user
    if unknown := set(data) - {"node", "executionId", "decision", "comment", "values"}:
        raise ValueError(f"unknown field {min(unknown)!r:.80}: {_HOW}")
    return load_decision({**data, "by": by, "groups": groups})


def load_decision(data: Mapping[str, Any]) -> Decision:
    """Read a decision from JSON. Raises `ValueError` saying what would be right."""
    node, execution = data.get("node"), data.get("executionId")
    if not isinstance(node, str) or not is_path(node):
        raise ValueError(f"node: {node!r:.80} is not a node id: {_HOW}")
    if not isinstance(execution, str) or not 0 < len(execution) <= NAME_CHARACTERS:
        raise ValueError(
            f"executionId must be that of the execution that waits, in the node's status: {_HOW}"
        )
    decision, comment = data.get("decision"), data.get("comment", "")
    if decision not in ("Approve", "Reject"):
        raise ValueError(f"decision must be Approve or Reject, not {decision!r:.80}")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise ValueError(f"comment must be a string of at most {MAX_COMMENT} characters")
    by, groups = data.get("by"), data.get("groups", [])
    if not isinstance(by, str) or not isinstance(groups, list):
        raise ValueError("by must be a string, groups a list")  # noqa: TRY004 - as the others
    return Decision(
        node,
        execution,
        decision == "Approve",
        _printable(comment),
        _values(data.get("values", {})),
        by,
        tuple(str(each) for each in groups),
    )


def _values(values: object) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise ValueError("values must be an object of the fields that the node asks for")  # noqa: TRY004
    try:
        size = len(orjson.dumps(values))
        normalised: Mapping[str, Any] = normalise(values)
    except (TypeError, ValueError) as error:  # orjson writes 254 levels
        raise ValueError(f"values: {error}") from None
    if size >= MAX_ANSWER_BYTES:
        raise ValueError(f"values must have less than {MAX_ANSWER_BYTES} bytes as JSON")
    return normalised


def _printable(comment: str) -> str:
    """Return a comment without what controls a terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "?" for each in comment)
