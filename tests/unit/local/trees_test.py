"""What a node starts ends with it, however it hides; and no node harms another."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from podium.local import processes
from podium.local.programs import Programs
from tests.unit.local.shell_test import again, begin, script, stands, started, until

HIDING = {
    "background": "SLEEP &",
    "job control": "set -m; SLEEP &",
    "time limit": "timeout 500 SLEEP &",
    "session": "setsid SLEEP &",
    "nohup": "nohup SLEEP >/dev/null 2>&1 &",
    "daemon": "env -i /usr/bin/setsid /bin/sh -c '(SLEEP & /bin/sh -c \"SLEEP &\") &' &",
    "deaf": "setsid sh -c 'trap \"\" TERM HUP INT; (SLEEP &); SLEEP' &",
    "stopped": "SLEEP & kill -STOP $!",
    "many": "for i in 1 2 3 4 5 6 7 8 9; do setsid sh -c 'SLEEP & setsid SLEEP & SLEEP' & done",
}


@pytest.fixture
def sleep(tmp_path):
    """Return a command that sleeps, and that is told from all others by its path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sleep").symlink_to(shutil.which("sleep"))
    return f"{tmp_path}/bin/sleep 600"


def left(sleep):
    mark, found = os.fsencode(sleep.partition(" ")[0]), []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(mark):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("way", HIDING)
async def test_what_a_program_leaves_behind_ends_with_it(tmp_path, sleep, way):
    run = begin(tmp_path, script("a", HIDING[way].replace("SLEEP", sleep) + "\necho '{}'"))
    await run.run()
    assert stands(run) == {"a": "Completed"}
    assert left(sleep) == []


@pytest.mark.parametrize("way", HIDING)
async def test_a_time_out_ends_the_whole_tree(tmp_path, sleep, monkeypatch, way):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.3)
    text = f"trap '' TERM; {HIDING[way].replace('SLEEP', sleep)}\nwhile :; do {sleep}; done"
    run = begin(tmp_path, script("a", text, timeoutSeconds=0.5))
    await run.run()
    assert stands(run) == {"a": "Failed Timeout"}
    assert left(sleep) == []


@pytest.mark.parametrize("end", ["cancel", "interrupt"])
async def test_every_way_to_stop_a_node_ends_its_tree(tmp_path, sleep, end):
    text = (
        f"{HIDING['daemon'].replace('SLEEP', sleep)}\n{HIDING['session'].replace('SLEEP', sleep)}"
    )
    run = begin(tmp_path, script("a", f"{text}\ntouch $PODIUM_ARTIFACTS_OUT/ready; {sleep}"))
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "artifacts/ready").exists)
    await until(lambda: len(left(sleep)) >= 4)
    run.interrupt() if end == "interrupt" else run.control(cancel=True)
    await task
    assert left(sleep) == []
    assert again(run).status.nodes["a"].status.value == (
        "Running" if end == "interrupt" else "Cancelled"
    )


async def test_a_later_podium_stops_the_whole_tree_of_what_it_finds(tmp_path, sleep):
    run = begin(tmp_path, script("a", f"{HIDING['daemon'].replace('SLEEP', sleep)}\n{sleep}"))
    await started(run)
    await until(lambda: len(left(sleep)) == 3)
    other = again(run)
    other.control(cancel=True)
    await other.run()
    assert stands(other) == {"a": "Cancelled RunCancelled"}
    assert left(sleep) == []


STARTS = "echo x >>starts.$PODIUM_EXECUTION; "


def starts(run, execution):
    return (Path(run.record.workdir) / f"starts.{execution}").read_text().count("x")


