"""What a kind of node is: the questions that it answers, and the decisions that it may take.

Views and decisions are made for each start and each end of a node. Nothing changes one; they are
not frozen because that takes several times as long to make.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from podium import contracts, expressions
from podium.api.executors import ExecutorSpec
from podium.api.node_state import NodeStatus
from podium.api.outputs import file_outputs
from podium.api.problems import Path, Problem
from podium.api.workflow import Node
from podium.errors import PodiumError

__all__ = [
    "GROUP_FIELDS",
    "PROGRAM_FIELDS",
    "Answer",
    "AnswerRefusedError",
    "Answerable",
    "CheckedValues",
    "Complete",
    "Decision",
    "DeclaredOutput",
    "Fail",
    "ItemEnds",
    "JobShape",
    "Launch",
    "MemberEnd",
    "NodeKind",
    "NodeView",
    "Skip",
    "Source",
    "Spawn",
    "Wait",
    "by_contract",
    "unused_fields",
]


PROGRAM_FIELDS = (
    *("executor", "retry_policy", "timeout_seconds", "start_timeout_seconds", "input_as"),
    *("resources", "pod", "max_disruptions", "force_restart_after_seconds", "output_contract"),
    *("outputs", "large_output", "artifacts", "compensation"),
)
"""Fields of a node that are about a program, its Job and what it hands over."""
GROUP_FIELDS = ("nodes", "edges", "max_parallel", "min_success")
"""Fields that only a parallel_group has; a map has max_parallel too."""


class JobShape(StrEnum):
    """What a shell makes of a Launch."""

    SINGLE = "single"
    """One Job with one Pod at a time; on a laptop one process."""
    CHILD = "child"
    """A run of its own: a WorkflowRun, on either shell."""


class Source(NamedTuple):
    """An expression of a node, or a string with `${{ }}`, as it is written."""

    path: Path
    """Where it stands, from the node on."""
    text: str
    is_template: bool = False

    @property
    def references(self) -> tuple[expressions.Reference, ...]:
        """What it reads."""
        parse = expressions.parse_template if self.is_template else expressions.parse
        return parse(self.text).references


class DeclaredOutput(NamedTuple):
    """Which output fields a node declares."""

    fields: frozenset[str]
    is_closed: bool
    """Whether nothing else can be in the output."""
    routes: frozenset[str] | None = None
    """Values that an edge from it may name as its `route`; None: it has no routes."""


class MemberEnd(NamedTuple):
    """How a member of a group ended."""

    id: str
    """Its id in the group."""
    status: NodeStatus
    reason: str
    is_bad: bool
    """Whether it keeps its group from completing."""
    output: dict[str, Any] | None
    """Of one that completed."""


@dataclass(frozen=True, slots=True)
class ItemEnds:
    """How the items of a map ended."""

    count: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    first_failed: tuple[str, ...] = ()
    """Paths of some that failed, with their reasons."""


@dataclass(slots=True)
class NodeView:
    """What a kind knows of a node when it decides."""

    node: Node
    """Its definition, with the workflow's defaults."""
    execution: str
    """Id of the execution that starts or ends."""
    names: Callable[[], Mapping[str, Any]]
    """Makes `scope`: most nodes have no expressions."""
    now: float
    """Seconds since 1970."""
    is_recorded: bool = False
    """Whether personas take recorded answers."""
    executor: ExecutorSpec | None = None
    """Its executor, where that is a resource."""
    members: Callable[[], Sequence[MemberEnd]] = tuple
    """Of a group whose members have all ended: makes what it knows of them."""
    items: Callable[[], ItemEnds] = ItemEnds
    """Of a map whose items have all ended: makes what it knows of them."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """The names that its expressions know."""
        return self.names()


@dataclass(slots=True)
class Launch:
    """Have the shell start it; `finish` follows with what it handed over."""

    config: Mapping[str, Any]
    """The node's config, its templates filled in."""
    shape: JobShape = JobShape.SINGLE
    warnings: tuple[str, ...] = ()
    template: Mapping[str, Any] | None = None
    """What an executor that is a resource makes of it (`podium.executors.custom`)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of its Pod whose templates are filled in (`podium.kinds.pod_fields`)."""


