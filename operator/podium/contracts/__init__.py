"""Contracts: what a node demands of its input and promises of its output, over plain JSON.

Nothing here knows a resource or the engine: values and schemas come in, verdicts go out.
"""

from podium.contracts.breach import Breach, SchemaProblem
from podium.contracts.check import (
    InputVerdict,
    OutputVerdict,
    check_input,
    check_output,
    effective_output_schema,
)
from podium.contracts.defaults import is_closed, properties_of, with_defaults
from podium.contracts.schema import (
    compile_schema,
    schema_problems,
)
from podium.contracts.values import (
    OutputNotJSONError,
    ValueNotJSONError,
    canonical,
    decoded,
    digest,
    get_path,
    merged,
    normalise,
    parse_output,
    parse_value,
)

__all__ = [
    "Breach",
    "InputVerdict",
    "OutputNotJSONError",
    "OutputVerdict",
    "SchemaProblem",
    "ValueNotJSONError",
    "canonical",
    "check_input",
    "check_output",
    "compile_schema",
    "decoded",
    "digest",
    "effective_output_schema",
    "get_path",
    "is_closed",
    "merged",
    "normalise",
    "parse_output",
    "parse_value",
    "properties_of",
    "schema_problems",
    "with_defaults",
]
