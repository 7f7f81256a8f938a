"""Artifacts of a Pod that come from no node, or leave the run: places, and the Secrets for them.

The Secret of a source is mounted by the fetcher alone, that of a target by the collector alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from podium.api.workflow import ArtifactInput, Node
from podium.artifacts.pod import SECRETS_PATH, Leaving, Outside
from podium.cluster.kube.views import COLLECTOR, FETCHER

__all__ = [
    "FOUND_PATH",
    "IN_PATH",
    "SECRET_VOLUMES",
    "from_outside",
    "leaving",
    "place_of",
    "secret_volumes",
    "source_secrets",
    "target_secrets",
]

IN_PATH = "/podium/artifacts/in"
FOUND_PATH = "/podium/found"
"""Where the fetcher lays out what the program finds at absolute paths."""
SECRET_VOLUMES = {FETCHER: "podium-from-", COLLECTOR: "podium-to-"}
"""What the names of volumes with Secrets begin with, by the one container that mounts them."""


def place_of(artifact: ArtifactInput) -> tuple[str, str]:
    """Return where an artifact is found: a directory of the fetcher, and the path below it."""
    path = artifact.path or artifact.name
    return (FOUND_PATH, artifact.name) if path.startswith("/") else (IN_PATH, path)


def from_outside(node: Node) -> Iterator[Outside]:
    """Yield what a node finds that comes from no node."""
    directories = _directories(source_secrets(node))
    for artifact in (node.artifacts.in_ if node.artifacts is not None else None) or ():
        if artifact.outside is not None:
            kinds = {"git", "http", "s3", "raw"}
            source = artifact.model_dump(
                mode="json", by_alias=True, exclude_defaults=True, include=kinds
            )
            secret = directories.get(artifact.secret, "")
            yield Outside(artifact.name, source, *place_of(artifact), secret)


def leaving(node: Node) -> Iterator[Leaving]:
    """Yield what leaves the run when a node has succeeded."""
    directories = _directories(target_secrets(node))
    for output in node.artifacts.out if node.artifacts is not None else ():
        if output.to is not None:
            target = output.to.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            yield Leaving(output.name, target, directories.get(output.to.secret, ""))


def source_secrets(node: Node) -> dict[str, str]:
    """Return the Secrets that sources name: for each, a field that does."""
    found: dict[str, str] = {}
    for position, artifact in enumerate((node.artifacts and node.artifacts.in_) or ()):
        if artifact.secret:
            kinds = {"git": artifact.git, "http": artifact.http, "s3": artifact.s3}
            kind = next(name for name, source in kinds.items() if source is not None)
            found.setdefault(artifact.secret, f"artifacts.in[{position}].{kind}.secretRef")
    return found


def target_secrets(node: Node) -> dict[str, str]:
    """Return the Secrets that targets name: for each, a field that does."""
    found: dict[str, str] = {}
    for position, output in enumerate(node.artifacts.out if node.artifacts is not None else ()):
        if output.to is not None and output.to.secret:
            kind = "http" if output.to.http is not None else "s3"
            found.setdefault(output.to.secret, f"artifacts.out[{position}].to.{kind}.secretRef")
    return found


def secret_volumes(node: Node, container: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield the volumes that one container mounts for Secrets: name, source and path of each."""
    secrets = source_secrets(node) if container == FETCHER else target_secrets(node)
    for number, (name, path) in enumerate(_directories(secrets).items()):
        source = {"secret": {"secretName": name, "defaultMode": 0o440}}
        yield f"{SECRET_VOLUMES[container]}{number}", source, path


def _directories(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return where a container has each of its Secrets."""
    return {name: f"{SECRETS_PATH}/{number}" for number, name in enumerate(secrets)}
