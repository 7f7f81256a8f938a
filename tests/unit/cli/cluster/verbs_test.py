"""Which verbs a command line means: of this machine, or of a cluster."""

import pytest
from click.testing import CliRunner

from podium.cli import main


def podium(*arguments, **environment):
    return CliRunner(env=environment).invoke(main, arguments)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_cluster_is_said_anywhere_before_two_dashes(place):
    arguments = ["rerun", "--help"]
    arguments.insert(place, "--cluster")
    assert "--kube-context" in podium(*arguments).output
    assert "--state-dir" in podium("rerun", "--help").output


def test_the_environment_chooses_for_verbs_that_both_have():
    assert "--kube-context" in podium("get", "--help", PODIUM_TARGET="cluster").output
    assert "--kube-context" not in podium("validate", "--help", PODIUM_TARGET="cluster").output
    assert "--kube-context" in podium("submit", "--help").output


def test_artifacts_of_both():
    assert "--state-dir" in podium("artifacts", "--help").output
    assert "--state-dir" not in podium("--cluster", "artifacts", "--help").output
    done = podium("artifacts", "ls", "r", "--cluster", "--kube-context", "no-such-context")
    assert "the cluster cannot be asked: " in done.output


def test_verbs_of_this_machine_are_unknown_there():
    done = podium("--cluster", "prune")
    assert (done.exit_code, "there is no command 'prune'" in done.output) == (2, True)


def test_where_there_is_no_such_context_that_is_said():
    done = podium("--cluster", "get", "--kube-context", "no-such-context")
    assert (done.exit_code, "the cluster cannot be asked" in done.output) == (1, True)
