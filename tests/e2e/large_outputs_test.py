"""Large outputs on a real cluster: 50 MB, and several into one node."""

import os
import signal

import pytest

from tests.e2e.artifacts_test import place, uploading
from tests.e2e.support import script, until, workflow_run

__all__ = ["place"]  # a fixture
pytestmark = pytest.mark.cluster


def python(name, *lines, after=(), **fields):
    text = "\n".join(("import hashlib, json, os", *lines))
    made = script(name, text, *after, **fields)
    made["config"]["interpreter"] = "python3"
    return made


WRITE = 'json.dump(made, open(os.environ["PODIUM_OUTPUT"], "w"))'
READ = 'given = json.load(open(os.environ["PODIUM_INPUT"]))'


def test_50_mb_are_handed_over(place):
    place.secret()
    place.operator()
    rows = 'rows = [{"id": n, "text": "x" * 120} for n in range(350_000)]'
    make = python(
        "make",
        rows,
        'made = {"rows": rows, "count": len(rows), "last": rows[-1]["id"]}',
        WRITE,
        largeOutput=True,
        outputContract={"produces": ["rows"], "schema": {"properties": {"count": {"minimum": 1}}}},
    )
    use = python(
        "use",
        READ,
        'rows = given["dependencyOutputs"]["make"]["rows"]',
        'size = os.stat(os.environ["PODIUM_INPUT"]).st_size',
        'made = {"rows": len(rows), "last": rows[-1]["id"], "size": size}',
        WRITE,
        after=["make"],
        condition="context.make.last == 349999",
    )
    place.k.apply(workflow_run("r", make, use))
    place.k.wait("r")
    nodes = place.k.nodes("r")
    assert nodes["make"]["output"] == {"last": 349_999}
    assert nodes["make"]["contractFulfilled"] is True
    assert nodes["make"]["outputRef"]["size"] > 50_000_000
    output = nodes["use"]["output"]
    assert (output["rows"], output["last"]) == (350_000, 349_999)
    assert output["size"] > nodes["make"]["outputRef"]["size"]


def test_a_fan_in_and_a_rerun_after_it(place):
    place.secret()
    place.operator()
    made = 'made = {"text": os.environ["PODIUM_NODE"][-1] * 1_000_000}'
    names = [f"n{number}" for number in range(8)]
    look = (
        READ,
        'texts = [each["text"] for each in given["dependencyOutputs"].values()]',
        'made = {"sizes": sorted(map(len, texts)), "found": sorted(text[0] for text in texts)}',
        WRITE,
    )
    nodes = [python(name, made, WRITE, largeOutput=True) for name in names]
    place.k.apply(workflow_run("r", *nodes, python("all", *look, after=names)))
    place.k.wait("r")
    expected = {"sizes": [1_000_000] * 8, "found": list("01234567")}
    assert place.k.nodes("r")["all"]["output"] == expected
    place.k("annotate", "workflowrun", "r", "podium.dev/rerun=all")
    until(lambda: place.k.nodes("r")["all"].get("executionCount") == 2, 120)
    place.k.wait("r")
    assert place.k.nodes("r")["all"]["output"] == expected


def test_an_operator_that_is_killed_while_one_is_stored_and_comes_back_after(place):
    """Nothing runs twice, and what the collector said meanwhile is what counts."""
    place.secret()
    operator = place.operator()
    place.server.freeze()
    made = 'made = {"text": "x" * 5_000_000, "count": 7}'
    make = python("make", made, WRITE, largeOutput=True, outputContract={"produces": ["text"]})
    look = (READ, 'made = {"size": len(given["dependencyOutputs"]["make"]["text"])}', WRITE)
    after = python("use", *look, after=["make"], condition="context.make.count == 7")
    place.k.apply(workflow_run("r", make, after))
    pod = uploading(place.k)["metadata"]["name"]
    os.kill(operator.pid, signal.SIGKILL)
    operator.process.wait()
    place._stack.pop_all()
    place.server.kill()
    place.server.start()
    until(lambda: place.k.get("pod", pod)["status"]["phase"] == "Succeeded", 180)
    assert place.k.nodes("r")["make"]["status"] == "Running"
    place.operator()
    place.k.wait("r")
    nodes = place.k.nodes("r")
    assert nodes["make"]["output"] == {"count": 7}
    assert nodes["make"]["outputRef"]["size"] > 5_000_000
    assert nodes["use"]["output"] == {"size": 5_000_000}
    assert [nodes[name]["executionCount"] for name in ("make", "use")] == [1, 1]
