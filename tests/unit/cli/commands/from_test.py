"""podium run --from-run and --from-node, and podium rerun --fork."""

import json
import shutil

import pytest

from tests.unit.cli.support import Directory, script

LARGE = 'printf \'{"text": "%5000s"}\' x > $PODIUM_OUTPUT; echo ran >> large'


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def states(here, name):
    return json.loads(here.podium("get", name, "-o", "json").stdout)["status"]["nodes"]


def reader(*after):
    """A node that says what it found of `make` and `large`."""
    found = "cat $PODIUM_ARTIFACTS_IN/make/sub/f; wc -c < $PODIUM_INPUT; test -e mended"
    return script("read", found, *after)


def test_artifacts_and_large_outputs_are_there_when_the_earlier_run_is_gone(here):
    make = (
        "mkdir $PODIUM_ARTIFACTS_OUT/sub; echo kept > $PODIUM_ARTIFACTS_OUT/sub/f; echo ran >> make"
    )
    nodes = [script("make", make), script("large", LARGE, largeOutput=True)]
    file = here.workflow(*nodes, reader("make", "large"))
    here.podium("run", file, "--run-name", "one", code=1)
    here.podium("run", file, "--run-name", "two", "--from-run", "one", code=1)
    here.podium("delete", "one")
    (here.path / "mended").touch()
    said = here.podium("run", file, "--run-name", "three", "--from-run", "@latest").stdout
    assert "run three of w: 3 nodes, 2 of them copied" in said
    found = states(here, "three")
    assert [found[node]["copiedFrom"].split("/")[0] for node in ("make", "large")] == ["one", "one"]
    here.podium("delete", "two")
    here.podium("rerun", "three", "--node", "read")
    assert here.read("make") == here.read("large") == "ran\n"
    log = here.podium("logs", "three", "read").stdout
    assert log.startswith("kept\n")
    assert int(log.splitlines()[1]) > 5000
    assert here.podium("artifacts", "ls", "three").stdout.count("make-1") == 1
    assert "its log is that of the run one" in here.podium("logs", "three", "make", code=2).stderr
    here.podium("artifacts", "get", "three", "make", "-o", "out")
    assert any(path.read_text() == "kept\n" for path in (here.path / "out").rglob("f"))


def test_a_large_output_that_is_not_kept_any_more_is_said(here):
    file = here.workflow(script("large", LARGE, largeOutput=True), script("b", "true", "large"))
    here.podium("run", file, "--run-name", "one")
    shutil.rmtree(here.path / ".podium/runs/one/executions/large-1")
    refused = here.podium("run", file, "--from-run", "one", "--run-name", "two", code=2).stderr
    assert "the output of large-1 of the run one is not kept any more" in refused
    assert "no run named 'two'" in here.podium("get", "two", code=2).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from-run", "none"], "there is no run named 'none'"),
        (["--from-run", "@latest"], "there are no runs in .podium"),
        (["--from-run", "a b"], "--from-run: 'a b' is not the name of a run"),
        (["--from-node", "a b"], "--from-node: 'a b' is not the id of a node"),
        (["--from-node", "none"], "spec.from.node: unknown node 'none': nodes are a, b"),
        (["--from-node", "a", "--only", "b"], "'a' is not of the part that only or until selects"),
    ],
)
def test_what_cannot_be_begun_from_is_said(here, options, said):
    file = here.workflow(script("a", "true"), script("b", "true", "a"))
    assert said in here.podium("run", file, *options, code=2).stderr
    assert not (here.path / ".podium/runs").exists()


def test_what_would_be_copied_is_shown_first(here):
    file = here.workflow(script("a", "true"), script("b", "true", "a"))
    here.podium("run", file, "--run-name", "one")
    shown = here.podium("run", file, "--from-run", "one", "--from-node", "b", "--dry-run").stdout
    assert shown.startswith("1 of 2 nodes would be run")
    assert "no run" not in here.podium("get", "one").stdout


def test_a_fork_is_a_new_run_with_the_context_as_it_was_edited(here):
    reads = {"inputContract": {"context": ["k"]}}
    a = script("a", "echo ran >> a", inputContract={"context": []})
    file = here.workflow(a, script("b", "cat $PODIUM_INPUT", "a", **reads))
    here.podium("run", file, "--run-name", "one", "-c", "k=1", "-c", "db.port=1")
    here.podium("rerun", "one", "--node", "b", "-c", "k=2")
    before = here.podium("get", "one", "-o", "json").stdout
    said = here.podium("rerun", "one", "--fork", "--node", "b", "-c", "db.host=x").stdout
    name = said.split()[1]
    assert name.startswith("one-")
    assert here.podium("get", "one", "-o", "json").stdout == before
    document = json.loads(here.podium("get", name, "-o", "json").stdout)
    assert document["spec"]["context"] == {"k": 2, "db": {"port": 1, "host": "x"}}
    assert document["spec"]["from"] == {"run": "one", "node": "b"}
    assert here.read("a") == "ran\n"


def test_a_fork_takes_the_definition_as_it_is_now(here):
    file = here.workflow(script("a", "true"), script("b", "exit 1", "a"))
    here.podium("run", file, "--run-name", "one", code=1)
    here.workflow(script("a", "true"), script("b", "echo mended", "a"))
    name = here.podium("rerun", "one", "--fork").stdout.split()[1]
    found = states(here, name)
    assert ("copiedFrom" in found["a"], "copiedFrom" in found["b"]) == (True, False)
    assert here.podium("logs", name, "b").stdout == "mended\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "a,b"], "--fork begins at one node, not at 2"),
        (["--no-cascade"], "leave out --no-cascade"),
        (["--latest"], "leave out --latest"),
    ],
)
def test_options_that_do_not_go_with_a_fork_are_said(here, options, said):
    file = here.workflow(script("a", "true"), script("b", "true", "a"))
    here.podium("run", file, "--run-name", "one")
    assert said in here.podium("rerun", "one", "--fork", *options, code=2).stderr


def test_a_run_that_copies_nothing_says_so(here):
    here.podium("run", here.workflow(script("other", "true")), "--run-name", "one")
    file = here.workflow(script("a", "true"))
    said = here.podium("run", file, "--run-name", "two", "--from-run", "one").stdout
    assert "run two of w: 1 node, none of them copied" in said
    assert "copied" not in here.podium("run", file, "--run-name", "three").stdout


def test_items_of_a_map_are_copied_with_it(here):
    say = 'echo "{\\"n\\": $N}" > $PODIUM_OUTPUT; echo ran >> made'
    each = script("each", say, forEach="[5, 6]")
    each["config"]["env"] = [{"name": "N", "value": "${{ item }}"}]
    file = here.workflow(each, script("read", "cat $PODIUM_INPUT", "each"))
    here.podium("run", file, "--run-name", "one")
    begin = ("--from-run", "one", "--from-node", "read")
    said = here.podium("run", file, "--run-name", "two", *begin).stdout
    assert "run two of w: 2 nodes, 1 of them copied" in said
    here.podium("delete", "one")
    assert here.read("made") == "ran\nran\n"
    assert '"items":[{"n":5},{"n":6}]' in here.podium("logs", "two", "read").stdout
    here.podium("rerun", "two", "--node", "each[0]")
    assert here.read("made") == "ran\n" * 3
    assert here.podium("logs", "two", "each[0]").stdout == ""
    assert "its log is that of the run one" in here.podium("logs", "two", "each[1]", code=2).stderr
