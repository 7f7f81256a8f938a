"""Secrets and ConfigMaps that nodes name, on a real cluster (docs/security.md, "Secrets")."""

import json
import time

import pytest

from podium.cluster.runs.object_lookup import KEEP_SECONDS
from tests.e2e.support import output, script, until, workflow_run

pytestmark = pytest.mark.cluster

TOKEN = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": "kubernetes.io/service-account-token",
    "metadata": {
        "name": "robot-token",
        "annotations": {"kubernetes.io/service-account.name": "robot"},
    },
}


def with_secret(name, secret, key, *after):
    node = script(name, output(ran=True), *after)
    source = {"secretKeyRef": {"name": secret, "key": key}}
    node["config"]["env"] = [{"name": "S", "valueFrom": source}]
    return node


def with_volume(name, volume, *after):
    return script(name, output(ran=True), *after, pod={"volumes": [{"name": "v", **volume}]})


def test_a_run_begins_when_what_it_names_has_come(k):
    k.apply(workflow_run("r", script("a", "true"), with_secret("b", "db", "password", "a")))
    until(lambda: k.status("r").get("reason") == "ReferenceNotFound")
    assert k.status("r")["phase"] == "Pending"
    row = k("get", "workflowruns", "r").stdout
    assert "ReferenceNotFound" in row
    k("create", "secret", "generic", "db", "--from-literal=password=x")
    assert k.wait("r")["nodes"]["b"]["output"] == {"ran": True}
    (told,) = k.events("r", "ReferenceNotFound")
    assert told.startswith("node b: config.env[0].valueFrom.secretKeyRef: there is no Secret 'db'")


def test_what_stays_missing_fails_the_run_before_anything_ran(k):
    missing = {"projected": {"sources": [{"configMap": {"name": "rules"}}]}}
    k.apply(workflow_run("r", script("a", "true"), with_volume("b", missing, "a")))
    status = k.wait("r", "Failed")
    assert status["reason"] == "Config"
    assert k.states("r") == {"a": "Cancelled RunNotStarted", "b": "Failed Config"}
    assert "there is no ConfigMap 'rules'" in status["nodes"]["b"]["message"]
    assert k.items("jobs") == []
    k("create", "configmap", "rules")
    k("annotate", "workflowrun", "r", 'podium.dev/rerun={"failed": true}')
    until(lambda: k.status("r").get("handledRequests"))
    k.wait("r")


@pytest.mark.parametrize("how", ["variable", "volume", "projected", "later"])
def test_no_node_gets_the_token_of_a_service_account(k, how):
    k("create", "serviceaccount", "robot")
    if how != "later":
        k.apply(TOKEN)
    nodes = {
        "variable": [script("a", "true"), with_secret("b", "robot-token", "token", "a")],
        "volume": [with_volume("b", {"secret": {"secretName": "robot-token"}})],
        "projected": [
            with_volume("b", {"projected": {"sources": [{"secret": {"name": "robot-token"}}]}})
        ],
    }
    # Not there when the run starts, and not asked for: made while the first node runs.
    later = with_secret("b", "robot-token", "token", "a")
    later["config"]["env"][0]["valueFrom"]["secretKeyRef"]["optional"] = True
    nodes["later"] = [script("a", "sleep 5"), later]
    k.apply(workflow_run("r", *nodes[how]))
    if how == "later":
        k.wait_node("r", "a", "Running")
        k.apply(TOKEN)
    status = k.wait("r", "Failed")
    b = status["nodes"]["b"]
    assert (b["status"], b["reason"]) == ("Failed", "Forbidden")
    assert "holds the token of a ServiceAccount" in b["message"]
    assert not k.items("jobs", "-l", "podium.dev/node=b")


def test_recorded_answers_come_from_labelled_config_maps_only(k):
    answers = {"answers": [{"output": {"said": True}}]}
    k("create", "configmap", "answers", f"--from-literal=a={json.dumps(answers)}")
    persona = {"id": "p", "executor": "persona", "config": {"personas": ["x"]}}
    recorded = {"configMapKeyRef": {"name": "answers", "key": "a"}}
    k.apply(workflow_run("no", persona, recordedAnswers=recorded))
    assert k.wait("no", "Failed")["reason"] == "Forbidden"
    k("label", "configmap", "answers", "podium.dev/recorded-answers=true")
    time.sleep(2 * KEEP_SECONDS)  # what the operator saw a moment ago still counts
    k.apply(workflow_run("yes", persona, recordedAnswers=recorded))
    assert k.wait("yes")["nodes"]["p"]["output"] == {"said": True}
