"""What a collector's last words say of a large output: all that the operator needs of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium import contracts

__all__ = ["Told", "told_of"]

_BREACHES_BYTES = 1500
"""What the breaches of a contract take of last words, at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """What last words say of an output."""

    read: Mapping[str, Any]
    """What the graph reads of it."""
    size: int = 0
    digest: str = ""
    """SHA-256 of all of it; empty: that is all."""
    verdict: contracts.OutputVerdict | None = None

    def dump(self) -> dict[str, Any]:
        """Return it as JSON; of one that breaks its contract there is the verdict alone."""
        verdict = self.verdict
        if verdict is None:
            return {"read": self.read}
        told: dict[str, Any] = {"size": self.size, "digest": self.digest}
        if verdict.quality_score is not None:
            told["score"] = verdict.quality_score
        if verdict.ok:
            return told | {"read": self.read}
        return told | {"read": {}, "reason": verdict.reason, "breaches": _short(verdict.breaches)}

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> "Told":
        """Read it. Raises `ValueError`, `KeyError`, `TypeError`."""
        read = told["read"]
        if not isinstance(read, dict):
            raise TypeError("not an object")
        if "digest" not in told:
            return cls(read)
        size, digest, reason = told["size"], told["digest"], told.get("reason", "")
        score, breaches = told.get("score"), told.get("breaches", [])
        if not (isinstance(size, int) and isinstance(digest, str) and isinstance(reason, str)):
            raise TypeError("not an output")
        if score is not None and not isinstance(score, int | float):
            raise TypeError("not a score")
        found = [contracts.Breach(str(path), str(message)) for path, message in breaches]
        return cls(read, size, digest, contracts.OutputVerdict(reason, found, score))


def told_of(output: contracts.LargeOutput) -> Told:
    """Return what last words say of an output that was read."""
    if output.is_whole:
        return Told(output.read)
    digest = hashlib.sha256(output.data).hexdigest()
    return Told(output.read, len(output.data), digest, output.verdict)


def _short(breaches: list[contracts.Breach]) -> list[list[str]]:
    """Return the first breaches, as many as there is room for."""
    room = _BREACHES_BYTES
    found: list[list[str]] = []
    for breach in breaches:
        path, message = (
            text.encode(errors="replace")[:500].decode(errors="ignore")
            for text in (breach.path, breach.message)
        )
        room -= len(path.encode()) + len(message.encode()) + 10
        if room < 0:
            found.append(["", f"and {len(breaches) - len(found)} more"])
            break
        found.append([path, message])
    return found
