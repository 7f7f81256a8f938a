"""workflow: another Workflow, run as a child of the run. It has no program of its own."""

from collections.abc import Mapping
from typing import Any

from podium.api.base import ApiModel
from podium.api.child_runs import ChildConfig
from podium.api.problems import Problem, errors
from podium.api.workflow import Node
from podium.executors.base import Runtime, Workload, config_problems

__all__ = ["ChildWorkflow"]


class ChildWorkflow:
    """Runs another Workflow."""

    runtime = Runtime.WORKFLOW
    config: type[ApiModel] = ChildConfig

    def validate(self, node: Node) -> list[Problem]:
        """Check which Workflow is named."""
        problems = config_problems(ChildConfig, node.config)
        if not errors(problems) and "${{" in (name := node.config["workflowRef"]["name"]):
            message = f"{name!r:.80}: which Workflow runs is fixed: write its name or its spec.id"
            problems.append(Problem(("config", "workflowRef", "name"), message))
        return problems

    def expandable(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the context."""
        return {"context": config["context"]} if "context" in config else {}

    def workload(self, node: Node, config: Mapping[str, Any]) -> Workload:  # noqa: ARG002
        """Return that there is nothing to start here."""
        return Workload(Runtime.WORKFLOW)
