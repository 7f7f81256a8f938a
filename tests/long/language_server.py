"""A real YAML language server, spoken to as an editor speaks to it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

VERSION = "1.25.0"
"""2.0 needs a newer Node than most machines have."""
HOME = Path.home() / ".cache" / "podium" / f"yaml-language-server-{VERSION}"


def program():
    """Return the server's command; npm installs it once."""
    server = HOME / "node_modules" / ".bin" / "yaml-language-server"
    if not server.exists():
        npm = shutil.which("npm")
        assert npm, (
            "the tests of `make test-long` need npm (Node 20 or later) for a language server"
        )
        making = HOME.with_name(f"{HOME.name}-{os.getpid()}")
        making.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(
            [npm, "install", *options, f"yaml-language-server@{VERSION}"], cwd=making, check=True
        )
        shutil.rmtree(HOME, ignore_errors=True)
        making.rename(HOME)
    return [str(server), "--stdio"]


class LanguageServer:
    """One session: documents are opened, questions asked, problems waited for."""

    def __init__(self, root):
        self._process = subprocess.Popen(
            program(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
        )
        self._number = 0
        self._problems = {}
        settings = {"yaml": {"validate": True, "completion": True, "hover": True}}
        self._settings = {**settings["yaml"], "schemaStore": {"enable": False}}
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": False}},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": True, "didChangeConfiguration": {}},
        }
        self.ask(
            "initialize",
            {"processId": os.getpid(), "rootUri": root.as_uri(), "capabilities": capabilities},
        )
        self._send({"method": "initialized", "params": {}})
        self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": settings}})

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def open(self, path, text):
        """Open a document that an editor holds; it need not be on the disk."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})

    def problems(self, path, *, some=False):
        """Return what the server says of a document: `[(line, message)]`, lines from 1.

        It may say more than once, and that all is well before it has read the schema: `some` waits
        until something is wrong.
        """
        while path.as_uri() not in self._problems or (some and not self._problems[path.as_uri()]):
            self._take(self._receive())
        return [
            (each["range"]["start"]["line"] + 1, each["message"])
            for each in self._problems[path.as_uri()]
        ]

    def complete(self, path, line, column):
        """Return what the server proposes at a place, both counted from 0."""
        answer = self.ask("textDocument/completion", self._place(path, line, column))
        return [each["label"] for each in answer["items"]]

    def hover(self, path, line, column):
        """Return what the server says when the pointer rests on a place."""
        answer = self.ask("textDocument/hover", self._place(path, line, column))
        return answer["contents"]["value"] if answer else ""

    @staticmethod
    def _place(path, line, column):
        return {
            "textDocument": {"uri": path.as_uri()},
            "position": {"line": line, "character": column},
        }

    def ask(self, method, parameters):
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._take(message)

    def _take(self, message):
        """Keep what the server says by itself, and answer what it asks."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self._problems[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            items = message["params"]["items"]
            found = [self._settings if each.get("section") == "yaml" else None for each in items]
            self._send({"id": message["id"], "result": found})
        elif "id" in message and "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _receive(self):
        size = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        assert size, "the language server has ended"
        return json.loads(self._process.stdout.read(size))
