"""Child runs on a cluster: made once, found again, asked what their parent is asked, looked at."""

import asyncio
import copy

import pytest

from podium.api.child_runs import CHILD_ANNOTATIONS, LABEL_PARENT
from podium.cluster.jobs.builder import job_name
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.runs import child_bounds
from podium.cluster.runs.child_objects import has_parent
from podium.cluster.runs.child_runs import ChildRuns
from podium.cluster.settings import Settings
from podium.engine import Control, Launch, Stop
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import Server, World
from tests.unit.cluster.support import RUN_UID
from tests.unit.engine.support import Run, node
from tests.unit.kinds.child_run_test import child

NAME = job_name("release-x7", RUN_UID, "sub-1", 0)


class Runs(Server):
    """Has WorkflowRuns, too."""

    def __init__(self):
        super().__init__()
        self.runs = {}

    async def create_run(self, run):
        self.take("create", "run")
        return self.create(self.runs, run)

    async def get_run(self, namespace, name):
        self.take("get", "run")
        return self.get(self.runs, name)

    async def control_run(self, namespace, name, uid, change):
        self.take("control", "run")
        body = self.get(self.runs, name)
        if body["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "the UID is another one")
        body["spec"] |= change["spec"]
        for key, value in change["metadata"]["annotations"].items():
            body["metadata"]["annotations"].pop(key, None)
            if value is not None:
                body["metadata"]["annotations"][key] = value
        return self.put(self.runs, body)


class Children(World):
    """A run whose nodes are child runs."""

    def __init__(self, *nodes, depth=0, context=None, **settings):
        self.depth = depth
        self.suspend = self.terminate = False
        self.server, self.settings = Runs(), Settings.model_validate(settings)
        self.paper = Run(*nodes or [child()], context=context)
        self.begin()

    def begin(self):
        super().begin()
        self.run.dirty_children.clear()
        self.parent()
        self.children = ChildRuns(
            self.server,
            self.cache,
            self.launcher,
            self.settings,
            lambda key: self.run if key == self.run.key else None,
        )
        for body in self.server.runs.values():
            self.cache.put_run(body)

    def parent(self):
        meta = {"name": "release-x7", "namespace": "team", "uid": RUN_UID}
        notes = {}
        if self.depth:
            notes = {
                CHILD_ANNOTATIONS.run: "above",
                CHILD_ANNOTATIONS.uid: "u-above",
                CHILD_ANNOTATIONS.depth: str(self.depth),
            }
        spec = {"suspend": self.suspend, "terminate": self.terminate}
        body = {"metadata": {**meta, "annotations": notes, "resourceVersion": "1"}, "spec": spec}
        self.view = self.cache.put_run(body | {"status": {"phase": "Running", "nodes": {"a": 1}}})
        return self.view

    async def turn(self, **control):
        await self.children.pass_on(self.run, self.parent())
        seen = await self.children.collect(self.run)
        batch = await self.observer.collect_observations(self.run)
        actions = self.paper.engine.step(
            self.paper.now,
            observations=[*seen, *batch.observations],
            control=Control(**control),
        )
        batch.commit()
        for action in actions:
            if isinstance(action, Launch):
                self.children.launch(self.run, action)
            if isinstance(action, Stop):
                self.run.stopping.add((action.node, action.execution_id))
        while self.run.tasks:
            await asyncio.wait(self.run.tasks)
            await asyncio.sleep(0)
        return self

    async def restart(self):
        self.paper.crash()
        self.begin()
        self.observer.resume_tracking(self.run)
        self.children.resume_tracking(self.run)
        self.server.calls = []
        return self

    def tell(self, name=NAME, **status):
        """Let the child's status be written, and the watch tell of it."""
        body = self.server.runs[name]
        body["status"] = status
        self.cache.put_run(self.server.put(self.server.runs, body))
        self.children.has_seen(("team", name))
        return self

    @property
    def child(self):
        return self.server.runs[NAME]

    def stands(self, name="sub"):
        return self.paper.stands(name)


async def test_a_child_is_a_run_that_names_its_workflow_and_its_parent():
    world = Children(child(context={"n": "${{ context.n }}"}), context={"n": 3})
    await (await world.turn()).turn()
    made = world.child
    assert made["spec"] == {"workflowRef": {"name": "other"}, "context": {"n": 3}}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("WorkflowRun", RUN_UID, True)
    assert made["metadata"]["labels"][LABEL_PARENT] == RUN_UID
    notes = made["metadata"]["annotations"]
    assert notes[CHILD_ANNOTATIONS.execution] == "sub-1"
    assert notes[CHILD_ANNOTATIONS.depth] == "1"
    state = world.paper.state("sub")
    assert (state.child_run, state.job_uid) == (NAME, made["metadata"]["uid"])
    assert has_parent(world.cache, world.cache.runs["team", NAME])


async def test_its_phases_are_those_of_the_node_and_each_is_read_once():
    world = Children()
    await (await world.turn()).turn()
    world.server.calls = []
    waits = {"type": "Succeeded", "status": "Unknown", "reason": "TooManyActiveRuns"}
    await world.tell(phase="Pending", conditions=[waits]).turn()
    assert world.stands() == "Running TooManyActiveRuns"
    await world.tell(phase="Running", startedAt=support.at(10)).turn()
    assert world.stands() == "Running"
    await world.tell(phase="Running", startedAt=support.at(10), progress="1/2").turn()
    assert world.server.calls == ["get run"] * 2, "a change that says nothing to the parent"
    done = {"startedAt": support.at(10), "completedAt": support.at(20), "outputs": {"x": 1}}
    await world.tell(phase="Succeeded", **done).turn()
    assert world.stands() == "Completed"
    assert world.paper.state("sub").output == {"x": 1}


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_after_a_crash_the_same_child_is_found(is_recorded):
    world = Children()
    await world.turn()
    if is_recorded:
        await world.turn()
    before = copy.deepcopy(world.server.runs)
    await world.restart()
    await (await world.turn()).turn()
    assert world.server.runs == before
    assert world.stands().startswith("Running")
    assert world.paper.state("sub").job_uid == world.child["metadata"]["uid"]


async def test_the_end_that_came_while_no_operator_ran_is_seen():
    world = Children()
    await (await world.turn()).turn()
    world.child["status"] = {"phase": "Succeeded", "completedAt": support.at(20)}
    await (await world.restart()).turn()
    assert world.stands() == "Completed"


async def test_a_run_of_its_name_that_others_made_is_set_aside():
    world = Children()
    other = support.run(metadata={"name": NAME, "uid": "another"})
    world.server.put(world.server.runs, other)
    await (await world.turn()).turn()
    second = job_name("release-x7", RUN_UID, "sub-1", 0, 1)
    assert world.paper.state("sub").child_run == second
    events = [event.reason for event in world.run.after_write.events]
    assert events == ["NameTaken"]
    world.tell(NAME, phase="Succeeded")
    await world.turn()
    assert world.stands() == "Running", "what others write says nothing"


async def test_one_that_is_as_it_would_be_made_but_says_another_context_is_set_aside():
    world = Children()
    await world.turn()
    world.child["spec"]["context"] = {"evil": True}
    world.paper = Run(child())
    world.begin()
    await (await world.turn()).turn()
    assert world.paper.state("sub").child_run != NAME


async def test_a_child_that_was_deleted_fails_the_node():
    world = Children()
    await (await world.turn()).turn()
    del world.server.runs[NAME]
    world.cache.drop_run(("team", NAME), world.cache.runs["team", NAME].uid)
    world.children.has_seen(("team", NAME))
    await world.turn()
    assert world.stands() == "Failed ChildRunDeleted"


async def test_one_that_was_made_again_by_others_is_another_run():
    world = Children()
    await (await world.turn()).turn()
    world.child["metadata"]["uid"] = "another"
    world.run.dirty_children.add("sub-1")
    await world.turn()
    assert world.stands() == "Failed ChildRunDeleted"


async def test_a_child_that_cannot_be_read_fails_the_node():
    world = Children()
    await (await world.turn()).turn()
    problem = UnreadableError("too large", problem="it has more than 1 byte")
    world.server.refuse["get", "run"] = [problem]
    world.run.dirty_children.add("sub-1")
    await world.turn()
    assert world.stands() == "Failed ChildRunFailed"


async def test_what_a_status_holds_may_be_anything():
    world = Children()
    await (await world.turn()).turn()
    for phase, conditions in (([], 7), ({"a": 1}, [7, {"type": []}]), ("Nonsense", [{}])):
        world.child["status"] = {"phase": phase, "conditions": conditions, "outputs": []}
        world.run.dirty_children.add("sub-1")
        await world.turn()
        assert world.stands().startswith("Running")


# What goes down


async def test_a_stop_cancels_the_child_and_the_node_is_gone_when_that_has_ended():
    world = Children()
    await (await world.turn()).turn()
    await world.turn(cancel=True)
    await world.turn(cancel=True)
    assert world.child["spec"]["cancel"] is True
    assert "terminate" not in world.child["spec"]
    assert world.run.stopping
    world.server.calls = []
    await world.turn(cancel=True)
    assert "control run" not in world.server.calls, "it is asked once"
    await world.tell(phase="Cancelled", completedAt=support.at(20)).turn(cancel=True)
    assert not world.run.stopping
    assert world.stands() == "Cancelled RunCancelled"


async def test_terminate_goes_down_also_after_a_cancel():
    world = Children()
    await (await world.turn()).turn()
    await (await world.turn(cancel=True)).turn(cancel=True)
    world.terminate = True
    await world.turn(cancel=True, terminate=True)
    assert world.child["spec"]["terminate"] is True


async def test_suspend_goes_down_and_only_what_it_suspended_is_resumed():
    world = Children()
    await (await world.turn()).turn()
    world.suspend = True
    await world.turn(suspend=True)
    assert world.child["spec"]["suspend"] is True
    await world.restart()
    world.suspend = False
    await world.turn()
    assert world.child["spec"]["suspend"] is False
    assert CHILD_ANNOTATIONS.suspended not in world.child["metadata"]["annotations"]
    world.child["spec"]["suspend"] = True  # by a user
    await world.restart()
    await world.turn()
    assert world.child["spec"]["suspend"] is True


async def test_a_stop_that_a_crash_cut_off_is_asked_again():
    world = Children()
    await (await world.turn()).turn()
    await world.turn(cancel=True)  # written, and the child was not asked yet
    await world.restart()
    await (await world.turn(cancel=True)).turn(cancel=True)
    assert world.child["spec"]["cancel"] is True


async def test_a_refused_request_is_made_again():
    world = Children()
    await (await world.turn()).turn()
    await world.turn(cancel=True)
    world.server.refuse["control", "run"] = [ApiError(503, "ServiceUnavailable", "later")]
    with pytest.raises(ApiError):
        await world.turn(cancel=True)
    await world.turn(cancel=True)
    assert world.child["spec"]["cancel"] is True


# Bounds


async def test_a_run_at_the_deepest_level_has_no_child():
    world = Children(depth=8)
    await (await world.turn()).turn()
    assert not world.server.runs
    assert world.stands() == "Failed TooDeep"


async def test_the_depth_of_a_run_cannot_be_written_below_zero_or_beyond_reason():
    for depth in ("-5", "99999999999999", "x"):
        world = Children(depth=depth)
        await (await world.turn()).turn()
        assert world.stands() == "Failed TooDeep"


async def test_each_depth_has_room_of_its_own():
    """Runs wait for runs below them only: so they never wait for each other."""
    limits = {"limits": {"maxActiveRunsPerNamespace": 1}}
    world = Children(child("a"), child("b"), **limits)
    await (await world.turn()).turn()
    assert [each["metadata"]["annotations"][CHILD_ANNOTATIONS.node] for each in
            world.server.runs.values()] == ["a"]  # fmt: skip
    assert world.stands("b") == "Ready OperatorLimit"
    name = job_name("release-x7", RUN_UID, "a-1", 0)
    await world.tell(name, phase="Succeeded", completedAt=support.at(20)).turn()
    world.paper.now += 60
    await (await world.turn()).turn()
    assert world.stands("b") == "Running"


async def test_a_child_that_the_server_refuses_fails_the_node():
    world = Children()
    world.server.refuse["create", "run"] = [ApiError(422, "Invalid", "spec.context: too long")]
    await (await world.turn()).turn()
    assert world.stands() == "Failed Invalid"


async def test_what_says_after_a_crash_that_it_is_a_child_says_nothing_before_it_is_looked_at():
    """Whoever may make runs can write its name and annotations, and have it end at any time."""
    world = Children()
    await world.turn()  # as it would be made, to copy that
    forged = copy.deepcopy(world.child)
    forged["spec"]["context"] = {"evil": True}
    world.paper = Run(child())
    world.begin()
    world.server.runs = {}
    world.server.put(world.server.runs, forged)
    await world.restart()
    make = world.server.create_run
    found = []

    async def create(run):
        world.tell(phase="Succeeded", outputs={"evil": True})
        found.extend(await world.children.collect(world.run))
        return await make(run)

    world.server.create_run = create
    await (await world.turn()).turn()
    assert found == []
    second = job_name("release-x7", RUN_UID, "sub-1", 0, 1)
    assert (world.stands(), world.paper.state("sub").child_run) == ("Running", second)


async def test_what_may_be_a_child_and_is_not_wanted_is_stopped_and_waited_for():
    world = Children()
    await world.turn()  # made, and not recorded
    await world.restart()
    await world.turn(cancel=True)
    await world.tell(phase="Running").turn(cancel=True)
    assert world.child["spec"]["cancel"] is True
    await world.tell(phase="Cancelled", completedAt=support.at(20)).turn(cancel=True)
    assert not world.run.stopping


async def test_there_is_a_bound_on_all_child_runs_below_one(monkeypatch):
    """Ended ones count: a run that starts itself n times would else make n to the 8th."""
    monkeypatch.setattr(child_bounds, "MAX_BELOW", 2)
    world = Children(child("a"), child("b"), child("c"))
    await (await world.turn()).turn()
    assert world.stands("a").startswith("Running")
    assert world.stands("c") == "Failed TooManyChildRuns"
    made = [each["metadata"]["annotations"] for each in world.server.runs.values()]
    assert [each[CHILD_ANNOTATIONS.root] for each in made] == [RUN_UID] * 2
    name = job_name("release-x7", RUN_UID, "a-1", 0)
    world.tell(name, phase="Succeeded", completedAt=support.at(20))
    assert world.cache.below["team", RUN_UID] == 2
    for key in [key for key in world.cache.runs if key != world.run.key]:
        world.cache.drop_run(key, world.cache.runs[key].uid)
    assert not world.cache.below


async def test_a_child_counts_its_children_with_those_of_the_run_above_all(monkeypatch):
    monkeypatch.setattr(child_bounds, "MAX_BELOW", 2)
    world = Children(depth=1)
    for number in range(2):
        notes = {CHILD_ANNOTATIONS.run: "x", CHILD_ANNOTATIONS.uid: "x",
                 CHILD_ANNOTATIONS.depth: "3", CHILD_ANNOTATIONS.root: "u-above"}  # fmt: skip
        meta = {"name": f"other-{number}", "uid": f"other-{number}", "annotations": notes}
        world.cache.put_run(support.run(metadata=meta, status={"phase": "Failed"}))
    await (await world.turn()).turn()
    assert world.stands() == "Failed TooManyChildRuns"


# Items of a map


def each(**fields):
    return child(**{"forEach": "[0, 1, 2]", "maxParallel": 2, **fields})


def name_of(execution):
    return job_name("release-x7", RUN_UID, execution, 0)


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_after_a_crash_the_children_of_items_are_found(is_recorded):
    world = Children(each(context={"n": "${{ item }}"}))
    await world.turn()
    if is_recorded:
        await world.turn()
    before = copy.deepcopy(world.server.runs)
    assert before.keys() == {name_of("sub[0]-1"), name_of("sub[1]-1")}
    assert before[name_of("sub[1]-1")]["spec"]["context"] == {"n": 1}
    await world.restart()
    await (await world.turn()).turn()
    assert world.server.runs == before
    state = world.paper.state("sub[1]")
    assert state.job_uid == before[name_of("sub[1]-1")]["metadata"]["uid"]
    done = {"completedAt": support.at(20), "outputs": {"x": 1}}
    await world.tell(name_of("sub[1]-1"), phase="Succeeded", **done).turn()
    await world.turn()
    assert world.server.runs.keys() - before == {name_of("sub[2]-1")}
    assert world.paper.state("sub[1]").output == {"x": 1}


async def test_what_a_crash_cut_off_of_an_item_s_stop_is_asked_again():
    """The status says no more of an item that was cancelled; its child says whose it is."""
    world = Children(each())
    await (await world.turn()).turn()
    await world.turn(cancel=True)  # written, and the children were not asked yet
    assert "sub[0]" not in world.paper.engine.status.nodes
    await world.restart()
    await (await world.turn(cancel=True)).turn(cancel=True)
    assert all(body["spec"]["cancel"] for body in world.server.runs.values())
    for name in list(world.server.runs):
        world.tell(name, phase="Cancelled", completedAt=support.at(20))
    await world.turn(cancel=True)
    assert not world.run.stopping


async def test_after_a_crash_children_whose_end_is_recorded_are_not_read():
    world = Children(each())
    await (await world.turn()).turn()
    done = {"completedAt": support.at(20), "outputs": {"x": 1}}
    name = name_of("sub[0]-1")
    await world.tell(name, phase="Succeeded", **done).turn()
    await world.turn()
    await world.restart()
    assert not {"sub[0]-1"} & set(world.run.children), "neither as the watch shows all of it"
    world.cache.drop_run(("team", name), world.server.runs[name]["metadata"]["uid"])
    world.cache.note_run({"metadata": world.server.runs[name]["metadata"]})
    world.children.resume_tracking(world.run)
    assert not {"sub[0]-1"} & set(world.run.children), "nor as metadata"


async def test_runs_that_others_made_of_names_of_items_are_no_children():
    world = Children(each())
    await (await world.turn()).turn()
    notes = world.server.runs[name_of("sub[0]-1")]["metadata"]["annotations"]
    for number, (path, name) in enumerate(
        [("sub[7]", "elsewhere"), ("other[0]", name_of("other[0]-1")), ("sub", name_of("sub-1"))]
    ):
        forged = {**notes, CHILD_ANNOTATIONS.node: path, CHILD_ANNOTATIONS.execution: f"{path}-1"}
        meta = {"name": name, "uid": f"f{number}", "annotations": forged, "namespace": "team"}
        world.server.put(world.server.runs, support.run(metadata=meta))
    await world.restart()
    assert set(world.run.children) == {"sub[0]-1", "sub[1]-1"}


async def test_a_run_that_says_it_is_an_item_which_is_a_job_takes_nothing_from_it():
    world = Children(node("sub", forEach="[0, 1]"))
    world.paper.step()  # its items run as Jobs
    job = world.paper.state("sub[1]").job_uid
    notes = {
        CHILD_ANNOTATIONS.run: "release-x7",
        CHILD_ANNOTATIONS.uid: RUN_UID,
        CHILD_ANNOTATIONS.node: "sub[1]",
        CHILD_ANNOTATIONS.execution: "sub[1]-1",
    }
    meta = {"name": name_of("sub[1]-1"), "uid": "f", "annotations": notes, "namespace": "team"}
    world.server.put(world.server.runs, support.run(metadata=meta))
    await world.restart()
    assert not world.run.children
    assert world.paper.state("sub[1]").job_uid == job


async def test_the_parents_of_runs_that_have_ended_are_forgotten():
    world = Children(each())
    await (await world.turn()).turn()
    assert len(world.cache.children_of(RUN_UID)) == 2
    world.tell(name_of("sub[0]-1"), phase="Failed", completedAt=support.at(20))
    assert world.cache.children_of(RUN_UID) == [("team", name_of("sub[1]-1"))]
    key = ("team", name_of("sub[1]-1"))
    world.cache.drop_run(key, world.cache.runs[key].uid)
    assert world.cache.children_of(RUN_UID) == []


@pytest.mark.parametrize("made", [child(timeoutSeconds=5), each(timeoutSeconds=5)])
async def test_a_time_out_that_a_crash_cut_off_is_carried_out(made):
    world = Children(made)
    await (await world.turn()).turn()
    for name in list(world.server.runs):
        world.tell(name, phase="Running", startedAt=support.at(10))
    await world.turn()
    world.paper.now += 100
    await world.turn()  # written, and the children were not asked to end yet
    assert not any("cancel" in body["spec"] for body in world.server.runs.values())
    await world.restart()
    await (await world.turn()).turn()
    timed_out = [world.server.runs[name] for name in list(world.server.runs)][:2]
    assert all(body["spec"].get("cancel") for body in timed_out)
