"""What a node writes is read from regular files only, and never waited for."""

import asyncio
import errno
import resource
import subprocess
from pathlib import Path

import pytest

from podium.local import commands, files, processes
from podium.local.artifacts import Artifacts
from podium.local.files import read_end, read_regular
from podium.local.store import StoreError
from tests.unit.local.shell_test import again, begin, script, stands, started, until


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("mkfifo $PODIUM_OUTPUT", "OutputNotJSON", "output.json is a FIFO"),
        ("mkdir $PODIUM_OUTPUT", "OutputNotJSON", "output.json is a directory"),
        ("echo '{}' >o; ln -s $PWD/o $PODIUM_OUTPUT", "OutputNotJSON", "is a symbolic link"),
        ("ln -s /dev/zero $PODIUM_OUTPUT", "OutputNotJSON", "is a symbolic link"),
        ("ln -s output.json $PODIUM_OUTPUT", "OutputNotJSON", "is a symbolic link"),
        (
            (
                "cd ${PODIUM_OUTPUT%/*}; python3 -c"
                " 'import socket; socket.socket(socket.AF_UNIX).bind(\"output.json\")'"
            ),
            "OutputNotJSON",
            "output.json is a socket",
        ),
        ("truncate -s 1T $PODIUM_OUTPUT", "OutputTooLarge", "1099511627776 bytes"),
        ("head -c 5000000 /dev/zero >$PODIUM_OUTPUT", "OutputTooLarge", "5000000 bytes"),
        (
            "rm -rf ${PODIUM_OUTPUT%/*}/log; mkfifo ${PODIUM_OUTPUT%/*}/log; exit 3",
            "Error",
            "code 3",
        ),
        ("mkfifo $PODIUM_OUTPUT; exit 3", "Error", "exit code 3"),
        (
            (
                "E=${PODIUM_OUTPUT%/*}; mkdir o; echo '{}' >o/output.json; mv $E $E.x;"
                " ln -s $PWD/o $E"
            ),
            "OutputNotJSON",
            "a-1 is a symbolic link",
        ),
    ],
)
async def test_what_is_no_regular_file_is_said(tmp_path, text, reason, message):
    run = begin(tmp_path, script("a", text), script("b", "true"))
    await run.run()
    error = run.status.nodes["a"].error
    assert (error.reason, message in error.message) == (reason, True), error.message
    assert run.status.nodes["b"].status.value == "Completed"


async def test_a_link_in_the_place_of_a_containers_directory_is_not_followed(tmp_path):
    away = 'mkdir o; echo \'{"from": "elsewhere"}\' >o/output.json; ln -s $PWD/o'
    run = begin(tmp_path, script("a", f"{away} ${{PODIUM_OUTPUT%/*}}/container"))
    await run.run()
    state = run.status.nodes["a"]
    assert (state.status.value, state.output) == ("Completed", {})


def test_a_device_is_not_opened():
    with pytest.raises(OSError, match="is a device, not a regular file"):
        read_regular(Path("/dev/zero"), 10)


def test_beginning_and_end(tmp_path):
    (tmp_path / "f").write_bytes(b"0123456789")
    assert read_regular(tmp_path / "f", 4) == (b"0123", 10)
    assert read_end(tmp_path / "f", 4) == b"6789"
    assert read_end(tmp_path / "f", 40) == b"0123456789"


DIRECTORY = "${PODIUM_OUTPUT%/*}"


@pytest.mark.parametrize("name", ["process", "log", "interrupted", "stop", "input.json", "script"])
async def test_no_file_of_an_execution_makes_a_later_podium_wait(tmp_path, name):
    text = f"rm -f {DIRECTORY}/{name}; mkfifo {DIRECTORY}/{name}; exit 3"
    run = begin(tmp_path, script("a", text))
    await started(run)
    directory = run.directory.execution("a-1")
    await until(lambda: not processes.alive(directory) and (directory / name).is_fifo())
    other = again(run)
    await other.run()
    assert other.status.phase.ended, stands(other)


@pytest.mark.parametrize("make", ["mkfifo", "mkdir", "ln -s /dev/full"])
@pytest.mark.parametrize("name", ["output.json", "input.json", "script"])
async def test_nor_one_that_starts_the_execution_again(tmp_path, name, make):
    text = (
        f"[ -e ready ] || {{ cd {DIRECTORY}; rm {name} || true; {make} {name}; cd -;"
        " touch ready; sleep 600; }"
    )
    run = begin(tmp_path, script("a", text))
    task = asyncio.create_task(run.run())
    await until((tmp_path / "ready").exists)
    run.interrupt()
    await task
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Completed"}


@pytest.mark.parametrize("place", ["save", "prepare", "copy"])
async def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(
    tmp_path, monkeypatch, place
):
    run = begin(
        tmp_path,
        script("a", "echo a >$PODIUM_ARTIFACTS_OUT/f; [ -e room ] || sleep 0.2"),
        script("other", "[ -e room ] || exec sleep 600"),
        script("b", "cat $PODIUM_ARTIFACTS_IN/a/f >$PODIUM_ARTIFACTS_OUT/f", "a"),
    )

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/some/path")

    with monkeypatch.context() as patch:
        owner, name = {
            "save": (run.directory, "_append"),
            "prepare": (commands, "prepare"),
            "copy": (Artifacts, "copy"),
        }[place]
        task = asyncio.create_task(run.run())
        await until(lambda: run.status.nodes["a"].status.value == "Running")
        patch.setattr(owner, name, full)
        with pytest.raises(StoreError) as failed:
            await task
        assert str(failed.value) == (
            "cannot write /some/path: No space left on device: make room, then podium resume"
            f" {run.record.name}"
        )
    assert not processes.alive(run.directory.execution("other-1"))
    (tmp_path / "room").touch()
    other = again(run)
    await other.run()
    assert set(stands(other).values()) == {"Completed"}
    assert (run.directory.execution("b-1") / "artifacts/f").read_text() == "a\n"


def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))  # as good as a full disk
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/f'"):
            files.write_private(tmp_path / "f", b"{}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("make", ["mkfifo", "mkdir", "ln -s /dev/zero"])
def test_only_regular_files_are_written(tmp_path, make):
    subprocess.run(f"{make} {tmp_path}/f", shell=True, check=True)
    with pytest.raises(OSError):
        files.write_private(tmp_path / "f", b"{}")
