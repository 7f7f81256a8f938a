"""The limits of a run: never passed by what runs at the same time, and said where they end it."""

import json
from dataclasses import replace

import pytest

from podium.api.personas import Limits
from podium.api.run import NodeStatus
from podium.engine import AttemptPhase, Engine, dump_status, load_status
from tests.unit.engine.support import Run, node

WAITS = "Ready WaitingForLimits"


def persona(id="a", *after, limits=None, **fields):  # noqa: A002
    config = {"personas": ["p"], **({"limits": limits} if limits else {})}
    return node(id, *after, executor="team", **{"config": config, **fields})


def spent(tokens, cost=None):
    return {"totalTokens": tokens, "calls": 1, **({} if cost is None else {"cost": cost})}


def granted(run):
    return {each: launch.limits for each, launch in run.launches.items()}


def test_a_node_is_granted_what_those_before_it_left():
    run = Run(persona("a"), persona("b", "a"), limits={"tokens": 1000, "cost": 2.0}).step()
    run.ok("a-1", usage=spent(300, 0.5))
    assert granted(run) == {
        "a-1": {"tokens": 1000, "cost": 2.0},
        "b-1": {"tokens": 700, "cost": 1.5},
    }


def test_without_limits_and_for_other_nodes_nothing_is_granted():
    assert granted(Run(persona("a")).step()) == {"a-1": None}
    run = Run(node("s"), persona("a"), limits={"tokens": 9}).step()
    assert granted(run) == {"s-1": None, "a-1": {"tokens": 9}}


def test_one_without_limits_of_its_own_holds_all_and_others_wait_until_it_has_told():
    run = Run(persona("a"), node("s"), persona("b"), limits={"tokens": 1000}).step()
    assert run.launched == ["a-1", "s-1"]
    assert run.stands("b") == WAITS
    assert "with limits in its config" in run.state("b").message
    run.crash().step()
    assert run.launched == []
    run.ok("a-1", usage=spent(300))
    assert granted(run)["b-1"] == {"tokens": 700}
    assert (run.stands("b"), run.state("b").message) == ("Running", "")


def test_those_with_limits_run_side_by_side_as_far_as_these_go_together():
    own = {"tokens": 400}
    names = ("a", "b", "c")
    run = Run(*(persona(name, limits=own) for name in names), limits={"tokens": 1000}).step()
    assert run.launched == ["a-1", "b-1"]
    assert run.stands("c") == WAITS
    run.ok("b-1", usage=spent(150))
    assert granted(run)["c-1"] == {"tokens": 400}
    run.ok("a-1", usage=spent(400)).ok("c-1", usage=spent(400))
    assert run.engine.status.token_usage.total_tokens == 950


def test_a_node_alone_gets_what_is_left_though_it_might_spend_more():
    run = Run(persona("a"), persona("b", "a", limits={"tokens": 900}), limits={"tokens": 1000})
    run.step().ok("a-1", usage=spent(800))
    assert granted(run)["b-1"] == {"tokens": 200}


def test_one_for_which_nothing_is_left_fails_before_it_starts_and_is_not_tried_again():
    run = Run(
        persona("a"),
        persona("b", "a", retryPolicy={"maxAttempts": 3}),
        node("s", "a"),
        limits={"tokens": 1000},
    )
    run.step().ok("a-1", usage=spent(1000))
    assert run.launched == ["s-1"]
    assert run.stands("b") == "Failed Budget"
    assert run.state("b").error.message == (
        "the run's limits.tokens: 1,000: 1,000 are spent: raise the limit, or ask for less"
    )
    run.ok("s-1")
    assert run.phase == "Failed"


def test_failed_tries_count_and_so_do_runs_again():
    run = Run(persona("a", retryPolicy={"maxAttempts": 2}), limits={"tokens": 1000}).step()
    run.fail("a-1", usage=spent(600)).later(1)
    assert granted(run)["a-2"] == {"tokens": 400}
    run.ok("a-2", usage=spent(399)).rerun("a")
    assert granted(run)["a-3"] == {"tokens": 1}


