"""`${{ }}` in what a node says of its Pod."""

import pytest

from podium.api.workflow import Node
from podium.expressions import ExpressionError
from podium.kinds.pod_fields import PodFieldError, fill, pod_templates, with_fields

SCOPE = {"context": {"n": 2, "name": "data", "bad": "A B", "long": "x" * 20_000, "none": None}}


def node(**fields):
    return Node.model_validate({"id": "n", "executor": "script", **fields})


def env(value):
    return node(pod={"env": [{"name": "A", "value": "plain"}, {"name": "B", "value": value}]})


def claim(name):
    return node(pod={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]})


def limits(amount):
    return node(resources={"limits": {"memory": amount, "cpu": 1}, "requests": {"cpu": "250m"}})


def test_each_place_is_filled_in():
    shape = node(
        resources={"requests": {"memory": "${{ context.n }}Gi", "cpu": 1}},
        pod={
            "env": [{"name": "A", "value": "<${{ context.n * 2 }}>"}, {"name": "B", "value": "b"}],
            "volumes": [
                {"name": "c", "configMap": {"name": "${{ context.name }}", "optional": True}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "${{ context.name }}-1"}},
                {"name": "e", "emptyDir": {}},
            ],
        },
    )
    fields = fill(shape, lambda: SCOPE)
    assert fields == {
        "resources.requests.memory": "2Gi",
        "pod.env[0].value": "<4>",
        "pod.volumes[0].configMap.name": "data",
        "pod.volumes[1].persistentVolumeClaim.claimName": "data-1",
    }
    made = with_fields(shape, fields)
    assert made.resources.requests == {"memory": "2Gi", "cpu": 1}
    assert [variable.value for variable in made.pod.env] == ["<4>", "b"]
    assert made.pod.volumes[0].config_map == {"name": "data", "optional": True}
    assert made.pod.volumes[1].persistent_volume_claim == {"claimName": "data-1"}
    assert list(pod_templates(made)) == []
    assert "${{" in shape.resources.requests["memory"], "the definition stays as it is"


def test_a_node_without_templates_stays_what_it_is():
    def nobody():
        raise AssertionError("nothing asks for names")

    for shape in (node(), limits("1Gi"), env("b"), claim("c")):
        assert fill(shape, nobody) == {}
        assert with_fields(shape, {}) is shape


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (limits("${{ context.bad }}"), "resources.limits.memory: filled in, it must be a quantity"),
        (
            limits("${{ context.none }}"),
            "resources.limits.memory: filled in, it must be a quantity",
        ),
        (
            claim("${{ context.bad }}"),
            "pod.volumes[0].persistentVolumeClaim.claimName: filled in, ",
        ),
        (
            claim("../${{ context.name }}"),
            "claimName: filled in, '../data' is not a Kubernetes name",
        ),
        (
            env("${{ context.long }}${{ context.long }}"),
            "pod.env: filled in, a value has more than",
        ),
    ],
)
def test_what_is_not_valid_names_its_field(shape, words):
    with pytest.raises(PodFieldError) as refused:
        fill(shape, lambda: SCOPE)
    assert words in str(refused.value)


def test_an_expression_that_fails_names_its_field():
    with pytest.raises(ExpressionError, match=r"pod\.env\[1\]\.value: .*absent"):
        fill(env("${{ context.absent }}"), lambda: SCOPE)
