"""`podium eval`: a persona node over inputs, models side by side."""

import json

import pytest
import yaml

from tests.unit.cli.support import Directory
from tests.unit.personas.model_server import fails, model, says

CASES = [
    {"name": "one", "context": {"word": "one"}, "expect": {"count": 1, "of.word": "one"}},
    {"name": "two", "outputs": {"before": {"word": "two"}}, "expect": {"count": 2}},
]


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def workflow(url, **config):
    node = {
        "id": "ask",
        "executor": "persona",
        "config": {"personas": ["counter"], **config},
        "outputContract": {"produces": ["count"]},
    }
    documents = [
        {
            "kind": "ModelConfig",
            "metadata": {"name": name},
            "spec": {
                "model": f"m-{name}",
                "openAI": {"baseUrl": url},
                "prices": {"input": 2, "output": 10},
                "apiKeySecret": "models",
                "apiKeySecretKey": "MODEL_KEY",
            },
        }
        for name in ("default", "small")
    ]
    documents += [
        {"kind": "Persona", "metadata": {"name": "counter"}, "spec": {"systemMessage": "Count."}},
        {
            "kind": "Workflow",
            "metadata": {"name": "w"},
            "spec": {"nodes": [{"id": "a", "executor": "script", "config": {"script": "x"}}, node]},
        },
    ]
    own = {"apiVersion": "podium.dev/v1alpha1"}
    return yaml.safe_dump_all([{**own, **each} for each in documents])


def turn(asked):
    """The large model counts, the small one knows only one."""
    if asked["model"] == "m-small":
        return says({"count": 1})
    user = asked["messages"][1]["content"]
    return says(
        {"count": 2 if '"word": "two"' in user or '"two"' in user else 1, "of": {"word": "one"}}
    )


def prepare(here, url, **more):
    here.write("w.yaml", workflow(url))
    asked = {"workflow": "w.yaml", "node": "ask", "cases": CASES, **more}
    return here.write("e.yaml", yaml.safe_dump(asked))


def test_two_models_are_compared_field_by_field(here):
    with model(turn) as server:
        file = prepare(here, server.url, models=["default", "small"])
        done = here.podium("eval", file, code=1, MODEL_KEY="k")
    assert done.stdout.splitlines() == [
        "           default   small",
        "passed     2/2       0/2",
        "answered   2/2       2/2",
        "count      2/2       1/2",
        "of.word    1/1       0/1",
        "tokens     220       220",
        "cost       0.0006    0.0006",
        "one (small): not as expected: of.word",
        "two (small): not as expected: count",
    ]


def test_all_of_it_as_json_and_success_where_all_is_as_expected(here):
    with model(turn) as server:
        file = prepare(here, server.url)
        done = here.podium("eval", file, "-o", "json", MODEL_KEY="k")
    found = json.loads(done.stdout)["as written"]
    assert (found["passed"], found["cases"]) == (2, 2)
    assert found["rates"] == {"contract": "2/2", "count": "2/2", "of.word": "1/1"}
    assert found["outcomes"][1]["output"]["count"] == 2
    assert found["tokenUsage"]["calls"] == 2


def test_a_model_that_fails_is_a_case_that_failed(here):
    with model(fails(404, "no such model")) as server:
        done = here.podium("eval", prepare(here, server.url), code=1, MODEL_KEY="k")
    assert "answered   0/2" in done.stdout
    assert "one (as written): Config: 127.0.0.1: status 404: no such model" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"node": "b"}, "node: 'b' is not a node of"),
        ({"node": "a"}, "node: 'a' is not a persona node"),
        ({"models": ["large"]}, "there is no ModelConfig 'large'; there are default, small"),
        ({"cases": []}, "cases: "),
        ({"cases": [{"name": "x"}, {"name": "x"}]}, "'x' is there twice"),
        ({"case": []}, "case: "),
        ({"workflow": "gone.yaml"}, "gone.yaml"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(here, more, said):
    file = prepare(here, "http://127.0.0.1:9", **more)
    assert said in here.podium("eval", file, code=2, MODEL_KEY="k").stderr


def test_a_key_that_is_missing_is_named(here):
    file = prepare(here, "http://127.0.0.1:9")
    assert "MODEL_KEY" in here.podium("eval", file, code=2).stderr
