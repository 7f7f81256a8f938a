"""What can be wrong with a node's part of its Workflow's limits of tokens and cost."""

from collections.abc import Iterator, Mapping

from podium import executors
from podium.api.problems import Problem, Severity
from podium.api.workflow import Node, WorkflowSpec

__all__ = ["item_limit_problems"]


def item_limit_problems(spec: WorkflowSpec, node: Node) -> Iterator[Problem]:
    """Warn of items that fail where they ask models; paths begin at the node.

    With recorded answers they run all the same.
    """
    if spec.limits is None or node.for_each is None:
        return
    if node.executor not in executors.PERSONA_EXECUTORS:
        return
    own = node.config.get("limits")
    own = own if isinstance(own, Mapping) else {}
    for name, limit in (("tokens", spec.limits.tokens), ("cost", spec.limits.cost)):
        if limit is None:
            continue
        part = own.get(name)
        if part is None:
            message = (
                f"{name} is missing: limits.{name} of the Workflow ({limit:,g}) is for all items"
                " together, and each needs a part of it, or it fails"
            )
        elif isinstance(part, int | float) and part > limit:
            message = f"{name}: {part:,g} is more than the Workflow's ({limit:,g}): each item fails"
        else:
            continue
        yield Problem(("config", "limits"), message, Severity.WARNING)
