"""ContractSchemas that contracts name: pinned with a definition, and made a part of its nodes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from podium import contracts
from podium.api.contract_schemas import (
    MAX_SCHEMAS,
    ContractSchemaSpec,
    ContractVersion,
    Direction,
    PinnedSchema,
    SchemaReference,
    judge_versions,
)
from podium.api.problems import Path, Problem
from podium.api.shape import closest
from podium.api.workflow import InputContract, Node, OutputContract, WorkflowSpec

__all__ = ["PlacedReference", "pin_schemas", "schema_references", "with_schemas"]

_Contract = TypeVar("_Contract", InputContract, OutputContract)


class PlacedReference(NamedTuple):
    """A `schemaRef` with its place in the definition."""

    path: Path
    reference: SchemaReference
    direction: Direction


def schema_references(spec: WorkflowSpec) -> Iterator[PlacedReference]:
    """Return every `schemaRef` of a definition."""
    for place, node in spec.placed_nodes():
        for name, direction, contract in (
            ("inputContract", Direction.INPUT, node.input_contract),
            ("outputContract", Direction.OUTPUT, node.output_contract),
        ):
            if contract is not None and contract.schema_ref is not None:
                yield PlacedReference((*place, name, "schemaRef"), contract.schema_ref, direction)


def pin_schemas(
    spec: WorkflowSpec, known: Mapping[str, ContractSchemaSpec | None], missing: str
) -> tuple[dict[str, PinnedSchema], list[Problem]]:
    """Return what a definition names, by NAME/VERSION, and what keeps it from being pinned.

    `known` are ContractSchemas by name (None: one that is not valid, which is said elsewhere);
    `missing` says what to do about one that is not there.
    """
    pinned: dict[str, PinnedSchema] = {}
    problems: list[Problem] = []
    refused: dict[str, str] = {}
    for path, reference, direction in schema_references(spec):
        name, key = reference.name, reference.key
        if name not in known:
            close = closest(name, known)
            hint = f"; did you mean {close}?" if close else ""
            message = f"there is no ContractSchema {name!r:.80}: {missing}{hint}"
            problems.append(Problem((*path, "name"), message))
            continue
        of = known[name]
        if of is None:
            message = f"the ContractSchema {name!r:.80} is not valid"
            problems.append(Problem((*path, "name"), message))
            continue
        if of.direction not in (Direction.BOTH, direction):
            message = (
                f"the ContractSchema {name!r:.80} is for direction: {of.direction.value}, and this"
                f" contract is one of {direction.value.lower()}s"
            )
            problems.append(Problem((*path, "name"), message))
            continue
        if key not in pinned and key not in refused:
            found, refused[key] = _version(of, reference)
            if found is not None:
                schema, fields = found.schema_, found.required_fields
                pinned[key] = PinnedSchema(schema_=schema, required_fields=fields)
        if refused[key]:
            problems.append(Problem((*path, "version"), refused[key]))
    if len(pinned) > MAX_SCHEMAS:
        message = f"names {len(pinned)} versions of ContractSchemas, and {MAX_SCHEMAS} is the limit"
        problems.append(Problem(("nodes",), f"{message}: let several nodes share one"))
        pinned = {}
    return pinned, problems


def _version(
    of: ContractSchemaSpec, reference: SchemaReference
) -> tuple[ContractVersion | None, str]:
    """Return a version of a ContractSchema, or why it must not be pinned."""
    known = [each.version for each in of.versions]
    if reference.version not in known:
        shown = ", ".join(known[:20])
        name = reference.name
        return None, (
            f"the ContractSchema {name!r:.80} has no version {reference.version!r:.80}: it has"
            f" {shown}"
        )
    position = known.index(reference.version)
    until = of.model_copy(update={"versions": of.versions[: position + 1]})
    *_, verdict = judge_versions(until)
    if not verdict.is_compatible:
        return None, (
            f"version {reference.version!r:.80} of the ContractSchema {reference.name!r:.80} is not"
            f" compatible ({of.compatibility.value}): {verdict.problems[0]}; name version"
            f" {verdict.compared_with!r:.80}, or one that is"
        )
    return of.versions[position], ""


def with_schemas(node: Node, pinned: Mapping[str, PinnedSchema]) -> Node:
    """Return a node whose contracts have the schemas that they name."""
    changes: dict[str, InputContract | OutputContract] = {}
    wants, gives = node.input_contract, node.output_contract
    if wants is not None and (schema := _named(wants, pinned)) is not None:
        fields = _together(wants.required_fields, schema.required_fields)
        more = {"schema_": schema.schema_, "required_fields": fields}
        changes["input_contract"] = wants.model_copy(update=more)
    if gives is not None and (schema := _named(gives, pinned)) is not None:
        firsts = [field.split(".")[0] for field in schema.required_fields]
        deeper = [field for field in schema.required_fields if "." in field]
        more = {
            "schema_": contracts.with_required(schema.schema_, deeper),
            "produces": _together(gives.produces, firsts),
        }
        changes["output_contract"] = gives.model_copy(update=more)
    return node.model_copy(update=changes) if changes else node


def _named(contract: _Contract, pinned: Mapping[str, PinnedSchema]) -> PinnedSchema | None:
    return None if contract.schema_ref is None else pinned.get(contract.schema_ref.key)


def _together(own: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*own, *more]))
