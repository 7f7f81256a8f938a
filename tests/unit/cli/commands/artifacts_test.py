"""podium artifacts, and what delete and prune leave of the store."""

import json
import stat

import pytest

from tests.unit.cli.support import Directory, script

OUT, IN = "$PODIUM_ARTIFACTS_OUT", "$PODIUM_ARTIFACTS_IN"


@pytest.fixture
def here(tmp_path):
    return Directory(tmp_path)


def build(text="a"):
    make = (
        f"cd {OUT}; mkdir -p dist/x other; echo {text} >dist/x/a; echo bb >other/b; echo c >c.txt;"
        " chmod 755 c.txt; chmod 555 dist; echo l >last"
    )
    declared = [{"name": "dist", "path": "dist"}, {"name": "end", "path": "last", "type": "File"}]
    return script("build", make, artifacts={"out": declared})


def use():
    wanted = [{"name": "d", "from": "build.dist"}]
    return script("use", f"cat {IN}/d/x/a", "build", artifacts={"in": wanted})


def stored(here):
    return [path for path in (here.path / ".podium/artifacts/blobs").rglob("*") if path.is_file()]


def test_ls_lists_what_each_execution_left(here):
    here.podium("run", here.workflow(build(), use()), "--run-name", "one")
    lines = here.podium("artifacts", "ls", "one").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["NODE", "EXECUTION", "NAME", "TYPE", "FILES", "SIZE"],
        ["build", "build-1", "dist", "Directory", "1", "2", "B"],
        ["build", "build-1", "end", "File", "1", "2", "B"],
        ["build", "build-1", "c.txt", "File", "1", "2", "B"],
        ["build", "build-1", "other", "Directory", "1", "3", "B"],
    ]
    found = json.loads(here.podium("artifacts", "ls", "one", "build", "-o", "json").stdout)
    assert [(row["name"], row["path"]) for row in found][:2] == [("dist", "dist"), ("end", "last")]
    here.podium("rerun", "one", "--node", "build")
    rows = here.podium("artifacts", "ls", "one", "--execution", "build-2").stdout.splitlines()
    assert {row.split()[1] for row in rows[1:]} == {"build-2"}
    assert here.podium("artifacts", "ls", "one", "use").stdout == "no artifacts\n"


def test_get_copies_one_or_all(here):
    here.podium("run", here.workflow(build()), "--run-name", "one")
    for name, place in (
        ("build.dist", "dist"),
        ("build.end", "last"),
        ("build.c.txt", "c.txt"),
        ("build.other", "other"),
        ("build", "build"),
    ):
        assert here.podium("artifacts", "get", "one", name, "-o", "got").stdout == f"got/{place}\n"
    got = here.path / "got"
    assert sorted(path.name for path in got.iterdir()) == [
        "build",
        "c.txt",
        "dist",
        "last",
        "other",
    ]
    assert sorted(path.name for path in (got / "build").iterdir()) == [
        "c.txt",
        "dist",
        "last",
        "other",
    ]
    for base in (got, got / "build"):
        assert (base / "dist/x/a").read_text() == "a\n"
        assert stat.S_IMODE((base / "dist").stat().st_mode) == 0o555
        assert stat.S_IMODE((base / "c.txt").stat().st_mode) == 0o755
        (base / "dist").chmod(0o755)


def test_get_of_an_earlier_execution(here):
    text = f"echo $PODIUM_EXECUTION >{OUT}/x"
    here.podium("run", here.workflow(script("a", text)), "--run-name", "one")
    here.podium("rerun", "one", "--node", "a")
    here.podium("artifacts", "get", "one", "a.x", "-o", "new")
    here.podium("artifacts", "get", "one", "a.x", "-o", "old", "--execution", "a-1")
    assert (here.read("new/x"), here.read("old/x")) == ("a-2\n", "a-1\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("get", "one"), "name what to copy, NODE.NAME: podium artifacts ls one lists them"),
        (("get", "one", "nope.x"), "run one has no node 'nope': nodes are build"),
        (("get", "one", "build.nope"), "build-1 has no artifact 'nope': it has dist, end, c.txt"),
        (("get", "one", "build.*"), "build-1 has no artifact '*'"),
        (("get", "one", "build.../../x"), "has no artifact"),
        (("get", "one", "build.c.txt"), "c.txt is there already: name another directory with -o"),
        (("get", "one", "build", "--execution", "build-7"), "build-7 left no artifacts"),
        (("get", "one", "build", "--execution", "../x"), "cannot be part of a key"),
        (("ls", "one", "build.dist"), "without .NAME"),
        (("ls", "one", "-o", "xml"), "a table, json or yaml"),
        (("rm", "one", "build"), "name only the run"),
        (("ls", "two"), "there is no run named 'two'"),
    ],
)
def test_what_is_wrong_is_named(here, arguments, words):
    here.podium("run", here.workflow(build()), "--run-name", "one")
    (here.path / "c.txt").write_text("mine")
    done = here.podium("artifacts", *arguments, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert here.read("c.txt") == "mine"
    assert not list(here.path.glob(".podium-*"))


def test_rm_removes_them_and_the_node_that_needs_one_says_so(here):
    here.podium("run", here.workflow(build(), use()), "--run-name", "one")
    assert here.podium("artifacts", "rm", "one").stdout == "artifacts of 1 execution removed\n"
    assert stored(here) == []
    assert here.podium("artifacts", "ls", "one").stdout == "no artifacts\n"
    assert here.podium("artifacts", "rm", "one").stdout == "artifacts of 0 executions removed\n"
    here.podium("rerun", "one", "--node", "use", code=1)
    found = " ".join(here.podium("get", "one", "use").stdout.split())  # long words are wrapped
    assert "Download" in found
    assert "run build again" in found
    here.podium("rerun", "one", "--node", "build")
    assert here.podium("logs", "one", "use").stdout == "a\n"


def test_delete_and_prune_remove_what_no_run_needs(here):
    here.podium("run", here.workflow(build("same")), "--run-name", "one")
    count = len(stored(here))
    assert count == 3
    here.podium("run", here.workflow(build("same")), "--run-name", "two")
    assert len(stored(here)) == count, "equal contents are kept once"
    here.podium("run", here.workflow(build("other")), "--run-name", "three")
    assert len(stored(here)) == count + 1
    here.podium("delete", "one")
    assert len(stored(here)) == count + 1
    here.podium("delete", "two")
    assert len(stored(here)) == count
    here.podium("artifacts", "get", "three", "build")
    here.podium("prune", "--keep", "0", "--yes")
    assert stored(here) == []


def test_nothing_is_swept_where_a_run_cannot_be_read(here):
    for name in ("one", "two", "three"):
        here.podium("run", here.workflow(build(name)), "--run-name", name)
    before = stored(here)
    (here.path / ".podium/runs/two/run.json").write_text("{")
    here.podium("delete", "one")
    assert stored(here) == before
    here.podium("delete", "two")
    assert len(stored(here)) == len(before) - 2


def test_a_store_that_cannot_be_swept_keeps_no_run_from_being_deleted(here):
    for name in ("one", "two"):
        here.podium("run", here.workflow(build(name)), "--run-name", name)
    uid = json.loads(here.read(".podium/runs/two/run.json"))["uid"]
    for place in (here.path / ".podium/artifacts/runs" / uid).rglob("manifest.json"):
        place.write_text("{")
    done = here.podium("delete", "one")
    assert done.stdout == "run one deleted\n"
    assert "artifacts that no run needs are still there" in done.stderr
