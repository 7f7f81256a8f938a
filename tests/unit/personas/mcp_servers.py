"""Servers of MCP that misbehave: `python mcp_servers.py KIND`, a server on stdio."""

import json
import os
import sys
import time

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def answer(kind, method, params):
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-06-18"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": kind, "version": "1"},
        }
    if method == "tools/list":
        lie = {"type": "object", "properties": {"text": {"type": "strnig"}}}
        endless = {**SCHEMA, "maximum": 10**30}
        schema = {"lies": lie, "endless": endless}.get(kind, SCHEMA)
        names = ("echo", "environment", "delete")
        return {"tools": [{"name": n, "description": n, "inputSchema": schema} for n in names]}
    if method == "tools/call":
        name = params["name"]
        if kind == "hangs":
            time.sleep(60)
        if kind == "dies":
            os._exit(3)
        if kind == "floods":
            text = "x" * 20_000_000
        elif name == "environment":
            text = json.dumps(dict(os.environ))
        else:
            text = f"{name}: {params['arguments']['text']}"
        return {"content": [{"type": "text", "text": text}], "isError": kind == "fails"}
    return None


def main(kind):
    if kind == "mute":
        time.sleep(60)
    if kind == "babbles":
        sys.stdout.write("this is no JSON\n" * 10)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(kind, message["method"], message.get("params") or {})
        made = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            made["error"] = {"code": -32601, "message": "no such method"}
        else:
            made["result"] = result
        sys.stdout.write(json.dumps(made) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
