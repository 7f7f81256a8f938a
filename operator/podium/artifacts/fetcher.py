"""Before a node's container: `python -P -m podium.artifacts.fetcher` lays out what it finds.

In a Pod of its own it stores a piece of an input that is too large for the node's.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from podium.api.reasons import NodeReason
from podium.artifacts.authorities import trust_authorities
from podium.artifacts.errors import ArtifactError
from podium.artifacts.handover import add_all
from podium.artifacts.manifest import OUTPUT
from podium.artifacts.packed_input import PIECE_BYTES, unpack_input, what_is_in
from podium.artifacts.pod import (
    INPUT_NAME,
    INPUT_PATH,
    STORE_PATH,
    STORE_VARIABLE,
    TASK_PATH,
    UPLOAD_VARIABLE,
    InputPart,
    Task,
    Wanted,
    load_secret,
    load_store,
    message_of,
)
from podium.artifacts.reach import IN_POD, Reach, reach_of
from podium.artifacts.settings import StoreSettings
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking

if TYPE_CHECKING:
    from podium.artifacts.values import Part

__all__ = ["carry", "fetch", "main"]

_LAST_WORDS = Path("/dev/termination-log")
_PAUSE = 2.0


class Inputs(NamedTuple):
    """Where an input comes from, and where it is found."""

    document: Path = Path(TASK_PATH).with_name(INPUT_NAME)
    """It, without what rests in the store."""
    whole: Path = Path(INPUT_PATH)
    packed: bytes | None = None
    """It, where it was too large for that file."""


_INPUTS = Inputs()


def fetch(
    task: Task, settings: StoreSettings | None, reach: Reach = IN_POD, inputs: Inputs = _INPUTS
) -> None:
    """Write what a node finds, read-only. Raises `ArtifactError`, `OSError`.

    `settings`: None: nothing of it is in a store. `reach`: where URLs of sources may lead.
    """
    if settings is not None:
        _fetch_from(settings, task, inputs)
    if inputs.packed is not None and not task.inputs:
        _write(inputs, [])
    if task.outside:
        _fetch_outside(task, reach)


def _fetch_from(settings: StoreSettings, task: Task, inputs: Inputs) -> None:
    roots: dict[str, list[Wanted]] = {each.root: [] for each in task.outside}
    for each in task.wanted:
        roots.setdefault(each.root, []).append(each)
    with ArtifactStore(settings) as store:
        for root, wanted in roots.items():
            _clear(Path(root))
            with Unpacking(Path(root), read_only=True) as unpacking:
                for each in wanted:
                    if each.digest:
                        _add(store, unpacking, each.run or task.run, each)
                    elif each.name is None:
                        Path(root, each.path).mkdir(mode=0o555)

        if task.carried is not None:
            _write_carried(store, task, inputs)
        elif task.inputs:
            _write(inputs, _parts(store, task))


def _parts(store: ArtifactStore, task: Task) -> "list[Part]":
    from podium.artifacts.values import Part  # noqa: PLC0415 - few nodes need it

    def reader(part: InputPart) -> Callable[[], Iterator[memoryview]]:
        def read() -> Iterator[memoryview]:
            key = (part.run or task.run, part.node, part.execution, part.digest)
            manifest = store.manifest_by_digest(*key) if part.digest else None
            output = manifest.artifacts.get(OUTPUT) if manifest is not None else None
            if output is None:
                message = f"the output of {part.execution} is not in {store.settings} any more"
                raise ArtifactError(f"{message}: run {part.node} again", is_retryable=False)
            yield from store.read(output.blob)

        return read

    return [Part(each.part, each.name, each.path, reader(each)) for each in task.inputs]


def _write(inputs: Inputs, parts: "list[Part]") -> None:
    from podium.artifacts.values import write_input  # noqa: PLC0415

    packed = inputs.packed
    document = json.loads(inputs.document.read_bytes() if packed is None else packed)
    with _input_file(inputs) as file:
        write_input(document, parts, file.write)


def _write_carried(store: ArtifactStore, task: Task, inputs: Inputs) -> None:
    """Write an input that rests in the store."""
    from podium.artifacts.carried_input import lay_out  # noqa: PLC0415

    carried = task.carried
    assert carried is not None  # noqa: S101 - for the type checker

    def stored() -> Iterator[memoryview]:
        for digest in carried.digests:
            try:
                yield store.read_small(digest, PIECE_BYTES)
            except ArtifactError as error:
                if not error.is_missing:
                    raise
                message = f"its input is not in {store.settings} any more: run {task.node} again"
                raise ArtifactError(message) from None

    with _input_file(inputs) as file:
        lay_out(carried, stored(), _parts(store, task), file.write)


@contextmanager
def _input_file(inputs: Inputs) -> Iterator[BinaryIO]:
    inputs.whole.unlink(missing_ok=True)  # of an earlier start
    with inputs.whole.open("xb") as file:
        try:
            yield file
        except (KeyError, ValueError, zlib.error) as error:
            message = f"an output that it needs is not what was stored: {error}"
            raise ArtifactError(message, is_retryable=False) from None
    inputs.whole.chmod(0o444)


def carry(
    task: Task, store_of: Callable[[], StoreSettings], piece: bytes, seconds: float = 0.0
) -> None:
    """Store a piece of an input. Raises `ArtifactError`, `OSError`.

    A store that does not answer is tried again for some seconds; `store_of` is asked each time.
    """
    if hashlib.sha256(piece).hexdigest() != task.carries:
        raise ArtifactError("a piece of its input was changed", is_retryable=False)
    end = time.monotonic() + seconds
    while True:
        try:
            with ArtifactStore(store_of()) as store:
                store.put([piece])
        except ArtifactError as error:
            is_final = not error.is_retryable or error.number is not None
            if is_final or time.monotonic() + _PAUSE > end:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _fetch_outside(task: Task, reach: Reach) -> None:
    from podium.artifacts import sources  # noqa: PLC0415 - few nodes need it

    for each in task.outside:
        secret = load_secret(each.name, each.secret)
        wanted = sources.Fetched(each.name, sources.load(each.source), each.path, secret)
        sources.fetch(wanted, Path(each.root), reach, lambda: False, for_all=True)


def _add(store: ArtifactStore, unpacking: Unpacking, run: str, wanted: Wanted) -> None:
    manifest = store.manifest_by_digest(run, wanted.node, wanted.execution, wanted.digest)
    if manifest is None:
        named = f"{wanted.node}.{wanted.name}" if wanted.name is not None else "what was left"
        raise ArtifactError(
            f"{named} of {wanted.execution} is not in {store.settings} any more: run {wanted.node}"
            " again",
            is_retryable=False,
        )
    if wanted.name is None and manifest.artifacts.keys() <= {OUTPUT}:
        Path(wanted.root, wanted.path).mkdir(mode=0o555)
    elif wanted.name is None:
        add_all(store, unpacking, manifest, wanted.path)
    elif wanted.name in manifest.artifacts:
        unpacking.add(store, manifest.artifacts[wanted.name], wanted.path)


def _clear(root: Path) -> None:
    """Remove what an earlier start left, when the Pod's sandbox was made again."""
    for directory, _, _ in os.walk(root):
        if Path(directory) != root:
            Path(directory).chmod(0o700)
    for each in root.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def main(variables: Mapping[str, str]) -> int:
    """Lay out what the node finds; return the exit code."""
    task = None
    try:
        task = Task.load(Path(TASK_PATH).read_text())
        if task.outside:
            trust_authorities(variables)
        settings = load_store(variables, Path(STORE_PATH)) if STORE_VARIABLE in variables else None
        if task.carries:
            seconds = float(variables.get(UPLOAD_VARIABLE, "0"))
            piece = what_is_in(variables)
            carry(task, lambda: load_store(variables, Path(STORE_PATH)), piece, seconds)
            return 0
        inputs = _INPUTS._replace(packed=unpack_input(variables))
        fetch(task, settings, reach_of(variables), inputs)
    except ArtifactError as error:
        words, is_retryable = str(error), error.is_retryable
    except Exception as error:
        words, is_retryable = f"{type(error).__name__}: {error!s:.300}", True
    else:
        return 0
    reason = NodeReason.UPLOAD if task is not None and task.carries else NodeReason.DOWNLOAD
    if reason is NodeReason.UPLOAD:
        words = f"its input could not be stored: {words}"
    elif not words.startswith("the artifact "):  # such as of the store
        words = f"its artifacts could not be had: {words}"
    _LAST_WORDS.write_text(message_of(reason, words, is_retryable=is_retryable))
    return 1


if __name__ == "__main__":
    # Else the first process of a container does not hear it, and the Pod ends late.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    sys.exit(main(os.environ))
