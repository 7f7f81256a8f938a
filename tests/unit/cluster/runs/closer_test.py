"""Ends of Jobs, and stops."""

import asyncio

import pytest

from podium.api.names import LABEL_RECORDED
from podium.cluster.kube.views import dig, job_view
from podium.cluster.runs.active_run import ActiveRun
from podium.engine import AttemptPhase, RerunRequest
from tests.unit.cluster import support
from tests.unit.cluster.runs.world import ENDED, NAME, SCHEDULED, World
from tests.unit.cluster.support import RUN_UID, running, terminated
from tests.unit.engine.support import node

# Ends, and stops


async def test_the_end_of_a_pod_is_the_end_of_its_node_before_that_of_its_job(world):
    await world.start()
    done = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, message='{"v": 1}'))
    world.change(world.pod, status=done["status"])
    await world.turn()
    assert world.stands() == "Completed"
    assert world.run.after_write.outcomes == {NAME: True}
    await world.written()
    assert world.jobs.outcomes == {NAME: True}


@pytest.mark.parametrize(
    ("phase", "code", "succeeded"), [("Succeeded", 0, True), ("Failed", 1, False)]
)
async def test_a_job_whose_end_was_not_written_before_a_crash_is_owed_it(
    world, phase, code, succeeded
):
    """The server refused that write, and the Pod was let go."""
    await world.start()
    done = support.pod(SCHEDULED, phase=phase, state=terminated(code))
    world.change(world.pod, status=done["status"], metadata={"labels": {LABEL_RECORDED: "true"}})
    world.cache.put_pod(world.pod)
    await world.turn()
    await world.crash()
    assert world.jobs.outcomes == {NAME: succeeded}
    assert world.closer.finish_recorded_job(
        world.cache.jobs("team", RUN_UID)[NAME], world.paper.engine.status.nodes
    )


async def test_a_job_is_owed_nothing_while_its_execution_goes_on_or_was_told_to_end(world):
    await world.start()
    await world.crash()
    assert world.jobs.outcomes == {}
    await world.turn(cancel=True)
    world.server.pods = {}
    await world.crash()
    assert world.stands() == "Cancelled RunCancelled"
    assert world.jobs.outcomes == {}


async def test_a_pod_that_waits_for_its_image_too_long_is_removed_once_that_is_recorded(
    world, clock
):
    await world.start()
    stuck = support.pod(SCHEDULED, state=support.waiting("InvalidImageName", "no such name"))
    world.change(world.pod, status=stuck["status"])
    await world.turn()
    assert world.stands() == "Running InvalidImageName"
    assert world.later == [(NAME, 10.0)]
    clock.now += 10
    world.run.dirty.add(NAME)
    await world.turn()
    assert world.stands() == "Failed ImagePull"
    assert (world.run.after_write.remove, world.jobs.outcomes) == ({NAME}, {})
    world.server.calls = []
    await world.written()
    assert sorted(world.server.calls) == ["delete job", "delete pod"]
    assert world.jobs.outcomes == {}, "what goes need not be closed"


async def test_what_is_stopped_is_gone_when_nothing_of_it_runs(world):
    await world.start()
    await world.turn(cancel=True)
    assert [stop.execution_id for stop in world.stops] == ["a-1"]
    stops = world.stops
    await world.written()
    assert dig(world.job, "metadata", "deletionTimestamp")
    assert dig(world.pod, "metadata", "deletionTimestamp")
    await world.tell().turn(cancel=True)
    assert AttemptPhase.GONE not in [seen.phase for seen in world.seen]
    world.server.calls, world.stops = [], stops
    await world.written()
    assert world.server.calls == [], "it was asked for"
    world.cache.drop_job(job_view(world.server.jobs.pop(NAME)))
    await world.turn(cancel=True)
    assert AttemptPhase.GONE not in [seen.phase for seen in world.seen], "its Pod lives on"
    world.change(world.pod, status=ENDED)
    await world.turn(cancel=True)
    assert AttemptPhase.GONE in [seen.phase for seen in world.seen]
    assert not world.run.stopping


# What is in flight when its execution is told to stop


def alive(objects):
    return [name for name, body in objects.items() if "deletionTimestamp" not in body["metadata"]]


def hold(world, kind):
    """Let the server answer the creation of a kind of object only when the gate opens."""
    gate = asyncio.Event()
    create = getattr(world.server, f"create_{kind}")

    async def slowly(body):
        await gate.wait()
        return await create(body)

    setattr(world.server, f"create_{kind}", slowly)
    return gate


