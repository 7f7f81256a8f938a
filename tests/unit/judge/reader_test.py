"""Objects are read the same way here and by a worker, and none of them holds the loop."""

import copy
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.api.names import API_VERSION
from podium.api.problems import InvalidError
from podium.api.source.files import parse
from podium.cluster.kube.errors import ApiError, UnreadableError
from podium.cluster.metrics import Metrics
from podium.cluster.operator import Operator
from podium.cluster.settings import Settings
from podium.engine import ContextCheck, Plan, check_start, definition_digest, initial_context
from podium.judge import reader as reader_module
from podium.judge import small
from podium.judge.pool import JudgeError, OverBudgetError, Pool
from podium.judge.reader import Reader
from podium.judge.small import SMALL_CHARACTERS, SMALL_VALUES, is_small
from podium.kinds import checked_values
from tests.unit.judge.pool_test import running
from tests.unit.judge.verdicts_test import HIDDEN, LONG, doubling

COMMAND = (sys.executable, "-P", "-m", "podium.judge")
NODE = {"id": "a", "executor": "script", "config": {"script": "true"}}


def workflow(spec=None, **fields):
    meta = {"name": "w", "namespace": "team", "uid": "w", "generation": 1}
    spec = spec or {"nodes": [NODE], **fields}
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": meta, "spec": spec}


def run(spec=None, **fields):
    meta = {"name": "r", "namespace": "team", "uid": "r", "generation": 1}
    spec = spec or {"workflowSpec": {"nodes": [NODE]}, **fields}
    return {"apiVersion": API_VERSION, "kind": "WorkflowRun", "metadata": meta, "spec": spec}


def wide(count, **fields):
    chain = [{"dependsOn": [f"n{i - 1}"]} if i % 10 else {} for i in range(count)]
    return [{**NODE, "id": f"n{i}", **fields, **more} for i, more in enumerate(chain)]


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


RICH = workflow(
    id="rich",
    inputs={"type": "object", "properties": {"v": {"type": "string", "default": "x"}}},
    globalContext={"n": 1},
    constants={"c": True},
    defaults={"timeoutSeconds": 60},
    nodes=[
        NODE,
        {"id": "b", "type": "conditional", "cases": [{"when": "context.n == 1", "value": "yes"}]},
        {**NODE, "id": "c", "outputContract": {"produces": ["x"], "schema": HIDDEN}},
        *wide(100, condition="context.v == 'x'"),
    ],
    edges=[
        {"from": "a", "to": "b"},
        {"from": "b", "to": "c", "route": "yes", "dataMapping": {"route": "way"}},
    ],
)
VALID = [
    RICH,
    workflow(nodes=wide(300)),
    run({"workflowSpec": RICH["spec"], "context": {"v": "z", "big": [1] * 500}}),
    run({"workflowRef": {"name": "w"}, "context": {"big": list(range(500))}, "maxParallel": 3}),
]
INVALID = [
    workflow(nodes=[*wide(300), {**NODE, "dependsOn": ["nowhere"]}]),
    workflow(nodes=[*wide(300), {**NODE, "executer": "x"}]),
    run({"workflowSpec": {"nodes": [*wide(300), {**NODE, "condition": "1 +"}]}}),
    run({"context": {"big": [1] * 500}}),
    {**workflow(nodes=wide(300)), "kind": "Other"},
]


@pytest.mark.parametrize("body", VALID)
async def test_what_a_worker_found_valid_is_built_as_it_is_read_here(body):
    before = copy.deepcopy(body)
    assert not is_small(body)
    async with running(command=COMMAND) as pool:
        reading = await Reader(pool).read(body, asker="team")
        assert pool.answered == 1
    here = parse(copy.deepcopy(body))
    assert reading.resource == here
    assert reading.resource.model_dump(mode="json", exclude_unset=True) == here.model_dump(
        mode="json", exclude_unset=True
    )
    assert body == before
    if body["kind"] == "Workflow":
        assert reading.checked.digest == definition_digest(here.spec)
        assert reading.checked.nodes == len(here.spec.nodes)


@pytest.mark.parametrize("body", INVALID)
async def test_what_is_wrong_is_said_in_the_same_words(body, monkeypatch):
    async with running(command=COMMAND) as pool:
        with pytest.raises(InvalidError) as there:
            await Reader(pool).read(body, asker="team")
    monkeypatch.setattr(reader_module, "is_small", lambda _: True)
    with pytest.raises(InvalidError) as here:
        await Reader(Pool()).read(body, asker="team")
    assert str(there.value) == str(here.value)


def fields(part):
    """Return what a part of a plan holds; of an expression its source."""
    found = {name: getattr(part, name) for name in part.__slots__}
    return found | {"condition": part.condition and part.condition.source}


