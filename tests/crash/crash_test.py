"""Killed at every request, before it and after it: no node runs twice, none is lost."""

import asyncio
import traceback

import pytest

from tests.crash import victim
from tests.crash.harness import harness
from tests.e2e.support import require_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400), pytest.mark.xdist_group("crash")]

AT_A_TIME = 8

UNUSED = {
    "get_artifact_store": "runs of a Workflow that names an ArtifactStore; it only reads",
    "get_contract_schema": "runs whose contracts name one, and its judge; it only reads",
    "get_deployment": "uninstall",
    "get_executor": "runs that name an Executor; it only reads",
    "get_metadata": "runs that name a Secret or ConfigMap; it only reads",
    "get_model_config": "runs that ask personas; it only reads",
    "get_persona": "runs that ask personas; it only reads",
    "get_run_columns": "runs that cannot be read; it only reads",
    "list_executors": "runs that name an Executor that there is not; it only reads",
    "patch_contract_schema_status": "ContractSchemas, of which no run needs the status",
    "read_log": "nodes whose outputs are printed; it only reads",
    "run_uids": "sweep",
    "scale_deployment": "uninstall",
}
"""Methods of the client that no run needs, and who needs them."""
AFTER = {
    "get_job": "after:create_job",
    "get_pod": "after:create_pod",
    "list_run_nodes": "after:patch_run_status:6",
}
"""Methods that are needed only after another crash: that one."""
UNMANAGED = {"set_job_ttl"}
"""Methods that are needed only where the built-in controller makes the Pods."""
LATE = {"list_events", "get_revision", "delete_revision"}
"""Methods that are needed only where something takes long, or comes in a certain order: no points of
their own. They only read, or delete what no run names: a kill there is one before the next request."""

POINTS = [
    f"{when}:{name}"
    for name in victim.methods()
    if name not in UNUSED and name not in LATE
    for when in victim.WHEN
]
MORE = [
    # The same requests once more, when the runs are under way.
    f"{when}:{name}:{number}"
    for name, number in (
        ("create_job", 4),
        ("create_pod", 4),
        ("control_run", 2),  # of the children of a run that is cancelled, one is of an item
        ("create_run", 3),
        ("create_run", 5),
        ("create_run_nodes", 4),
        ("patch_job_status", 4),
        ("patch_pod", 4),
        ("patch_run", 2),
        ("patch_run", 3),  # the decision about an approval is taken in, and off again
        ("patch_run", 4),
        ("patch_run_status", 4),
        ("patch_run_status", 8),
    )
    for when in victim.WHEN
] + ["after:watch:20", "after:watch:40"]


async def _all(directory, points):
    """Run the cases of these points side by side; return by point what it gave."""
    found = {}
    slots = asyncio.Semaphore(AT_A_TIME)
    async with harness(directory) as cases:

        async def one(key, points, managed=True):
            async with slots:
                try:
                    found[key] = await cases.case(points, managed=managed)
                except Exception:
                    found[key] = traceback.format_exc()

        async with asyncio.TaskGroup() as tasks:
            for managed in (True, False):
                tasks.create_task(one(managed, [], managed))
            for point in points:
                name = point.split(":")[1]
                before = [AFTER[name]] if name in AFTER else []
                tasks.create_task(one(point, [*before, point], name not in UNMANAGED))
    return found


@pytest.fixture(scope="session")
def results(request, tmp_path_factory):
    require_cluster()
    chosen = [item.callspec.params["point"] for item in request.session.items
              if item.function is test_a_kill_changes_nothing]  # fmt: skip
    return asyncio.run(_all(tmp_path_factory.mktemp("crash"), chosen))


def _is_long(point):
    """Return whether a point is left to the long tests: a kill after what only reads, too.

    It is as good as one before the next request.
    """
    return point in MORE or point.startswith(("after:get_", "after:list_", "after:watch"))


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=pytest.mark.long) if _is_long(point) else point
        for point in (*POINTS, *MORE)
    ],
)
def test_a_kill_changes_nothing(point, results):
    found, undisturbed = results[point], results[True]
    assert not isinstance(undisturbed, str), undisturbed
    assert not isinstance(found, str), found
    assert not found.missed, "the operator never came to this point"
    assert found.kills == (2 if point.split(":")[1] in AFTER else 1)
    assert found.end == undisturbed.end


def test_without_managed_jobs_the_end_is_the_same(results):
    assert not isinstance(results[False], str), results[False]
    assert results[False].end == results[True].end


def test_every_request_of_a_run_is_a_point(results):
    made = set(results[True].calls) | set(results[False].calls)
    expected = set(victim.methods()) - set(UNUSED) - set(AFTER) - LATE
    assert expected <= made
    assert not made & set(UNUSED)
