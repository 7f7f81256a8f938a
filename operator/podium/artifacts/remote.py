"""In a Pod that mounts the store: `python -P -m podium.artifacts.remote list|read|delete KEY...`.

`podium --cluster artifacts` makes the Pod and runs these in it: keys are those of the store, and
what is read is checked by its digest where it arrives.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from podium.artifacts.backend import Backend
from podium.artifacts.errors import ArtifactError
from podium.artifacts.pod import STORE_PATH, load_store

__all__ = ["COMMAND", "MISSING", "main"]

COMMAND = ("python3", "-P", "-m", "podium.artifacts.remote")
MISSING = 3
"""Exit code: what was asked for is not there."""
MOST_BYTES = 512 << 20
"""Of one object: a manifest is the largest."""


def main(arguments: list[str], variables: Mapping[str, str]) -> int:
    """List the objects under a key, print one, or remove some; return the exit code."""
    action, key, *more = arguments
    try:
        backend = Backend(load_store(variables, Path(STORE_PATH)))
        if action == "read":
            sys.stdout.buffer.write(backend.read(key, MOST_BYTES))
            return 0
        if action == "delete":
            backend.delete([key, *more])
            return 0
        for each in backend.objects(key):
            sys.stdout.write(json.dumps([each.key, each.size, each.changed_at]) + "\n")
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING if error.is_missing else 1
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
