"""Artifacts of a laptop run: what nodes leave is stored, what they need is laid out for them."""

import asyncio
import os
import shutil
import stat
import threading

import pytest

from podium.engine import RerunRequest
from podium.local import artifact_store, artifacts
from podium.local.artifact_store import opened, store_path
from tests.unit.artifacts.servers import http_server
from tests.unit.local.shell_test import again, begin, script, stands, started, until

OUT, IN = "$PODIUM_ARTIFACTS_OUT", "$PODIUM_ARTIFACTS_IN"


def out(name, path, **more):
    return {"name": name, "path": path, **more}


def takes(name, source, **more):
    return {"name": name, "from": source, **more}


def manifest(run, node, execution):
    with opened(store_path(run.directory.state_dir)) as store:
        return store.manifest(run.record.uid, node, execution)


def log(run, execution):
    return (run.directory.execution(execution) / "log").read_text()


@pytest.mark.parametrize(
    "change",
    [
        f"chmod u+w {IN}/a/f; echo changed >{IN}/a/f",
        f"chmod -R u+w {IN}/a; rm {IN}/a/f",
        f"chmod -R u+w {IN}/a; mv {IN}/a/d {IN}/a/e",
        f"chmod -R u+w {IN}/a; echo new >{IN}/a/new",
        f"chmod -R u+w {IN}/a; rm -rf {IN}/a; mkdir {IN}/a",
    ],
)
async def test_a_change_by_one_node_is_seen_by_no_other(tmp_path, change):
    make = f"cd {OUT}; mkdir d; echo f >f; echo g >d/g; chmod 750 f"
    look = f"cd {IN}/a; echo $(ls) / $(cat f d/g) / $(stat -c %a f d/g d) >{OUT}/seen"
    run = begin(
        tmp_path,
        script("a", f"umask 022; {make}"),
        script("b", f"{look}; {change}", "a"),
        script("c", look, "b"),
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed", "c": "Completed"}
    seen = [(run.directory.execution(f"{n}-1") / "artifacts/seen").read_text() for n in "bc"]
    assert seen[0] == seen[1] == "d f / f g / 550 444 555\n"


async def test_an_empty_directory_is_not_shared_either(tmp_path):
    run = begin(
        tmp_path,
        script("a", "true"),
        script("b", f"mkdir -p {IN}/a; touch {IN}/y", "a"),
        script("c", f"[ -d {IN}/a ] && [ -z $(ls {IN}/a) ] && [ ! -e {IN}/y ]", "b"),
        script("d", f"[ -z $(ls {IN}) ]"),
    )
    await run.run()
    assert set(stands(run).values()) == {"Completed"}
    assert not store_path(run.directory.state_dir).exists(), "nothing was left: nothing is stored"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("ln -s /etc/passwd d/l", "$PODIUM_ARTIFACTS_OUT/d/l is a symbolic link: artifacts hold"),
        ("ln -s f d/l", "$PODIUM_ARTIFACTS_OUT/d/l is a symbolic link"),
        ("mkfifo d/p", "$PODIUM_ARTIFACTS_OUT/d/p is a FIFO"),
        (f"cd /; rm -r {OUT}; ln -s / {OUT}", "$PODIUM_ARTIFACTS_OUT is a symbolic link"),
        (f"cd /; rm -r {OUT}; touch {OUT}", "is not a directory"),
        ("for i in $(seq 101); do mkdir e; cd e; done", "deeper than 100 directories"),
    ],
)
async def test_what_is_no_file_fails_the_node_by_name(tmp_path, make, words):
    run = begin(tmp_path, script("a", f"cd {OUT}; mkdir -p d; touch d/f; {make}"))
    await run.run()
    assert stands(run) == {"a": "Failed Artifact"}
    assert words in run.status.nodes["a"].error.message
    assert manifest(run, "a", "a-1") is None


