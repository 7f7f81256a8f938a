"""`python -m tests.cluster up|down|status|image`."""

import argparse
import fcntl
import sys

from tests.cluster import binaries, cluster, images, kind, podium_image
from tests.cluster.console import ClusterError, say
from tests.cluster.places import KUBECONFIG, LOCK

TEXT = """\
up      make the cluster, or repair it; the last line is its kubeconfig's path
down    end it and remove what it left on the machine
status  show what runs; the exit code is 0 when all does
image   build Podium's image from the Dockerfile and hand it to the cluster
"""


def up() -> int:
    """Make or take a cluster, and print its kubeconfig's path."""
    given = cluster.given()
    if given is None:
        cluster.up()
    else:
        say("the cluster of KUBECONFIG is used as it is")
        binaries.ensure(cluster.tools())
    print(given or KUBECONFIG)
    return 0


def down() -> int:
    """End our own cluster; a given one is its owner's."""
    cluster.down()
    return 0


def status() -> int:
    """Show what runs."""
    return 0 if cluster.status() else 1


def image() -> int:
    """Build the image and hand it to the cluster."""
    given = cluster.given()
    archive = podium_image.build()
    if given is not None:
        raise ClusterError(f"push {archive} where the cluster of KUBECONFIG={given} can pull it")
    if kind.MARK.exists():
        kind.load(archive)
    else:
        images.publish(archive, podium_image.NAME)
        if images.pull(podium_image.NAME):
            say(f"pulled {podium_image.NAME}")
    print(podium_image.NAME)
    return 0


def main() -> int:
    """Do one of the four, one at a time on this machine."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = {"up": up, "down": down, "status": status, "image": image}
    parser.add_argument("verb", choices=verbs)
    verb = parser.parse_args().verb
    try:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return verbs[verb]()
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
