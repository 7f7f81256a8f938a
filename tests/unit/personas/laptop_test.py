"""`podium run` with a model: tools, what it cost, the recording and its replay, the key nowhere."""

import json

import pytest
import yaml

from tests.unit.cli.support import Directory
from tests.unit.personas.model_server import calls, fails, model, says

KEY = "sk-canary-0123456789"


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def documents(url, **persona):
    own = {"apiVersion": "podium.dev/v1alpha1"}
    endpoint = {"baseUrl": url}
    secret = {"apiKeySecret": "models", "apiKeySecretKey": "MODEL_KEY"}
    node = {
        "id": "ask",
        "executor": "persona",
        "config": {"personas": ["analyst"], "output_dir": "notes"},
        "outputContract": {"produces": ["count"]},
        "artifacts": {"out": [{"name": "notes", "path": "notes"}]},
    }
    made = [
        {
            "kind": "ModelConfig",
            "metadata": {"name": "default"},
            "spec": {
                "model": "gpt-x",
                **secret,
                "openAI": endpoint,
                "prices": {"input": 2, "output": 10},
            },
        },
        {"kind": "Persona", "metadata": {"name": "analyst"}, "spec": persona},
        {"kind": "Workflow", "metadata": {"name": "w"}, "spec": {"nodes": [node]}},
    ]
    return yaml.safe_dump_all([{**own, **each} for each in made])


def node(done):
    return json.loads(done.stdout)["status"]["nodes"]["ask"]


def test_a_live_run_is_recorded_and_replayed(here):
    count = {
        "name": "count",
        "command": ["wc", "-c"],
        "parameters": {"type": "object", "required": ["text"]},
    }
    tools = [{"type": "WriteFile"}, {"type": "Command", "command": count}]
    asked = calls(
        ("count", {"text": "four"}), ("write_file", {"path": "a.md", "text": f"# {KEY[:2]}"})
    )
    with model(asked, says("no"), says({"count": 1})) as server:
        file = here.write("w.yaml", documents(server.url, tools=tools, systemMessage="Count."))
        live = here.podium("run", file, "--record", "r.yaml", "-o", "json", MODEL_KEY=KEY)
        assert len(server.asked) == 3
        replay = here.podium("run", file, "--recorded", "r.yaml", "-o", "json")
        assert len(server.asked) == 3, "recorded answers ask no model"
    assert node(live)["output"] == {"count": 1}
    assert node(live)["tokenUsage"]["calls"] == 3
    assert node(live)["cost"] == pytest.approx(3 * (100 * 2 + 10 * 10) / 1e6)
    assert "warnings" not in node(live)
    assert "1 answer recorded in r.yaml" in live.stderr
    assert node(replay)["output"] == {"count": 1}
    assert node(replay)["warnings"] == ["answers were recorded: no model was asked"]
    assert "tokenUsage" not in node(replay)
    notes = list(here.path.glob(".podium/runs/*/executions/ask-1/artifacts/notes/a.md"))
    assert [each.read_text() for each in notes] == ["# sk", "# sk"]
    (told,) = here.path.glob(".podium/runs/*/executions/ask-1/artifacts/transcript.jsonl")
    assert '"tool": "count"' in told.read_text()
    with_key = [
        path
        for path in here.path.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert with_key == []
    assert KEY not in live.stdout + live.stderr


def test_recording_what_was_recorded_is_refused(here):
    here.write("a.yaml", "answers: [{output: {count: 1}}]")
    file = here.write("w.yaml", documents("http://127.0.0.1:9"))
    done = here.podium("run", file, "--recorded", "a.yaml", "--record", "b.yaml", code=2)
    assert "--record: the answers of this run are recorded ones" in done.stderr


def test_a_file_that_cannot_be_written_is_found_before_models_are_paid_for(here):
    with model(says({"count": 1})) as server:
        file = here.write("w.yaml", documents(server.url))
        done = here.podium("run", file, "--record", "no/such/r.yaml", code=2, MODEL_KEY=KEY)
    assert "--record no/such/r.yaml: cannot be written" in done.stderr
    assert server.asked == []


def test_a_run_in_which_no_model_was_asked_writes_no_recording(here):
    file = here.workflow({"id": "a", "executor": "script", "config": {"script": "true"}})
    done = here.podium("run", file, "--record", "r.yaml")
    assert "not written, for no node that completed had asked a model" in done.stderr
    assert not (here.path / "r.yaml").exists()


def test_answers_are_kept_where_a_directory_is_named_and_what_an_endpoint_knows_always(here):
    def turn(asked):
        is_known = asked.get("response_format", {}).get("type") != "json_schema"
        return says({"count": 1}) if is_known else fails(400, "response_format: unknown type")

    with model(turn) as server:
        made = list(yaml.safe_load_all(documents(server.url)))
        del made[2]["spec"]["nodes"][0]["artifacts"]
        file = here.write("w.yaml", yaml.safe_dump_all(made))
        asked = []
        for option in ([], [], ["--keep-answers", "kept"], ["--keep-answers", "kept"]):
            name = ("--run-name", f"w-{len(asked) + 1}")
            done = here.podium("run", file, *name, *option, "-o", "json", MODEL_KEY=KEY)
            assert node(done)["output"] == {"count": 1}
            asked.append(len(server.asked))
    assert asked == [2, 3, 4, 4]
    assert node(done)["warnings"] == [
        "answers of earlier runs were given again, and no model was asked: 1"
    ]
    assert node(done)["tokenUsage"].get("calls", 0) == 0
    again = here.podium("rerun", "w-4", "--node", "ask", "-o", "json", MODEL_KEY=KEY)
    assert node(again)["warnings"], "it is kept with the run"
    assert len(server.asked) == 4