async def test_declared_artifacts_are_handed_over_by_name(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    make = (
        f"cd {OUT}; mkdir dist; echo wheel >dist/w; echo report >r.xml; echo more >dist.txt;"
        f" echo log >{tmp_path}/elsewhere/all.log; chmod 755 r.xml"
    )
    declared = [
        out("dist", "dist", type="Directory"),
        out("report", "r.xml", type="File"),
        out("log", f"{tmp_path}/elsewhere/all.log"),
        out("maybe", "maybe", optional=True),
    ]
    wanted = [
        takes("dist", "a.dist"),
        takes("report", "a.report", path="deep/er/report"),
        takes("log", "a.log"),
        takes("maybe", "a.maybe"),
    ]
    look = (
        f"cd {IN}; find . -type f | sort; cat dist/w deep/er/report log; stat -c %a deep/er/report"
    )
    run = begin(
        tmp_path,
        script("a", make, artifacts={"out": declared}),
        script("b", look, "a", artifacts={"in": wanted}),
        script("c", f"cd {IN}; find . -type f | sort", "a"),
        script("d", f"[ -z $(ls {IN}) ]", "a", artifacts={"in": []}),
    )
    await run.run()
    assert set(stands(run).values()) == {"Completed"}, run.status.nodes
    assert log(run, "b-1").split() == [
        *("./deep/er/report", "./dist/w", "./log"),
        *("wheel", "report", "log", "555"),
    ]
    assert log(run, "c-1").split() == ["./a/dist.txt", "./a/dist/w", "./a/log", "./a/r.xml"]
    kept = manifest(run, "a", "a-1").artifacts
    assert sorted(kept) == ["*", "dist", "log", "report"]
    assert [entry.path for entry in kept["*"].entries] == ["", "dist.txt"]


@pytest.mark.parametrize(
    ("make", "declared", "words"),
    [
        ("true", out("x", "x"), "the artifact x is missing: the program left nothing at x"),
        ("touch x", out("x", "x/y"), "is not a directory"),
        ("mkdir x", out("x", "x", type="File"), "x: x is a directory, and type says File"),
        ("touch x", out("x", "x", type="Directory"), "x: x is a file, and type says Directory"),
        ("ln -s y x; touch y", out("x", "x"), "the artifact x: x is a symbolic link"),
        (
            "mkdir d; touch d/x; ln -s d e",
            out("x", "e/x"),
            "the artifact x: e/x is a symbolic link",
        ),
        ("mkfifo x", out("x", "x"), "x is a FIFO"),
        ("true", out("x", "/nowhere/at/all"), "left nothing at /nowhere/at/all"),
        ("mkdir x; ln -s y x/l", out("x", "x"), "the artifact x: x/l is a symbolic link"),
    ],
)
async def test_an_artifact_that_is_not_as_declared_fails_its_node(tmp_path, make, declared, words):
    node = script("a", f"cd {OUT}; {make}", artifacts={"out": [declared]})
    run = begin(tmp_path, node, script("b", "true", "a"))
    await run.run()
    assert stands(run) == {"a": "Failed Artifact", "b": "Skipped UpstreamFailed"}
    assert words in run.status.nodes["a"].error.message
    assert manifest(run, "a", "a-1") is None


async def test_it_is_tried_again_as_the_policy_says(tmp_path):
    text = f"[ $PODIUM_EXECUTION = a-1 ] || echo x >{OUT}/x"
    policy = {"maxAttempts": 3, "retryOn": ["Artifact"]}
    run = begin(
        tmp_path,
        script("a", text, artifacts={"out": [out("x", "x")]}, retryPolicy=policy),
        script("b", f"cat {IN}/x", "a", artifacts={"in": [takes("x", "a.x")]}),
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed"}
    assert run.status.nodes["a"].history[0].reason == "Artifact"
    assert manifest(run, "a", "a-1") is None
    assert log(run, "b-1") == "x\n"


async def test_a_rerun_has_artifacts_of_its_own_and_those_before_stay(tmp_path):
    run = begin(
        tmp_path,
        script("a", f"echo $PODIUM_EXECUTION >{OUT}/x", artifacts={"out": [out("x", "x")]}),
        script("b", f"cat {IN}/x", "a", artifacts={"in": [takes("x", "a.x")]}),
    )
    await run.run()
    await again(run).run([RerunRequest("1", ("a",), True, None)])
    assert (log(run, "b-1"), log(run, "b-2")) == ("a-1\n", "a-2\n")
    assert manifest(run, "a", "a-1") != manifest(run, "a", "a-2")
    await again(run).run([RerunRequest("2", ("b",), False, None)])
    assert log(run, "b-3") == "a-2\n"


async def test_of_what_was_skipped_or_let_pass_nothing_is_there(tmp_path):
    declared = {"artifacts": {"out": [out("x", "x")]}}
    run = begin(
        tmp_path,
        script("skipped", f"touch {OUT}/x", condition="false", **declared),
        script("failed", f"touch {OUT}/x; exit 1", allowFailure=True, **declared),
        script("ok", f"touch {OUT}/x", **declared),
        script(
            "b",
            f"ls {IN}",
            *("skipped", "failed", "ok"),
            triggerRule="AllDone",
            artifacts={"in": [takes(n, f"{n}.x") for n in ("skipped", "failed", "ok")]},
        ),
    )
    await run.run()
    assert stands(run)["b"] == "Completed"
    assert log(run, "b-1") == "ok\n"


async def test_a_store_that_was_damaged_fails_the_node_that_needs_it(tmp_path):
    run = begin(
        tmp_path,
        script("a", f"echo hello >{OUT}/x", artifacts={"out": [out("x", "x")]}),
        script("b", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", "a"),
        script("c", "true", "b", artifacts={"in": [takes("x", "a.x")]}),
    )
    task = asyncio.create_task(run.run())
    await until(lambda: stands(run)["b"] == "Running")
    (blob,) = [
        path
        for path in (store_path(run.directory.state_dir) / "blobs").rglob("*")
        if path.is_file()
    ]
    blob.write_text("jello\n")
    (tmp_path / "go").touch()
    await task
    assert stands(run)["c"] == "Failed Download"
    assert "is not what was stored" in run.status.nodes["c"].error.message


async def test_a_store_that_cannot_be_written_fails_the_node_as_upload(tmp_path):
    run = begin(tmp_path, script("a", f"echo hello >{OUT}/x"))
    store_path(run.directory.state_dir).mkdir()
    (store_path(run.directory.state_dir) / "blobs").write_text("in the way")
    await run.run()
    assert stands(run) == {"a": "Failed Upload"}
    assert "cannot look for blobs/" in run.status.nodes["a"].error.message


async def test_what_was_not_stored_when_podium_was_killed_is_stored_by_the_next(tmp_path):
    run = begin(
        tmp_path, script("a", f"sleep 0.3; echo a >{OUT}/f"), script("b", f"cat {IN}/a/f", "a")
    )
    await started(run)
    await until((run.directory.execution("a-1") / "artifacts/f").exists)
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Completed", "b": "Completed"}
    assert log(run, "b-1") == "a\n"


@pytest.mark.parametrize("end", ["cancel", "interrupt"])
async def test_a_run_may_end_while_artifacts_are_stored(tmp_path, monkeypatch, end):
    run = begin(tmp_path, script("a", f"echo a >{OUT}/f"), script("b", f"cat {IN}/a/f", "a"))
    storing, go = threading.Event(), threading.Event()
    original = artifact_store.Laptop.collect

    def collect(*arguments):
        storing.set()
        go.wait()
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(artifact_store.Laptop, "collect", collect)
        task = asyncio.create_task(run.run())
        await until(storing.is_set)
        run.interrupt() if end == "interrupt" else run.control(cancel=True)
        await asyncio.sleep(0.1)
        go.set()
        await task
    assert manifest(run, "a", "a-1") is None
    if end == "cancel":
        assert stands(run)["a"] == "Cancelled RunCancelled"
        return
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Completed", "b": "Completed"}
    assert log(run, "b-1") == "a\n"


async def test_artifacts_of_a_podium_without_a_store_are_found(tmp_path):
    run = begin(
        tmp_path,
        script("a", f"echo a >{OUT}/f"),
        script("b", "true", "a"),
        script("c", f"cat {IN}/a/f", "b"),
    )
    await run.run()
    shutil.rmtree(store_path(run.directory.state_dir))
    other = again(run)
    await other.run([RerunRequest("1", ("b",), True, None)])
    assert stands(other)["c"] == "Completed"
    assert log(run, "c-2") == "a\n"


async def test_copies_are_gone_when_the_node_has_ended(tmp_path):
    run = begin(tmp_path, script("a", f"echo a >{OUT}/f"), script("b", f"cat {IN}/a/f", "a"))
    await run.run()
    assert (run.directory.execution("b-1") / "artifacts-in/a").readlink() == (
        run.directory.execution("a-1") / "artifacts"
    )


@pytest.mark.parametrize("end", ["cancel", "interrupt"])
async def test_a_run_may_end_while_artifacts_are_copied(tmp_path, monkeypatch, end):
    run = begin(
        tmp_path, script("a", f"echo a >{OUT}/f"), script("b", f"echo $(cat {IN}/a/f)", "a")
    )
    copying, go = threading.Event(), threading.Event()
    original = artifacts.Artifacts.copy

    def copy(self, is_stopped):
        copying.set()
        go.wait()
        original(self, is_stopped)

    monkeypatch.setattr(artifacts.Artifacts, "copy", copy)
    task = asyncio.create_task(run.run())
    await until(copying.is_set)
    run.interrupt() if end == "interrupt" else run.control(cancel=True)
    await asyncio.sleep(0.1)
    go.set()
    await task
    assert not (run.directory.execution("b-1") / "log").exists()
    if end == "cancel":
        assert stands(run)["b"] == "Cancelled RunCancelled"
        return
    other = again(run)
    await other.run()
    assert stands(other) == {"a": "Completed", "b": "Completed"}
    assert log(run, "b-1") == "a\n"


async def test_a_fault_of_podium_while_artifacts_are_copied_ends_it(tmp_path, monkeypatch):
    """It is not waited for: nothing would tell that the program was not started."""

    def copy(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(artifacts.Artifacts, "copy", copy)
    run = begin(tmp_path, script("a", f"echo a >{OUT}/f"), script("b", "true", "a"))
    with pytest.raises(RuntimeError, match="a fault"):
        await asyncio.wait_for(run.run(), 30)


async def test_artifacts_come_with_the_outputs_that_are_delivered(tmp_path):
    """Of all direct predecessors, and of the 200 nearest before them (semantics.md 2 and 7)."""
    names = [f"n{i}" for i in range(203)]
    quick = {"type": "conditional", "cases": [{"when": "true", "value": "x"}]}
    run = begin(
        tmp_path,
        script("first", f"echo first >{OUT}/f"),
        {"id": "n0", "dependsOn": ["first"], **quick},
        *({"id": n, "dependsOn": [names[i]], **quick} for i, n in enumerate(names[1:])),
        *(script(f"d{i}", f"echo {i} >{OUT}/f") for i in range(3)),
        script("last", f"ls {IN} >{OUT}/seen", names[-1], "d0", "d1", "d2"),
        script(
            "named",
            f"ls {IN} >{OUT}/seen",
            names[-1],
            inputContract={"include": ["first"]},
        ),
    )
    await run.run()
    assert set(stands(run).values()) == {"Completed"}
    seen = {
        node: (run.directory.execution(f"{node}-1") / "artifacts/seen").read_text().split()
        for node in ("last", "named")
    }
    assert {"d0", "d1", "d2"} <= set(seen["last"])
    assert "first" not in seen["last"]
    assert "first" in seen["named"]


async def test_what_podium_makes_is_readable_by_its_user_only(tmp_path):
    before = os.umask(0)
    try:
        run = begin(tmp_path, script("a", f"echo x >{OUT}/f"), script("b", "true", "a"))
        await run.run()
    finally:
        os.umask(before)
    made = [
        path
        for path in run.directory.path.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert [path.name for path in made] == ["f"], "which the program made"
    root = store_path(run.directory.state_dir)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert (root / ".gitignore").read_text() == "*\n"


async def test_artifacts_from_outside_are_found_beside_those_of_nodes(tmp_path):
    with http_server() as server:
        run = begin(
            tmp_path,
            script("a", f"echo made >{OUT}/f", artifacts={"out": [out("f", "f")]}),
            script(
                "b",
                f"cd {IN}; test ! -w config/app || [ $(id -u) = 0 ]; cat config/app config/made; wc -c <file",
                "a",
                artifacts={"in": [
                    {"name": "app", "raw": {"content": "text\n"}, "path": "config/app"},
                    {"name": "made", "from": "a.f", "path": "config/made"},
                    {"name": "file", "http": {"url": f"{server.base}/whole"}},
                ]},
            ),
            script("c", "true", artifacts={"in": [
                {"name": "file", "http": {"url": f"{server.base}/missing"}},
            ]}, retryPolicy={"maxAttempts": 2}),
            script("d", "true", artifacts={"in": [
                {"name": "x", "http": {"url": "https://127.0.0.1/", "secretRef": {"name": "s"}}},
            ]}),
        )  # fmt: skip
        await run.run()
    assert stands(run)["b"] == "Completed"
    assert log(run, "b-1") == "text\nmade\n1024000\n"
    assert stands(run)["c"] == "Failed Download"
    assert run.status.nodes["c"].retry_count == 0
    assert "the artifact file: http://127.0.0.1" in run.status.nodes["c"].error.message
    assert "the secret 's' is not known: name a file" in run.status.nodes["d"].error.message


async def test_a_file_leaves_the_run_once_its_node_has_succeeded(tmp_path):
    def to(name, **more):
        target = {"http": {"url": f"{server.base}/{name}"}}
        return {"out": [out("f", "f", type="File", to=target, **more)]}

    with http_server() as server:
        run = begin(
            tmp_path,
            script("a", f"echo made >{OUT}/f", artifacts=to("a")),
            script("b", f"echo made >{OUT}/f", artifacts=to("refuses"), retryPolicy={"maxAttempts": 2}),
            script("c", "true", artifacts=to("c", optional=True)),
            script("d", f"echo made >{OUT}/f; exit 1", artifacts=to("d")),
        )  # fmt: skip
        await run.run()
    assert stands(run) == {
        "a": "Completed",
        "b": "Failed Upload",
        "c": "Completed",
        "d": "Failed Error",
    }
    assert run.status.nodes["b"].retry_count == 0
    assert sorted((path, body) for path, _, body in server.put) == [
        ("/a", b"made\n"),
        ("/refuses", b"made\n"),
    ]
