"""The seam for kinds: a toy kind, all of it here, which the whole of Podium then knows.

A timer waits for `config.seconds` and completes. It has no program and takes no slot.
"""

import pytest
from click.testing import CliRunner

from podium import kinds
from podium.api.problems import Problem
from podium.api.workflow import WorkflowSpec
from podium.cli import main
from podium.engine import AttemptPhase, Control, Plan, Stop
from podium.kinds import Complete, DeclaredOutput, Source, Wait
from tests.unit.cluster.runs.conftest import clock  # noqa: F401 - a fixture
from tests.unit.cluster.runs.world import World
from tests.unit.engine.support import Run, node
from tests.unit.local.shell_test import again, begin, script, stands


class Timer:
    holds_slot = False
    has_execution = False
    runs_program = False

    def check(self, node):
        if not isinstance(node.config.get("seconds"), int | float):
            yield Problem(("config", "seconds"), "is missing: write a number of seconds")

    def expressions(self, node):
        if isinstance(message := node.config.get("message"), str):
            yield Source(("config", "message"), message)

    def output_fields(self, node):
        return DeclaredOutput(frozenset({"waited"}), is_closed=True)

    def start(self, view):
        return Wait("Timer", "it waits", until=view.now + view.node.config["seconds"])

    def finish(self, view, output):
        return Complete({"waited": view.node.config["seconds"]})


kinds.register("timer", Timer())


def timer(name, seconds, *after, **fields):
    return {
        "id": name,
        "type": "timer",
        "config": {"seconds": seconds},
        "dependsOn": list(after),
        **fields,
    }


# The engine


def test_a_timer_waits_and_completes():
    run = Run(timer("t", 5), node("a", "t")).step()
    assert run.stands("t") == "Running Timer"
    assert run.launched == []
    assert run.wakes == [1005.0]
    run.later(4)
    assert run.stands("t") == "Running Timer"
    run.later(1)
    assert run.state("t").output == {"waited": 5}
    assert run.state("t").execution_id == "t-1"
    assert run.state("t").duration_seconds == 5
    assert run.launched == ["a-1"]


def test_a_timer_goes_on_after_a_crash():
    run = Run(timer("t", 5)).step().crash().step()
    assert run.stands("t") == "Running Timer"
    assert run.wakes == [1005.0]
    assert run.crash().later(5).phase == "Succeeded"


def test_a_running_node_without_a_program_takes_no_slot():
    run = Run(timer("t", 5), timer("u", 5), node("a"), node("b"), max_parallel=1).step()
    assert run.launched == ["a-1"]
    run.ok("a-1")
    assert run.launched == ["b-1"]
    assert run.stands("t") == run.stands("u") == "Running Timer"


def test_a_node_without_a_slot_starts_although_all_are_taken():
    run = Run(node("a"), timer("t", 5), max_parallel=1).step()
    assert run.stands("t") == "Running Timer"


def test_no_shell_is_reported_to_stop_what_has_no_program():
    run = Run(timer("t", 5)).step()
    run.step(control=Control(cancel=True))
    assert run.stands("t") == "Cancelled RunCancelled"
    assert not any(isinstance(action, Stop) for action in run.actions)
    assert run.phase == "Cancelled"
    assert run.wakes == []


def test_a_timer_is_run_again_with_an_execution_of_its_own():
    run = Run(timer("t", 5), node("a", "t")).step().later(5).ok("a-1")
    run.rerun("t")
    assert run.stands("t") == "Running Timer"
    assert run.state("t").execution_id == "t-2"
    run.rerun("t", id="q2").later(5)
    assert run.state("t").execution_id == "t-3"
    assert run.launched == ["a-2"]


def test_a_timer_has_a_time_out():
    run = Run(timer("t", 5, timeoutSeconds=2)).step().later(2)
    assert run.stands("t") == "Failed Timeout"
    assert run.stopped == []


@pytest.mark.parametrize("phase", [AttemptPhase.FAILED, AttemptPhase.SUCCEEDED])
def test_what_claims_to_be_its_program_does_not_end_it(phase):
    run = Run(timer("t", 5)).step()
    run.step(run.see("t-1", phase, reason="JobDeleted"))
    assert run.stands("t") == "Running Timer"


# The laptop


async def test_a_laptop_waits_for_a_timer(tmp_path):
    run = begin(tmp_path, timer("t", 0.2), script("a", "exit 0", "t"))
    await run.run()
    assert stands(run) == {"t": "Completed", "a": "Completed"}


async def test_a_laptop_that_resumes_a_run_does_not_look_for_a_process(tmp_path):
    run = begin(tmp_path, timer("t", 0.2), script("a", "exit 0", "t"))
    await run._turn([])
    assert stands(run)["t"] == "Running Timer"
    resumed = again(run)
    assert await resumed.executions.adopt() == []
    await resumed.run()
    assert stands(resumed) == {"t": "Completed", "a": "Completed"}


# The cluster


async def test_an_operator_that_takes_over_does_not_look_for_a_job(clock):  # noqa: F811
    world = World(timer("t", 5), node("a", "t"))
    await world.start()
    assert world.paper.stands("t") == "Running Timer"
    await world.crash()
    await world.turn()
    assert world.seen == []
    assert world.server.calls == []
    assert world.paper.stands("t") == "Running Timer"
    await world.again(5)
    assert world.server.calls == ["create job", "create pod"]
    assert world.paper.state("a").execution_id == "a-1"


# The command line

FILE = """
apiVersion: podium.dev/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  nodes:
  - {id: t, type: timer, config: {seconds: 0.1}}
  - {id: a, executor: script, dependsOn: [t], config: {script: exit 0}}
"""


def podium(tmp_path, *arguments, text=FILE):
    file = tmp_path / "w.yaml"
    file.write_text(text)
    words = [str(file) if word == "FILE" else word for word in arguments]
    return CliRunner().invoke(main, words)


def test_the_command_line_knows_it(tmp_path):
    assert podium(tmp_path, "validate", "--strict", "FILE").exit_code == 0
    assert "t" in podium(tmp_path, "graph", "FILE").output
    state = str(tmp_path / "state")
    done = podium(tmp_path, "run", "FILE", "--run-name", "r", "--state-dir", state)
    assert done.exit_code == 0, done.output
    shown = podium(tmp_path, "get", "r", "--state-dir", state).output
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("t ")] == [
        ["t", "Completed"]
    ]


def test_what_it_checks_is_reported_with_its_place(tmp_path):
    done = podium(tmp_path, "validate", "FILE", text=FILE.replace("seconds: 0.1", "message: a."))
    assert "config.seconds: is missing: write a number of seconds" in done.output
    assert "config.message" in done.output


def test_a_type_without_a_registration_is_refused(tmp_path):
    done = podium(tmp_path, "validate", "FILE", text=FILE.replace("timer", "tmier"))
    assert done.exit_code != 0
    assert "'tmier'" in done.output


def test_its_fields_are_known_to_what_follows():
    spec = {"nodes": [timer("t", 5), node("a", "t", condition="context.t.wated > 1")]}
    with pytest.raises(Exception, match="did you mean 'waited'"):
        Plan.build(WorkflowSpec.model_validate(spec), workflow_id="w")
