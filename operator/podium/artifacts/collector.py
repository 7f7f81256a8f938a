"""Beside a node's container: `python -P -m podium.artifacts.collector` stores what it leaves.

It waits for SIGTERM, which the kubelet sends when the program has ended, stores what lies there,
the manifest last, and says so in its last words. What it does not say was not stored.
"""

# ruff: noqa: E402 - first of all it must be able to hear that the program has ended
import os
import signal
import threading

READY = "/tmp/podium-collects"  # noqa: S108 - of the container, which has no other user
"""It is there once SIGTERM is heard: until then the node's own container is not started."""
_ended = threading.Event()

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: _ended.set())
    for number in range(int(os.environ.get("PODIUM_VALUES", "0"))):  # files that it mounts
        file = os.open(f"/podium/values/{number}", os.O_WRONLY | os.O_CREAT)
        os.fchmod(file, 0o666)  # its user may be another one
        os.close(file)
    open(READY, "w").close()  # noqa: PTH123 - pathlib loads longer

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.api.reasons import NodeReason
from podium.artifacts.authorities import trust_authorities
from podium.artifacts.errors import ArtifactError
from podium.artifacts.file_values import VALUES_PATH, dump_values, read_values
from podium.artifacts.handover import gather
from podium.artifacts.left import Left
from podium.artifacts.manifest import OUTPUT, Artifact, Manifest
from podium.artifacts.pod import (
    OUT_PATH,
    OUTPUT_PATH,
    STORE_PATH,
    TASK_PATH,
    UPLOAD_VARIABLE,
    Task,
    load_secret,
    load_store,
    message_of,
)
from podium.artifacts.reach import IN_POD, Reach, reach_of
from podium.artifacts.settings import StoreSettings
from podium.artifacts.store import ArtifactStore

if TYPE_CHECKING:
    from podium import contracts

__all__ = ["READY", "collect", "main"]

_LAST_WORDS = Path("/dev/termination-log")
_MARGIN = 5.0
"""Seconds before the end of the grace period, in which the last words are written."""
_PAUSE = 2.0
_VALUES_BYTES = 3900
"""Of the 4,096 that a Pod passes on; what is stored takes the rest."""


def collect(
    task: Task,
    store_of: Callable[[], StoreSettings],
    out: Path,
    note: Callable[[str], None],
    reach: Reach = IN_POD,
    values: Path = Path(VALUES_PATH),
    output: Path = Path(OUTPUT_PATH),
) -> str:
    """Store what an execution left; return what there is to say of it.

    A store that does not answer is tried again until the process is ended; `note` is told of it.
    `store_of` is asked each time: credentials that have expired may have been renewed. `reach`:
    where URLs of targets may lead. `output`: the file of an output that may be large.
    """
    large, told, words = _large_output(task, output)
    if words:
        return words
    values_told = ""
    if task.values:
        values_told = dump_values(read_values(values, task.values))
        if len(values_told) > _VALUES_BYTES:
            message = (
                "the values of outputs are more than a Pod can report: hand over"
                " less, or files as artifacts"
            )
            return message_of(NodeReason.OUTPUT_TOO_LARGE, message, is_retryable=False)
    sent: set[str] = set()
    while True:
        settings = store_of()
        try:
            with ArtifactStore(settings) as store:
                made = gather(store, task.outputs, Left(out, _places(task)))
                if large is not None:
                    from podium.artifacts.large_outputs import store_output  # noqa: PLC0415

                    made[OUTPUT] = store_output(store, large)
                _send(task, store, made, reach, sent)
                digest = ""
                if made or task.outputs:
                    manifest = Manifest(task.run, task.node, task.execution, made, task.retention)
                    digest = store.commit_by_digest(manifest)
        except (ArtifactError, OSError) as error:
            problem = _problem(error, out)
            if problem.is_content or not problem.is_retryable or problem.number is not None:
                reason = NodeReason.ARTIFACT if problem.is_content else NodeReason.UPLOAD
                return message_of(reason, str(problem), is_retryable=problem.is_retryable)
            note(str(problem))
            time.sleep(_PAUSE)
        else:
            files = sum(artifact.files for artifact in made.values())
            size = sum(artifact.size for artifact in made.values())
            said = {"artifacts": {"digest": digest, "files": files, "bytes": size}, **told}
            if values_told:
                said["values"] = values_told
            return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def _large_output(
    task: Task, path: Path
) -> tuple["contracts.LargeOutput | None", dict[str, Any], str]:
    """Return an output that is to be stored, what to say of it, and why there is none."""
    if task.asked is None:
        return None, {}, ""
    from podium import contracts  # noqa: PLC0415 - few nodes need it
    from podium.artifacts.large_outputs import read_output  # noqa: PLC0415 - as above
    from podium.artifacts.told_output import told_of  # noqa: PLC0415 - as above

    try:
        found = read_output(path, task.asked)
    except contracts.OutputTooLargeError as error:
        return None, {}, message_of(NodeReason.OUTPUT_TOO_LARGE, str(error), is_retryable=False)
    except contracts.OutputNotJSONError as error:
        what = f"$PODIUM_OUTPUT: {error}"
        return None, {}, message_of(NodeReason.OUTPUT_NOT_JSON, what, is_retryable=True)
    told = {"output": told_of(found).dump()}
    is_kept = not found.is_whole and found.verdict.ok
    return found if is_kept else None, told, ""


