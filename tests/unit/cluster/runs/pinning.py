"""A server that has one Workflow, and takes in the revisions that runs are pinned to."""

import copy

from podium.cluster.runs.revisions import Definitions
from podium.cluster.watch.store import InformerCache
from podium.judge.pool import Pool
from podium.judge.reader import Reader

__all__ = ["PinningServer", "definitions_of"]


class PinningServer:
    """Has the Workflow `release`."""

    def __init__(self, spec):
        self.revisions = {}
        self.workflow = {
            "apiVersion": "podium.dev/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "release", "namespace": "team", "uid": "w", "generation": 1},
            "spec": spec,
        }

    async def get_workflow(self, namespace, name):
        return copy.deepcopy(self.workflow)

    async def create_revision(self, namespace, revision):
        self.revisions[revision["metadata"]["name"]] = copy.deepcopy(revision)

    async def get_revision(self, namespace, name):
        return copy.deepcopy(self.revisions[name])


def definitions_of(server, pool=None):
    return Definitions(server, InformerCache(), Reader(pool or Pool()))
