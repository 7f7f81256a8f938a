"""Runs on real processes."""

import asyncio
import os
import signal

import pytest

from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import Plan, RerunRequest, initial_status
from podium.local import processes
from podium.local.programs import Programs
from podium.local.shell import LocalRun
from podium.local.store import RunDirectory, RunRecord, StoreError


def script(name, text, *after, **fields):
    return {
        "id": name,
        "executor": "script",
        "config": {"script": text},
        "dependsOn": list(after),
        **fields,
    }


def begin(tmp_path, *nodes, context=None, name="r", **fields):
    spec = WorkflowSpec.model_validate({"nodes": nodes, **fields})
    run = WorkflowRunSpec(workflow_spec=spec, context=context or {})
    plan = Plan.build(spec, workflow_id="w")
    record = RunRecord(name, "uid", 1.0, "w", str(tmp_path), spec, run)
    directory = RunDirectory(tmp_path / "state", name)
    status = initial_status(plan, 1.0)
    directory.create(record, status)
    return LocalRun(directory, record, plan, status)


def again(run):
    record, status = run.directory.load()
    plan = Plan.build(record.workflow, workflow_id=record.workflow_id)
    return LocalRun(run.directory, record, plan, status)


def stands(run):
    return {name: f"{s.status.value} {s.reason}".strip() for name, s in run.status.nodes.items()}


async def started(run):
    """Have the run start what it starts with, and then do nothing more: its podium is gone."""
    await run._turn([])
    await run._turn(await run._next(None))
    for task in run.executions.tasks:
        task.cancel()


async def until(true):
    while not true():  # noqa: ASYNC110 - pytest bounds it
        await asyncio.sleep(0.01)


async def test_outputs_flow_and_the_state_is_kept(tmp_path):
    run = begin(
        tmp_path,
        script("a", 'printf "%s" \'{"x": "$(HOME) $$ é"}\' >$PODIUM_OUTPUT; echo hi >&2'),
        script(
            "b", "cat $PODIUM_INPUT >$PODIUM_ARTIFACTS_OUT/seen; echo '{}' >$PODIUM_OUTPUT", "a"
        ),
        script("c", "grep -q HOME $PODIUM_ARTIFACTS_IN/b/seen", "b"),
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed", "c": "Completed"}
    assert again(run).status.nodes["a"].output == {"x": "$(HOME) $$ é"}


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("echo oops >&2; exit 3", "Error", "exit code 3; last lines: oops"),
        ("kill -9 $$", "Signal", "signal 9"),
        ("echo nope >$PODIUM_OUTPUT", "OutputNotJSON", "write one JSON object"),
        ("head -c 5000 /dev/zero >$PODIUM_OUTPUT", "OutputTooLarge", "4096"),
    ],
)
async def test_how_a_program_fails(tmp_path, text, reason, said):
    run = begin(tmp_path, script("a", text))
    await run.run()
    assert run.status.nodes["a"].error.reason == reason
    assert said in run.status.nodes["a"].error.message


async def test_a_time_out_ends_a_program_that_ignores_sigterm(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.3)
    text = "trap '' TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done"
    run = begin(tmp_path, script("a", text, timeoutSeconds=0.3))
    await run.run()
    assert stands(run) == {"a": "Failed Timeout"}
    assert not processes.alive(run.directory.execution("a-1"))


async def test_a_run_goes_on_with_a_program_that_outlived_its_podium(tmp_path):
    text = "echo x >>starts; sleep 1; echo '{\"ok\": 1}' >$PODIUM_OUTPUT"
    run = begin(tmp_path, script("a", text))
    await started(run)
    other = again(run)
    await other.run()
    assert other.status.nodes["a"].output == {"ok": 1}
    assert (tmp_path / "starts").read_text() == "x\n"


async def test_a_program_that_died_with_podium_is_started_again_as_the_same_execution(tmp_path):
    text = (
        "touch $PODIUM_ARTIFACTS_OUT/start-$(wc -l <starts); echo x >>starts;"
        " [ $(wc -l <starts) = 2 ] || sleep 60"
    )
    (tmp_path / "starts").touch()
    run = begin(tmp_path, script("a", text))
    await started(run)
    await until((tmp_path / "starts").read_text)
    process = await processes.find(run.directory.execution("a-1"))
    run.executions.programs._starter.kill()
    os.kill(process.supervisor, signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)
    await until(lambda: not processes.alive(process.directory))
    other = again(run)
    await other.run()
    state = other.status.nodes["a"]
    assert (state.status.value, state.execution_id, state.execution_count) == (
        "Completed",
        "a-1",
        1,
    )
    artifacts = run.directory.execution("a-1") / "artifacts"
    assert [path.name for path in artifacts.iterdir()] == ["start-1"], "nothing of the first start"


