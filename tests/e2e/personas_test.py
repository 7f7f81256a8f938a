"""Personas that ask models on a cluster: waited for, pinned, charged, and the key in no other place."""

import base64
import json

import pytest
import yaml

from tests.buckets import address_for
from tests.conformance.cluster_shell import connect
from tests.e2e.support import ROOT, until, workflow_run
from tests.unit.personas.model_server import model, says

pytestmark = pytest.mark.cluster
KEY = "sk-canary-0123456789abcdef"


def resource(kind, name, spec):
    head = {"apiVersion": "podium.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    return {**head, "spec": spec}


def secret(name, **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def model_config(url, **more):
    spec = {"model": "m", "apiKeySecret": "llm", "apiKeySecretKey": "KEY", **more}
    return resource("ModelConfig", "default", {**spec, "openAI": {"baseUrl": url}})


def asking(name, *personas, **fields):
    config = {"personas": list(personas), "question": "how many?"}
    return {"id": name, "executor": "team", "config": config, **fields}


@pytest.fixture
def server():
    with model(says({"count": 3}), address=address_for(connect())) as made:
        yield made


def everything(k, *kinds):
    """Return all that a namespace has of these kinds, as text, with the logs of its Pods."""
    texts = [k("get", kind, "-o", "yaml", "--show-managed-fields").stdout for kind in kinds]
    names = [pod["metadata"]["name"] for pod in k.items("pods")]
    return "\n".join([*texts, *(k("logs", name, ok=False).stdout for name in names)])


def test_a_team_asks_its_model_and_the_key_is_in_its_secret_only(mine, server, tmp_path):
    promised = {"produces": ["count"], "schema": {"properties": {"count": {"type": "integer"}}}}
    mine.apply(
        resource(
            "Persona",
            "data-analyst",
            {
                "modelConfig": "default",
                "systemMessageFrom": {"type": "ConfigMap", "name": "prompts", "key": "analyst"},
            },
        ),
        workflow_run("live", asking("ask", "data_analyst", "reviewer", outputContract=promised)),
    )

    def waits():
        """The run says that it waits for its ModelConfig"""
        return "ModelConfigNotFound" in str(mine.get("workflowrun", "live").get("status"))

    until(waits)
    assert not mine.items("pods")
    prices = {"input": 1000, "output": 10000}
    mine.apply(model_config(server.url, prices=prices))

    def waits_for_the_key():
        """The run says that it waits for the Secret, and which field names it"""
        told = str(mine.get("workflowrun", "live").get("status"))
        return "the ModelConfig default: spec.apiKeySecret: there is no Secret 'llm'" in told

    until(waits_for_the_key)
    assert not mine.items("pods")
    mine.apply(secret("llm", KEY=KEY), config_map("prompts", analyst="You count sheep."))
    mine.wait("live")
    status = mine.get("workflowrun", "live")["status"]
    assert status["nodes"]["ask"]["output"] == {"count": 3}
    # Two drafts and the merge, each of 100 tokens asked and 10 answered.
    assert status["tokenUsage"] == {
        "promptTokens": 300,
        "completionTokens": 30,
        "totalTokens": 330,
        "calls": 3,
    }
    assert status["nodes"]["ask"]["tokenUsage"] == status["tokenUsage"]
    assert status["cost"] == pytest.approx(0.6)
    assert {each["authorization"] for each in server.headers} == {f"Bearer {KEY}"}
    said = [json.dumps(each["messages"]) for each in server.asked]
    assert any("You count sheep." in each for each in said)
    # The canary.
    kinds = ("workflowruns", "jobs", "pods", "events", "controllerrevisions.apps", "modelconfigs",
             "personas", "configmaps")  # fmt: skip
    found = everything(mine, *kinds)
    assert "PODIUM_KEY_0" in found, "it was looked at"
    coded = base64.b64encode(KEY.encode()).decode()
    assert KEY not in found
    assert coded not in found
    logs = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert logs
    assert not [text for text in logs if KEY in text]


def test_what_answers_is_pinned_and_re_run_with_latest_if_it_changed(mine, server):
    mine.apply(model_config(server.url), secret("llm", KEY=KEY))
    mine.apply(workflow_run("pinned", asking("ask", "reviewer")))
    mine.wait("pinned")
    mine("delete", "modelconfig", "default")
    mine("annotate", "workflowrun", "pinned", "podium.dev/rerun=ask")

    def again():
        """The node ran again"""
        status = mine.get("workflowrun", "pinned")["status"]
        return status["phase"] == "Succeeded" and status["nodes"]["ask"]["executionCount"] == 2

    until(again)
    status = mine.get("workflowrun", "pinned")["status"]
    assert status["tokenUsage"]["calls"] == 2
    assert status["nodes"]["ask"]["tokenUsage"]["calls"] == 1
    assert len(server.asked) == 2


def test_a_key_that_the_secret_lacks_fails_the_node_by_name(mine, server):
    mine.apply(model_config(server.url), secret("llm", OTHER="x"))
    mine.apply(workflow_run("keyless", asking("ask", "reviewer")))
    mine.wait("keyless", "Failed")
    (state,) = mine.get("workflowrun", "keyless")["status"]["nodes"].values()
    assert state["reason"] == "Config"
    assert "KEY" in state["message"]
    assert not server.asked


def test_sdlc_runs_live_on_a_cluster(mine):
    """As on a laptop: the seed's workflow, and one ModelConfig beside it."""
    rows = yaml.safe_load((ROOT / "examples/sdlc/recorded.yaml").read_text())["answers"]
    answers = {row["node"]: row["output"] for row in rows}

    def answer(asked):
        names = asked["response_format"]["json_schema"]["schema"].get("properties", {})
        return says(next((each for each in answers.values() if set(names) & set(each)), {}))

    definition, _, run = yaml.safe_load_all((ROOT / "examples/sdlc/cluster.yaml").read_text())
    del run["spec"]["recordedAnswers"]
    live = (ROOT / "examples/sdlc/live.yaml").read_text()
    with model(answer, address=address_for(connect())) as server:
        documents = yaml.safe_load_all(live.replace("https://api.openai.com/v1", server.url))
        mine.apply(*documents, secret("openai", OPENAI_API_KEY=KEY), definition, run)
        mine.wait("sdlc", seconds=400)
    status = mine.get("workflowrun", "sdlc")["status"]
    assert {each["status"] for each in status["nodes"].values()} == {"Completed"}
    assert status["tokenUsage"]["calls"] == len(server.asked) == 12
