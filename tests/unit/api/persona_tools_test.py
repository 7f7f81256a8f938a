"""Tools of personas: what is wrong with them is named by its field."""

import pytest
from pydantic import ValidationError

from podium.api.personas import PersonaSpec, check_persona, output_schema_problems


def problems(*tools):
    spec = PersonaSpec.model_validate({"tools": list(tools)})
    return [str(each) for each in (*check_persona(spec), *output_schema_problems(spec))]


COMMAND = {"name": "count", "command": ["wc", "-c"]}
SERVER = {"name": "files", "command": ["files-server"], "toolNames": ["read"]}


def test_sound_tools_are_taken():
    assert (
        problems(
            {"type": "Command", "command": {**COMMAND, "parameters": {"type": "object"}}},
            {"type": "McpServer", "mcpServer": {**SERVER, "env": ["TOKEN"]}},
            {
                "type": "McpServer",
                "mcpServer": {"name": "web", "url": "http://tools:8000/mcp", "toolNames": ["get"]},
            },
            {"type": "WriteFile"},
        )
        == []
    )


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ({"type": "Command"}, "spec.tools[0].command: is missing"),
        ({"type": "WriteFile", "command": COMMAND}, "command: is set, and the type is WriteFile"),
        ({"type": "Command", "command": {**COMMAND, "name": "a b"}}, "not the name of a tool"),
        (
            {"type": "Command", "command": {**COMMAND, "parameters": {"type": "strnig"}}},
            "spec.tools[0].command.parameters",
        ),
        ({"type": "McpServer", "mcpServer": {**SERVER, "url": "http://x/"}}, "command"),
        (
            {"type": "McpServer", "mcpServer": {"name": "s", "toolNames": ["a"]}},
            "spec.tools[0].mcpServer",
        ),
        (
            {
                "type": "McpServer",
                "mcpServer": {"name": "s", "toolNames": ["a"], "url": "http://me:secret@x/"},
            },
            "without credentials",
        ),
        (
            {
                "type": "McpServer",
                "mcpServer": {"name": "s", "toolNames": ["a"], "url": "http://0xA9FEA9FE/mcp"},
            },
            "where machines keep their own secrets",
        ),
        (
            {"type": "McpServer", "mcpServer": {**SERVER, "env": ["PODIUM_KEY_0"]}},
            "'PODIUM_KEY_0' cannot be handed over",
        ),
    ],
)
def test_what_is_wrong_is_named(tool, said):
    found = problems(tool)
    assert any(said in each for each in found), found


def test_names_are_unique():
    found = problems(*[{"type": "Command", "command": COMMAND}] * 2)
    assert found == ["spec.tools[1]: another tool is named count: names are unique"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "Agent"},
        {"type": "McpServer", "mcpServer": {**SERVER, "toolNames": []}},
        {"type": "Command", "command": {**COMMAND, "command": []}},
    ],
)
def test_what_is_no_tool_is_refused(tool):
    with pytest.raises(ValidationError):
        problems(tool)
