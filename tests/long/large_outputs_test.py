"""Outputs of 50 MB, and 1,000 of 1 MB into one node: memory stays flat."""

import json
import subprocess
import sys

import pytest
import yaml

from podium.artifacts.large_outputs import store_output
from podium.artifacts.manifest import OUTPUT, Manifest
from podium.artifacts.pod import InputPart, Task
from podium.artifacts.store import ArtifactStore
from podium.contracts import LargeOutput, OutputVerdict
from tests.long.memory import PEAK_MB
from tests.unit.artifacts.s3 import S3Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PROGRAM = """
import sys
from podium.cli import main
try:
    sys.argv[0] = "podium"
    main()
finally:
    print("RSS", peak_mb(), file=sys.stderr)
"""


def run(directory, nodes):
    """Run a workflow on this machine; return its states and podium's own memory in MB."""
    file = directory / "workflow.yaml"
    spec = {"spec": {"nodes": nodes}}
    head = {"apiVersion": "podium.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}
    file.write_text(yaml.safe_dump(head | spec))
    command = [sys.executable, "-c", PEAK_MB + PROGRAM, "run", str(file), "-o", "json"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    status = json.loads(done.stdout)["status"]
    assert status["phase"] == "Succeeded", done.stdout[-3000:]
    megabytes = int(done.stderr.rpartition("RSS ")[2])
    return status["nodes"], megabytes


def python(name, *lines, after=(), **fields):
    config = {"interpreter": "python3", "script": "\n".join(("import json, os", *lines))}
    return {"id": name, "executor": "script", "config": config, "dependsOn": [*after], **fields}


WRITE = 'json.dump(made, open(os.environ["PODIUM_OUTPUT"], "w"))'
MADE = 'made = {"text": os.environ["PODIUM_NODE"][-1] * 1_000_000}'
COUNT = (
    "size, found = 0, 0",
    'with open(os.environ["PODIUM_INPUT"], "rb") as file:',
    "    while chunk := file.read(1 << 20):",
    "        size += len(chunk)",
    "        found += chunk.count(b'text')",
    'made = {"size": size, "found": found}',
    WRITE,
)


def test_50_mb_are_handed_over(tmp_path):
    rows = 'rows = [{"id": n, "text": "x" * 120} for n in range(350_000)]'
    made = 'made = {"rows": rows, "count": len(rows), "last": rows[-1]["id"]}'
    given = 'given = json.load(open(os.environ["PODIUM_INPUT"]))["dependencyOutputs"]["big"]'
    seen = (
        'made = {"rows": len(given["rows"]), "size": os.stat(os.environ["PODIUM_INPUT"]).st_size}'
    )
    nodes, megabytes = run(
        tmp_path,
        [
            python("big", rows, made, WRITE, largeOutput=True),
            python("b", given, seen, WRITE, after=["big"], condition="context.big.last == 349999"),
        ],
    )
    assert nodes["big"]["output"] == {"last": 349_999}
    assert nodes["b"]["output"]["rows"] == 350_000
    assert nodes["b"]["output"]["size"] > 50_000_000
    assert megabytes < 600


def test_1000_outputs_of_1_mb_into_one_node(tmp_path):
    names = [f"n{number}" for number in range(1000)]
    nodes, megabytes = run(
        tmp_path,
        [
            *(python(name, MADE, WRITE, largeOutput=True) for name in names),
            python("all", *COUNT, after=names),
        ],
    )
    output = nodes["all"]["output"]
    assert output["size"] > 1_000_000_000
    assert output["found"] >= 990  # one that is cut by a piece is not seen
    assert megabytes < 300


FETCH = """
import json, sys
from pathlib import Path
from podium.artifacts import fetcher
from podium.artifacts.pod import Task
from podium.artifacts.settings import S3Settings, StaticKeys

place, task, base = sys.argv[1:]
given = json.loads(place)
settings = S3Settings(given["bucket"], StaticKeys(*given["keys"]), endpoint=given["endpoint"])
base = Path(base)
inputs = fetcher.Inputs(base / "input.json", base / "whole.json")
fetcher.fetch(Task.load(Path(task).read_text()), settings, inputs=inputs)
print(peak_mb())
"""


def test_a_pod_fetches_1000_outputs_of_1_mb(tmp_path):
    """From a store that was filled by itself: 1,000 Pods are more than this machine has room for."""
    with S3Server(tmp_path / "s3") as server:
        settings = server.bucket("artifacts")
        parts = []
        with ArtifactStore(settings) as store:
            for number in range(1000):
                name, data = f"n{number}", f'{{"text":"{number:04}{"x" * 1_000_000}"}}'.encode()
                output = LargeOutput(data, {}, is_whole=False, verdict=OutputVerdict())
                made = {OUTPUT: store_output(store, output)}
                digest = store.commit_by_digest(Manifest("uid", name, f"{name}-1", made))
                parts.append(InputPart("dependencyOutputs", name, name, f"{name}-1", digest))
        task = tmp_path / "task.json"
        task.write_text(Task("uid", "all", "all-1", inputs=tuple(parts)).dump())
        (tmp_path / "input.json").write_text('{"nodeId": "all"}')
        keys = [settings.credentials.access_key_id, settings.credentials.secret_access_key]
        place = {"bucket": settings.bucket, "keys": keys, "endpoint": settings.endpoint}
        arguments = [json.dumps(place), str(task), str(tmp_path)]
        command = [sys.executable, "-c", PEAK_MB + FETCH, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300
    outputs = json.loads((tmp_path / "whole.json").read_bytes())["dependencyOutputs"]
    assert [outputs[f"n{number}"]["text"][:4] for number in (0, 7, 999)] == ["0000", "0007", "0999"]
    assert len(outputs) == 1000
