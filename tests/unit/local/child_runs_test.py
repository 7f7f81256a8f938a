"""Child runs on a laptop: runs of their own, found again, stopped and removed with their parent."""

import asyncio
import uuid

import pytest

from podium.api.names import child_name
from podium.api.run import WorkflowRunSpec
from podium.api.workflow import WorkflowSpec
from podium.engine import Plan, RerunRequest, initial_status
from podium.local import child_runs
from podium.local.removal import remove_run
from podium.local.shell import LocalRun
from podium.local.store import BusyError, RunDirectory, RunRecord
from tests.unit.local.shell_test import script, stands, until

HOLDS = "until [ -e go ]; do sleep 0.01; done"


def workflow(*nodes, **fields):
    return WorkflowSpec.model_validate({"nodes": nodes, **fields})


def child(name="sub", workflow="other", **fields):
    config = {"workflowRef": {"name": workflow}}
    return {"id": name, "executor": "workflow", "config": config, **fields}


def begin(tmp_path, *nodes, workflows, **fields):
    spec = workflow(*nodes, **fields)
    plan = Plan.build(spec, workflow_id="w")
    record = RunRecord(
        "r",
        str(uuid.uuid4()),
        1.0,
        "w",
        str(tmp_path),
        spec,
        WorkflowRunSpec(),
        workflows=workflows,
    )
    directory = RunDirectory(tmp_path / "state", "r")
    status = initial_status(plan, 1.0)
    directory.create(record, status)
    return LocalRun(directory, record, plan, status, workflows=workflows)


def again(run):
    record, status = run.directory.load()
    plan = Plan.build(record.workflow, workflow_id=record.workflow_id, is_pinned=True)
    return LocalRun(run.directory, record, plan, status, workflows=record.workflows)


def directory_of(run, execution="sub-1"):
    name = child_name(run.record.name, run.record.uid, execution)
    return RunDirectory(run.directory.state_dir, name)


def node_of(run, name="a"):
    directory = directory_of(run)
    return directory.load()[1].nodes[name] if directory.exists else None


async def holding(run):
    """Run until the child's program runs."""
    task = asyncio.create_task(run.run())
    await until(lambda: (state := node_of(run)) is not None and state.started_at is not None)
    return task


OTHER = {"other": workflow(script("a", HOLDS), outputs={"x": "1"})}
CLEAN = {"other": workflow(script("a", HOLDS), **{"finally": [script("clean", "true")]})}


async def test_a_run_that_was_interrupted_goes_on_with_its_child(tmp_path):
    run = begin(tmp_path, child(), workflows=OTHER)
    task = await holding(run)
    run.interrupt()
    await task
    assert stands(run) == {"sub": "Running"}
    assert directory_of(run).load()[1].phase.value == "Running"
    (tmp_path / "go").touch()
    other = again(run)
    await other.run()
    assert stands(other) == {"sub": "Completed"}
    assert other.status.nodes["sub"].output == {"x": 1}
    assert other.status.nodes["sub"].execution_count == 1
    assert other.status.nodes["sub"].child_run == directory_of(run).name


async def test_a_child_that_was_made_and_not_recorded_is_found(tmp_path):
    run = begin(tmp_path, child(), workflows=OTHER)
    task = await holding(run)
    lines = (run.directory.path / "log.jsonl").read_bytes().split(b"\n")
    run.interrupt()
    await task
    before = directory_of(run).load()[0].uid
    (run.directory.path / "log.jsonl").write_bytes(b"\n".join(lines[:2]))  # as it began
    (tmp_path / "go").touch()
    other = again(run)
    assert stands(other) == {"sub": "Pending"}
    await other.run()
    assert stands(other) == {"sub": "Completed"}
    assert directory_of(run).load()[0].uid == before


async def test_a_child_that_was_deleted_fails_its_node(tmp_path):
    run = begin(tmp_path, child(), workflows=OTHER)
    task = await holding(run)
    run.interrupt()
    await task
    remove_run(directory_of(run))
    other = again(run)
    await other.run()
    assert stands(other) == {"sub": "Failed ChildRunDeleted"}


async def test_a_child_that_is_cancelled_by_itself_fails_its_node_once(tmp_path):
    run = begin(tmp_path, child(retryPolicy={"maxAttempts": 3}), workflows=OTHER)
    task = await holding(run)
    directory_of(run).request_cancel()
    await task
    assert stands(run) == {"sub": "Failed ChildRunCancelled"}
    assert run.status.nodes["sub"].execution_count == 1


