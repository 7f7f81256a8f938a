"""`python -m podium.runner persona`: one node's work, as its environment says.

PODIUM_CONFIG is the node's config (JSON), PODIUM_RECORDED the file of recorded answers; input,
output and artifacts are where every node has them.
"""

import json
import os
import sys
from pathlib import Path

from podium.runner.personas import PersonaError, RecordedAnswers, answer


def persona() -> int:
    """Answer as the personas of the node; return the exit code."""
    output = Path(os.environ["PODIUM_OUTPUT"])
    try:
        given = json.loads(Path(os.environ["PODIUM_INPUT"]).read_bytes())
        config = json.loads(os.environ["PODIUM_CONFIG"])
        recorded = RecordedAnswers.load(Path(os.environ["PODIUM_RECORDED"]))
        artifacts = Path(os.environ["PODIUM_ARTIFACTS_OUT"])
        result = answer(config, given, recorded, artifacts)
        code = 0
    except PersonaError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)  # noqa: T201
        result = {"podiumError": {"reason": error.reason, "message": str(error)}}
        code = 1
    output.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")))
    return code


if __name__ == "__main__":
    sys.exit(persona())
