"""Executors that teams add: their own check, the check of a config, and what is filled in."""

import pytest

from podium import expressions
from podium.api.problems import InvalidError
from podium.api.source.files import load_text, parse, read_text
from podium.executors import Runtime, custom
from podium.executors.custom import ConfigBreachError

HEAD = "apiVersion: podium.dev/v1alpha1\nkind: Executor\nmetadata: {name: dbt}\nspec:\n"
DBT = (
    HEAD
    + """\
  config:
    type: object
    required: [command]
    properties:
      command: {enum: [run, test]}
      select: {type: array, items: {type: string}, default: []}
      threads: {type: integer, default: 4}
      label: {type: string, default: none}
  template:
    metadata: {labels: {team: "${{ config.label }}"}}
    spec:
      containers:
      - {name: node, image: "dbt:1.8", env: [{name: THREADS, value: "${{ config.threads }}"}]}
      initContainers:
      - {name: fetch, image: git, args: ["${{ config.select }}", "${{ node.id }}"]}
      securityContext: {runAsUser: "${{ config.threads }}"}
  command: [dbt, "${{ config.command }}", "${{ config.select }}", "--x=${{ config.select }}"]
  local: {command: [dbt, "${{ config.threads }}"]}
"""
)
NODE = {"id": "build", "executionId": "build-1"}


def spec_of(text):
    (document,) = load_text(text)
    return document.resource.spec


def fill(config, scope=None, text=DBT):
    return custom.fill("dbt", spec_of(text), config, scope or {}, NODE)


def problems_of(text):
    file = read_text(text, "e.yaml")
    if file.problems:
        return [str(problem) for problem in file.problems]
    (document,) = file.documents
    found = custom.definition_problems(document.resource.spec)
    return [str(document.located(problem)) for problem in found]


def test_defaults_are_filled_in_and_the_template_from_them():
    filled = fill({"command": "run"})
    assert filled.config == {"command": "run", "select": [], "threads": 4, "label": "none"}
    main = custom.main_container(filled.template["template"])
    assert main["env"] == [{"name": "THREADS", "value": "4"}]
    assert filled.template["template"]["spec"]["securityContext"] == {"runAsUser": 4}
    assert filled.template["template"]["metadata"]["labels"] == {"team": "none"}
    assert filled.template["local"] == ["dbt", "4"]


def test_a_list_becomes_arguments_only_where_it_stands_alone():
    filled = fill({"command": "test", "select": ["a b", "$(id)"]})
    assert filled.template["command"] == ["dbt", "test", "a b", "$(id)", '--x=["a b","$(id)"]']
    (init,) = filled.template["template"]["spec"]["initContainers"]
    assert init["args"] == ["a b", "$(id)", "build"]


def test_what_a_config_brings_is_not_filled_in_again():
    filled = fill({"command": "run", "label": "${{ context.x }}"}, {"context": {"x": "${{ 1 }}"}})
    assert filled.template["template"]["metadata"]["labels"] == {"team": "${{ 1 }}"}


def test_a_template_of_a_config_keeps_its_type_and_becomes_a_string_where_one_is_wanted():
    scope = {"context": {"n": 3, "who": 7}}
    filled = fill(
        {"command": "run", "threads": "${{ context.n }}", "label": "${{ context.who }}"}, scope
    )
    assert filled.config["threads"] == 3
    assert filled.config["label"] == "7"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config: 'command' is missing"),
        ({"command": "drop"}, 'config.command: "drop" is not one of "run", "test"'),
        ({"command": "run", "threads": "4"}, 'config.threads: "4" is not of type integer'),
        ({"command": "run", "thread": 4}, "config.thread: unknown field; did you mean threads?"),
    ],
)
def test_a_config_that_breaks_the_schema_is_refused(config, message):
    with pytest.raises(ConfigBreachError, match="^" + message.replace("?", r"\?") + "$"):
        fill(config)


def test_a_missing_value_names_the_config():
    with pytest.raises(expressions.ExpressionError, match=r"^config: context\.absent"):
        fill({"command": "${{ context.absent }}"}, {"context": {}})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{name: node,", "{name: main,", "containers: has no container named node"),
        ('config.threads }}"}]', 'config.y }}"}]', "env[0].value: config.y: unknown property"),
        ("${{ node.id }}", "${{ run.name }}", "args[1]: 'run' is not known here"),
        ("${{ node.id }}", "${{ node.name }}", "a template knows node.id and node.executionId"),
        ("${{ node.id }}", "${{ config. }}", "initContainers[0].args[1]: "),
        ("type: integer", "type: int", "spec.config.properties.threads.type: not a valid JSON"),
        ("type: object", "type: array", "spec.config.type: a node's config is an object"),
        ("securityContext: {", "hostPid: {", "spec.hostPid: unknown field; did you mean hostPID?"),
        ("securityContext: {", "nodeName: {", "nodeName: may not be set: it would pass"),
        ("securityContext: {", "restartPolicy: {", "restartPolicy: may not be set"),
        ('image: "dbt:1.8",', 'image: "dbt", command: [x],', "write it in spec.command"),
        ("{name: fetch, image: git,", "{name: fetch,", "initContainers[0].image: is missing"),
        ("name: fetch", "name: node", "duplicate container 'node'"),
        ("name: THREADS", "name: PODIUM_OUTPUT", "variables that begin with PODIUM_ are Podium's"),
        ("labels: {team:", "labels: {podium.dev/executor:", "belongs to the platform"),
        ("  local: {command: [dbt", "  local: {command: [dbt]} #", ""),
        ("  local: {command: [dbt", "  local: {command: []} #", "local.command"),
        ("    spec:\n", "    spec: 3\n    more:\n", "template.more: unknown field"),
        (
            "config:\n    type",
            "config:\n    $ref: https://x/y\n    type",
            "reference 'https://x/y' is not",
        ),
    ],
)
def test_a_broken_executor_names_its_field(old, new, message):
    assert old in DBT
    found = problems_of(DBT.replace(old, new, 1))
    assert any(message in each for each in found) if message else not found, found


def test_an_executor_is_bounded_in_size():
    large = DBT.replace(
        "  config:\n", f"  description: {'x' * 30000}\n  config:\n    title: {'y' * 40000}\n"
    )
    assert any("65,536 is the limit" in each for each in problems_of(large))


def test_nobody_writes_the_executors_of_a_definition():
    """It would be the right to run Pods of any shape."""
    spec = load_text(DBT)[0].raw["spec"]
    workflow = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"nodes": [{"id": "a", "executor": "dbt"}], "executors": {"dbt": spec}},
    }
    run = {
        **workflow,
        "kind": "WorkflowRun",
        "spec": {"workflowSpec": workflow["spec"]},
    }
    for resource in (workflow, run):
        with pytest.raises(InvalidError, match="executors: unknown field"):
            parse(resource)
    workflow["spec"]["executors"] = {}
    with pytest.raises(InvalidError, match="executors: unknown field"):
        parse(workflow)


def test_a_template_that_is_more_than_a_container_needs_a_cluster():
    assert custom.needs_cluster(spec_of(DBT).template)
    alone = HEAD + "  template: {spec: {containers: [{name: node, image: x}]}}\n"
    assert not custom.needs_cluster(spec_of(alone).template)
    made = custom.workload(fill({}, text=alone).template)
    assert (made.runtime, made.image, made.local) == (Runtime.EXECUTOR, "x", None)
