"""Values in `outputs` of definitions: names, paths, defaults, and who may read them."""

import pytest

from podium.api.problems import InvalidError, errors, format_path
from podium.judge import objects
from tests.unit.dag.artifacts_test import container
from tests.unit.dag.dag_test import dag, node

TEXT = {"stdout": "Text"}


def said(*nodes, **spec):
    found = errors(dag(*nodes, **spec).problems())
    return [f"{format_path(problem.path)}: {problem.message}" for problem in found]


def test_what_is_right_is_taken():
    made = {
        "version": {"path": "/tmp/version"},
        "report-1": {"path": "/tmp/report.json", "format": "Json", "default": {"n": [1]}},
        "files": {"stdout": "Lines", "default": []},
    }
    closed = {"schema": {"properties": {"x": {}}, "additionalProperties": False}}
    assert not said(
        container("a", outputs=made, outputContract={"produces": ["version"]}),
        node("b", "a", outputs={"x": TEXT}, outputContract=closed),
        node("c", "b", condition='context.a.version == "1" and context.b.x == "2"'),
    )


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"a b": TEXT}, "'a b' is not the name of a value: use ^[A-Za-z_]"),
        ({"x": {}}, "outputs.x: has none of path, stdout: name exactly one"),
        ({"x": {"path": "/x", **TEXT}}, "has path and stdout of path, stdout: name exactly one"),
        ({"x": {"path": "x"}}, "outputs.x.path: 'x' is not absolute: write a path such as /tmp/"),
        ({"x": {"path": "/a/../etc/passwd"}}, "has a part '..'"),
        ({"x": {"path": "/"}}, "is empty"),
        ({"x": {"path": "/tmp/"}}, "has an empty part"),
        ({"x": {"path": "/a\x1b[2J"}}, "has control characters"),
        ({"x": {"path": "/a:b"}}, "has a colon"),
        ({"x": {"path": "/a"}, "y": {"path": "/a"}}, "outputs.y.path: '/a' is the path of outputs.x"),
        ({"x": {"path": "/a/b"}, "y": {"path": "/a"}}, "'/a/b' lies within the path of outputs.y"),
        ({"x": {**TEXT, "format": "Json"}}, "outputs.x.format: belongs to path"),
        ({"x": {**TEXT, "default": 1}}, "outputs.x.default: must be a string"),
        ({"x": {"stdout": "Lines", "default": "a"}}, "must be a list of strings"),
        ({"x": {"stdout": "Json", "default": 2**64}}, "more than 64 bits"),
        ({"x": {**TEXT, "default": "x" * 5000}}, "has 5002 bytes, and an output has less than 4096"),
        ({"x": {**TEXT, "default": "${{ context.k }}"}}, "outputs.x.default: ${{ }} is not filled in"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(outputs, words):
    found = said(container("a", outputs=outputs))
    assert len(found) == 1
    assert words in found[0]


def test_an_output_contract_knows_the_values():
    closed = {"schema": {"properties": {"x": {}}, "additionalProperties": False}}
    (found,) = said(node("a", outputs={"y": TEXT}, outputContract=closed))
    assert "outputs.y: outputContract.schema is closed and has no property 'y'" in found
    (found,) = said(
        node("a", outputs={"y": {"path": "/tmp/y"}}, outputContract={"produces": ["x"]})
    )
    assert "outputContract.produces[0]: 'x' is not in outputs" in found


def test_a_field_that_no_file_gives_is_an_error_and_one_beside_standard_output_a_warning():
    from_file = node("a", outputs={"y": {"path": "/tmp/y"}})
    (found,) = said(from_file, node("b", "a", condition="context.a.z == 1"))
    assert "names field 'z', which 'a' does not declare" in found
    printed = node("a", outputs={"y": TEXT})
    assert not said(printed, node("b", "a", condition="context.a.z == 1"))
    (warning,) = dag(printed, node("b", "a", condition="context.a.z == 1")).problems()
    assert "does not declare in its outputs" in warning.message


def test_it_is_for_programs():
    (found,) = said(node("a", executor="persona", config={"personas": ["p"]}, outputs={"y": TEXT}))
    assert "outputs: is for script and container nodes" in found
    case = {"cases": [{"when": "true", "value": "x"}], "outputs": {"y": TEXT}}
    (found,) = said({"id": "a", "type": "conditional", **case})
    assert found.startswith("spec.nodes[0].outputs: a node of type conditional runs no program")


def workflow(**outputs):
    return {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"nodes": [container("a", outputs=outputs)]},
    }


def test_a_cluster_refuses_what_it_cannot_have_yet():
    objects.check(workflow(x={"path": "/tmp/x"}), is_pinned=False)
    with pytest.raises(InvalidError, match="several values from files"):
        objects.check(workflow(x={"path": "/tmp/x"}, y={"path": "/tmp/y"}), is_pinned=False)
    with pytest.raises(InvalidError, match=r"nodes\[0\].outputs: has values .* outputs.fromLogs"):
        objects.check(workflow(x=TEXT), is_pinned=False)
    objects.check(workflow(x=TEXT), is_pinned=False, offered=["outputs.fromLogs"])
