"""Artifacts in definitions: names, paths, and where they come from."""

import pytest

from podium.api.problems import InvalidError, errors, format_path
from podium.judge import objects
from tests.unit.dag.dag_test import dag, node


def container(name, *after, **fields):
    config = {"image": "docker.io/library/busybox:1.37"}
    return node(name, *after, **{"executor": "container", "config": config, **fields})


def out(name, path, **more):
    return {"name": name, "path": path, **more}


def takes(name, source, **more):
    return {"name": name, "from": source, **more}


def said(*nodes, **spec):
    found = errors(dag(*nodes, **spec).problems())
    return [f"{format_path(problem.path)}: {problem.message}" for problem in found]


def test_what_is_right_is_taken():
    made = [
        out("dist", "dist", type="Directory"),
        out("report", "reports/report.xml", type="File", optional=True),
        out("log", "/var/log/build/all.log"),
        out("data", "/data", type="Directory"),
        out("näh", "ü b#?.txt") | {"name": "other"},
    ]
    assert not said(
        container("a", artifacts={"out": made}),
        node("b", "a", artifacts={"in": [takes("d", "a.dist"), takes("e", "a.log", path="x/y")]}),
        container("c", "b", artifacts={"in": [takes("d", "a.dist", path="/work/d")]}),
        node("d", "c", artifacts={"in": []}),
    )


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        (out("a", "../x"), "artifacts.out[0].path: '../x' has a part '..'"),
        (out("a", "x/../../y"), "has a part '..'"),
        (out("a", "/a/../etc"), "has a part '..'"),
        (out("a", ""), "is empty"),
        (out("a", "/"), "is empty"),
        (out("a", "."), "has an empty part, or '.'"),
        (out("a", "dist/"), "has an empty part"),
        (out("a", "//x/y"), "is absolute"),
        (out("a", "x\ny"), "control characters"),
        (out("a", "x\0"), "control characters"),
        (out("a", "x\x1b[2J"), "control characters"),
        (out("a", "/report.xml"), "lies in the root directory"),
        (out("a", "/tmp", type="File"), "lies in the root directory"),
        (out("a", "x" * 300), "longer than"),
        (out("a", "d/" * 101 + "f"), "deeper than 100"),
        (out("..", "x"), "artifacts.out[0].name: '..' is not the name of an artifact"),
        (out("a/b", "x"), "is not the name"),
        (out("a.b", "x"), "is not the name"),
        (out("a\n", "x"), "is not the name"),
        (out("*", "x"), "is not the name"),
    ],
)
def test_an_output_that_is_wrong_is_named(artifact, words):
    found = said(node("a", artifacts={"out": [artifact]}))
    assert any(words in each for each in found), found
    assert all(each.startswith("spec.nodes[0].artifacts.out[0].") for each in found)


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        (takes("x", "a"), "artifacts.in[0].from: 'a' is not NODE.NAME"),
        (takes("x", "a."), "is not NODE.NAME"),
        (takes("x", ".dist"), "unknown node ''"),
        (takes("x", "aa.dist"), "unknown node 'aa'; did you mean 'a'?"),
        (takes("x", "a.dits"), "no artifact 'dits' in artifacts.out, which has dist, log; did you"),
        (takes("x", "z.dist"), "'z' is not upstream of 'b'"),
        (
            takes("x", "c.dist"),
            "'c' has no artifact 'dist' in artifacts.out, which has none: declare",
        ),
        (takes("x", "b.dist"), "is the node's own"),
        (takes("x", "a.dist", path="../x"), "artifacts.in[0].path: '../x' has a part '..'"),
        (takes("x", "a.dist", path="/etc/x"), "is absolute, which only an executor container"),
        (takes("x", "a.dist", path="x\ty"), "control characters"),
        (takes("../x", "a.dist"), "is not the name"),
    ],
)
def test_an_input_that_is_wrong_is_named(artifact, words):
    outputs = {"out": [out("dist", "dist"), out("log", "log")]}
    found = said(
        node("a", artifacts=outputs),
        node("c", "a"),
        node("b", "c", artifacts={"in": [artifact], "out": [out("dist", "d")]}),
        node("z", "b", artifacts=outputs),
    )
    assert any(words in each for each in found), found


def test_an_edge_that_brings_only_order_brings_no_artifact():
    edges = [{"from": "a", "to": "b", "type": "triggers"}]
    (found,) = said(
        node("a", artifacts={"out": [out("dist", "dist")]}),
        node("b", artifacts={"in": [takes("d", "a.dist")]}),
        edges=edges,
    )
    assert "depends_on" in found


def test_names_and_places_are_taken_once():
    (twice,) = said(node("a", artifacts={"out": [out("x", "1"), out("y", "2"), out("x", "3")]}))
    assert "nodes[0].artifacts.out[2].name: duplicate artifact 'x': the one at position 0" in twice
    (same,) = said(node("a", artifacts={"out": [out("x", "d/f"), out("y", "d/f")]}))
    assert "'d/f' is the path of another artifact" in same
    found = said(
        node(
            "a",
            artifacts={"out": [out("x", "d/e/f"), out("y", "d"), out("z", "d-e"), out("w", "dd")]},
        )
    )
    assert len(found) == 1
    assert "out[0].path: 'd/e/f' lies within 'd'" in found[0]
    both = [takes("x", "a.d"), takes("y", "a.d", path="x/below")]
    (within,) = said(
        node("a", artifacts={"out": [out("d", "d")]}), node("b", "a", artifacts={"in": both})
    )
    assert "in[1].path: 'x/below' lies within 'x': two artifacts cannot lie in one place" in within


def test_a_template_in_a_path_is_refused():
    (found,) = said(node("a", artifacts={"out": [out("x", "${{ context.a }}")]}))
    assert "${{ }} is not filled in here" in found


def test_a_conditional_has_no_artifacts():
    cases = [{"when": "true", "value": "x"}]
    (found,) = said(
        {"id": "a", "type": "conditional", "cases": cases, "artifacts": {"out": [out("x", "y")]}}
    )
    assert "artifacts: a node of type conditional runs no program" in found


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowRun"])
def test_a_cluster_refuses_what_it_does_not_hand_over(kind):
    spec = {"nodes": [node("a"), node("b", "a", artifacts={"out": [out("x", "y")]})]}
    spec = spec if kind == "Workflow" else {"workflowSpec": spec}
    body = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "w", "namespace": "n"},
        "spec": spec,
    }
    with pytest.raises(InvalidError, match=r"nodes\[1\].artifacts: this cluster has no store for"):
        objects.check(body, is_pinned=False)
