"""What can be wrong with outputs that are large, and with those who need them."""

from collections.abc import Iterator

from podium import contracts
from podium.api.problems import Problem
from podium.api.workflow import EdgeType, Node
from podium.dag.graph import Graph

__all__ = ["LargeOutputChecks"]


class LargeOutputChecks:
    """The nodes of a graph whose outputs may be large; `sound`: the graph has no error."""

    def __init__(self, dag: Graph, *, sound: bool) -> None:
        self._dag = dag
        self._sound = sound
        self._large = frozenset(name for name, node in dag.nodes.items() if node.large_output)
        self._mapped: dict[str, dict[str, str]] = {}
        """Names that edges map parts of these outputs to, by target: their sources."""
        for edge in dag.edges if self._large else ():
            if edge.source in self._large and edge.edge.type is not EdgeType.TRIGGERS:
                names = dict.fromkeys(edge.edge.data_mapping.values(), edge.source)
                self._mapped.setdefault(edge.target, {}).update(names)

    def problems(self, node: Node) -> Iterator[Problem]:
        """Find what is wrong with a node; paths begin at it."""
        if node.large_output and node.outputs:
            message = (
                "is for what a program writes to $PODIUM_OUTPUT: leave it out, or leave out"
                " outputs, whose values are small"
            )
            yield Problem(("largeOutput",), message)
        contract = node.input_contract
        if not self._large or contract is None or contract.schema_ is None:
            return
        mapped = self._mapped.get(node.id, {})
        for name in contracts.properties_of(contract.schema_):
            found = self._dag.resolve(node.id, name)
            is_output = found in self._large and self._sound and self._dag.can_read(node.id, found)
            source = mapped.get(name, found if is_output else None)
            if source is not None:
                message = (
                    f"judges {name!r:.80}, which comes from the output of {source!r}: that has"
                    " largeOutput: true and rests in the store; name the fields that must be there"
                    " in requiredFields, and let outputContract.schema of that node judge them"
                )
                yield Problem(("inputContract", "schema"), message)
