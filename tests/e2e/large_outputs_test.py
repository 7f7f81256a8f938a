"""Large outputs on a real cluster: 50 MB, and several into one node."""

import base64
import hashlib
import os
import random
import signal

import pytest

from tests.conformance.own_operator import own_operator
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


BLOBS = [base64.b64encode(random.Random(number).randbytes(48_000)).decode() for number in range(10)]
"""640,000 bytes that do not pack, more than a Pod can hold."""


def large_input():
    """Return the run of a node whose input no Pod can hold, beside a large output."""
    made = 'made = {"text": "x" * 1_000_000}'
    look = (
        READ,
        'blobs = "".join(given["metadata"]["blobs"])',
        'text = given["dependencyOutputs"]["make"]["text"]',
        "sum = hashlib.sha256(blobs.encode()).hexdigest()",
        'made = {"sum": sum, "text": len(text), "variable": "PODIUM_INPUT_JSON" in os.environ}',
        WRITE,
    )
    nodes = [python("make", made, WRITE, largeOutput=True), python("use", *look, after=["make"])]
    # The first has the input, too: what all nodes are told is in it.
    return workflow_run("r", *nodes, graph={"metadata": {"blobs": BLOBS}})


def check_large_input(place):
    place.k.wait("r")
    nodes = place.k.nodes("r")
    expected = hashlib.sha256("".join(BLOBS).encode()).hexdigest()
    assert nodes["use"]["output"] == {"sum": expected, "text": 1_000_000, "variable": False}
    assert [nodes[name]["executionCount"] for name in ("make", "use")] == [1, 1]
    until(lambda: not carriers(place.k), 60)


def carriers(k):
    return k.items("pods", "-l", "app.kubernetes.io/component=input")


def test_an_input_that_no_pod_can_hold_comes_from_the_store(place):
    place.secret()
    place.operator()
    place.k.create(large_input())
    check_large_input(place)


def test_a_server_and_an_operator_that_are_killed_while_an_input_is_stored(place):
    place.secret()
    operator = place.operator()
    place.server.freeze()
    place.k.create(large_input())
    until(lambda: [p for p in carriers(place.k) if p["status"]["phase"] == "Pending"], 60)
    os.kill(operator.pid, signal.SIGKILL)
    operator.process.wait()
    place._stack.pop_all()
    place.server.kill()
    place.operator()
    place.server.start()
    check_large_input(place)


def test_without_a_store_the_node_says_that_one_is_needed(place):
    settings = {"artifacts": {}}
    with own_operator(place.k.namespace, place._directory, settings):
        node = script("use", "true")
        place.k.create(workflow_run("r", node, graph={"metadata": {"blobs": BLOBS}}))
        place.k.wait("r", "Failed")
        state = place.k.nodes("r")["use"]
    assert state["reason"] == "InputTooLarge"
    assert "artifacts.s3 or artifacts.pvc" in state["message"]
