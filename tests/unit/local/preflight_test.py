"""What is missing on this machine is found before anything starts."""

import pytest

from podium.api.problems import InvalidError
from podium.api.workflow import WorkflowSpec
from podium.engine import Plan
from podium.local import preflight
from tests.unit.local.shell_test import script

SECRET = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "db", "key": "NO_SUCH_KEY"}}}]
CONFIG_MAP = [{"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]


def node(name, *after, source="true", condition=None, **config):
    made = script(name, source, *after, **({"condition": condition} if condition else {}))
    made["config"] |= config
    return made


def problems(tmp_path, *nodes, edges=(), only=None, secrets=None, passed=None):
    spec = WorkflowSpec.model_validate({"nodes": nodes, "edges": list(edges)})
    plan = Plan.build(spec, workflow_id="w")
    try:
        preflight.check(plan, tmp_path, secrets or {}, passed or {}, only)
    except InvalidError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_all_that_is_missing_is_named_at_once(tmp_path):
    found = problems(
        tmp_path,
        node("a"),
        node("b", "a", interpreter="nosuch"),
        node("c", env=SECRET),
        node("d", env=CONFIG_MAP),
        node("e", source="#!/no/such/sh\n"),
        node("f", source="#!/usr/bin/env nosuch\n"),
        node("g", interpreter=["./nosuch", "-u"]),
    )
    assert [text.split(":")[0] for text in found] == [f"nodes.{name}" for name in "bcdefg"]
    assert "config.interpreter: there is no program 'nosuch' in PATH" in found[0]
    assert "no value for key NO_SUCH_KEY of the secret db" in found[1]
    assert "only secretKeyRef works on a laptop" in found[2]
    assert "config.script: its #! line: there is no program '/no/such/sh' here" in found[3]
    assert "there is no program 'nosuch' in PATH" in found[4]
    assert f"there is no program './nosuch' in {tmp_path}" in found[5]


@pytest.mark.parametrize(
    "made",
    [
        [node("a"), node("b", "a", interpreter="./made-by-a")],
        [node("a"), node("b", "a", interpreter="/opt/made/by/a")],
        [node("a", condition="false", env=SECRET), node("b", "a", interpreter="nosuch")],
        [node("a", interpreter="${{ context.x }}")],
        [node("a", source="#!/usr/bin/env -S nosuch\n")],
        [node("a", source="#!/bin/sh -e\n")],
        [node("a", env=[{**SECRET[0], "valueFrom": {"secretKeyRef": {
            "name": "db", "key": "NO_SUCH_KEY", "optional": True}}}])],
    ],
)  # fmt: skip
def test_what_cannot_be_known_yet_is_passed_over(tmp_path, made):
    assert problems(tmp_path, *made) == []


def test_what_follows_a_conditional_edge_may_never_start(tmp_path):
    nodes = node("a"), node("b", env=SECRET), node("c", "b", interpreter="nosuch")
    edge = {"from": "a", "to": "b", "condition": "context.x"}
    assert problems(tmp_path, *nodes, edges=[edge]) == []
    assert len(problems(tmp_path, *nodes, edges=[{"from": "a", "to": "b"}])) == 2


def test_what_follows_a_route_may_never_start(tmp_path):
    gate = {"id": "g", "type": "conditional", "cases": [{"when": "true", "value": "x"}]}
    nodes = {**gate, "default": "y"}, node("b", env=SECRET), node("c", "b", interpreter="nosuch")
    assert problems(tmp_path, *nodes, edges=[{"from": "g", "to": "b", "route": "x"}]) == []


def test_only_what_is_to_run_is_looked_at(tmp_path):
    nodes = node("a", interpreter="nosuch"), node("b", interpreter="nosuch")
    assert len(problems(tmp_path, *nodes, only=["b"])) == 1


def test_programs_are_sought_where_the_node_will_find_them(tmp_path):
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = [{"name": "PATH", "value": str(tmp_path)}]
    assert problems(tmp_path, node("a", interpreter="mine", env=path)) == []
    assert problems(tmp_path, node("a", interpreter="mine"), passed={"PATH": str(tmp_path)}) == []
    assert problems(tmp_path, node("a", interpreter="./mine")) == []
    program.chmod(0o644)
    assert len(problems(tmp_path, node("a", interpreter="./mine"))) == 1
    assert problems(tmp_path, node("a", env=SECRET), secrets={"db": {"NO_SUCH_KEY": "x"}}) == []
