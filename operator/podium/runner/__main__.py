"""`python -m podium.runner WORK`: one node's work, as its environment says.

PODIUM_CONFIG is the node's config (JSON); input, output and artifacts are where every node has
them.
"""

import sys

from podium.runner import program


def persona() -> int:
    """Answer as the personas of the node; return the exit code."""
    from podium.runner.personas import persona as work  # noqa: PLC0415 - each work loads its own

    return work()


def http() -> int:
    """Make a request; return the exit code."""
    from podium.runner.http_request import http_request  # noqa: PLC0415 - as above

    return program.run(http_request)


def kubernetes() -> int:
    """Change an object of the cluster; return the exit code."""
    from podium.runner.kubernetes_object import kubernetes_object  # noqa: PLC0415 - as above

    return program.run(kubernetes_object)


def notify() -> int:
    """Send a message; return the exit code."""
    from podium.runner.notify import notify as work  # noqa: PLC0415 - as above

    return program.run(work)


WORKS = {"persona": persona, "http": http, "kubernetes": kubernetes, "notify": notify}


if __name__ == "__main__":
    sys.exit(WORKS[sys.argv[1]]())
