"""What a node that may start is handed, and what keeps it from starting (semantics.md 2 and 3)."""

from podium.engine import AttemptPhase
from tests.unit.engine.support import Run, node

P = AttemptPhase


def test_max_parallel_bounds_what_runs_and_the_definition_gives_the_order():
    run = Run(node("a"), node("b"), node("c"), max_parallel=2).step()
    assert run.launched == ["a-1", "b-1"]
    assert run.stands("c") == "Ready"
    assert run.ok("b-1").launched == ["c-1"]


def test_outputs_reach_all_descendants_and_mapped_names_hide_nothing_else():
    run = Run(
        node("a"),
        node("b", "a"),
        node("c"),
        edges=[
            {"from": "b", "to": "c", "dataMapping": {"x.y": "deep"}},
            {"from": "a", "to": "c", "type": "produces_for", "dataMapping": {"z": "zed"}},
        ],
        globalContext={"k": 1},
        context={"k": 2},
    ).step()
    run.ok("a-1", {"z": 5})
    run.ok("b-1", {"x": {"y": [1]}})
    given = run.launches["c-1"].input
    assert given["dependencyOutputs"] == {"b": {"x": {"y": [1]}}, "a": {"z": 5}}
    assert given["inputs"] == {"deep": [1], "zed": 5}
    assert given["globalContext"] == {"k": 2}


def test_triggers_brings_order_and_no_data():
    run = Run(node("a"), node("b"), edges=[{"from": "a", "to": "b", "type": "triggers"}]).step()
    run.ok("a-1", {"z": 5})
    assert run.launches["b-1"].input["dependencyOutputs"] == {}


def test_outputs_of_all_direct_predecessors_are_delivered():
    names = [f"n{i}" for i in range(300)]
    run = Run(*(node(name) for name in names), node("sum", *names), max_parallel=300).step()
    run.step(*(run.see(f"{n}-1", AttemptPhase.SUCCEEDED, output={"x": 1}) for n in names))
    assert len(run.launches["sum-1"].input["dependencyOutputs"]) == 300
    assert run.state("sum").omitted_outputs == 0


def test_what_is_left_out_is_counted_on_each_node_and_told_once():
    names = [f"n{i}" for i in range(204)]
    chain = [node(n, *([names[i - 1]] if i else [])) for i, n in enumerate(names)]
    run = Run(*chain).step()
    events = []
    for name in names:
        run.ok(f"{name}-1", {"x": 1})
        events += [event for event in run.events if event.startswith("OutputsOmitted")]
    assert [run.state(n).omitted_outputs for n in names[200:]] == [0, 0, 1, 2]
    (event,) = events
    assert "inputContract.include" in event
    run.crash().rerun("n203")
    assert not [event for event in run.events if event.startswith("OutputsOmitted")]


def test_only_the_200_nearest_farther_outputs_are_delivered_unless_named():
    names = [f"n{i}" for i in range(300)]
    chain = [node(n, *([names[i - 1]] if i else [])) for i, n in enumerate(names)]
    chain[-1]["inputContract"] = {"requiredFields": ["n0.x"], "include": ["n1"]}
    run = Run(*chain).step()
    for name in names[:-1]:
        run.ok(f"{name}-1", {"x": 1})
    given = run.launches["n299-1"].input["dependencyOutputs"]
    assert len(given) == 203
    assert {"n0", "n1", "n298", "n98"} <= set(given)
    assert "n97" not in given


def test_a_waived_field_is_listed_as_a_warning():
    run = Run(
        node("a", condition="1 == 2"),
        node("b"),
        node("c", "a", "b", inputContract={"requiredFields": ["a.x", "b.y"]}),
    ).step()
    assert run.stands("a") == "Skipped ConditionFalse"
    run.ok("b-1", {"y": 1})
    assert run.launched == ["c-1"]
    assert run.state("c").warnings == ["requiredFields: a.x: not demanded, because a is Skipped"]


def test_an_unmet_input_contract_fails_the_node_and_is_not_retried():
    run = Run(
        node("a"),
        node("b", "a", inputContract={"requiredFields": ["a.x"]}, retryPolicy={"maxAttempts": 5}),
    ).step()
    run.ok("a-1", {"y": 1})
    assert run.stands("b") == "Failed InputContract"
    assert "a.x" in run.state("b").message
    assert run.state("b").execution_count == 0
    assert run.phase == "Failed"


def test_a_refused_launch_stays_ready_and_is_not_counted():
    run = Run(node("a"))
    run.engine.step(run.now)
    refused = run.see("a-1", P.REFUSED, reason="QuotaExceeded", retry_after=5.0)
    run.actions = run.engine.step(run.now, observations=[refused])
    assert run.stands("a") == "Ready QuotaExceeded"
    assert run.wakes == [1005.0]
    assert run.later(5).launched == ["a-1"]
    assert run.state("a").execution_count == 1


def test_a_launch_refused_for_good_fails_the_node():
    run = Run(node("a", retryPolicy={"maxAttempts": 3}))
    run.engine.step(run.now)
    seen = run.see("a-1", P.FAILED, reason="Refused", message="forbidden", retryable=False)
    run.step(seen)
    assert run.stands("a") == "Failed Refused"


def test_templates_are_filled_in_once_and_a_missing_value_fails_the_node():
    run = Run(
        {
            "id": "a",
            "executor": "container",
            "config": {"image": "x", "args": ["${{ context.who }}", "$(HOME)"]},
        },
        context={"who": "${{ context.who }} $$"},
    ).step()
    assert run.launches["a-1"].config["args"] == ["${{ context.who }} $$", "$(HOME)"]
    run = Run(
        {
            "id": "a",
            "executor": "container",
            "config": {"image": "x", "args": ["${{ context.who }}"]},
        }
    ).step()
    assert run.stands("a") == "Failed ConditionError"
    assert "context.who" in run.state("a").message