async def test_a_program_that_is_killed_while_podium_is_away_has_failed(tmp_path):
    run = begin(tmp_path, script("a", "sleep 60"))
    await started(run)
    os.killpg((await processes.find(run.directory.execution("a-1"))).pid, signal.SIGKILL)
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Failed Signal"}


async def test_a_program_is_not_started_while_it_runs(tmp_path):
    programs = Programs()
    await programs.ready()
    await programs.start(tmp_path, ["/bin/sleep", "60"], {}, tmp_path).begun
    other = Programs()
    await other.ready()
    with pytest.raises(BlockingIOError):
        await other.start(tmp_path, ["/bin/sleep", "60"], {}, tmp_path).begun
    await (await processes.find(tmp_path)).stop()
    programs.close()
    other.close()


async def test_a_starter_starts_nothing_for_a_podium_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.os, "getpid", lambda: 1)  # not the starter's parent
    programs = Programs()
    await programs.ready()
    with pytest.raises(OSError, match="podium is gone"):
        await programs.start(tmp_path, ["/bin/sleep", "60"], {}, tmp_path).begun
    programs.close()
    assert not processes.alive(tmp_path)


async def test_a_program_gets_what_it_is_handed_and_nothing_else(tmp_path):
    programs = Programs()
    await programs.ready()
    text = 'printf "%s|" "$@" "$X"; env; ls /proc/$$/fd; cat'
    argv = ["/bin/sh", "-c", text, "sh", "two words", "", "é\n"]
    process = programs.start(tmp_path, argv, {"X": "a=b\n"}, tmp_path)
    assert await process.wait() == 0
    programs.close()
    said = (tmp_path / "log").read_text()
    assert said.startswith("two words||é\n|a=b\n|")
    assert set(said.split()[-3:]) == {"0", "1", "2"}
    assert "PATH=" not in said


async def test_a_null_byte_and_a_missing_program_are_refused(tmp_path):
    programs = Programs()
    await programs.ready()
    with pytest.raises(ValueError, match="null byte"):
        programs.start(tmp_path, ["/bin/true", "a\0b"], {}, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"/nosuch$"):
        await programs.start(tmp_path, ["/nosuch"], {}, tmp_path).begun
    with pytest.raises(FileNotFoundError, match=r"/missing$"):
        await programs.start(tmp_path, ["/bin/true"], {}, tmp_path / "missing").begun
    programs.close()
    assert not processes.alive(tmp_path)


def test_a_name_is_taken_once_and_a_torn_line_is_passed_over(tmp_path):
    run = begin(tmp_path, script("a", "true"))
    with pytest.raises(StoreError, match="podium resume r"):
        begin(tmp_path, script("a", "true"))
    with (run.directory.path / "log.jsonl").open("ab") as log:
        log.write(b'\n{"status": {"phase"')
    assert again(run).status.phase.value == "Pending"


async def test_what_was_started_but_not_written_down_is_found_not_started_again(
    tmp_path, monkeypatch
):
    text = "echo x >>starts; sleep 0.5; echo '{\"ok\": 1}' >$PODIUM_OUTPUT"
    run = begin(tmp_path, script("a", text))
    monkeypatch.setattr(run.directory, "save", lambda *_: None)  # killed before it wrote
    await started(run)
    other = again(run)
    assert other.status.nodes["a"].status.value == "Pending"
    await other.run()
    assert other.status.nodes["a"].output == {"ok": 1}
    assert (tmp_path / "starts").read_text() == "x\n"


async def test_what_was_stopped_but_not_written_down_is_started_again(tmp_path, monkeypatch):
    text = "touch $PODIUM_ARTIFACTS_OUT/ready; [ -e go ] || exec sleep 600"
    run = begin(tmp_path, script("a", text))
    monkeypatch.setattr(run.directory, "save", lambda *_: None)
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "artifacts/ready").exists)
    run.interrupt()
    await task
    (tmp_path / "go").touch()
    other = again(run)
    assert other.status.nodes["a"].status.value == "Pending"
    await other.run()
    assert stands(other) == {"a": "Completed"}


