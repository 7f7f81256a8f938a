"""A persona node's work: answers recorded or of models, the output and what it cost, the files.

$PODIUM_RECORDED is a file of recorded answers; without it, $PODIUM_PERSONAS is the file that says
whom to ask. What a live node was answered is written to $PODIUM_RECORD, where that is set.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.api.reasons import NodeReason
from podium.personas.asking import Provider
from podium.personas.errors import PersonaError
from podium.personas.files import directory_of, write_files
from podium.personas.team import Team, answer
from podium.runner import LAST_WORDS
from podium.runner.program import write

__all__ = ["persona"]

USAGE = "podiumUsage"
ENDPOINTS_VARIABLE = "PODIUM_ENDPOINTS"
"""Directory of what endpoints do not know; not set: it is found out again."""
KEPT_ANSWERS_VARIABLE = "PODIUM_KEPT_ANSWERS"
"""Directory of answers that may be given again; not set: each question is asked."""


def persona() -> int:
    """Answer as the personas of the node; return the exit code."""
    usage: dict[str, Any] = {}
    try:
        given = json.loads(Path(os.environ["PODIUM_INPUT"]).read_bytes())
        config = json.loads(os.environ["PODIUM_CONFIG"])
        made = asyncio.run(_answered(config, given, usage))
    except PersonaError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)  # noqa: T201
        failure = {"reason": error.reason, "message": str(error)}
        write({"podiumError": {**failure, **({"usage": usage} if usage else {})}}, 1)
        return 1
    if usage and LAST_WORDS in os.environ:
        Path(os.environ[LAST_WORDS]).write_text(json.dumps({USAGE: usage}, separators=(",", ":")))
    elif usage:
        # First: what is cut at the bound of a small output still tells it.
        made = {USAGE: usage, **made}
    write(made, 0)
    return 0


async def _answered(
    config: Mapping[str, Any], given: Mapping[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    """Return the node's output; `usage` is filled in, however it ends. Raises `PersonaError`."""
    artifacts = Path(os.environ["PODIUM_ARTIFACTS_OUT"])
    if recorded := os.environ.get("PODIUM_RECORDED"):
        from podium.personas.recorded import (  # noqa: PLC0415 - each provider loads its own
            RecordedAnswers,
        )

        return await _asked(config, given, RecordedAnswers.load(Path(recorded)), artifacts)
    if not (place := os.environ.get("PODIUM_PERSONAS")):
        message = "neither recorded answers nor a model: name a file with --recorded"
        raise PersonaError(NodeReason.CONFIG, message)
    from podium.personas.document import Document  # noqa: PLC0415 - as above
    from podium.personas.kept import Kept  # noqa: PLC0415 - as above
    from podium.personas.live import Live  # noqa: PLC0415 - as above
    from podium.personas.transcript import NAME, Transcript  # noqa: PLC0415 - as above

    document = Document.load(Path(place))
    transcript = Transcript(artifacts / NAME, document.secrets())
    kept = Kept(_directory(ENDPOINTS_VARIABLE), _directory(KEPT_ANSWERS_VARIABLE))
    live = Live(document, config, given, transcript, artifacts / directory_of(config), kept=kept)
    # What is killed has told what it spent until then; an end of its own tells more.
    live.tell(lambda spent: write({USAGE: spent.dump()}, 1))
    provider: Provider = live
    if record := os.environ.get("PODIUM_RECORD"):
        from podium.personas.recording import Recording  # noqa: PLC0415 - as above

        provider = Recording(live, Path(record))
    try:
        return await _asked(config, given, provider, artifacts)
    finally:
        usage.update(live.usage.dump())
        await live.close()


def _directory(variable: str) -> Path | None:
    """Return a directory that the shell names; tools are not told of it."""
    place = os.environ.pop(variable, "")
    return Path(place) if place else None


async def _asked(
    config: Mapping[str, Any], given: Mapping[str, Any], provider: Provider, artifacts: Path
) -> dict[str, Any]:
    replies = await answer(Team.of(config), str(given["nodeId"]), provider)
    write_files(artifacts, directory_of(config), replies)
    return dict(replies[-1].output)
