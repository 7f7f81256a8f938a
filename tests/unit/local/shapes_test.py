"""An execution is interpreted by the shape that it was started with, and by no other."""

import asyncio

import pytest

from podium import kinds
from podium.engine import AttemptPhase, Observation
from podium.kinds import Complete, DeclaredOutput, Launch
from podium.local.process_file import exit_code
from podium.local.shapes import SHAPES
from tests.unit.local.shell_test import again, begin, script, stands, started


class Pair:
    """A kind whose nodes are started as `pair`."""

    holds_slot = True
    has_execution = True
    runs_program = True

    def check(self, node):
        return ()

    def expressions(self, node):
        return ()

    def output_fields(self, node):
        return DeclaredOutput(frozenset(), is_closed=False)

    def start(self, view):
        return Launch(view.node.config, shape="pair")

    def finish(self, view, output):
        return Complete(output)


kinds.register("pair", Pair())


class PairShape:
    """One process, whose exit code is its output."""

    def build(self, commands, launch, node, status):
        return commands.build(launch, node, status)

    def interpret(self, node, execution, process, code, mask):
        output = b'{"code": %d}' % code
        return Observation(node, execution, AttemptPhase.SUCCEEDED, output=output)


@pytest.fixture
def shape(monkeypatch):
    monkeypatch.setitem(SHAPES, "pair", PairShape())


def pair(name, text, *after):
    return {**script(name, text, *after), "type": "pair"}


@pytest.mark.usefixtures("shape")
async def test_each_end_is_interpreted_by_its_own_shape(tmp_path):
    run = begin(tmp_path, pair("a", "exit 7"), script("b", "exit 7", "a"))
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Failed Error"}
    assert run.status.nodes["a"].output == {"code": 7}


@pytest.mark.usefixtures("shape")
async def test_the_shape_is_known_to_the_next_podium(tmp_path):
    run = begin(tmp_path, pair("a", "until [ -e go ]; do sleep 0.01; done; exit 7"))
    await started(run)
    (tmp_path / "go").touch()
    other = again(run)
    await other.run()
    assert other.status.nodes["a"].output == {"code": 7}


@pytest.mark.usefixtures("shape")
async def test_so_it_is_when_that_one_finds_the_end_only(tmp_path):
    run = begin(tmp_path, pair("a", "exit 7"))
    await started(run)
    while exit_code(run.directory.execution("a-1")) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    other = again(run)
    await other.run()
    assert other.status.nodes["a"].output == {"code": 7}


@pytest.mark.usefixtures("shape")
async def test_a_shape_that_is_not_known_fails_its_node_only(tmp_path, monkeypatch):
    text = "until [ -e go ]; do sleep 0.01; done"
    run = begin(tmp_path, pair("a", text), script("b", text))
    await started(run)
    monkeypatch.delitem(SHAPES, "pair")
    (tmp_path / "go").touch()
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Failed Config", "b": "Completed"}
    assert "'pair', which this podium does not know" in other.status.nodes["a"].message


async def test_what_a_program_puts_in_place_of_the_file_harms_that_node_only(tmp_path):
    text = (
        'mkfifo "$(dirname $PODIUM_OUTPUT)/shape"; touch made; until [ -e go ]; do sleep 0.01; done'
    )
    run = begin(tmp_path, script("a", text), script("b", "until [ -e go ]; do sleep 0.01; done"))
    await started(run)
    while not (tmp_path / "made").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    (tmp_path / "go").touch()
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Failed Config", "b": "Completed"}


async def test_single_executions_need_no_file(tmp_path):
    run = begin(tmp_path, script("a", "exit 0"))
    await run.run()
    assert not (run.directory.execution("a-1") / "shape").exists()
