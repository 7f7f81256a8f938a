"""Values in `outputs` of a node on a laptop: from files and from standard output."""

import asyncio

import pytest

from podium.cli.log_files import LogFiles
from podium.local.secrets import Mask
from tests.unit.local.containers_test import box, docker
from tests.unit.local.shell_test import again, begin, script, stands, started, until

__all__ = ["docker"]

TEXT = {"stdout": "Text"}


def outputs(run):
    return {name: state.output for name, state in run.status.nodes.items()}


async def test_standard_output_is_a_value_and_stays_in_the_log(tmp_path):
    run = begin(
        tmp_path,
        script("a", "echo out; echo err >&2; echo '{\"y\": 2}' > $PODIUM_OUTPUT", outputs={"x": TEXT}),
        script("b", "seq 3", outputs={"n": {"stdout": "Lines"}}),
    )  # fmt: skip
    await run.run()
    assert outputs(run) == {"a": {"x": "out", "y": 2}, "b": {"n": ["1", "2", "3"]}}
    log = (run.directory.execution("a-1") / "log").read_text()
    assert sorted(log.split()) == ["err", "out"]


async def test_a_file_of_a_script_counts_only_if_the_script_wrote_it(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).write_text("stale")
    run = begin(
        tmp_path,
        script("a", f'test -z "$PODIUM_OUTPUT"; echo fresh > {tmp_path}/new', outputs={
            "old": {"path": f"{tmp_path}/old", "default": "none"},
            "new": {"path": f"{tmp_path}/new"},
            "not": {"path": f"{tmp_path}/no/such", "default": "none"},
        }),
        script("b", "true", outputs={"x": {"path": f"{tmp_path}/old"}}),
    )  # fmt: skip
    await run.run()
    assert outputs(run)["a"] == {"old": "none", "new": "fresh", "not": "none"}
    assert stands(run)["b"] == "Failed OutputMissing"


async def test_what_is_no_file_is_not_followed_or_waited_for(tmp_path):
    def left(name, text):
        path = tmp_path / name
        return script(name, text.format(path), outputs={"x": {"path": str(path), "default": "d"}})

    (tmp_path / "secret").write_text("hush")
    run = begin(
        tmp_path,
        left("link", f"ln -s {tmp_path}/secret {{}}"),
        left("fifo", "mkfifo {}"),
        left("directory", "mkdir {}"),
    )
    await run.run()
    assert set(stands(run).values()) == {"Failed OutputMissing"}
    messages = {name: state.error.message for name, state in run.status.nodes.items()}
    assert "link is a symbolic link, not a regular file" in messages["link"]
    assert "fifo is a FIFO" in messages["fifo"]
    assert "directory is a directory" in messages["directory"]


@pytest.mark.parametrize("size", [4096, 70_000, 1_000_000])
async def test_what_is_too_large_is_refused_and_all_of_it_is_in_the_log(tmp_path, size):
    text = f"head -c {size} /dev/zero | tr '\\0' x"
    run = begin(tmp_path, script("a", text, outputs={"x": TEXT}, retryPolicy={"maxAttempts": 3}))
    await run.run()
    assert stands(run) == {"a": "Failed OutputTooLarge"}
    assert run.status.nodes["a"].retry_count == 0
    directory = run.directory.execution("a-1")
    assert (directory / "log").stat().st_size == size
    assert (directory / "stdout").stat().st_size <= 65_536


async def test_what_a_background_program_prints_belongs_to_it(tmp_path):
    run = begin(tmp_path, script("a", "echo one; (echo two) &\nwait", outputs={"x": TEXT}))
    await run.run()
    assert outputs(run) == {"a": {"x": "one\ntwo"}}


async def test_an_earlier_start_of_the_same_execution_leaves_nothing(tmp_path):
    go = tmp_path / "go"
    text = f"test -e {go} && exit; echo first; touch {go}; sleep 600"
    run = begin(tmp_path, script("a", text, outputs={"x": {**TEXT, "default": "none"}}))
    other = await interrupted(run, go)
    assert outputs(other) == {"a": {"x": "none"}}


async def interrupted(run, go):
    task = asyncio.create_task(run.run())
    await until(go.exists)
    run.interrupt()
    await task
    other = again(run)
    await other.run()
    return other


async def test_a_podium_that_was_killed_finds_what_was_printed(tmp_path):
    run = begin(tmp_path, script("a", "echo early; sleep 0.4; echo late", outputs={"x": TEXT}))
    await started(run)
    other = again(run)
    await other.run()
    assert outputs(other) == {"a": {"x": "early\nlate"}}


async def test_a_failed_program_shows_what_it_said_last(tmp_path):
    run = begin(
        tmp_path, script("a", "echo out; sleep 0.1; echo oops >&2; exit 3", outputs={"x": TEXT})
    )
    await run.run()
    assert run.status.nodes["a"].error.message == "exit code 3; last lines: out / oops"


async def test_values_of_containers(tmp_path, docker):
    run = begin(
        tmp_path,
        box("a", 'test -z "$PODIUM_OUTPUT" && printf 1.2 > /opt/v; printf "[1]" > /srv/j; echo hi', outputs={
            "version": {"path": "/opt/v"},
            "list": {"path": "/srv/j", "format": "Json"},
            "none": {"path": "/srv/none", "default": "d"},
            "said": TEXT,
        }),
        box("b", "true", outputs={"x": {"path": "/opt/v"}}),
        box("c", "rm /opt/v; ln -s /etc/passwd /opt/v", outputs={"x": {"path": "/opt/v"}}),
    )  # fmt: skip
    await run.run()
    assert outputs(run)["a"] == {"version": "1.2", "list": [1], "none": "d", "said": "hi"}
    assert stands(run)["b"] == "Failed OutputMissing"
    assert stands(run)["c"] == "Failed OutputMissing"


async def test_secrets_that_were_printed_do_not_stay_beside_the_log(tmp_path):
    secret = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    node = script("a", "echo $T", outputs={"x": {**TEXT}})
    node["config"]["env"] = [secret]
    run = begin(tmp_path, node)
    run.secrets = {"s": {"k": "hush-hush"}}
    await run.run()
    logs = LogFiles(run.directory, run.status, Mask(["hush-hush"]))
    logs.update(["a"])
    logs.close()
    for name in ("log", "stdout"):
        assert "hush" not in (run.directory.execution("a-1") / name).read_text()