async def settle(world, **control):
    """Let the server answer, and do what turns and writes of statuses do then."""
    for _ in range(4):
        while world.run.tasks:
            await asyncio.wait(world.run.tasks)
        await world.tell().turn(**control)
        await world.written()
        for name in [name for name in world.server.jobs if name not in alive(world.server.jobs)]:
            world.cache.drop_job(job_view(world.server.jobs.pop(name)))
        for body in list(world.server.pods.values()):
            if body["metadata"]["name"] not in alive(world.server.pods):
                world.change(body, status=ENDED)


@pytest.mark.parametrize("kind", ["job", "pod"])
@pytest.mark.parametrize("early", [True, False])
async def test_what_is_in_flight_at_a_cancel_is_removed_when_its_answer_comes(world, kind, early):
    gate = hold(world, kind)
    await world.half_turn()
    await asyncio.sleep(0)
    await world.half_turn(cancel=True)
    if early:  # the answer comes after the status was written
        await world.written()
        await world.half_turn(cancel=True)
        assert AttemptPhase.GONE not in [seen.phase for seen in world.seen]
    gate.set()
    await settle(world, cancel=True)
    assert world.stands() == "Cancelled RunCancelled"
    assert (alive(world.server.jobs), alive(world.server.pods)) == ([], [])
    assert not world.run.stopping
    assert not world.run.dirty


async def test_no_pod_is_made_for_a_job_whose_execution_was_stopped_meanwhile(world):
    gate = hold(world, "job")
    await world.half_turn()
    await world.half_turn(cancel=True)
    await world.written()
    gate.set()
    await settle(world, cancel=True)
    assert "create pod" not in world.server.calls


async def test_the_run_is_let_go_although_the_launch_was_never_made(world, clock):
    """It waited for its turn when it was stopped."""
    world.launcher.launch_after = clock.now + 0.01
    await world.half_turn()
    await world.half_turn(cancel=True)
    await world.written()
    await settle(world, cancel=True)
    assert (world.run.stopping, world.server.jobs) == (set(), {})


@pytest.mark.parametrize("kind", ["job", "pod"])
async def test_a_re_run_waits_for_what_is_in_flight_and_does_not_adopt_it(world, kind):
    gate = hold(world, kind)
    await world.half_turn()
    await asyncio.sleep(0)
    await world.half_turn(requests=[RerunRequest("q", nodes=("a",))])
    await world.written()
    await world.half_turn()
    assert world.server.calls.count("create job") <= 1, "the first may still come"
    gate.set()
    before = {"pod": world.server.jobs, "job": {}}[kind].copy()
    await settle(world)
    await settle(world)
    assert world.server.calls.count("delete job") == 1
    assert alive(world.server.jobs)
    uids = {body["metadata"]["uid"] for body in before.values()}
    assert not uids & {body["metadata"]["uid"] for body in world.server.jobs.values()}


# Containers beside the program


async def test_a_pod_that_a_sidecar_keeps_is_removed_once_its_outcome_is_recorded(world, clock):
    await world.start()
    proxy = {"name": "istio-proxy", "state": running()}
    done = {"name": "node", "state": terminated(0, message='{"v": 1}')}
    status = {"phase": "Running", "containerStatuses": [done, proxy]}
    world.change(world.pod, status=status)
    await world.turn()
    assert world.stands().startswith("Running")
    ((name, seconds),) = world.later
    clock.now += seconds
    world.run.dirty.add(name)
    await world.turn()
    assert world.stands() == "Completed"
    world.server.calls = []
    await world.written()
    assert world.server.calls == ["delete pod"], "its Job stays"
    assert world.jobs.outcomes == {NAME: True}


async def test_a_job_whose_output_broke_its_contract_does_not_say_that_it_is_complete(clock):
    world = World(node("a", outputContract={"produces": ["v"]}))
    await world.start()
    done = support.pod(SCHEDULED, phase="Succeeded", state=terminated(0, message="{}"))
    world.change(world.pod, status=done["status"])
    await world.turn()
    assert world.stands().startswith("Failed")
    await world.written()
    assert world.jobs.outcomes == {NAME: False}


async def test_a_later_look_wakes_the_run_once_and_at_the_earliest_time(world):
    for seconds in (600.0, 0.0, 600.0):
        ActiveRun.look_later(world.run, NAME, seconds)
    (timer,) = world.run.timers.values()
    assert timer.when() - asyncio.get_running_loop().time() < 1
    woken = asyncio.Event()
    world.run.wake = woken.set
    await woken.wait()
    assert (world.run.dirty, world.run.timers) == ({NAME}, {})
