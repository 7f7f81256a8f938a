"""Save the runs of this version; at each release, before its version is raised."""

import importlib.metadata
import sys

from tests.cluster.console import ClusterError, say
from tests.upgrade.saved_runs import make, make_large, make_maps
from tests.upgrade.states import LARGE, MAPS, STATES, write


def main() -> None:
    """Make the runs on the cluster of KUBECONFIG, and write them down."""
    version = importlib.metadata.version("podium")
    for directory, made in ((STATES, make), (LARGE, make_large), (MAPS, make_maps)):
        path = directory / f"{version}.yaml"
        try:
            write(path, version, made())
        except ClusterError as error:
            sys.exit(str(error))
        say(str(path))


if __name__ == "__main__":
    main()
