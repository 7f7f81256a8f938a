"""Outputs that rest in the store: what the engine knows of them, and what followers are given."""

import json

from podium.api.node_state import OutputRef
from podium.contracts import AskedOutput, Breach, OutputVerdict
from podium.engine import LargeInput, StoredOutput
from podium.engine.model import RestoreRequest
from tests.unit.engine.support import Run, node

CASES = [{"when": "context.big.ok", "value": "x"}]


def stored(verdict=None, digest="d"):
    return StoredOutput(5000, digest, verdict or OutputVerdict())


def big(id="big", *after, **fields):  # noqa: A002
    return node(id, *after, largeOutput=True, **fields)


def edge(source, target, **fields):
    return {"from": source, "to": target, **fields}


def test_what_the_graph_reads_is_asked_for():
    run = Run(
        big(outputContract={"produces": ["a"], "qualityField": "q"}),
        node("b", condition="context.big.rows[1].id == 2 and exists(context.big.more)"),
        node("c", "b", inputContract={"requiredFields": ["big.a.b", "big", "b.x"]}),
        node("d", "c", config={"script": "true", "env": [{"name": "N", "value": "${{ context.big.n }}"}]}),
        {"id": "e", "type": "conditional", "dependsOn": ["big"], "cases": CASES},
        node("f"),
        edges=[
            edge("big", "b", condition="context.count > context.key"),
            edge("c", "f", condition="context.big.far"),
            edge("big", "f", type="produces_for", dataMapping={"rows.0.id": "first"}),
        ],
        context={"key": 1, "quality_threshold": 0.5},
        outputs={"image": "context.big.image"},
    )  # fmt: skip
    assert run.engine.asked_of_output("b") is None
    asked = run.engine.asked_of_output("big")
    read = [
        ("count",),
        ("key",),
        ("far",),
        ("rows", 1, "id"),
        ("more",),
        ("n",),
        ("ok",),
        ("image",),
    ]
    assert sorted(asked.read, key=str) == sorted(read, key=str)
    assert sorted(asked.present) == [("a", "b"), ("rows", "0", "id")]
    assert (asked.produces, asked.quality_field) == (("a",), "q")
    assert (asked.quality_threshold, asked.is_own_threshold) == (0.5, False)


def test_an_expression_over_all_of_the_context_reads_all_of_an_output():
    run = Run(big(), node("b", "big", condition='context["b" + "ig"].n == 1'))
    assert run.engine.asked_of_output("big").read == ((),)


def test_it_is_referred_to_in_the_state_and_survives():
    run = Run(big(), node("b", "big", condition="context.big.n == 1")).step()
    run.ok("big-1", {"n": 1}, stored=stored())
    assert run.state("big").output_ref == OutputRef(size=5000, digest="d")
    assert run.crash().step().stands("b") == "Running"
    assert run.state("big").output == {"n": 1}


def test_a_verdict_from_where_it_lies_counts():
    breach = OutputVerdict("OutputContract", [Breach("rows", "is missing")], 0.25)
    run = Run(big(retryPolicy={"maxAttempts": 2})).step()
    run.ok("big-1", {}, stored=stored(breach)).later(1).ok("big-2", {}, stored=stored(breach))
    assert run.stands("big") == "Failed OutputContract"
    assert run.state("big").message == "rows: is missing"
    assert (run.state("big").contract_fulfilled, run.state("big").quality_score) == (False, 0.25)
    assert run.state("big").output_ref is None


def test_direct_followers_and_those_that_name_it_are_given_it_by_reference():
    run = Run(
        big(),
        node("b", "big"),
        node("far", "b"),
        node("named", "b", inputContract={"include": ["big"]}),
        node("demands", "b", inputContract={"requiredFields": ["big.n"]}),
    ).step()
    run.ok("big-1", {"n": None}, stored=stored()).ok("b-1", {"m": 1})
    whole = (LargeInput("dependencyOutputs", "big", "big", "big-1"),)
    given = {name: run.launches[f"{name}-1"] for name in ("b", "far", "named", "demands")}
    assert {name: launch.large for name, launch in given.items()} == {
        "b": whole,
        "far": (),
        "named": whole,
        "demands": whole,
    }
    for launch in given.values():
        assert "big" not in launch.input["dependencyOutputs"]
    assert run.state("far").omitted_outputs == 0


def test_a_mapped_part_is_given_by_reference():
    run = Run(
        big(),
        node("s"),
        node("t"),
        edges=[
            edge("big", "t", type="produces_for", dataMapping={"rows.1": "row", "n": "same"}),
            edge("s", "t", type="produces_for", dataMapping={"n": "same", "m": "other"}),
        ],
    ).step()
    run.ok("big-1", {"rows": [None, None], "n": None}, stored=stored())
    run.ok("s-1", {"n": 2, "m": 3})
    launch = run.launches["t-1"]
    assert launch.large == (LargeInput("inputs", "row", "big", "big-1", "rows.1"),)
    assert launch.input["inputs"] == {"same": 2, "other": 3}


def test_a_small_output_of_such_a_node_is_as_any():
    run = Run(big(outputContract={"produces": ["x"]}), node("b", "big")).step()
    run.ok("big-1", {"x": 1})
    assert run.launches["b-1"].large == ()
    assert run.launches["b-1"].input["dependencyOutputs"] == {"big": {"x": 1}}
    assert run.state("big").output_ref is None


def test_a_run_without_one_writes_what_it_wrote():
    run = Run(node("a"), node("b", "a")).step().ok("a-1", {"x": 1}).ok("b-1")
    text = json.dumps(
        run.engine.status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    )
    assert "outputRef" not in text


def test_a_restored_execution_brings_its_reference_and_its_artifacts():
    run = Run(big(), node("b")).step()
    run.ok("big-1", {}, stored=stored(digest="first"), artifacts="a" * 64).ok("b-1")
    run.rerun("big").ok("big-2", {}, stored=stored(digest="second"), artifacts="b" * 64)
    run.step(requests=[RestoreRequest("r", 1)])
    state = run.state("big")
    assert (state.execution_id, state.output_ref.digest, state.artifacts) == (
        "big-1",
        "first",
        "a" * 64,
    )
    record = state.history[0]
    assert (record.execution_id, record.output_ref.digest) == ("big-2", "second")


def test_asked_is_plain():
    assert AskedOutput().dump()["schema"] is None


def test_other_fields_that_are_read_make_it_run_again_at_the_latest_definition():
    def plan(condition):
        return Run(big(), node("b", "big", condition=condition)).plan.identities["big"].digest

    assert plan("context.big.n == 1") == plan("context.big.n > 2")
    assert plan("context.big.n == 1") != plan("context.big.m == 1")
