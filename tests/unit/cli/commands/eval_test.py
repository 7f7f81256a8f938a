"""`podium eval`: a persona node over inputs, models side by side."""

import json

import pytest
import yaml

from tests.unit.cli.support import Directory
from tests.unit.personas.model_server import calls, fails, model, says
from tests.unit.personas.recorded_test import BOMB

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node: ask\nnode: other", "e.yaml:2: duplicate key 'node'"),
        ("a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + BOMB, "aliases repeat more than"),
        ("cases: [{name: x, expect: {x: .nan}}]", "e.yaml:1: .nan is not a JSON number"),
        ("a: 1\n---\na: 2", "holds 2 documents"),
        ("", "holds 0 documents"),
        ("[" * 5000, "is nested deeper"),
    ],
)
def test_what_is_wrong_with_the_yaml_is_named(here, text, said):
    here.write("e.yaml", text)
    assert said in here.podium("eval", "e.yaml", code=2).stderr


@pytest.mark.parametrize(
    ("answered", "expected", "passed"),
    [
        (True, "1", False),
        (1, "true", False),
        (0, "false", False),
        (1, "1.0", True),
        ("2020-01-02", "2020-01-02", True),
        ({"a": [1, {}], "b": None}, "{b: null, a: [1, {}]}", True),
        ([True], "[1]", False),
    ],
)
def test_what_is_expected_is_compared_as_json(here, answered, expected, passed):
    with model(says({"count": answered})) as server:
        here.write("w.yaml", workflow(server.url))
        here.write(
            "e.yaml",
            f"{{workflow: w.yaml, node: ask, cases: [{{name: c, expect: {{count: {expected}}}}}]}}",
        )
        here.podium("eval", "e.yaml", code=0 if passed else 1, MODEL_KEY="k")


def test_tools_find_the_environment_of_a_run_without_the_key(here):
    show = {"name": "show", "command": ["env"]}
    with model(calls(("show", {})), says({"count": 1})) as server:
        documents = list(yaml.safe_load_all(workflow(server.url)))
        documents[2]["spec"]["tools"] = [{"type": "Command", "command": show}]
        documents[3]["spec"]["nodes"][1]["pod"] = {"env": [{"name": "MINE", "value": "own"}]}
        here.write("w.yaml", yaml.safe_dump_all(documents))
        case = {"name": "c", "expect": {"count": 1}}
        here.write("e.yaml", yaml.safe_dump({"workflow": "w.yaml", "node": "ask", "cases": [case]}))
        here.podium("eval", "e.yaml", MODEL_KEY="sk-canary-0123", OTHER="not of the node")
        (result,) = [m["content"] for m in server.asked[1]["messages"] if m["role"] == "tool"]
    assert "sk-canary" not in result
    assert "not of the node" not in result
    assert "MINE=own" in result


def test_values_that_are_missing_are_named_before_anything_is_paid_for(here):
    with model(turn) as server:
        documents = list(yaml.safe_load_all(workflow(server.url)))
        documents[1]["spec"]["apiKeySecretKey"] = "OTHER_KEY"
        here.write("w.yaml", yaml.safe_dump_all(documents))
        asked = {"workflow": "w.yaml", "node": "ask", "cases": CASES}
        here.write("e.yaml", yaml.safe_dump({**asked, "models": ["default", "small"]}))
        done = here.podium("eval", "e.yaml", "--parallel", "1", code=2, MODEL_KEY="k")
        assert server.asked == []
        said = "the ModelConfig small: spec.apiKeySecret: no value for key OTHER_KEY"
        assert said in done.stderr
        secret = {"secretKeyRef": {"name": "gone", "key": "GONE"}}
        documents[3]["spec"]["nodes"][1]["pod"] = {"env": [{"name": "MINE", "valueFrom": secret}]}
        here.write("w.yaml", yaml.safe_dump_all(documents))
        done = here.podium("eval", "e.yaml", code=2, MODEL_KEY="k", OTHER_KEY="k")
        assert server.asked == []
        assert "env MINE: no value for key GONE of the secret gone" in done.stderr