async def test_a_plan_in_slices_is_the_plan():
    reader = Reader(Pool())
    spec = parse(RICH).spec
    sliced = await reader.plan(spec, workflow_id="w", revision="r")
    whole = Plan.build(spec, workflow_id="w", revision="r")
    assert [fields(each) for each in sliced.nodes.values()] == [
        fields(each) for each in whole.nodes.values()
    ]
    assert [fields(each) for each in sliced.edges] == [fields(each) for each in whole.edges]
    assert sliced.data_sources == whole.data_sources
    assert sliced.identities == whole.identities
    assert [sliced.nearest(node) for node in sliced.nodes] == [
        whole.nearest(node) for node in whole.nodes
    ]
    assert await reader.dump(spec) == spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        {"properties": {"v": {"type": "string"}, "w": {"default": [1]}}, "required": ["v"]},
        {"allOf": [{"properties": {"v": {"pattern": "^a"}}}]},
    ],
)
@pytest.mark.parametrize("given", [{"v": "abc"}, {"v": 3}, {}, {"big": list(range(500))}])
async def test_a_context_is_made_and_checked_as_it_is_here(inputs, given):
    fields = {"inputs": inputs} if inputs is not None else {}
    spec = parse(workflow(nodes=[{**NODE, "condition": "context.v == 1"}], **fields)).spec
    plan = Plan.build(spec, workflow_id="w")
    asked = parse(run({"workflowRef": {"name": "w"}, "context": given})).spec
    async with running(command=COMMAND) as pool:
        context, problems = await Reader(pool).context(plan, asked, asker="team")
    assert context == initial_context(plan, asked)
    assert check_start(plan, asked, context_problems=problems) == check_start(plan, asked)


@pytest.mark.parametrize("only_declared", [True, False])
@pytest.mark.parametrize("given", [{"v": "abc"}, {"v": 3, "own": 2}, {"big": list(range(500))}])
async def test_a_context_of_a_rerun_is_checked_as_it_is_here(given, only_declared):
    inputs = {"allOf": [{"properties": {"v": {"pattern": "^a"}}}], "required": ["v"]}
    spec = parse(workflow(inputs=inputs, globalContext={"own": 1}, constants={"c": 1})).spec
    plan = Plan.build(spec, workflow_id="w")
    check = ContextCheck(plan, {"own": 1, "c": 1, **given}, frozenset(given), only_declared)
    async with running(command=COMMAND, seconds=20) as pool:
        problems = await Reader(pool).check_context(check, asker="team")
        assert pool.answered == 1
    assert list(problems) == check.problems()


@pytest.mark.parametrize("values", [{}, {"n": "x"}, {"n": "ab", "more": [1]}])
async def test_values_of_an_approver_are_checked_as_they_are_here(values):
    fields = {"properties": {"n": {"pattern": "^a"}, "m": {"default": 3}}, "required": ["n"]}
    assert not is_small({"fields": fields, "values": values})
    async with running(command=COMMAND, seconds=20) as pool:
        checked = await Reader(pool).check_values(fields, values, asker="team")
        assert pool.answered == 1
    assert checked == checked_values(fields, values)
    assert checked.values["m"] == 3


# What is small


@pytest.mark.parametrize(
    "body",
    [
        workflow(),
        run(),
        workflow(nodes=wide(15), inputs={"properties": {"v": {"type": "string"}}}),
        run({"workflowRef": {"name": "w"}, "context": {"v": "x" * 8000}}),
    ],
)
def test_what_is_small(body):
    assert is_small(body)


