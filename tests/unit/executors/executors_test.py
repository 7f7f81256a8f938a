"""Executors: what of a config is refused, and what becomes of the rest."""

import pytest

from podium import executors
from podium.api.workflow import Node
from podium.executors import Runtime
from podium.executors.outcome import failed_program, is_retryable


def node(executor, **config):
    return Node.model_validate({"id": "n", "executor": executor, "config": config})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (node("script"), "config.script: is missing"),
        (node("script", script="x", interpeter="sh"), 'did you mean "interpreter"?'),
        (node("script", script="echo ${{ context.x }}"), "put it in env"),
        (node("script", script=3), "config.script"),
        (node("script", script="x", interpreter="python3 -u"), "write a list, [python3, -u]"),
        (node("script", script="x", interpreter=" "), "write bash or python3"),
        (node("script", script="x", interpreter=[]), "config.interpreter"),
        (node("script", script="x", interpreter=["", "-u"]), "must begin with a program"),
        (
            node("script", script="x", interpreter=3),
            "interpreter: must be a string, not the number",
        ),
        (node("script", script="x", interpreter=["a", True]), "interpreter[1]: must be a string"),
        (
            node("script", script="x", env=[{"name": "A", "value_from": {}}]),
            'env[0].value_from: unknown field "value_from"; did you mean "valueFrom"?',
        ),
        (node("script", script="#! \nx"), "config.script: its #! line names no program"),
        (node("container"), "config.image: is missing"),
        (node("container", image="a b"), "config.image"),
        (
            node("container", image="--privileged"),
            "config.image: must be the reference of an image",
        ),
        (node("container", image="-v/:/host"), "config.image"),
        (node("container", image="docker.io/library/UPPER:1"), "config.image"),
        (node("script", script="x", image="a@sha256:short"), "config.image"),
        (node("container", image="a", command="ls"), "config.command"),
        (node("script", script="x", env=[{"name": "A"}]), "config.env[0]: has no value"),
        (node("container", image="a", env=[{"name": "1", "value": ""}]), "config.env[0].name"),
        (
            node("script", script="x", env=[{"name": "A", "value": "b"}] * 2),
            "config.env[1].name: duplicate variable 'A'",
        ),
        (node("persona"), "config.personas: is missing"),
        (node("team", personas=[]), "config.personas"),
        (node("team", personas=["p", "q", "p"]), "'p' is there twice: a persona is one member"),
        (node("team", personas=["p"], lead="q"), "'q' is not one of the personas p"),
    ],
)
def test_configs_are_refused_by_field(made, said):
    problems = executors.get(made.executor).validate(made)
    assert len(problems) == 1
    assert said in str(problems[0])


def test_workloads():
    made = node("script", script="echo $X", env=[{"name": "X", "value": "1"}])
    workload = executors.get("script").workload(made, made.config)
    assert (workload.runtime, workload.script) == (Runtime.SCRIPT, "echo $X")
    assert "script" not in executors.get("script").expandable(made.config)
    made = node("container", image="i", args=["a"])
    workload = executors.get("container").workload(made, made.config)
    assert (workload.image, workload.command, workload.args) == ("i", (), ("a",))
    for name in executors.PERSONA_EXECUTORS:
        made = node(name, personas=["p"], anything="for the prompt")
        workload = executors.get(name).workload(made, made.config)
        assert (workload.runtime, workload.command) == (Runtime.RUNNER, ("persona",))
    assert executors.get("nope") is None


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({}, ("bash", "-eo", "pipefail")),
        ({"interpreter": "bash"}, ("bash", "-eo", "pipefail")),
        ({"interpreter": "/bin/bash"}, ("/bin/bash", "-eo", "pipefail")),
        ({"interpreter": "sh"}, ("sh", "-e")),
        ({"interpreter": "python3"}, ("python3",)),
        ({"interpreter": ["bash"]}, ("bash",)),
        ({"interpreter": ["python3", "-u", "a b"]}, ("python3", "-u", "a b")),
        ({"script": "#!/usr/bin/env python3\nx"}, ("/usr/bin/env", "python3")),
        ({"script": "#! /bin/sh -e  -u \nx"}, ("/bin/sh", "-e  -u")),
        ({"script": "#!/bin/sh\nx", "interpreter": "bash"}, ("bash", "-eo", "pipefail")),
        ({"script": " #!/bin/sh\nx"}, ("bash", "-eo", "pipefail")),
    ],
)
def test_what_runs_a_script(config, command):
    made = node("script", **{"script": "x", **config})
    executor = executors.get("script")
    assert executor.validate(made) == []
    assert executor.workload(made, made.config).interpreter == command


@pytest.mark.parametrize(
    ("code", "written", "log", "told"),
    [
        (1, "", "", ("Error", "exit code 1", {})),
        (2, "", "a\nb\n\nc\nd\n", ("Error", "exit code 2; last lines: c / d", {})),
        (137, "", "x", ("Signal", "ended by signal 9; last lines: x", {"signal": 9})),
        (
            1,
            '{"podiumError": {"reason": "Config", "message": "m"}}',
            "x",
            ("Config", "m", {}),
        ),
        (1, '{"podiumError": 3}', "x", ("Error", "exit code 1; last lines: x", {})),
        (1, '{"podiumError', "", ("Error", "exit code 1", {})),
    ],
)
def test_failures_are_reported_in_one_way(code, written, log, told):
    assert failed_program(code, written, log) == told


def test_what_another_try_would_meet_again_is_not_tried_again():
    assert [is_retryable(r) for r in ("Error", "Signal", "Config", "NoRecordedAnswer")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "docker.io/library/busybox:1.37",
        "localhost:5000/a/b--c__d.e:V1.0_x",
        "[::1]:5000/x",
        "R.example.com/a@sha256:" + "a" * 64,
        "${{ context.image }}",
    ],
)
def test_references_of_images(image):
    made = node("container", image=image)
    assert executors.get("container").validate(made) == []


def test_an_image_is_checked_again_once_it_is_filled_in():
    made = node("container", image="${{ context.image }}")
    with pytest.raises(ValueError, match="must be the reference of an image"):
        executors.get("container").workload(made, {"image": "--privileged"})
