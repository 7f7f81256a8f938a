"""What the containers beside a node's own are told: which artifacts, and where the store is.

The operator writes it, `collector` and `fetcher` read it. Nothing here loads long.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from podium.api.artifact_rules import ArtifactType
from podium.artifacts.carried_input import Carried
from podium.artifacts.errors import ArtifactError
from podium.artifacts.left import Declared
from podium.artifacts.reach import reach_of
from podium.artifacts.settings import (
    DirectorySettings,
    S3Settings,
    StaticKeys,
    StoreSettings,
    WebIdentity,
)

__all__ = [
    "INPUT_NAME",
    "INPUT_PATH",
    "KEY_FILES",
    "OUTPUT_PATH",
    "OUT_PATH",
    "SECRETS_PATH",
    "STORE_PATH",
    "STORE_VARIABLE",
    "TASK_PATH",
    "UPLOAD_VARIABLE",
    "InputPart",
    "Leaving",
    "Outside",
    "Task",
    "Wanted",
    "load_secret",
    "load_store",
    "message_of",
]

OUT_PATH = "/podium/artifacts/out"
TASK_PATH = "/podium/task/artifacts.json"
INPUT_NAME = "input.json"
"""File beside the task: an input without what rests in the store."""
INPUT_PATH = f"/podium/input/{INPUT_NAME}"
"""Where a program finds its input with it."""
OUTPUT_PATH = "/podium/output/output.json"
"""Where a program writes an output that may be large."""
STORE_PATH = "/podium/store"
"""Where the credentials of a bucket are, or the volume that is the store."""
SECRETS_PATH = "/podium/secrets"
"""Where the Secrets are that sources, or targets, name."""
STORE_VARIABLE = "PODIUM_STORE"
UPLOAD_VARIABLE = "PODIUM_UPLOAD_SECONDS"
KEY_FILES = ("accessKeyId", "secretAccessKey", "sessionToken")
"""Keys of the Secret; the last may be missing."""
_PLAIN_CHARACTERS = 32_000
"""A longer task is packed: a fan-in of 1,000 outputs would take twice as many bytes as all
annotations of a Pod may have."""
_PACKED = "zlib:"
_WORDS = 3000
"""Bytes of last words: a Pod passes on 4,096 of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node finds: one artifact of an execution, or all."""

    node: str
    execution: str
    digest: str
    """Of the manifest; empty: the execution left nothing."""
    name: str | None
    """None: all."""
    root: str
    """Directory of the container that fetches."""
    path: str
    """Below that."""
    run: str = ""
    """UID of another run whose execution it is; empty: it is of this one."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a node finds that comes from no node."""

    name: str
    source: Mapping[str, Any]
    """`git`, `http`, `s3` or `raw`, as the Workflow has it."""
    root: str
    path: str
    """Where it is found, as of `Wanted`."""
    secret: str = ""
    """Directory with the Secret that it names; empty: it names none."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """An artifact that leaves the run as well."""

    name: str
    target: Mapping[str, Any]
    """`http` or `s3`, as the Workflow has it."""
    secret: str = ""
    """As of `Outside`."""


@dataclass(frozen=True, slots=True)
class InputPart:
    """A value of a node's input that rests in the store."""

    part: str
    """Key of the input."""
    name: str
    """Key in that part."""
    node: str
    """Whose output it is."""
    execution: str
    digest: str
    """Of the manifest that has it."""
    path: str | None = None
    """Dotted path of the part of that output; None: all of it."""
    run: str = ""
    """As of `Wanted`."""


