"""ContractSchemas on a cluster: judged by the operator, waited for, pinned, kept from changes."""

import pytest

from tests.e2e.support import script, until, workflow_run

pytestmark = pytest.mark.cluster
INTEGER, STRING, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}


def contract(*sizes, name="sizes"):
    versions = [
        {
            "version": str(n),
            "schema": {"type": "object", "properties": {"size": size}},
            "requiredFields": ["size"],
        }
        for n, size in enumerate(sizes, 1)
    ]
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "ContractSchema",
        "metadata": {"name": name},
        "spec": {"compatibility": "Backward", "versions": versions},
    }


def promising(version, said):
    named = {"schemaRef": {"name": "sizes", "version": version}}
    return script("make", f"echo '{said}' > $PODIUM_OUTPUT", outputContract=named)


def test_versions_are_judged_and_only_compatible_ones_are_pinned(mine):
    waiting = workflow_run("waiting", promising("1", '{"size": 3}'))
    mine.apply(waiting)

    def waits():
        """The run says that it waits for its ContractSchema"""
        return "ContractSchemaNotFound" in str(mine.get("workflowrun", "waiting").get("status"))

    until(waits)
    mine.apply(contract(INTEGER, STRING, NUMBER))
    mine.wait("waiting")
    (message,) = mine.events("waiting", "ContractSchemaNotFound")
    assert "no ContractSchema 'sizes'" in message

    def judged():
        """The ContractSchema has its verdicts"""
        return mine.get("contractschema", "sizes").get("status", {}).get("versions")

    states = [each["state"] for each in until(judged)]
    assert states == ["Compatible", "Incompatible", "Compatible"]
    line = mine("get", "contractschemas").stdout.splitlines()[1].split()
    assert line[:4] == ["sizes", "Backward", "3", "False"]
    for name, version, said, phase in (
        ("refused", "2", '{"size": "x"}', "Failed"),
        ("broken", "3", '{"size": "x"}', "Failed"),
        ("newer", "3", '{"size": 1.5}', "Succeeded"),
    ):
        mine.apply(workflow_run(name, promising(version, said)))
        mine.wait(name, phase)
    refused = mine.get("workflowrun", "refused")["status"]
    assert refused["reason"] == "InvalidWorkflow"
    assert "is not compatible (Backward)" in str(refused)
    assert mine.states("broken") == {"make": "Failed OutputContract"}
    # What a run is pinned to stays, whatever becomes of the ContractSchema.
    mine("delete", "contractschema", "sizes")
    mine("annotate", "workflowrun", "newer", "podium.dev/rerun=make")

    def again():
        """The node ran again"""
        status = mine.get("workflowrun", "newer")["status"]
        ended = status["phase"] == "Succeeded"
        return ended and status["nodes"]["make"]["executionCount"] == 2

    until(again)