async def test_a_cancel_that_the_parent_had_no_time_for_is_carried_out_later(tmp_path):
    run = begin(tmp_path, child(), workflows=CLEAN)
    task = await holding(run)
    run.interrupt()
    await task
    other = again(run)
    other.control(cancel=True)
    await other.run()
    assert stands(other) == {"sub": "Cancelled RunCancelled"}
    nodes = directory_of(run).load()[1].nodes
    assert [nodes[each].status.value for each in ("a", "clean")] == ["Cancelled", "Completed"]


async def test_terminate_goes_down_without_finally(tmp_path):
    run = begin(tmp_path, child(), workflows=CLEAN)
    task = await holding(run)
    run.control(cancel=True, terminate=True)
    await task
    nodes = directory_of(run).load()[1].nodes
    assert [nodes[each].status.value for each in ("a", "clean")] == ["Cancelled", "Cancelled"]


async def test_what_recorded_answers_and_secrets_are_goes_down(tmp_path):
    run = begin(tmp_path, child(), workflows=OTHER)
    (tmp_path / "go").touch()
    await run.run()
    record = directory_of(run).load()[0]
    assert record.workdir == run.record.workdir
    assert record.parent is not None
    assert record.parent._asdict() == {
        "run": "r",
        "uid": run.record.uid,
        "node": "sub",
        "execution": "sub-1",
        "depth": 1,
        "root": run.record.uid,
    }


async def test_a_member_of_a_group_and_a_node_of_finally_may_be_one(tmp_path):
    (tmp_path / "go").touch()
    group = {"id": "g", "type": "parallel_group", "nodes": [child()]}
    run = begin(tmp_path, group, **{"finally": [child("last")]}, workflows=OTHER)
    await run.run()
    assert stands(run) == {"g": "Completed", "g.sub": "Completed", "last": "Completed"}
    assert directory_of(run, "g.sub-1").exists


async def test_removing_a_run_removes_its_children(tmp_path):
    (tmp_path / "go").touch()
    nested = OTHER | {"middle": workflow(child())}
    run = begin(tmp_path, child(workflow="middle"), workflows=nested)
    await run.run()
    runs = run.directory.path.parent
    assert len(list(runs.iterdir())) == 3
    remove_run(run.directory)
    assert list(runs.iterdir()) == []


async def test_a_run_is_not_removed_while_its_child_is_worked_on(tmp_path):
    (tmp_path / "go").touch()
    run = begin(tmp_path, child(), workflows=OTHER)
    await run.run()
    with directory_of(run).locked(), pytest.raises(BusyError):
        remove_run(run.directory)
    assert run.directory.exists


async def test_a_run_of_that_name_that_is_another_s_is_left_alone(tmp_path):
    run = begin(tmp_path, child(), workflows=OTHER)
    spec = workflow(script("a", "true"))
    plan = Plan.build(spec, workflow_id="w")
    record = RunRecord(directory_of(run).name, "u", 1.0, "w", "/", spec, WorkflowRunSpec())
    directory_of(run).create(record, initial_status(plan, 1.0))
    await run.run()
    assert stands(run) == {"sub": "Failed NameTaken"}
    assert directory_of(run).load()[1].nodes["a"].status.value == "Pending"


async def test_there_is_a_bound_on_all_child_runs_below_one(tmp_path, monkeypatch):
    monkeypatch.setattr(child_runs, "MAX_BELOW", 2)
    middle = workflow(child("low", "bottom"))
    workflows = {"other": middle, "bottom": workflow(script("a", "true"))}
    run = begin(tmp_path, child(), child("more", dependsOn=["sub"]), workflows=workflows)
    await run.run()
    assert stands(run)["sub"].startswith("Completed")
    assert run.status.nodes["more"].reason == "TooManyChildRuns"
    record = directory_of(run).load()[0]
    assert record.parent.root == run.record.uid


# Items of a map


EACH = {"forEach": "[0, 1, 2]", "maxParallel": 2}


async def test_a_map_that_was_interrupted_goes_on_with_its_children(tmp_path):
    run = begin(tmp_path, child(**EACH), workflows=OTHER)
    task = asyncio.create_task(run.run())
    await until(lambda: all(runs_of(run, f"sub[{index}]-1") for index in (0, 1)))
    run.interrupt()
    await task
    (tmp_path / "go").touch()
    uids = [directory_of(run, f"sub[{index}]-1").load()[0].uid for index in (0, 1)]
    other = again(run)
    await other.run()
    assert other.status.nodes["sub"].status.value == "Completed"
    assert other.status.nodes["sub[2]"].output == {"x": 1}
    assert [other.status.nodes[f"sub[{index}]"].execution_count for index in (0, 1)] == [1, 1]
    assert uids == [directory_of(run, f"sub[{index}]-1").load()[0].uid for index in (0, 1)]
    assert other.status.nodes["sub[0]"].child_run == directory_of(run, "sub[0]-1").name


