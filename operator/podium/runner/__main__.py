"""`python -m podium.runner WORK`: one node's work, as its environment says.

PODIUM_CONFIG is the node's config (JSON), PODIUM_RECORDED the file of recorded answers; input,
output and artifacts are where every node has them.
"""

import json
import os
import sys
from pathlib import Path

from podium.runner import program


def persona() -> int:
    """Answer as the personas of the node; return the exit code."""
    from podium.runner.personas import (  # noqa: PLC0415 - each work loads its own
        PersonaError,
        RecordedAnswers,
        answer,
    )

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
    program.write(result, code)
    return code


def http() -> int:
    """Make a request; return the exit code."""
    from podium.runner.http_request import http_request  # noqa: PLC0415 - as above

    return program.run(http_request)


def kubernetes() -> int:
    """Change an object of the cluster; return the exit code."""
    from podium.runner.kubernetes_object import kubernetes_object  # noqa: PLC0415 - as above

    return program.run(kubernetes_object)


def notify() -> int:
    """Send a message; return the exit code."""
    from podium.runner.notify import notify as work  # noqa: PLC0415 - as above

    return program.run(work)


WORKS = {"persona": persona, "http": http, "kubernetes": kubernetes, "notify": notify}


if __name__ == "__main__":
    sys.exit(WORKS[sys.argv[1]]())
