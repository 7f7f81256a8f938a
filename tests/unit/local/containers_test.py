"""Container nodes: a small docker that runs the command of a container as a process."""

import asyncio
import json
import os
import sys

import pytest

from podium.api.names import child_name
from podium.api.problems import UserError
from podium.api.workflow import WorkflowSpec
from podium.engine import Plan
from podium.local import containers
from tests.unit.local.shell_test import again, begin, script, stands, started, until

DOCKER = """#!{python}
import json, os, re, subprocess, sys
from pathlib import Path
here = Path(__file__).parent
arguments = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if arguments[0] == "info":
    sys.exit((here / "broken").exists())
if arguments[0] == "rm":
    sys.exit(0)
assert arguments[0] == "run"
rest, env, command, volumes = arguments[1:], {{"PATH": os.environ["PATH"]}}, [], {{}}
while rest[0].startswith("--"):
    option = rest.pop(0)
    if option == "--":
        break
    if option in ("--rm", "--init"):
        continue
    value = rest.pop(0)
    if option == "--volume":
        host, inside, mode = value.split(":")
        volumes[inside] = host
    elif option == "--entrypoint":
        command = [value]
    elif option == "--env":
        name, equals, given = value.partition("=")
        env[name] = given if equals else os.environ[name]
assert rest[0] == "the/image:1"
def outside(value):
    for inside, host in sorted(volumes.items(), reverse=True):
        value = re.sub(rf"(?<![\\w/.-]){{re.escape(inside)}}(?=[/ ;]|$)", host, value)
    return value
env = {{name: outside(value) for name, value in env.items()}}
sys.exit(subprocess.run([outside(word) for word in command + rest[1:]], env=env).returncode)
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "docker").write_text(DOCKER.format(python=sys.executable))
    (directory / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    containers.container_tool.cache_clear()
    yield directory
    containers.container_tool.cache_clear()


def calls(docker, verb):
    found = [json.loads(line) for line in (docker / "calls").read_text().splitlines()]
    return [call for call in found if call[0] == verb]


def box(name, text, *after, env=(), **fields):
    config = {"image": "the/image:1", "command": ["/bin/sh"], "args": ["-c", text]}
    return {
        "id": name,
        "executor": "container",
        "config": {**config, "env": list(env)},
        "dependsOn": list(after),
        **fields,
    }


async def test_input_comes_by_the_environment_and_output_by_a_file(tmp_path, docker):
    secret = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    run = begin(
        tmp_path,
        box("a", 'test -z "$PODIUM_INPUT" && printf \'%s\' "$PODIUM_INPUT_JSON" >$PODIUM_OUTPUT'),
        box("b", 'test ${#T} = 4 && test -z "$HOME" && echo $X', "a", env=[secret, X]),
        context={"k": "v"},
    )
    run.secrets = {"s": {"k": "hush"}}
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed"}
    assert run.status.nodes["a"].output["globalContext"] == {"k": "v"}
    assert (run.directory.execution("b-1") / "log").read_text() == "$(x)\n"
    first, second = calls(docker, "run")
    assert first[first.index("--name") + 1] == child_name("r", "uid", "a-1")
    assert first[first.index("--entrypoint") :] == [
        "--entrypoint", "/bin/sh", "--", "the/image:1", "-c", run.plan.nodes["a"].definition.config["args"][1],
    ]  # fmt: skip
    assert "hush" not in json.dumps(second)  # `ps` shows commands


X = {"name": "X", "value": "$(x)"}


async def test_input_as_a_file(tmp_path, docker):
    text = 'test -z "$PODIUM_INPUT_JSON" && cp $PODIUM_INPUT $PODIUM_OUTPUT'
    run = begin(tmp_path, box("a", text, inputAs="File"))
    await run.run()
    assert run.status.nodes["a"].output["nodeId"] == "a"


async def test_an_input_too_large_for_the_environment_is_a_file(tmp_path, docker):
    text = (
        'test -z "$PODIUM_INPUT_JSON" && echo "{\\"n\\": $(wc -c <$PODIUM_INPUT)}" >$PODIUM_OUTPUT'
    )
    run = begin(tmp_path, box("a", text), context={"k": "x" * 98_304})
    await run.run()
    assert run.status.nodes["a"].output["n"] > 98_304


async def test_a_container_that_fails(tmp_path, docker):
    run = begin(tmp_path, box("a", "echo oops; exit 3"))
    await run.run()
    assert run.status.nodes["a"].error.message == "exit code 3; last lines: oops"


async def test_a_cancelled_container_is_removed_by_its_name(tmp_path, docker):
    run = begin(tmp_path, box("a", "touch $PODIUM_OUTPUT.started; sleep 60"))
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "container/output.json.started").exists)
    run.control(cancel=True)
    await task
    assert stands(run) == {"a": "Cancelled RunCancelled"}
    assert calls(docker, "rm") == [["rm", "--force", child_name("r", "uid", "a-1")]]


async def test_a_container_whose_podium_was_killed_is_found_again(tmp_path, docker):
    run = begin(tmp_path, box("a", "sleep 0.5; echo '{\"ok\": 1}' >$PODIUM_OUTPUT"))
    await started(run)
    other = again(run)
    await other.run()
    assert other.status.nodes["a"].output == {"ok": 1}
    assert len(calls(docker, "run")) == 1


def plan(*nodes):
    return Plan.build(WorkflowSpec.model_validate({"nodes": list(nodes)}), workflow_id="w")


def test_without_docker_the_nodes_that_need_it_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    containers.container_tool.cache_clear()
    with pytest.raises(UserError, match="nodes a, b, c, d, e and 2 more run containers: install"):
        containers.check(plan(*(box(name, "true") for name in "abcdefg")))
    containers.check(plan({"id": "s", "executor": "script", "config": {"script": "true"}}))
    containers.container_tool.cache_clear()


def test_a_docker_whose_service_is_down_is_none(docker, tmp_path, monkeypatch):
    (docker / "broken").touch()
    monkeypatch.setenv("PATH", str(docker))
    with pytest.raises(UserError, match="nodes a run containers"):
        containers.check(plan(box("a", "true")))


async def test_a_container_cannot_lead_podium_to_another_file(tmp_path, docker):
    (tmp_path / "secret").write_text('{"a": 1}')
    (tmp_path / "kept").write_text("kept")
    text = f"rm $PODIUM_OUTPUT; ln -s {tmp_path}/secret $PODIUM_OUTPUT"
    replaced = (
        f"[ -e {tmp_path}/go ] || {{ cd ${{PODIUM_OUTPUT%/*}}; rm output.json;"
        f" ln -s {tmp_path}/kept output.json; ln -sf {tmp_path}/kept input.json;"
        f" touch {tmp_path}/go; sleep 600; }}"
    )
    run = begin(tmp_path, box("a", text), box("b", replaced, inputAs="File"))
    task = asyncio.create_task(run.run())
    await until((tmp_path / "go").exists)
    await until(lambda: stands(run)["a"] != "Running")
    run.interrupt()
    await task
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Failed OutputNotJSON", "b": "Completed"}
    assert (tmp_path / "kept").read_text() == "kept"


async def test_a_path_that_docker_would_read_as_options_is_refused(tmp_path, docker):
    run = begin(tmp_path / "x:y", box("a", "true"))
    await run.run()
    assert stands(run) == {"a": "Failed Config"}
    assert "has a colon in its path: name another directory" in run.status.nodes["a"].error.message


async def test_volumes_of_the_run_are_mounted_where_the_node_says(tmp_path, docker):
    mounts = [
        {"name": "work", "mountPath": "/vol/work", "subPath": "in"},
        {"name": "work", "mountPath": "/vol/all", "readOnly": True},
    ]
    pod = {"pod": {"volumeMounts": mounts}}
    run = begin(
        tmp_path,
        box("a", "echo hi >$PODIUM_VOLUME_WORK/x", **pod),
        script("b", 'test "$(cat $PODIUM_VOLUME_WORK/x)" = hi', "a", **pod),
        volumeClaims=[{"name": "work", "size": "1Gi"}],
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed"}
    root = run.directory.path / "volumes/work"
    (call,) = calls(docker, "run")
    given = [call[n + 1] for n, word in enumerate(call) if word == "--volume"]
    assert given[1:3] == [f"{root}/in:/vol/work:z", f"{root}:/vol/all:ro,z"]
    assert "PODIUM_VOLUME_WORK" in call


async def test_a_part_of_a_volume_that_cannot_be_mounted_says_so(tmp_path, docker):
    pod = {"volumeMounts": [{"name": "work", "mountPath": "/work", "subPath": "a:b"}]}
    claims = [{"name": "work", "size": "1Gi"}]
    run = begin(tmp_path, box("a", "true", pod=pod), volumeClaims=claims)
    await run.run()
    assert "has a colon in its path: name another subPath" in run.status.nodes["a"].message


async def test_artifacts_of_containers(tmp_path, docker):
    """Under $PODIUM_ARTIFACTS_OUT and at absolute paths, which are directories of this machine."""
    declared = [
        {"name": "log", "path": "/work/logs/all.log"},
        {"name": "data", "path": "/data", "type": "Directory"},
        {"name": "report", "path": "r/report.xml"},
    ]
    make = (
        "echo log >/work/logs/all.log; mkdir /data/d; echo data >/data/d/f;"
        " cd $PODIUM_ARTIFACTS_OUT; mkdir r; echo report >r/report.xml; chmod 600 r/report.xml;"
        " echo more >more"
    )
    wanted = [
        {"name": "log", "from": "a.log"},
        {"name": "data", "from": "a.data", "path": "/inputs/data"},
        {"name": "report", "from": "a.report", "path": "/inputs/report.xml"},
    ]
    look = (
        "cat $PODIUM_ARTIFACTS_IN/log /inputs/data/d/f /inputs/report.xml;"
        " stat -c %a /inputs/report.xml"
    )
    text = "cd $PODIUM_ARTIFACTS_IN/a; find . -type f | sort"
    run = begin(
        tmp_path,
        box("a", make, artifacts={"out": declared}),
        box("b", look, "a", artifacts={"in": wanted}),
        box("c", text, "a"),
        {"id": "s", "executor": "script", "config": {"script": text}, "dependsOn": ["a"]},
    )
    await run.run()
    assert set(stands(run).values()) == {"Completed"}, stands(run)
    assert (run.directory.execution("b-1") / "log").read_text().split() == [
        *("log", "data", "report", "444"),
    ]
    for execution in ("c-1", "s-1"):
        found = (run.directory.execution(execution) / "log").read_text().split()
        assert found == ["./data/d/f", "./log", "./more", "./r/report.xml"]
    (second,) = [call for call in calls(docker, "run") if "/inputs" in " ".join(call)]
    mounted = [second[at + 1] for at, word in enumerate(second) if word == "--volume"]
    assert [each.split(":", 1)[1] for each in mounted] == [
        *("/podium:z", "/podium-artifacts:ro,z", "/inputs/data:ro,z", "/inputs/report.xml:ro,z"),
    ]


async def test_a_container_cannot_have_another_file_stored(tmp_path, docker):
    (tmp_path / "secret").write_text("secret")
    text = f"cd ${{PODIUM_OUTPUT%/*}}; rm -r artifacts; ln -s {tmp_path} artifacts"
    run = begin(
        tmp_path, box("a", text), box("b", f"ln -s {tmp_path}/secret $PODIUM_ARTIFACTS_OUT/x")
    )
    await run.run()
    assert stands(run) == {"a": "Failed Artifact", "b": "Failed Artifact"}
    assert not (tmp_path / "state/artifacts/runs").exists()


async def test_a_container_finds_a_text_at_an_absolute_path(tmp_path, docker):
    node = box("a", "cat /etc/app/config", artifacts={"in": [
        {"name": "config", "raw": {"content": "text"}, "path": "/etc/app/config"},
    ]})  # fmt: skip
    run = begin(tmp_path, node)
    await run.run()
    assert stands(run) == {"a": "Completed"}
    assert (run.directory.execution("a-1") / "log").read_text() == "text"
    (call,) = calls(docker, "run")
    assert any(each.endswith(":/etc/app/config:ro,z") for each in call)
