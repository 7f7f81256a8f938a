"""Where URLs of users may lead. Loads nothing: every Pod with artifacts uses it."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["HOSTS_VARIABLE", "IN_POD", "LAPTOP", "Reach", "reach_of"]

HOSTS_VARIABLE = "PODIUM_ALLOWED_HOSTS"


class Reach(NamedTuple):
    """Where URLs of users may lead: never to a link-local address or a metadata service."""

    schemes: Sequence[str]
    """Of the URLs of repositories."""
    allow_loopback: bool
    hosts: Sequence[str] = ()
    """Names, `*.SUFFIX`, addresses and networks that they may lead to, no others; none: all."""


LAPTOP: Final = Reach(("https", "ssh", "git", "http", "file"), allow_loopback=True)
IN_POD: Final = Reach(("https", "git"), allow_loopback=False)


def reach_of(variables: Mapping[str, str]) -> Reach:
    """Return where URLs may lead from a Pod, as the chart says. Raises `ValueError`."""
    return IN_POD._replace(hosts=tuple(json.loads(variables.get(HOSTS_VARIABLE, "[]"))))
