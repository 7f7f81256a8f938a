"""What executions leave, into a store and out of it: the same on a laptop and in a Pod."""

from collections.abc import Iterable

from podium.api.artifact_rules import ArtifactType
from podium.artifacts.errors import ArtifactError
from podium.artifacts.left import Declared, Left, has_entries
from podium.artifacts.manifest import OUTPUT, REST, Artifact, Manifest
from podium.artifacts.pack import Source, store_artifact
from podium.artifacts.store import ArtifactStore
from podium.artifacts.unpack import Unpacking

__all__ = ["add_all", "gather"]


def gather(store: ArtifactStore, outputs: Iterable[Declared], left: Left) -> dict[str, Artifact]:
    """Store what was declared, and all else that lies under `$PODIUM_ARTIFACTS_OUT`.

    Raises `ArtifactError`, `OSError`, and `InterruptedError` once the store is stopped.
    """
    made: dict[str, Artifact] = {}
    skipped = set()
    for output in outputs:
        path = output.path
        root, below = left.out, path
        if path.startswith("/"):
            root, below = left.absolute[path]
            path = output.name
        else:
            skipped.add(path)
        source = Source(root, below, f"the artifact {output.name}: {output.path}")
        artifact = store_artifact(store, output.name, path, source, output.type)
        if artifact is not None:
            made[output.name] = artifact
        elif not output.optional:
            raise ArtifactError(
                f"the artifact {output.name} is missing: the program left nothing at"
                f" {output.path}; write it there, or set optional: true",
                is_content=True,
            )
    if has_entries(left.out, skipped):
        rest = Source(left.out, "", "$PODIUM_ARTIFACTS_OUT", frozenset(skipped))
        artifact = store_artifact(store, REST, "", rest, ArtifactType.DIRECTORY)
        if artifact is not None:
            made[REST] = artifact
    return made


def add_all(store: ArtifactStore, unpacking: Unpacking, manifest: Manifest, path: str) -> None:
    """Write all that an execution left into the directory `path`, as it lay."""
    left = (each for each in manifest.artifacts.values() if each.name != OUTPUT)
    artifacts = sorted(left, key=lambda each: each.path)
    for artifact in artifacts:  # the rest first: its path is empty, and others lie in it
        unpacking.add(store, artifact, f"{path}/{artifact.path}" if artifact.path else path)
