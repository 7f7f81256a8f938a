"""Names: ids of nodes, and the Kubernetes names made from them.

Ids are the seed's (`design_phase`), Kubernetes names know neither `_` nor upper case: what is
derived is lower-cased, shortened and given a hash wherever two ids could meet in one name.
"""

import hashlib
import re

__all__ = [
    "API_VERSION",
    "ARTIFACTS_OF",
    "COMPENSATION",
    "FINALIZER",
    "GROUP",
    "ID_PATTERN",
    "LABEL_CLAIM",
    "LABEL_EXECUTION",
    "LABEL_EXECUTOR",
    "LABEL_NODE",
    "LABEL_RECORDED",
    "LABEL_RUN",
    "LABEL_RUN_UID",
    "LABEL_WORKFLOW",
    "MAX_ITEMS",
    "MAX_PATH",
    "VERSION",
    "child_name",
    "compensated_path",
    "compensation_path",
    "execution_id",
    "is_id",
    "is_object_name",
    "is_path",
    "item_path",
    "label_value",
    "object_name",
    "split_item",
]

GROUP = "podium.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_WORKFLOW = f"{GROUP}/workflow"
LABEL_RUN = f"{GROUP}/run"
"""The run's name, or a hash of it where a label value cannot hold it."""
LABEL_RUN_UID = f"{GROUP}/run-uid"
"""Selects what belongs to a run, whatever its name."""
LABEL_NODE = f"{GROUP}/node"
LABEL_EXECUTION = f"{GROUP}/execution"
LABEL_EXECUTOR = f"{GROUP}/executor"
"""On a Pod that an Executor shapes: its name. Only the operator sets it (docs/security.md)."""
LABEL_CLAIM = f"{GROUP}/volume"
"""On a claim of a run: its name among the workflow's volumeClaims."""
LABEL_RECORDED = f"{GROUP}/recorded"
"""On a Pod whose outcome is stored in the run's status: it is not watched any more."""
FINALIZER = f"{GROUP}/result"
"""On a Pod whose outcome is not stored there yet: it must not vanish."""

ARTIFACTS_OF = "Artifacts-Of"
"""Column of runs: UIDs of others whose artifacts one has copied."""

ID_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"
MAX_PATH = 200
"""Characters of a member's path (`group.member`): names of files are made of it."""
COMPENSATION = "compensation"
"""Last part of the path of a node's compensation, and so no id of a member."""
MAX_ITEMS = 100_000
"""Items of a map: each index has five digits at most."""
_ID = re.compile(ID_PATTERN[1:-1])
_ITEM = re.compile(r"(.+)\[(0|[1-9][0-9]{0,4})\]", re.DOTALL)
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_HASH_CHARACTERS = 26  # 130 bits in base 32


def is_id(text: str) -> bool:
    """Return whether this is a node id."""
    return _ID.fullmatch(text) is not None


def is_path(text: str) -> bool:
    """Return whether this is a node as a run names it: an id, or a path of a member or an item."""
    if len(text) > MAX_PATH:
        return False
    item = split_item(text)
    return all(map(is_id, (text if item is None else item[0]).split(".")))


def item_path(node: str, index: int) -> str:
    """Return the path of an item of a map: `node[3]`."""
    return f"{node}[{index}]"


def split_item(text: str) -> tuple[str, int] | None:
    """Return the map and the index that the path of an item names; None: it is not such a path."""
    if not text.endswith("]"):
        return None
    match = _ITEM.fullmatch(text)
    return None if match is None else (match[1], int(match[2]))


def compensation_path(node: str) -> str:
    """Return the path of a node's compensation: `book_hotel.compensation`."""
    return f"{node}.{COMPENSATION}"


def compensated_path(path: str) -> str | None:
    """Return the node that a path is the compensation of; None: it is that of a node."""
    node = path.removesuffix(f".{COMPENSATION}")
    return None if node == path else node


def is_object_name(text: str) -> bool:
    """Return whether Kubernetes takes this as the name of an object (RFC 1123 subdomain)."""
    return len(text) <= 253 and _OBJECT_NAME.fullmatch(text) is not None


def object_name(identifier: str) -> str:
    """Make a Kubernetes name of an id: `sdlc_complete_workflow` → `sdlc-complete-workflow`."""
    name = re.sub(r"[^a-z0-9]+", "-", identifier.lower()).strip("-")
    return name[:63].rstrip("-") or "x-" + _digest(identifier)[:8]


def label_value(identifier: str) -> str:
    """Make a label value that is the id itself where Kubernetes takes it, else a hash of it."""
    if _LABEL_VALUE.fullmatch(identifier):
        return identifier
    return f"x-{_digest(identifier)}"


def execution_id(node: str, count: int) -> str:
    """Return the id of a node's execution: `design_phase-3` is its third one in the run."""
    return f"{node}-{count}"


def child_name(run_name: str, run_uid: str, execution: str, *, characters: int = 63) -> str:
    """Name the child object (Job) of one execution.

    At most 63 bytes, as the job-name label demands. The readable part may be cut; the hash over
    run UID and execution (130 bits) is what makes it unique.
    """
    readable = object_name(f"{run_name}-{execution}")
    suffix = _digest(f"{run_uid}/{execution}")
    return f"{readable[: characters - 1 - len(suffix)].rstrip('-')}-{suffix}"


def _digest(text: str) -> str:
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return "".join(alphabet[(number >> (5 * i)) & 31] for i in range(_HASH_CHARACTERS))
