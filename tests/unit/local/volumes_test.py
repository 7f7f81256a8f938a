"""Volumes of a run on a laptop: directories of the run, or beside it."""

import os
import stat
from dataclasses import replace

import pytest

from podium.api.workflow import WorkflowSpec
from podium.engine import Plan, RerunRequest
from podium.local.environment import ConfigError
from podium.local.removal import remove_run
from podium.local.volumes import mount
from tests.unit.local.shell_test import again, begin, script, stands

WORK = {"name": "work", "size": "1Gi"}


def mounts(*subpaths, name="work", **fields):
    return {
        "pod": {
            "volumeMounts": [
                {
                    "name": name,
                    "mountPath": f"/v{n}",
                    **({"subPath": path} if path else {}),
                    **fields,
                }
                for n, path in enumerate(subpaths or ("",))
            ]
        }
    }


def places(run, **node):
    """Return what a node mounts."""
    spec = run.record.workflow
    whole = spec.nodes[0].model_validate({"id": "x", **node})
    return mount(run.directory, run.record, spec.volume_claims, whole)


async def test_a_node_finds_what_one_before_it_wrote_and_so_does_its_next_execution(tmp_path):
    run = begin(
        tmp_path,
        script("a", "echo $PODIUM_EXECUTION >> $PODIUM_VOLUME_WORK/log", **mounts()),
        script("b", 'test "$(cat $PODIUM_VOLUME_WORK/log)" = a-1', "a", **mounts(readOnly=True)),
        script("c", 'test -z "$PODIUM_VOLUME_WORK"', "b"),
        volumeClaims=[WORK],
    )
    await run.run()
    assert stands(run) == dict.fromkeys("abc", "Completed")
    run = again(run)
    await run.run([RerunRequest("q", ("a",), cascade=False)])
    assert (run.directory.path / "volumes/work/log").read_text() == "a-1\na-2\n"
    remove_run(run.directory)
    assert list((tmp_path / "state").rglob("*")) == [tmp_path / "state/runs"] or not list(
        (tmp_path / "state").rglob("log")
    )


async def test_one_that_is_kept_outlives_its_run(tmp_path):
    kept = {**WORK, "keep": True}
    run = begin(
        tmp_path, script("a", "echo hi > $PODIUM_VOLUME_WORK/f", **mounts()), volumeClaims=[kept]
    )
    await run.run()
    remove_run(run.directory)
    (left,) = (tmp_path / "state").rglob("f")
    assert left == tmp_path / "state/volumes/r-uid/work/f"
    assert stat.S_IMODE(left.parent.parent.stat().st_mode) == 0o700, "for its user only"


async def test_a_newer_revision_that_keeps_it_finds_it_where_it_is(tmp_path):
    run = begin(tmp_path, script("a", "true", **mounts()), volumeClaims=[WORK])
    (before,) = places(run, **mounts())
    spec = run.record.workflow.model_copy(deep=True)
    spec.volume_claims[0].keep = True
    (after,) = mount(run.directory, run.record, spec.volume_claims, spec.nodes[0])
    assert after == before


async def test_a_rerun_at_a_newer_revision_mounts_what_that_has(tmp_path):
    run = begin(tmp_path, script("a", "true"))
    await run.run()
    nodes = [script("a", "touch $PODIUM_VOLUME_WORK/x", **mounts())]
    newer = Plan.build(
        WorkflowSpec.model_validate({"nodes": nodes, "volumeClaims": [WORK]}), workflow_id="w"
    )
    run = again(run)
    await run.run([RerunRequest("q", ("a",), plan=newer, context={})])
    assert stands(run) == {"a": "Completed"}
    assert (run.directory.path / "volumes/work/x").exists()


async def test_a_path_inside_it_is_made_and_the_first_mount_names_the_variable(tmp_path):
    run = begin(
        tmp_path,
        script("a", "touch $PODIUM_VOLUME_WORK/x", **mounts("a/./b//", "c")),
        volumeClaims=[WORK],
    )
    await run.run()
    root = run.directory.path / "volumes/work"
    assert (root / "a/b/x").exists()
    assert (root / "c").is_dir()
    for path in (root, root / "a", root / "a/b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o777, "containers run as other users"


@pytest.mark.parametrize("where", ["link", "link/etc", "a/link", "pipe", "file/x"])
def test_no_link_leads_out_of_it(tmp_path, where):
    run = begin(tmp_path, script("a", "true"), volumeClaims=[WORK])
    (root,) = places(run, **mounts())
    (root.source / "a").mkdir()
    for link in (root.source / "link", root.source / "a/link"):
        link.symlink_to("/")
    (root.source / "file").touch()
    os.mkfifo(root.source / "pipe")
    with pytest.raises((ConfigError, NotADirectoryError)) as refused:
        places(run, **mounts(where))
    assert where.rsplit("/", 1)[0] in str(refused.value)


def test_a_file_in_it_is_mounted_as_such(tmp_path):
    run = begin(tmp_path, script("a", "true"), volumeClaims=[WORK])
    (root,) = places(run, **mounts())
    (root.source / "file").touch()
    (found,) = places(run, **mounts("file", readOnly=True))
    assert found == root._replace(source=root.source / "file", is_read_only=True)


def test_volumes_of_the_pod_are_for_clusters(tmp_path):
    run = begin(tmp_path, script("a", "true"), volumeClaims=[WORK])
    assert places(run, **mounts(name="other")) == []
    assert not (run.directory.path / "volumes").exists()


async def test_a_place_that_cannot_be_made_fails_the_node_with_its_field(tmp_path):
    run = begin(
        tmp_path,
        script("a", "ln -s / $PODIUM_VOLUME_WORK/out", **mounts()),
        script("b", "true", "a", **mounts("out")),
        volumeClaims=[WORK],
    )
    await run.run()
    assert stands(run) == {"a": "Completed", "b": "Failed Config"}
    message = run.status.nodes["b"].message
    assert message.startswith("volume work, subPath: out is there and is not a directory")


def test_two_runs_of_one_name_share_nothing_that_is_kept(tmp_path):
    run = begin(tmp_path, script("a", "true"), volumeClaims=[{**WORK, "keep": True}])
    first = places(run, **mounts())
    run.record = replace(run.record, uid="another")
    assert places(run, **mounts()) != first
