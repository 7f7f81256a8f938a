"""An Executor that nobody would write breaks nothing: it is refused, or makes a Pod or an error."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from podium import expressions
from podium.api.problems import InvalidError, errors
from podium.api.source.files import parse
from podium.api.workflow import WorkflowSpec
from podium.cluster.jobs.builder import BuildError, Owner, build_job
from podium.cluster.settings import Settings
from podium.engine import Launch, Plan
from podium.executors import custom
from tests.property.amount import tried

SOUND = {
    "config": {
        "type": "object",
        "properties": {
            "x": {"type": "integer", "default": 1},
            "l": {"type": "array", "default": []},
        },
    },
    "template": {
        "metadata": {"labels": {"a": "${{ config.x }}"}, "annotations": {"b": "c"}},
        "spec": {
            "containers": [
                {
                    "name": "node",
                    "image": "x",
                    "env": [{"name": "A", "value": "${{ config.x }}"}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                },
                {"name": "beside", "image": "y", "command": ["sh"], "args": ["${{ config.l }}"]},
            ],
            "initContainers": [
                {"name": "first", "image": "z", "env": [{"name": "B", "value": "c"}]}
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "nodeSelector": {"a": "b"},
            "tolerations": [],
        },
    },
    "command": ["run", "${{ config.x }}"],
    "local": {"command": ["run"]},
}
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["${{ config.x }}", "${{ config.y }}", "${{ node.id }}", "${{", "node", "$(A)", "#/x", "a"]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def paths(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


@tried(200)
@given(st.sampled_from([each for each in paths(SOUND) if each]), JSON, JSON)
def test_whatever_stands_in_an_executor_breaks_nothing(path, value, given_config):
    spec = copy.deepcopy(SOUND)
    where = spec
    for step in path[:-1]:
        where = where[step]
    where[path[-1]] = value
    body = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Executor",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    try:
        executor = parse(body).spec
    except InvalidError:
        return
    if errors(list(custom.definition_problems(executor))):
        return
    config = given_config if isinstance(given_config, dict) else {}
    node = {"id": "n", "executor": "x", "config": config}
    definition = WorkflowSpec.model_validate({"nodes": [node]})
    definition = definition.model_copy(update={"executors": {"x": executor}})
    plan = Plan.build(definition, workflow_id="w", is_pinned=True)
    try:
        filled = custom.fill("x", executor, config, {}, {"id": "n", "executionId": "n-1"})
        custom.needs_cluster(filled.template["template"])
        launch = Launch("n", "n-1", 0, filled.config, {}, template=filled.template)
        job = build_job(Owner("team", "r", "u", "w", None), plan, launch, Settings())
    except (expressions.ExpressionError, custom.ConfigBreachError, BuildError):
        return
    pod = job["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"]].count("node") == 1
    assert pod["restartPolicy"] == "Never"