@pytest.mark.parametrize(
    ("attack", "end"),
    [
        ("kill $PPID; kill -HUP $PPID; kill -INT $PPID; kill -QUIT $PPID", "Completed"),
        ("kill -USR1 $PPID; kill -USR2 $PPID", "Completed"),
        ("kill -STOP $PPID", "Completed"),
        ("kill -9 $PPID; sleep 600", "Failed Signal"),
        ("trap '' TERM; kill -9 -- -$PPID; sleep 600", "Failed Signal"),
        ("setsid SLEEP & sleep 0.2; kill -9 $PPID", "Failed Signal"),
        ("kill -9 $(ps -o ppid= -p $PPID)", "Completed"),
        ("kill -9 $(ps -o ppid= -p $PPID) $PPID; sleep 600", "Failed Signal"),
        ("setsid SLEEP & sleep 0.2; kill -9 $(ps -o ppid= -p $PPID) $PPID", "Failed Signal"),
        # A daemon without the mark, of a parent that is gone: nothing but its ancestors tell of it.
        (f"{HIDING['daemon']}\nsleep 0.3; kill -9 $(ps -o ppid= -p $PPID) $PPID", "Failed Signal"),
        (f"{HIDING['daemon']}\nsleep 0.3; kill -9 $PPID $(ps -o ppid= -p $PPID)", "Failed Signal"),
        (f"{HIDING['deaf']}\nsleep 0.3; kill -9 $(ps -o ppid= -p $PPID)", "Completed"),
        ("rm -f ${PODIUM_OUTPUT%/*}/process", "Completed"),
        ("echo 1 1 1 >${PODIUM_OUTPUT%/*}/process", "Completed"),
    ],
)
async def test_a_node_that_attacks_what_runs_it_harms_no_other(tmp_path, sleep, attack, end):
    text = f"{STARTS}{attack.replace('SLEEP', sleep)}"
    run = begin(
        tmp_path,
        script("other", f"{STARTS} sleep 1; echo '{{\"ok\": 1}}' >$PODIUM_OUTPUT"),
        script("bad", f"sleep 0.3; {text}"),
        script("after", STARTS, "bad", triggerRule="AllDone"),
    )
    await run.run()
    assert stands(run) == {"other": "Completed", "bad": end, "after": "Completed"}
    assert run.status.nodes["other"].output == {"ok": 1}
    assert [starts(run, f"{name}-1") for name in ("other", "bad", "after")] == [1, 1, 1]
    assert run.directory.executions() == ["after-1", "bad-1", "other-1"]
    assert left(sleep) == []


async def test_what_runs_goes_on_when_the_starter_is_killed_and_the_rest_is_started(tmp_path):
    text = f"{STARTS} touch $PODIUM_ARTIFACTS_OUT/ready; sleep 0.5"
    run = begin(tmp_path, script("a", text), script("b", STARTS, "a"))
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "artifacts/ready").exists)
    run.executions.programs._starter.kill()
    await task
    assert stands(run) == {"a": "Completed", "b": "Completed"}
    assert (starts(run, "a-1"), starts(run, "b-1")) == (1, 1)


async def test_a_start_that_a_killed_starter_may_have_taken_happens_once(tmp_path):
    run = begin(tmp_path, *(script(f"n{i}", STARTS) for i in range(20)))
    await run.executions.programs.ready()
    os.kill(run.executions.programs._starter.pid, signal.SIGSTOP)
    task = asyncio.create_task(run.run())
    await until(lambda: len(run.executions.programs._answers._asked) == 10)
    run.executions.programs._starter.kill()
    await task
    assert set(stands(run).values()) == {"Completed"}
    assert [starts(run, f"n{i}-1") for i in range(20)] == [1] * 20


async def test_an_execution_is_started_once(tmp_path):
    programs = Programs()
    await programs.ready()
    assert await programs.start(tmp_path, ["/bin/true"], {}, tmp_path).wait() == 0
    with pytest.raises(FileExistsError):
        await programs.start(tmp_path, ["/bin/true"], {}, tmp_path).begun
    assert await programs.start(tmp_path, ["/bin/true"], {}, tmp_path, restart=1).wait() == 0
    programs.close()


async def test_nothing_of_podium_is_left_when_it_closes(tmp_path):
    programs = Programs()
    await programs.ready()
    process = programs.start(tmp_path, ["/bin/true"], {}, tmp_path)
    await process.wait()
    pids = programs._starter.pid, process.supervisor
    programs.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
