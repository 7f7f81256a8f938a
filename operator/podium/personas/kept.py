"""Small files that outlive a node: what endpoints do not know, and answers that may be given again.

Either is a hint or a copy, never a source of truth: one that is missing, old, cut or not as it was
written is as if it were not there. On a laptop alone: a Pod has no place that outlives it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.personas.answers import Completion, ToolCall
from podium.personas.document import Model
from podium.personas.structured import FORMATS

__all__ = ["Kept", "KeptAnswers", "KeptForms"]

FORM_SECONDS = 86_400.0
"""After which an endpoint may have learned what it did not know."""
MAX_BYTES = 4 * 1024 * 1024


class KeptForms:
    """The way in which each endpoint was last asked for JSON, below the best one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def get(self, model: Model) -> str:
        """Return the way; that of endpoints of which nothing is known is the best one."""
        path = self._path(model)
        if path is None:
            return FORMATS[0]
        found = _read(path, FORM_SECONDS)
        form = found.get("form") if found is not None else None
        return form if form in FORMATS else FORMATS[0]

    def put(self, model: Model, form: str) -> None:
        """Keep the way that an endpoint takes."""
        if (path := self._path(model)) is not None:
            _write(path, {"form": form})

    def _path(self, model: Model) -> Path | None:
        return self._directory and self._directory / _digest([model.base_url, model.name])


class KeptAnswers:
    """Answers by what was asked, of whom and with which settings; keys are no part of it."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def key(
        self,
        model: Model,
        messages: Any,
        schema: Mapping[str, Any],
        tools: Any,
    ) -> str:
        """Return the digest of a question; empty: answers are not kept."""
        if self._directory is None:
            return ""
        whom = [model.base_url, model.name, model.settings, model.max_tokens, model.headers]
        return _digest([whom, messages, schema, tools])

    def get(self, key: str) -> Completion | None:
        """Return the answer to a question that was asked before."""
        if self._directory is None or (found := _read(self._directory / key)) is None:
            return None
        try:
            calls = tuple(ToolCall(*map(str, each)) for each in found["calls"])
            answer = Completion(str(found["text"]), calls, None)
        except (KeyError, TypeError):
            return None
        return answer

    def put(self, answers: Mapping[str, Completion]) -> None:
        """Keep the answers that led to an output which keeps its contract."""
        if self._directory is None:
            return
        for key, each in answers.items():
            calls = [[call.id, call.name, call.arguments] for call in each.tool_calls]
            _write(self._directory / key, {"text": each.text, "calls": calls})


class Kept:
    """Both, where directories are given for them."""

    def __init__(self, forms: Path | None = None, answers: Path | None = None) -> None:
        self.forms = KeptForms(forms)
        self.answers = KeptAnswers(answers)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path, seconds: float | None = None) -> dict[str, Any] | None:
    """Return what was written, if it is whole and not older than `seconds`."""
    try:
        facts = path.stat()
        if facts.st_size > MAX_BYTES or (
            seconds is not None and not 0 <= time.time() - facts.st_mtime < seconds
        ):
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Write it whole or not at all, readable by its owner alone; a full disk does no harm."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(draft, "wb", opener=_private) as file:
            file.write(json.dumps(value).encode())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