def runs_of(run, execution):
    directory = directory_of(run, execution)
    state = directory.load()[1].nodes["a"] if directory.exists else None
    return state is not None and state.started_at is not None


async def test_children_of_items_that_were_made_and_not_recorded_are_found(tmp_path):
    run = begin(tmp_path, child(**EACH), workflows=OTHER)
    task = asyncio.create_task(run.run())
    await until(lambda: all(runs_of(run, f"sub[{index}]-1") for index in (0, 1)))
    lines = (run.directory.path / "log.jsonl").read_bytes().split(b"\n")
    run.interrupt()
    await task
    (run.directory.path / "log.jsonl").write_bytes(b"\n".join(lines[:2]))  # as it began
    (tmp_path / "go").touch()
    before = directory_of(run, "sub[1]-1").load()[0].uid
    other = again(run)
    await other.run()
    assert other.status.nodes["sub"].status.value == "Completed"
    assert directory_of(run, "sub[1]-1").load()[0].uid == before
    assert not directory_of(run, "sub[1]-2").exists


async def test_a_child_of_an_item_that_is_cancelled_goes_on_to_its_end_later(tmp_path):
    run = begin(tmp_path, child(**EACH), workflows=CLEAN)
    task = asyncio.create_task(run.run())
    await until(lambda: all(runs_of(run, f"sub[{index}]-1") for index in (0, 1)))
    run.interrupt()
    await task
    other = again(run)
    other.control(cancel=True)
    await other.run()
    assert stands(other) == {"sub": "Cancelled RunCancelled"}
    for index in (0, 1):
        nodes = directory_of(run, f"sub[{index}]-1").load()[1].nodes
        assert [nodes[each].status.value for each in ("a", "clean")] == ["Cancelled", "Completed"]


async def test_removing_a_run_removes_the_children_of_its_items_also_of_a_longer_list(tmp_path):
    (tmp_path / "go").touch()
    sub = child(forEach="context.list")
    run = begin(tmp_path, sub, workflows=OTHER, globalContext={"list": [0, 1, 2]})
    await run.run()
    await run.run([RerunRequest("q", ("sub",), context={"list": [0]})])
    assert run.status.nodes["sub"].items.count == 1
    runs = run.directory.path.parent
    assert len(list(runs.iterdir())) == 1 + 3 + 1
    remove_run(run.directory)
    assert list(runs.iterdir()) == []


async def test_children_that_have_ended_are_not_read_again(tmp_path, monkeypatch):
    (tmp_path / "go").touch()
    run = begin(tmp_path, child(**EACH), script("z", "exit 1"), workflows=OTHER)
    await run.run()
    assert [directory_of(run, f"sub[{index}]-1").has_ended for index in range(3)] == [True] * 3
    read = []
    real = RunDirectory.load
    monkeypatch.setattr(RunDirectory, "load", lambda self: read.append(self.name) or real(self))
    other = again(run)
    read.clear()
    await other.run([RerunRequest("q", ("z",))])
    assert not read


async def test_a_torn_line_about_a_child_is_passed_over(tmp_path):
    (tmp_path / "go").touch()
    run = begin(tmp_path, child(), workflows=OTHER)
    (run.directory.path / "children").write_bytes(b"\nsu\xff")
    await run.run()
    assert stands(run) == {"sub": "Completed"}
    assert run.directory.child_executions() == ["su\ufffd", "sub-1"]
    remove_run(run.directory)
    assert not directory_of(run).exists


async def test_a_child_of_a_node_that_is_gone_is_stopped_by_the_podium_that_finds_it(tmp_path):
    """The newer definition was written, and what ran was not ended before the crash."""
    run = begin(tmp_path, child(**EACH), script("z", "true"), workflows=OTHER)
    task = asyncio.create_task(run.run())
    await until(lambda: all(runs_of(run, f"sub[{index}]-1") for index in (0, 1)))
    run.interrupt()
    await task
    record, status = run.directory.load()
    for name in [each for each in status.nodes if each.startswith("sub")]:
        del status.nodes[name]
    plan = Plan.build(workflow(script("z", "sleep 1")), workflow_id="w")
    other = LocalRun(run.directory, record, plan, status, workflows=record.workflows)
    await other.run()
    for index in (0, 1):
        assert directory_of(run, f"sub[{index}]-1").load()[1].phase.value == "Cancelled"