@dataclass(slots=True)
class Complete:
    """The node has its output. The engine checks it against the output contract."""

    output: dict[str, Any]


@dataclass(slots=True)
class Fail:
    """The execution failed; `is_retryable`: the retry policy decides what follows."""

    reason: str
    message: str
    is_retryable: bool = False


@dataclass(slots=True)
class Wait:
    """The node runs without a program; `finish` follows at `until`, if there is one."""

    reason: str
    message: str = ""
    until: float | None = None
    verb: str = ""
    """Of the command line: what ends the wait, if a person does."""


@dataclass(slots=True)
class Skip:
    """The node is left out, although it ran: what it waited for did not come."""

    reason: str
    message: str


@dataclass(slots=True)
class Spawn:
    """Have its members run; `finish` follows once they have all ended."""


Decision = Launch | Complete | Fail | Wait | Skip | Spawn


class NodeKind(Protocol):
    """One kind of node. Its methods may raise `expressions.ExpressionError` when they decide."""

    holds_slot: bool
    """Whether a running node counts toward maxParallel."""
    has_execution: bool
    """Whether the shells know a Job or a process for a running node."""
    runs_program: bool
    """Whether it has an executor: its own executions, or those of its items, run a program."""

    def check(self, node: Node) -> Iterable[Problem]:
        """Find what is wrong with a node's own fields; paths begin at the node."""
        ...

    def expressions(self, node: Node) -> Iterable[Source]:
        """Return its expressions but for `condition`: they are checked, and name context keys."""
        ...

    def output_fields(self, node: Node) -> DeclaredOutput:
        """Return what its output holds."""
        ...

    def start(self, view: NodeView) -> Decision:
        """Decide what becomes of a node that may start."""
        ...

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:
        """Decide what becomes of a node whose program handed over `output`, or whose wait is over.

        `output` is None after a wait, and of a group.
        """
        ...


class AnswerRefusedError(PodiumError, ValueError):
    """A node does not take an answer, and goes on waiting; the message says why."""


class CheckedValues(NamedTuple):
    """Values of an answer, with defaults filled in, and what is wrong with them."""

    values: Mapping[str, Any]
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Answer:
    """What a person decided about a node that waits."""

    is_approved: bool
    by: str
    """Name of the person."""
    shown_by: str
    """The name in words, which say whether it is verified."""
    groups: tuple[str, ...] | None
    """Groups that count for it; None: nothing says who may decide, as on a laptop."""
    comment: str
    values: Mapping[str, Any]
    checked: CheckedValues | None = None
    """The values, where they were checked elsewhere."""


@runtime_checkable
class Answerable(Protocol):
    """A kind whose nodes wait for a person."""

    def answer(self, view: NodeView, given: Answer) -> Decision:
        """Decide what an answer makes of a node that waits. Raises `AnswerRefusedError`."""
        ...


def by_contract(node: Node) -> DeclaredOutput:
    """Return what a node says of its output, in `outputs` and in its output contract."""
    contract, names = node.output_contract, set(node.outputs)
    # A program whose values come from files has no $PODIUM_OUTPUT.
    is_closed = bool(file_outputs(node.outputs))
    if contract is not None:
        schema = contract.schema_ or {}
        names.update(contracts.properties_of(schema))
        names.update(name.split(".")[0] for name in contract.produces)
        is_closed |= contracts.is_closed(schema)
    return DeclaredOutput(frozenset(names), is_closed)


def unused_fields(node: Node, fields: Iterable[str], why: str) -> Iterable[Problem]:
    """Find fields that are set although a kind does not use them."""
    for name in fields:
        if name in node.model_fields_set:
            alias = type(node).model_fields[name].alias or name
            yield Problem((alias,), f"{why}: leave it out")