@dataclass(frozen=True, slots=True)
class Task:
    """The artifacts of an execution."""

    run: str
    """UID of the run."""
    node: str
    execution: str
    outputs: tuple[Declared, ...] = ()
    absolute: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """For each absolute output: a directory of the container that collects, the path below it."""
    wanted: tuple[Wanted, ...] = ()
    outside: tuple[Outside, ...] = ()
    leaving: tuple[Leaving, ...] = ()
    values: tuple[str, ...] = ()
    """Names of the values in files, by the numbers that these have for names."""
    retention: int | None = None
    """Seconds for which what it leaves is kept; None: as long as the run is there."""
    asked: Mapping[str, Any] | None = None
    """What is asked of its output (`contracts.AskedOutput`); None: it is not a large one."""
    inputs: tuple[InputPart, ...] = ()
    carried: Carried | None = None
    """Its input, where that is in the store."""
    carries: str = ""
    """Digest of a piece of an input, which is to be stored and no more."""

    def dump(self) -> str:
        """Return it as an annotation: of mappings only, so that one part of it can be compared."""
        outside = {
            f"{each.root}/{each.path}": {
                "name": each.name,
                "source": each.source,
                "root": each.root,
                "path": each.path,
                **({"secret": each.secret} if each.secret else {}),
            }
            for each in self.outside
        }
        leaving = {
            each.name: {"target": each.target, **({"secret": each.secret} if each.secret else {})}
            for each in self.leaving
        }
        inputs = {f"{each.part}/{each.name}": _without_run(asdict(each)) for each in self.inputs}
        document = {
            "run": self.run,
            "node": self.node,
            "execution": self.execution,
            "out": {
                each.name: {
                    "path": each.path,
                    "optional": each.optional,
                    "type": each.type.value if each.type is not None else None,
                    **({"at": self.absolute[each.path]} if each.path in self.absolute else {}),
                }
                for each in self.outputs
            },
            "in": {f"{each.root}/{each.path}": _without_run(asdict(each)) for each in self.wanted},
            **({"outside": outside} if outside else {}),
            **({"leaving": leaving} if leaving else {}),
            **({"values": dict(enumerate(self.values))} if self.values else {}),
            **({"retention": self.retention} if self.retention is not None else {}),
            **({"asked": self.asked} if self.asked is not None else {}),
            **({"inputs": inputs} if inputs else {}),
            **({"carried": self.carried.dump()} if self.carried is not None else {}),
            **({"carries": self.carries} if self.carries else {}),
        }
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        if len(text) <= _PLAIN_CHARACTERS:
            return text
        return _PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    @classmethod
    def load(cls, text: str) -> "Task":
        """Read it. Raises `ValueError`, `KeyError`, `TypeError`."""
        if text.startswith(_PACKED):
            text = zlib.decompress(base64.b64decode(text.removeprefix(_PACKED))).decode()
        document = json.loads(text)
        out: dict[str, dict[str, Any]] = document["out"]
        return cls(
            run=document["run"],
            node=document["node"],
            execution=document["execution"],
            outputs=tuple(
                Declared(
                    name,
                    each["path"],
                    each["optional"],
                    ArtifactType(each["type"]) if each["type"] is not None else None,
                )
                for name, each in out.items()
            ),
            absolute={
                each["path"]: (each["at"][0], each["at"][1])
                for each in out.values()
                if "at" in each
            },
            wanted=tuple(Wanted(**each) for each in document["in"].values()),
            outside=tuple(Outside(**each) for each in document.get("outside", {}).values()),
            leaving=tuple(
                Leaving(name, **each) for name, each in document.get("leaving", {}).items()
            ),
            values=tuple(document.get("values", {}).values()),
            retention=document.get("retention"),
            asked=document.get("asked"),
            inputs=tuple(InputPart(**each) for each in document.get("inputs", {}).values()),
            carried=Carried.load(document["carried"]) if "carried" in document else None,
            carries=document.get("carries", ""),
        )


def _without_run(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of an annotation, which names no run where that is its own."""
    if not part["run"]:
        del part["run"]
    return part


def load_store(variables: Mapping[str, str], directory: Path) -> StoreSettings:
    """Read where the store is, and with which credentials.

    Raises `ValueError`, `OSError`, `ArtifactError`.
    """
    told: dict[str, Any] = json.loads(variables[STORE_VARIABLE])
    if "bucket" not in told:
        return DirectorySettings(directory, is_durable=True)
    if told.pop("ofNamespace", False) and told["endpoint"]:
        _check_endpoint(told["endpoint"], variables)
    credentials: StaticKeys | WebIdentity = WebIdentity()
    if not told.pop("webIdentity"):
        identity, secret, token = (_key(directory / name) for name in KEY_FILES)
        if not identity or not secret:
            named = " and ".join(KEY_FILES[:2])
            raise ValueError(f"the Secret of the artifact store needs the keys {named}")
        credentials = StaticKeys(identity, secret, token)
    return S3Settings(credentials=credentials, **told)


def _check_endpoint(endpoint: str, variables: Mapping[str, str]) -> None:
    """Refuse the server of an ArtifactStore where URLs of users may not lead."""
    from podium.artifacts.addresses import resolved  # noqa: PLC0415 - few runs have one

    url = urlsplit(endpoint)
    reach = reach_of(variables)._replace(allow_loopback=True)
    resolved(url.hostname or "", url.port or (443 if url.scheme == "https" else 80), reach)


def load_secret(artifact: str, directory: str) -> dict[str, str]:
    """Read the Secret of an artifact as it is mounted; empty: it names none.

    Raises `ArtifactError`, `OSError`.
    """
    if not directory:
        return {}
    found = {}
    for path in Path(directory).iterdir():
        if path.is_file():  # else it is what the kubelet makes of it
            found[path.name] = path.read_text(errors="replace")
    if not found:
        message = f"the artifact {artifact}: the Secret that it names is empty"
        raise ArtifactError(message, is_retryable=False)
    return found


def _key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def message_of(reason: str, message: str, *, is_retryable: bool) -> str:
    """Return the last words of a container that failed, as the operator reads them."""
    shown = message.encode(errors="replace").decode()
    while True:
        error = {"reason": reason, "message": shown, "retryable": is_retryable}
        words = json.dumps({"podiumError": error}, ensure_ascii=False)
        if len(words.encode()) <= _WORDS:
            return words
        shown = shown[: len(shown) * 3 // 4] + "…"
