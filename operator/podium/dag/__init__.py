"""WorkflowDAG: the graph of a definition, and everything that can be checked before a run.

Built once per definition, on networkx; the engine keeps what it needs of it as plain maps
(`podium.engine.plan`). All problems of a definition are reported in one go, each with its path.
"""

from dataclasses import replace
from functools import cached_property

from podium.api.problems import Path, Problem, Severity, errors
from podium.dag.ancestors import NEAREST, nearest_ancestors
from podium.dag.checks import DefinitionChecks
from podium.dag.graph import DagEdge, Graph
from podium.dag.literals import literal_templates

__all__ = ["NEAREST", "DagEdge", "WorkflowDAG", "nearest_ancestors"]


class WorkflowDAG(Graph):
    """The graph of a definition with its checks; acyclic once `problems` finds no error."""

    def validate(self) -> list[str]:
        """Return the problems as strings; empty if the definition is sound."""
        return [str(problem) for problem in self.problems()]

    def problems(self, base: Path = ("spec",)) -> list[Problem]:
        """Return all that is wrong with the definition, errors and warnings.

        It is checked once, however often this is asked. Paths begin with `base`. What needs a
        sound graph (ancestors) is left out while the graph is not.
        """
        return [replace(problem, path=(*base, *problem.path)) for problem in self._problems]

    @cached_property
    def _problems(self) -> list[Problem]:
        found = list(self.shape_problems)
        if self.spec is not None:
            sound = not any(problem.severity is Severity.ERROR for problem in found)
            found += DefinitionChecks(self, self.spec, sound=sound).run()
            templates = list(literal_templates(self.spec, set(self.node_paths.values())))
            literal = {problem.path for problem in errors(templates)}
            # What other checks say of such a string names no remedy.
            found = [problem for problem in found if problem.path not in literal] + templates
        return found

    def _forget(self) -> None:
        super()._forget()
        self.__dict__.pop("_problems", None)