@pytest.mark.parametrize(
    "body",
    [
        workflow(nodes=wide(SMALL_VALUES // 4)),
        workflow(inputs=doubling(3)),
        workflow(inputs={"anyOf": [{}]}),
        run(context={"v": {"pattern": "x"}}),
        run(context={"v": "x" * (SMALL_CHARACTERS + 1)}),
        run(context={"x" * (SMALL_CHARACTERS + 1): 1}),
        run(context={"v": [[]] * 300}),
        run(context=deep(40)),
        run(context=deep(100_000)),
    ],
)
def test_what_is_not_small(body):
    assert not is_small(body)


# What would hold the loop

ANY_OF = {"anyOf": [{"anyOf": [{"anyOf": [{}] * 20}] * 20}] * 30}
HOSTILE = {
    "nested anyOf": workflow(inputs={"anyOf": [ANY_OF, ANY_OF]}),
    "many nodes": workflow(nodes=wide(5000, condition="context.a.b == 1 and context.c in [1, 2]")),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_object_that_takes_too_long_is_over_budget(name, monkeypatch):
    monkeypatch.setattr(reader_module, "READ_SECONDS", 0.05)
    async with running(command=COMMAND) as pool:
        with pytest.raises(OverBudgetError, match=r"takes more than 0\.05 s"):
            await Reader(pool).check(HOSTILE[name], asker="team")


async def test_a_context_that_takes_too_long_is_over_budget(monkeypatch):
    monkeypatch.setattr(reader_module, "READ_SECONDS", 0.1)
    spec = parse(workflow(inputs=HIDDEN)).spec
    plan = Plan.build(spec, workflow_id="w")
    asked = parse(run({"workflowRef": {"name": "w"}, "context": LONG})).spec
    async with running(command=COMMAND) as pool:
        with pytest.raises(OverBudgetError):
            await Reader(pool).context(plan, asked, asker="team")


async def test_references_that_double_cost_no_more_than_the_budget(monkeypatch):
    monkeypatch.setattr(reader_module, "READ_SECONDS", 3)
    plan = Plan.build(parse(workflow(inputs=doubling(25))).spec, workflow_id="w")
    asked = parse(run({"workflowRef": {"name": "w"}})).spec
    async with running(command=COMMAND) as pool:
        try:
            _, problems = await Reader(pool).context(plan, asked, asker="team")
        except OverBudgetError:
            return
    assert "references" in str(problems[0])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (run(context={"b": [{}] * 433_000}), "spec: has 433,0.. values, and 100,000 is the limit"),
        (run(context=deep(200)), "spec: is nested deeper than 100 levels"),
    ],
)
async def test_what_is_too_large_to_be_kept_is_refused(body, says):
    async with running(command=COMMAND) as pool:
        with pytest.raises(InvalidError, match=says):
            await Reader(pool).read(body, asker="team")


@pytest.mark.parametrize("levels", [300, 900])
async def test_what_is_too_deep_for_json_is_over_budget(levels):
    async with running(command=COMMAND) as pool:
        with pytest.raises(OverBudgetError, match="is nested too deep"):
            await Reader(pool).read(run(context=deep(levels)), asker="team")
        with pytest.raises(OverBudgetError, match="is nested too deep"):
            await Reader(pool).digest([deep(levels)], asker="team")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (run(context={"b": [{}] * 430_000}), "430,0"),
        (run(context={f"k{i}": 1 for i in range(120_000)}), "120,0"),
        (run(context=deep(200) | {"b": [1] * 30_000}), "nested deeper than 100 levels"),
        ({**run(), "metadata": {"labels": {f"l{i}": "" for i in range(120_000)}}}, "metadata"),
        (run(context={"b": [{}] * 50_000}), ""),
        ({**run(), "status": {"nodes": {f"n{i}": {"a": [1]} for i in range(60_000)}}}, ""),
    ],
    ids=["empty objects", "keys", "deep", "labels", "fine", "what Podium wrote"],
)
async def test_what_is_too_large_is_refused_unread(body, says):
    async with running(command=COMMAND) as pool:
        data = orjson.dumps(body)
        said = await Reader(pool).refusal(data, asker="team")
        assert says in said if says else said == ""
        assert pool.answered == 1, "a worker was asked"


async def test_what_is_too_deep_for_a_worker_is_refused():
    text = b'{"spec": {"context": {"b": %s%s, "c": [%s1]}}}' % (
        b"[" * 9000,
        b"]" * 9000,
        b"1," * 20_000,
    )
    async with running(command=COMMAND) as pool:
        assert "too deep" in await Reader(pool).refusal(text, asker="team")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
)


def count(value):
    """Count the values in a value, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


@given(VALUES)
def test_no_value_is_missed_when_json_is_looked_at_unread(value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "QUICK_VALUES", count(value) - 1)
        assert not small.is_quickly_read(orjson.dumps(value))


def test_a_long_string_is_read_quickly():
    assert small.is_quickly_read(orjson.dumps({"script": "echo\n" * 200_000}))
    assert not small.is_quickly_read(orjson.dumps([[]] * small.QUICK_VALUES))


async def test_what_no_worker_could_judge_is_not_let_in():
    data = orjson.dumps(run(context={"b": [{}] * 30_000}))
    broken = (sys.executable, "-P", "-c", BROKEN)
    async with running(command=broken) as pool:
        with pytest.raises(JudgeError, match="of its own"):
            await Reader(pool).refusal(data, asker="team")
        operator = Operator(None, Settings(), Metrics())
        operator.reader = Reader(pool)
        with pytest.raises(ApiError, match="NotRead: it is large, and no worker") as refused:
            await operator.refusal(data, "team")
        assert not isinstance(refused.value, UnreadableError), "the object is not at fault"


BROKEN = """
import sys
from podium.judge import __main__, objects, tasks
def fault(body):
    raise RuntimeError("a fault of its own")
tasks.TASKS[objects.BOUNDS] = fault
sys.argv[1:] = ["134217728"]
__main__.main()
"""
