"""kubectl podium rerun --fork: the run that is made."""

import asyncio
from types import SimpleNamespace

import pytest

from podium.api.workflow import WorkflowSpec
from podium.cli.cluster import fork
from podium.cli.cluster.runs import ClusterRun
from podium.cli.output import CliError
from tests.unit.engine.support import Run, node


class Client:
    made = None

    async def call(self, method, path, body):
        self.made = method, path, body
        return {"metadata": {"name": "first-x7"}}


def forked(monkeypatch, spec, name_of_node=None, **options):
    run = Run(node("a"), node("b", "a"), context={"k": 1, "list": [1]}, globalContext={"k": 0})
    run.step().ok("a-1").ok("b-1").rerun("b", context={"k": 2})
    document = {"metadata": {"name": "first", "namespace": "team", "uid": "u"}, "spec": spec}

    async def read_run(_cluster, name):
        assert name == "first"
        return ClusterRun(document, run.engine.status)

    async def definition_of(_cluster, _run):
        return WorkflowSpec.model_validate(run.spec.model_dump(by_alias=True, exclude_unset=True))

    monkeypatch.setattr(fork, "read_run", read_run)
    monkeypatch.setattr(fork, "definition_of", definition_of)
    client = Client()
    cluster = SimpleNamespace(client=client, namespace="team")
    given = (None, options.get("values", ()), ())
    name = asyncio.run(fork.fork_run(cluster, "first", name_of_node, given))
    return name, client.made


def test_it_is_the_same_run_from_that_one_with_the_context_as_it_is(monkeypatch):
    spec = {
        "workflowRef": {"name": "w"},
        "context": {"k": 1, "list": [1]},
        "maxParallel": 3,
        "cancel": True,
        "ttlSecondsAfterFinished": 60,
    }
    name, (method, path, body) = forked(monkeypatch, spec, "b", values=("more.n=1",))
    assert (name, method) == ("first-x7", "POST")
    assert path.endswith("/namespaces/team/workflowruns")
    assert body["metadata"] == {"generateName": "first-"}
    assert body["spec"] == {
        "workflowRef": {"name": "w"},
        "context": {"k": 2, "list": [1], "more": {"n": 1}},
        "maxParallel": 3,
        "ttlSecondsAfterFinished": 60,
        "from": {"run": "first", "node": "b"},
    }


def test_without_a_node_it_names_the_run_alone(monkeypatch):
    _, (_, _, body) = forked(monkeypatch, {"workflowRef": {"name": "w"}, "only": ["a"]})
    assert (body["spec"]["from"], body["spec"]["only"]) == ({"run": "first"}, ["a"])


def test_a_spec_that_cannot_be_read_is_said(monkeypatch):
    with pytest.raises(CliError, match="the spec of run first cannot be read"):
        forked(monkeypatch, {"workflowRef": 7})