def _send(
    task: Task,
    store: ArtifactStore,
    made: Mapping[str, Artifact],
    reach: Reach,
    sent: set[str],
) -> None:
    """Put what leaves the run where it is to be, each once."""
    waiting = [each for each in task.leaving if each.name in made and each.name not in sent]
    if not waiting:
        return
    from podium.artifacts import targets  # noqa: PLC0415 - few nodes need it

    for each in waiting:
        found = made[each.name]
        contents = targets.Contents(found.size, partial(store.read, found.blob))
        secret = load_secret(each.name, each.secret)
        target = targets.load(each.target)
        targets.send(each.name, target, contents, secret, lambda: False, reach)
        sent.add(each.name)


def _places(task: Task) -> dict[str, tuple[Path, str]]:
    return {path: (Path(root), below) for path, (root, below) in task.absolute.items()}


def _problem(error: ArtifactError | OSError, out: Path) -> ArtifactError:
    if isinstance(error, ArtifactError):
        return error
    what = f"{error.filename or out}: {error.strerror or error}"
    return ArtifactError(what, number=error.errno, is_content=True)


def main(variables: Mapping[str, str]) -> None:
    """Wait for the program's end, and store what it left."""
    _ended.wait()
    seconds = float(variables[UPLOAD_VARIABLE])
    last = [""]

    def give_up() -> None:
        shown = f", at last: {last[0]}" if last[0] else ""
        what = (
            f"its artifacts could not be stored within {seconds:.0f} seconds, which the chart's"
            f" value artifacts.uploadSeconds allows{shown}"
        )
        _LAST_WORDS.write_text(message_of(NodeReason.UPLOAD, what, is_retryable=True))
        os._exit(1)

    guard = threading.Timer(max(0.0, seconds - _MARGIN), give_up)
    guard.daemon = True
    guard.start()

    def note(problem: str) -> None:
        last[0] = problem

    try:
        task = Task.load(Path(TASK_PATH).read_text())
        if task.leaving:
            trust_authorities(variables)
        words = collect(
            task,
            lambda: load_store(variables, Path(STORE_PATH)),
            Path(OUT_PATH),
            note,
            reach_of(variables),
        )
    except Exception as error:
        what = f"its artifacts could not be stored: {type(error).__name__}: {error!s:.300}"
        words = message_of(NodeReason.UPLOAD, what, is_retryable=True)
    guard.cancel()
    _LAST_WORDS.write_text(words)


if __name__ == "__main__":
    main(os.environ)
    sys.exit(0)
