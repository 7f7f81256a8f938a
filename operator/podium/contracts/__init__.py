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
from podium.contracts.compatibility import (
    Compatibility,
    Verdict,
    Version,
    judge_versions,
    with_required,
)
from podium.contracts.defaults import is_closed, properties_of, with_defaults
from podium.contracts.large import (
    LARGE_OUTPUT_BYTES,
    AskedOutput,
    LargeOutput,
    OutputTooLargeError,
    read_large_output,
)
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
    "LARGE_OUTPUT_BYTES",
    "AskedOutput",
    "Breach",
    "Compatibility",
    "InputVerdict",
    "LargeOutput",
    "OutputNotJSONError",
    "OutputTooLargeError",
    "OutputVerdict",
    "SchemaProblem",
    "ValueNotJSONError",
    "Verdict",
    "Version",
    "canonical",
    "check_input",
    "check_output",
    "compile_schema",
    "decoded",
    "digest",
    "effective_output_schema",
    "get_path",
    "is_closed",
    "judge_versions",
    "merged",
    "normalise",
    "parse_output",
    "parse_value",
    "properties_of",
    "read_large_output",
    "schema_problems",
    "with_defaults",
    "with_required",
]
