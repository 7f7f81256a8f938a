"""What is counted of a run's nodes, kept right by each transition: no step looks at all nodes."""

from typing import TYPE_CHECKING

from podium.api.reasons import NodeReason
from podium.api.run import NodeState, NodeStatus
from podium.engine.context import output_of
from podium.engine.plan import PlanNode

if TYPE_CHECKING:
    from podium.engine.state import RunState

__all__ = ["Counters"]


class Counters:
    """Counts nodes by how they stand."""

    def __init__(self, run: "RunState") -> None:
        self._plan = run.plan
        self._items = run.items
        self._outputs = run.outputs
        self._status = run.status
        self.open = 0
        """Number of nodes that have not ended."""
        self.open_finally = 0
        """How many of these are of `finally`."""
        self.open_compensations = 0
        """How many of these are compensations."""
        self.begun_compensations = 0
        """Number of compensations that are, or were, needed."""
        self.undone = 0
        """Number of nodes that ended without having been carried out: Skipped or Cancelled."""
        self.left_out = 0
        """Number of nodes that were Skipped, and not because of a failure."""
        self.running: set[str] = set()
        self.slots: set[str] = set()
        """Running nodes that count toward maxParallel."""
        self.bad: set[str] = set()
        """Nodes that make the run fail."""
        self.cancelled: set[str] = set()
        self.open_members: dict[str, int] = dict.fromkeys(run.plan.members, 0)
        """Number of direct members of each group that have not ended."""
        self.slots_in: dict[str, int] = {}
        """Number of slots that are taken in each group that bounds them."""

    def count(self, node: str, state: NodeState, by: int) -> None:
        """Add (1) or take away (-1) one node as it stands; its output comes and goes with it."""
        plan = self._plan
        last = plan.finally_nodes
        if last and node in last and not state.status.ended:
            self.open_finally += by
        is_compensation = node in plan.compensations
        if is_compensation:
            self.open_compensations += 0 if state.status.ended else by
            self.begun_compensations += 0 if state.status is NodeStatus.SKIPPED else by
        planned = plan.nodes[node]
        if planned.map:
            self._items.count(planned.map, node, state, by)
            if state.status is NodeStatus.RUNNING:
                self._count_slot(planned, by)
            return
        if planned.group and not state.status.ended:
            self.open_members[planned.group] += by
        match state.status:
            case NodeStatus.RUNNING:
                self.open += by
                _add(self.running, node, by)
                if planned.kind.holds_slot:
                    self._count_slot(planned, by)
            case NodeStatus.PENDING | NodeStatus.WAITING | NodeStatus.READY:
                self.open += by
            case NodeStatus.COMPLETED:
                self._count_output(node, state, by)
            case NodeStatus.FAILED:
                is_counted = not planned.group and not is_compensation
                if is_counted and not planned.definition.allow_failure:
                    _add(self.bad, node, by)
            case NodeStatus.SKIPPED:
                self.undone += by
                if state.reason != NodeReason.UPSTREAM_FAILED:
                    self.left_out += by
                elif not planned.group:  # a member counts through its group
                    _add(self.bad, node, by)
            case NodeStatus.CANCELLED:
                self.undone += by
                if not planned.group:
                    _add(self.cancelled, node, by)

    def _count_output(self, node: str, state: NodeState, by: int) -> None:
        plan = self._plan
        if by < 0:
            del self._outputs[node]
        elif node in plan.members or node in plan.for_each:
            self._outputs[node] = output_of(plan, node, self._status.nodes)
        else:
            self._outputs[node] = state.output

    def _count_slot(self, planned: PlanNode, by: int) -> None:
        """Add or take away what runs and takes a slot, or is an item."""
        if planned.kind.holds_slot:
            _add(self.slots, planned.id, by)
        for group in planned.limited_by:
            self.slots_in[group] = self.slots_in.get(group, 0) + by


def _add(nodes: set[str], node: str, by: int) -> None:
    if by > 0:
        nodes.add(node)
    else:
        nodes.discard(node)
