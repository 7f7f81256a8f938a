"""Tools of a persona in its Pod: a command, a server of MCP, files; the key of the model in none."""

import json

import pytest

from tests.buckets import address_for
from tests.conformance.cluster_shell import connect
from tests.e2e.personas_test import KEY, model_config, resource, secret
from tests.e2e.support import workflow_run
from tests.unit.personas.model_server import calls, model, says

pytestmark = pytest.mark.cluster
PEEK = "exec 2>&1; env; cat; tr '\\0' '\\n' < /proc/$PPID/environ; ls /var/run/secrets; true"

SERVER = """
import json, os, sys
tools = [{"name": n, "inputSchema": {"type": "object"}} for n in ("environment", "delete")]
hello = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
         "serverInfo": {"name": "s", "version": "1"}}
text = {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]}
answers = {"initialize": hello, "tools/list": {"tools": tools}, "tools/call": text}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        found = answers.get(asked["method"])
        made = {"result": found} if found else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **made}), flush=True)
"""


def test_a_persona_uses_its_tools_in_its_pod_without_the_key(mine):
    mcp = {
        "name": "own",
        "command": ["python3", "-c", SERVER],
        "toolNames": ["environment"],
    }
    tools = [
        {"type": "Command", "command": {"name": "peek", "command": ["bash", "-c", PEEK]}},
        {"type": "McpServer", "mcpServer": mcp},
        {"type": "WriteFile"},
    ]
    asked = calls(
        ("peek", {"question": "what is here?"}),
        ("own_environment", {"text": ""}),
        ("write_file", {"path": "a.md", "text": "# One"}),
        ("own_delete", {"text": "all"}),
    )
    node = {
        "id": "ask",
        "executor": "persona",
        "config": {"personas": ["analyst"], "output_dir": "notes"},
    }
    with model(asked, says({"count": 3}), address=address_for(connect())) as server:
        mine.apply(
            model_config(server.url),
            secret("llm", KEY=KEY),
            resource("Persona", "analyst", {"tools": tools}),
            workflow_run("tools", node),
        )
        mine.wait("tools")
    results = [each["content"] for each in server.asked[-1]["messages"] if each["role"] == "tool"]
    peek, environment, written, delete = results
    assert '{"question": "what is here?"}' in peek
    assert "PODIUM_NODE=ask" in peek
    assert "Permission denied" in peek, "what the runner began with is not for its tools"
    assert "kubernetes.io" not in peek, "no token of the API server"
    assert "PATH" in json.loads(environment)
    assert written.startswith("a.md is kept")
    assert delete.startswith("error: there is no tool 'own_delete'")
    assert KEY not in json.dumps(results)