def test_the_lower_limit_of_a_run_and_its_workflow_holds():
    run = Run(persona("a"), limits={"tokens": 1000, "cost": 1.0})
    info = replace(run.engine.info, limits=Limits(tokens=5000, cost=0.5))
    run.engine = Engine(run.plan, info, run.engine.initial_context, run.engine.status)
    run.step()
    assert granted(run) == {"a-1": {"tokens": 1000, "cost": 0.5}}


def test_recorded_answers_cost_nothing():
    run = Run(persona("a"), persona("b"), limits={"tokens": 1})
    info = replace(run.engine.info, recorded=True)
    run.engine = Engine(run.plan, info, run.engine.initial_context, run.engine.status)
    run.step()
    assert granted(run) == {"a-1": None, "b-1": None}


def test_what_was_stopped_is_waited_for_since_it_may_still_ask():
    run = Run(persona("a", timeoutSeconds=5), persona("b"), limits={"tokens": 1000}).step()
    run.later(0, control=None)
    seen = run.see("a-1", "Running", started_at=run.now)
    run.step(seen).later(6)
    assert run.stopped == ["a-1"]
    assert run.stands("b") == WAITS
    run.step(run.see("a-1", "Gone"))
    assert run.launched == ["b-1"]


def test_what_a_predecessor_launched_and_did_not_write_still_holds_its_part():
    """The one before it in the definition became ready later, and must not start beside it."""
    run = Run(persona("b", "s"), persona("a"), node("s"), limits={"tokens": 1000}).step()
    assert run.launched == ["a-1", "s-1"]
    status = load_status(json.loads(json.dumps(dump_status(run.engine.status))))
    state = status.nodes["a"]
    state.status, state.execution_id, state.execution_count = NodeStatus.READY, None, 0
    state.launched_at = None
    run.engine = Engine(run.plan, run.engine.info, run.engine.initial_context, status)
    run.launches.clear()
    done = run.see("s-1", AttemptPhase.SUCCEEDED, output={})
    run.step(run.see("a-1", AttemptPhase.RUNNING), done)
    assert list(run.launches) == ["a-1"]
    assert run.stands("b") == WAITS


def test_members_of_a_bounded_group_wait_for_both():
    members = [persona(name, limits={"tokens": 10}) for name in ("x", "y", "z")]
    group = {"id": "g", "type": "parallel_group", "nodes": members, "maxParallel": 2}
    run = Run(group, persona("a"), limits={"tokens": 15}).step()
    assert run.launched == ["g.x-1"]
    run.ok("g.x-1", usage=spent(5))
    assert granted(run)["g.y-1"] == {"tokens": 10}
    run.ok("g.y-1", usage=spent(5)).ok("g.z-1", usage=spent(4)).ok("a-1", usage=spent(1))
    assert run.phase == "Succeeded"


def test_items_hold_what_their_map_lets_each_of_them_spend():
    map_ = persona("m", limits={"tokens": 10}, forEach="[1, 2, 3]")
    run = Run(map_, persona("b"), limits={"tokens": 25}).step()
    assert run.launched == ["m[0]-1", "m[1]-1"]
    run.ok("m[0]-1", usage=spent(3))
    assert granted(run)["m[2]-1"] == {"tokens": 10}
    run.ok("m[1]-1", usage=spent(10)).ok("m[2]-1", usage=spent(3))
    assert granted(run)["b-1"] == {"tokens": 9}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (None, "config.limits.tokens is missing: items have one"),
        ({"tokens": 30}, "and config.limits.tokens of an item is 30"),
    ],
)
def test_items_that_cannot_keep_the_limits_fail_by_name(own, words):
    run = Run(persona("m", limits=own, forEach="[1]"), limits={"tokens": 25}).step()
    assert run.launched == []
    assert run.state("m").status.value == "Failed"
    told = " ".join([run.state("m").error.message, *run.events])
    assert words in told