async def test_what_is_interrupted_as_it_starts_is_started_again(tmp_path):
    nodes = [script(f"n{i}", "[ -e go ] || exec sleep 600") for i in range(10)]
    run = begin(tmp_path, *nodes)
    await run._turn([])  # asked for, not begun
    run.interrupt()
    await run.run()
    (tmp_path / "go").touch()
    other = again(run)
    await other.run()
    assert set(stands(other).values()) == {"Completed"}


async def test_a_program_that_ended_while_podium_was_away_has_not_timed_out(tmp_path):
    run = begin(tmp_path, script("a", "sleep 0.1; echo '{}' >$PODIUM_OUTPUT", timeoutSeconds=0.6))
    await started(run)
    await asyncio.sleep(0.8)
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Completed"}


async def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    node = script("a", "x", retryPolicy={"maxAttempts": 3})
    node["config"]["interpreter"] = "nosuchthing"
    run = begin(tmp_path, node)
    await run.run()
    state = run.status.nodes["a"]
    assert (state.error.reason, state.execution_count) == ("Config", 1)
    assert "config.interpreter: there is no program 'nosuchthing'" in state.error.message


async def test_the_value_of_a_secret_reaches_the_program_and_nothing_that_podium_writes(tmp_path):
    node = script("a", "echo $TOKEN >&2; test ${#TOKEN} = 12 && exit 7")
    selector = {"secretKeyRef": {"name": "api", "key": "token"}}
    node["config"]["env"] = [{"name": "TOKEN", "valueFrom": selector}]
    run = begin(tmp_path, node)
    run.secrets = {"api": {"token": "s3cr3t-value"}}
    await run.run()
    assert run.status.nodes["a"].error.message == "exit code 7; last lines: ***"
    own = [path for path in run.directory.path.rglob("*") if path.is_file() and path.name != "log"]
    assert own
    assert not [path for path in own if b"s3cr3t" in path.read_bytes()]


async def test_cancelled_and_suspended_while_it_runs(tmp_path):
    run = begin(tmp_path, script("a", "sleep 60"), script("b", "true", "a"))
    task = asyncio.create_task(run.run())
    await until(lambda: run.status.nodes["a"].status.value == "Running")
    run.control(suspend=True)
    await until(lambda: run.status.phase.value == "Paused")
    run.control(cancel=True)
    await task
    assert stands(run) == {"a": "Cancelled RunCancelled", "b": "Cancelled RunCancelled"}
    assert run.status.phase.value == "Cancelled"
    assert not processes.alive(run.directory.execution("a-1"))


async def test_a_request_while_it_runs(tmp_path):
    text = "echo x >>{}; [ $(wc -l <{}) = 2 ] || sleep 60".replace("{}", str(tmp_path / "starts"))
    run = begin(tmp_path, script("a", text))
    task = asyncio.create_task(run.run())
    await until((tmp_path / "starts").exists)
    await until(lambda: run.status.nodes["a"].status.value == "Running")
    run.request(RerunRequest("q", ("a",)))
    await task
    assert run.status.nodes["a"].execution_id == "a-2"
    assert not processes.alive(run.directory.execution("a-1"))


async def test_a_program_that_is_stopped_may_clean_up(tmp_path):
    text = (
        "trap 'sleep 0.5; touch $PODIUM_ARTIFACTS_OUT/clean; exit' TERM;"
        " touch $PODIUM_ARTIFACTS_OUT/ready; while :; do sleep 0.1; done"
    )
    run = begin(tmp_path, script("a", text))
    task = asyncio.create_task(run.run())
    artifacts = run.directory.execution("a-1") / "artifacts"
    await until((artifacts / "ready").exists)
    run.control(cancel=True)
    await task
    assert (artifacts / "clean").exists()


async def test_asked_twice_an_interrupted_run_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1000)
    text = "trap '' TERM; touch $PODIUM_ARTIFACTS_OUT/ready; while :; do sleep 0.1; done"
    run = begin(tmp_path, script("a", text))
    task = asyncio.create_task(run.run())
    await until((run.directory.execution("a-1") / "artifacts/ready").exists)
    run.interrupt()
    run.interrupt()
    await task
    assert run.interrupted
    assert again(run).status.nodes["a"].status.value == "Running"
