"""Artifacts of earlier nodes: copies, so that no node changes what another one left."""

import asyncio
import os
import threading

import pytest

from podium.local import artifacts
from tests.unit.local.shell_test import again, begin, script, stands, until

OUT, IN = "$PODIUM_ARTIFACTS_OUT", "$PODIUM_ARTIFACTS_IN"


@pytest.mark.parametrize(
    "change",
    [
        f"echo changed >{IN}/a/f",
        f"rm {IN}/a/f",
        f"mv {IN}/a/d {IN}/a/e",
        f"echo changed >{IN}/a/d/g",
        f"echo changed >{IN}/a/inside",
        f"echo changed >{IN}/a/absolute",
        f"echo changed >{IN}/a/d/up",
        f"echo changed >{IN}/a/directory/g",
        f"chmod 0 {IN}/a/f",
        f"echo new >{IN}/a/new",
        f"rm -rf {IN}/a; mkdir {IN}/a",
    ],
)
async def test_a_change_by_one_node_is_seen_by_no_other(tmp_path, change):
    make = f"""
        cd {OUT}; mkdir d; echo f >f; echo g >d/g; ln -s d/g inside; ln -s {OUT}/f absolute
        ln -s ../f d/up; ln -s {OUT}/d directory
    """
    look = (
        f"cd {IN}/a; echo $(ls) / $(cat f d/g inside absolute d/up directory/g) / $(stat -c %a f)"
        f" >{OUT}/seen"
    )
    run = begin(
        tmp_path,
        script("a", make),
        script("b", f"{look}; {change}", "a"),
        script("c", look, "b"),
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed", "c": "Completed"}
    seen = [(run.directory.execution(f"{n}-1") / "artifacts/seen").read_text() for n in "bc"]
    assert seen[0] == seen[1]
    assert seen[0].startswith("absolute d directory f inside / f g g f f g / 6")


async def test_an_empty_directory_is_not_shared_either(tmp_path):
    write = f"mkdir -p {IN}/a; touch {IN}/a/x {IN}/y"
    run = begin(
        tmp_path,
        script("a", f"touch {IN}/y"),
        script("b", write, "a"),
        script("c", f"[ -d {IN}/a ] && [ -z $(ls {IN}/a) ] && [ ! -e {IN}/y ]", "b"),
        script("d", f"[ -z $(ls {IN}) ]"),
    )
    await run.run()
    assert set(stands(run).values()) == {"Completed"}


async def test_what_is_no_file_stays_behind_and_links_out_stay_links(tmp_path):
    (tmp_path / "outside").write_text("outside")
    make = (
        f"cd {OUT}; mkfifo fifo; ln -s {tmp_path}/outside out; ln -s nowhere broken; ln -s loop loop;"
        " echo '#!/bin/sh' >run; chmod 755 run"
    )
    look = (
        f'cd {IN}/a; [ "$(ls | xargs)" = "broken loop out run" ]; ./run; [ "$(cat out)" = outside ]'
    )
    run = begin(tmp_path, script("a", make), script("b", look, "a"))
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Completed"}


async def test_what_a_node_handed_on_as_a_link_to_its_input_is_copied(tmp_path):
    run = begin(
        tmp_path,
        script("a", f"echo a >{OUT}/f"),
        script("b", f"ln -s {IN}/a/f {OUT}/f; ln -s {IN}/a {OUT}/all", "a"),
        script("c", f"cat {IN}/b/f >{OUT}/seen; echo changed >{IN}/b/f", "b"),
    )
    await run.run()
    assert stands(run)["c"] == "Completed"
    assert (run.directory.execution("c-1") / "artifacts/seen").read_text() == "a\n"
    assert (run.directory.execution("a-1") / "artifacts/f").read_text() == "a\n"


async def test_holes_stay_holes(tmp_path):
    run = begin(
        tmp_path,
        script(
            "a", f"truncate -s 1T {OUT}/f; printf x | dd of={OUT}/f seek=5000000 bs=1 conv=notrunc"
        ),
        script(
            "b", f"stat -c %s {IN}/a/f; dd if={IN}/a/f skip=5000000 bs=1 count=1 2>/dev/null", "a"
        ),
    )
    await run.run()
    assert stands(run)["b"] == "Completed"
    assert (run.directory.execution("b-1") / "log").read_text() == "1099511627776\nx"


async def test_copies_are_gone_when_the_node_has_ended(tmp_path):
    run = begin(tmp_path, script("a", f"echo a >{OUT}/f"), script("b", f"cat {IN}/a/f", "a"))
    await run.run()
    assert (run.directory.execution("b-1") / "artifacts-in/a").readlink() == (
        run.directory.execution("a-1") / "artifacts"
    )


async def test_a_node_whose_artifacts_cannot_be_copied_says_so(tmp_path):
    deep = "for i in $(seq 30); do mkdir $(printf 'd%.0s' $(seq 200)); cd ddd*; done"
    run = begin(tmp_path, script("a", f"cd {OUT}; {deep}"), script("b", "true", "a"))
    await run.run()
    error = run.status.nodes["b"].error
    assert (error.reason, "File name too long" in error.message) == ("Config", True)


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
    assert (run.directory.execution("b-1") / "log").read_text() == "a\n"


def test_a_copy_stops_when_it_is_asked_to(tmp_path):
    (tmp_path / "a/artifacts").mkdir(parents=True)
    (tmp_path / "a/artifacts/f").write_bytes(os.urandom(10))
    made = artifacts.Artifacts.lay_out(tmp_path / "in", {"a": tmp_path / "a/artifacts"})
    with pytest.raises(InterruptedError):
        made.copy(lambda: True)


async def test_artifacts_come_with_the_outputs_that_are_delivered(tmp_path):
    """Of all direct predecessors, and of the 200 nearest before them (semantics.md 3)."""
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
