"""Save the runs of this version; at each release, before its version is raised."""

import importlib.metadata
import sys

from tests.cluster.say import ClusterError, say
from tests.upgrade.making import make
from tests.upgrade.states import STATES, write


def main() -> None:
    """Make the runs on the cluster of KUBECONFIG, and write them down."""
    version = importlib.metadata.version("podium")
    path = STATES / f"{version}.yaml"
    try:
        write(path, version, make())
    except ClusterError as error:
        sys.exit(str(error))
    say(str(path))


if __name__ == "__main__":
    main()
