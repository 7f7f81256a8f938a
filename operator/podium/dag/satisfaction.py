"""Whether what each producer promises satisfies what each consumer needs, along every edge.

Nothing runs: schemas are compared. What a node gets is the object that its input contract is
checked against: the context's keys, outputs of the nodes before it, and mapped values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podium import contracts, kinds
from podium.api.outputs import OutputFormat, file_outputs
from podium.api.problems import Path
from podium.api.workflow import InputContract, Node
from podium.contracts.promises import Case, cases_of
from podium.contracts.schema_parts import Budget, Part, whole
from podium.contracts.subsumption import Finding, compare_parts
from podium.dag.graph import DagEdge, Graph

__all__ = ["CONTEXT", "Unsatisfied", "unsatisfied"]

CONTEXT = "context"
"""In place of a producer: the context of the run."""
MAX_STEPS = 2000
_VALUES: Mapping[OutputFormat, Mapping[str, Any]] = {
    OutputFormat.TEXT: {"type": "string"},
    OutputFormat.LINES: {"type": "array", "items": {"type": "string"}},
    OutputFormat.JSON: {},
}


@dataclass(frozen=True, slots=True)
class Unsatisfied:
    """Something that a consumer needs and that is not promised."""

    producer: str
    """Id of the node that promises, or `CONTEXT`."""
    consumer: str
    path: Path
    """Place in the definition of what needs it."""
    finding: Finding

    @property
    def is_open(self) -> bool:
        """Whether it may be there all the same: a warning."""
        return self.finding.is_open


def unsatisfied(dag: Graph) -> Iterator[Unsatisfied]:
    """Return what is not promised along the edges of a sound graph, in the order of its nodes."""
    test = _Test(dag)
    for edge in dag.edges:
        yield from test.mapping(edge)
    for node in dag.nodes.values():
        if node.input_contract is not None:
            yield from test.input(node, node.input_contract)


class _Test:
    """What the nodes of one graph promise."""

    def __init__(self, dag: Graph) -> None:
        self._dag = dag
        self._outputs: dict[str, Part] = {}
        self._given: set[str] = set()
        """Context keys that every run has."""
        self._mapped: dict[str, dict[str, DagEdge]] = {}
        for edge in dag.edges:
            for name in edge.edge.data_mapping.values():
                self._mapped.setdefault(edge.target, {})[name] = edge
        self._context = dict(self._context_parts())

    def mapping(self, edge: DagEdge) -> Iterator[Unsatisfied]:
        """Return what a mapping of an edge takes and the source does not promise."""
        for path in edge.edge.data_mapping:
            needed = contracts.with_required({}, [_of_objects(path)])
            for found in compare_parts([self._output(edge.source)], whole(needed)):
                place = (*edge.path, "dataMapping", path)
                finding = Finding((edge.source, *found.path), found.message, found.is_open)
                yield Unsatisfied(edge.source, edge.target, place, finding)

    def input(self, node: Node, contract: InputContract) -> Iterator[Unsatisfied]:
        """Return what an input contract needs and nothing before the node promises."""
        fields = [_of_objects(field) for field in contract.required_fields]
        needed = whole(contracts.with_required(contract.schema_ or {}, fields))
        promised = self._input(node, needed)
        for finding in compare_parts([promised], needed):
            first = str(finding.path[0]) if finding.path else ""
            edge = self._mapped.get(node.id, {}).get(first)
            producer = CONTEXT
            if edge is not None:
                producer = edge.source
            elif (found := self._dag.resolve(node.id, first)) in self._dag.nodes:
                producer = found
            here = (*self._dag.node_paths[node.id], "inputContract")
            yield Unsatisfied(producer, node.id, self._place(contract, first, here), finding)

    def _place(self, contract: InputContract, first: str, here: Path) -> Path:
        """Return where a contract names what it needs."""
        for position, field in enumerate(contract.required_fields):
            if field.split(".")[0] == first and contract.schema_ref is None:
                return (*here, "requiredFields", position)
        return (*here, "schemaRef" if contract.schema_ref is not None else "schema")

    def _input(self, node: Node, needed: Part) -> Part:
        """Return what a node gets: of what it needs, if that is all that is looked at."""
        names = dict.fromkeys(self._context)
        for case in _cases(needed):
            names |= dict.fromkeys([*case.declared, *case.required])
        properties: dict[str, Any] = dict(self._context)
        required = [name for name in names if name in self._given]
        for name in names:
            edge = self._mapped.get(node.id, {}).get(name)
            if edge is not None:
                path = next(p for p, to in edge.edge.data_mapping.items() if to == name)
                properties[name] = self._at(self._output(edge.source), path)
                required.append(name)
            elif (found := self._dag.resolve(node.id, name)) in self._dag.nodes and (
                self._dag.can_read(node.id, found)
            ):
                properties[name] = self._output(found)
                required.append(name)
        return whole({"type": "object", "properties": properties, "required": required})

    def _at(self, part: Part, path: str) -> Part:
        """Return what is promised at a path of an output."""
        for step in path.split("."):
            cases = _cases(part)
            members = cases[0].members(step) if len(cases) == 1 else ()
            part = Part({"allOf": list(members)}, part.document)
        return part

    # Promises

    def _context_parts(self) -> Iterator[tuple[str, Part]]:
        spec = self._dag.spec
        if spec is None:
            return
        self._given.update(spec.global_context, spec.constants)
        for name, value in spec.global_context.items():
            yield name, whole({"const": value})
        if spec.inputs is not None:
            declared = whole(spec.inputs)
            cases = _cases(declared)
            # What is filled in at a property is there, whatever the run gives.
            filled = contracts.with_defaults(spec.inputs, {})
            for name in contracts.properties_of(spec.inputs):
                members = cases[0].members(name) if len(cases) == 1 else ()
                if name in filled or (len(cases) == 1 and name in cases[0].required):
                    self._given.add(name)
                yield name, Part({"allOf": list(members)}, declared.document)
        for name, value in spec.constants.items():
            yield name, whole({"const": value})

    def _output(self, name: str) -> Part:
        """Return what a node promises of its output."""
        if name not in self._outputs:
            node = self._dag.nodes[name]
            is_group = name in self._dag.members
            self._outputs[name] = self._of_members(node) if is_group else _promise(node)
        return self._outputs[name]

    def _of_members(self, group: Node) -> Part:
        """Return what a group promises: what its members do, as far as they complete if it does."""
        members = self._dag.members[group.id]
        doubtful = {each for each in members if not _is_certain(self._dag.nodes[each])}
        inner = [edge for edge in self._dag.edges if self._dag.groups.get(edge.target) == group.id]
        doubtful |= {edge.target for edge in inner if edge.edge.condition or edge.edge.route}
        waiting = list(doubtful)
        for name in waiting:
            targets = {edge.target for edge in inner if edge.source == name} - doubtful
            doubtful |= targets
            waiting += targets
        certain = [each for each in members if each not in doubtful and group.min_success is None]
        properties = {each.rpartition(".")[2]: self._output(each) for each in members}
        required = [each.rpartition(".")[2] for each in certain]
        made = whole({"type": "object", "properties": properties, "required": required})
        contract = group.output_contract
        if contract is None:
            return made
        own = whole(contracts.with_required(contract.schema_ or {}, list(contract.produces)))
        return whole({"allOf": [made, own]})


def _is_certain(node: Node) -> bool:
    return node.condition is None and not node.allow_failure


def _cases(part: Part) -> list[Case]:
    return cases_of([part], Budget(MAX_STEPS, MAX_STEPS))


def _promise(node: Node) -> Part:
    kind = kinds.of(node)
    if isinstance(kind, kinds.ForEach):
        count = {"type": "integer", "minimum": 0}
        counts = dict.fromkeys(("succeeded", "failed", "skipped"), count)
        fields = {"items": {"type": "array"}, **counts}
        return whole({"type": "object", "properties": fields, "required": list(fields)})
    if not kind.has_execution:
        routes = kind.output_fields(node).routes
        if routes is None:
            return whole({"type": "object"})
        properties = {"route": {"enum": sorted(routes)}}
        return whole({"type": "object", "properties": properties, "required": ["route"]})
    every: list[Any] = []
    contract = node.output_contract
    if contract is not None:
        produced = [name for name in contract.produces if "." not in name]
        every.append(whole(contracts.with_required(contract.schema_ or {}, produced)))
    if node.outputs:
        values = {name: dict(_VALUES[each.read_as]) for name, each in node.outputs.items()}
        made: dict[str, Any] = {"properties": values, "required": list(values)}
        if file_outputs(node.outputs):  # a program with such has no $PODIUM_OUTPUT
            made["additionalProperties"] = False
        every.append(made)
    return whole({"type": "object", "allOf": every})


def _of_objects(path: str) -> str:
    """Return a path as far as it leads through objects: a position in a list is not promised."""
    steps = path.split(".")
    position = next((n for n, step in enumerate(steps) if n and step.isdigit()), len(steps))
    return ".".join(steps[:position])
