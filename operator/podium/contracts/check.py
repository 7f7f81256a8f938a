"""Verdicts: whether an input meets what a node demands, an output what it promises."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from podium.contracts.breach import Breach
from podium.contracts.schema import compile_schema
from podium.contracts.values import get_path

__all__ = [
    "InputVerdict",
    "OutputVerdict",
    "check_input",
    "check_output",
    "effective_output_schema",
]

OUTPUT_CONTRACT = "OutputContract"
QUALITY = "QualityBelowThreshold"


@dataclass(slots=True)
class InputVerdict:
    """Whether an input meets its contract."""

    breaches: list[Breach] = field(default_factory=list)
    waived: list[str] = field(default_factory=list)
    """Required fields that were not demanded."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.breaches


@dataclass(slots=True)
class OutputVerdict:
    """Whether an output keeps its contract."""

    reason: str = ""
    """Empty, OutputContract or QualityBelowThreshold."""
    breaches: list[Breach] = field(default_factory=list)
    quality_score: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.breaches


def check_input(
    resolved: Mapping[str, Any],
    *,
    required_fields: Sequence[str],
    schema: Mapping[str, Any] | None,
    waived: Container[str] = (),
) -> InputVerdict:
    """Check a resolved input.

    `required_fields` are dotted paths. What begins with a name in `waived` is not demanded, by
    the fields or by the schema's own top-level `required`.
    """
    breaches = []
    let_off = []
    for path in required_fields:
        if path.split(".")[0] in waived:
            let_off.append(path)
            continue
        try:
            get_path(resolved, path)
        except KeyError:
            have = ", ".join(sorted(resolved)[:20])
            breaches.append(Breach(path, f"is required and missing; the input has {have}"))
    if schema is not None:
        required = schema.get("required")
        if isinstance(required, list):
            demanded = [name for name in required if name not in waived]
            let_off += [name for name in required if name in waived and name not in let_off]
            if len(demanded) != len(required):
                schema = {**schema, "required": demanded}
        breaches += compile_schema(schema).breaches(resolved)
    return InputVerdict(breaches, let_off)


def check_output(
    output: Mapping[str, Any],
    *,
    produces: Sequence[str],
    schema: Mapping[str, Any] | None,
    quality_threshold: float | None,
    own_threshold: bool,
    quality_field: str = "quality_score",
) -> OutputVerdict:
    """Check an output: its keys, its schema, its quality.

    A threshold of the node's own (`own_threshold`) demands a score; one for the whole run applies
    where a score is reported.
    """
    breaches = []
    missing = [key for key in produces if key not in output]
    if missing:
        have = ", ".join(sorted(output)[:20]) or "nothing"
        breaches += [
            Breach(key, f"is promised (produces) and missing; the output has {have}")
            for key in missing
        ]
    if schema is not None:
        breaches += compile_schema(schema).breaches(output)
    score, message = _score(output, quality_field)
    if message and (own_threshold or quality_threshold is not None):
        breaches.append(Breach(quality_field, message))
    if breaches:
        return OutputVerdict(OUTPUT_CONTRACT, breaches, score)
    if quality_threshold is None:
        return OutputVerdict(quality_score=score)
    if score is None:
        if not own_threshold:
            return OutputVerdict()
        breach = Breach(
            quality_field,
            f"is missing: the node has a quality threshold of {quality_threshold:g}",
        )
        return OutputVerdict(QUALITY, [breach])
    if score < quality_threshold:
        breach = Breach(quality_field, f"{score:g} is below the threshold {quality_threshold:g}")
        return OutputVerdict(QUALITY, [breach], score)
    return OutputVerdict(quality_score=score)


def effective_output_schema(
    produces: Sequence[str], schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the schema with each `produces` name as a required property.

    It is made from `produces` alone where there is no schema.
    """
    made: dict[str, Any] = {"type": "object", **(schema or {})}
    properties = dict(made.get("properties") or {})
    for name in produces:
        properties.setdefault(name, {})
    if properties:
        made["properties"] = properties
    required = [*(made.get("required") or []), *produces]
    if required:
        made["required"] = list(dict.fromkeys(required))
    return made


def _score(output: Mapping[str, Any], path: str) -> tuple[float | None, str]:
    """Return the score, or what is wrong with it."""
    try:
        value = get_path(output, path)
    except KeyError:
        return None, ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None, "must be a number from 0 to 1"
    return float(value), ""
