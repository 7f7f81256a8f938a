"""A Pod as it will be made, or as the server made it, against the closed list."""

from collections.abc import Iterator, Mapping
from typing import Any

from podium.api.artifact_stores import ArtifactStoreSpec
from podium.api.executors import MAIN_CONTAINER
from podium.api.field_checks import is_reserved_key
from podium.api.names import LABEL_EXECUTOR
from podium.api.problems import Path, Problem
from podium.cluster.artifact_settings import ArtifactSettings
from podium.cluster.jobs.artifact_store import STORE_VOLUME
from podium.cluster.jobs.closed_list import (
    ANNOTATIONS,
    CONTAINER,
    EXECUTOR_CONTAINER,
    EXECUTOR_POD_SPEC,
    HELPERS,
    LABEL_PREFIXES,
    LABELS,
    OPENSHIFT_ANNOTATION,
    POD_SPEC,
    REQUIRED_LABELS,
)
from podium.cluster.jobs.outside import SECRET_VOLUMES
from podium.cluster.jobs.rules import Allowances, check
from podium.cluster.kube.views import COLLECTOR, FETCHER, dig, items
from podium.cluster.settings import Settings

__all__ = ["allowances", "check_pod"]


def allowances(settings: Settings, store: ArtifactStoreSpec | None = None) -> Allowances:
    """Return what the operator's settings, and the store of a run, allow beyond the list."""
    defaults = settings.pod_defaults
    runtime = defaults.get("runtimeClassName")
    artifacts = settings.artifacts.of(store)
    return Allowances(
        any_user=settings.arbitrary_user_ids,
        runtime_classes=(runtime,) if isinstance(runtime, str) else (),
        labels=tuple(defaults.get("labels") or ()),
        annotations=tuple(defaults.get("annotations") or ()),
        artifact_images=(artifacts.image or settings.runner_image,),
    )


def check_pod(
    pod: Mapping[str, Any], settings: Settings, store: ArtifactStoreSpec | None = None
) -> list[Problem]:
    """Return what the closed list has against a Pod, or against the template of a Job's Pods.

    `store` is that of the run, if its definition has one.
    """
    allowed = allowances(settings, store)
    spec = pod.get("spec") or {}
    meta = pod.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    found = [*_check_store(spec, settings, store), *_of_helpers(spec, allowed)]
    rest = _without_store(spec, settings.artifacts.of(store))
    if LABEL_EXECUTOR in labels:
        found += _of_executor(rest, allowed)
    else:
        found += check(POD_SPEC, rest, ("spec",), allowed)
        containers = spec.get("containers") or []
        others = [each for each in spec.get("initContainers") or () if not _is_helper(each)]
        if len(containers) != 1 or others:
            found.append(Problem(("spec", "containers"), "must be one, named node"))
        for position, container in enumerate(containers):
            found += check(CONTAINER, container, ("spec", "containers", position), allowed)
    at: Path = ("metadata", "labels")
    found += [Problem((*at, key), "is missing") for key in REQUIRED_LABELS if key not in labels]
    found += _check_keys(labels, at, (*LABELS, *allowed.labels), LABEL_PREFIXES)
    more = (OPENSHIFT_ANNOTATION,) if allowed.any_user else ()
    keys = (*ANNOTATIONS, *more, *allowed.annotations)
    found += _check_keys(annotations, ("metadata", "annotations"), keys, ())
    return found


def _of_executor(spec: Mapping[str, Any], allowed: Allowances) -> Iterator[Problem]:
    yield from check(EXECUTOR_POD_SPEC, spec, ("spec",), allowed)
    for field in ("containers", "initContainers"):
        for position, container in enumerate(spec.get(field) or ()):
            yield from check(EXECUTOR_CONTAINER, container, ("spec", field, position), allowed)
    mains = [each for each in spec.get("containers") or () if each.get("name") == MAIN_CONTAINER]
    if len(mains) != 1:
        yield Problem(("spec", "containers"), f"must have one that is named {MAIN_CONTAINER}")


def _is_helper(container: Any) -> bool:
    return dig(container, "name") in HELPERS


def _of_helpers(spec: Mapping[str, Any], allowed: Allowances) -> Iterator[Problem]:
    """Yield what is wrong with the containers that carry artifacts."""
    helpers = items(spec.get("initContainers"))
    names = [each.get("name") for each in helpers if _is_helper(each)]
    if len(set(names)) != len(names) or any(map(_is_helper, items(spec.get("containers")))):
        words = f"may have each of {', '.join(HELPERS)} once, and containers none of them"
        yield Problem(("spec", "initContainers"), words)
    for position, helper in enumerate(helpers):
        if _is_helper(helper):
            at: Path = ("spec", "initContainers", position)
            yield from check(HELPERS[str(helper["name"])], helper, at, allowed)


def _without_store(spec: Mapping[str, Any], artifacts: ArtifactSettings) -> Mapping[str, Any]:
    """Leave out the volume of the store: no other one may hold a token."""
    volumes = spec.get("volumes")
    if not isinstance(volumes, list):
        return spec
    audience = artifacts.token_audience if artifacts.role else None

    def is_token(volume: Any) -> bool:
        sources = items(dig(volume, "projected", "sources"))
        return dig(volume, "name") == STORE_VOLUME and [
            dig(source, "serviceAccountToken", "audience") for source in sources
        ] == [audience]

    if audience is None:
        return spec
    return {**spec, "volumes": [volume for volume in volumes if not is_token(volume)]}


def _check_store(
    spec: Mapping[str, Any], settings: Settings, store: ArtifactStoreSpec | None
) -> Iterator[Problem]:
    """Yield where a store, or its credentials, would be within a program's reach.

    Those of other stores of the namespace `runs.references` keeps from it.
    """
    both = settings.artifacts, settings.artifacts.of(store)
    secrets = {each.secret for each in both if each.secret}
    claims = {each.claim for each in both if each.claim}
    message = f"is that of the artifact store, which only {COLLECTOR} and {FETCHER} may have"
    for field in ("containers", "initContainers"):
        for position, container in enumerate(items(spec.get(field))):
            at: Path = ("spec", field, position)
            mounts = [each.get("name") for each in items(container.get("volumeMounts"))]
            if STORE_VOLUME in mounts and not (field == "initContainers" and _is_helper(container)):
                yield Problem((*at, "volumeMounts", mounts.index(STORE_VOLUME), "name"), message)
            for number, name in enumerate(mounts):
                if owner := _secret_owner(name, container, field):
                    words = f"is that of an artifact, which only {owner} may have"
                    yield Problem((*at, "volumeMounts", number, "name"), words)
            env = [
                *(dig(e, "valueFrom", "secretKeyRef", "name") for e in items(container.get("env"))),
                *(dig(e, "secretRef", "name") for e in items(container.get("envFrom"))),
            ]
            for secret in secrets.intersection(env):
                yield Problem((*at, "env"), f"names the Secret {secret!r}, which {message}")
    for position, volume in enumerate(items(spec.get("volumes"))):
        if volume.get("name") == STORE_VOLUME and not settings.artifacts.of(store).has_store:
            yield Problem(("spec", "volumes", position), "is a store, and the run has none")
        sources = items(dig(volume, "projected", "sources"))
        named = {dig(volume, "secret", "secretName"), *(dig(s, "secret", "name") for s in sources)}
        claimed = dig(volume, "persistentVolumeClaim", "claimName")
        if volume.get("name") != STORE_VOLUME and (secrets & named or claimed in claims):
            yield Problem(("spec", "volumes", position), message)


def _secret_owner(volume: Any, container: Mapping[str, Any], field: str) -> str:
    """Return which container alone may mount a volume; empty: this one may."""
    for owner, prefix in SECRET_VOLUMES.items():
        is_owner = field == "initContainers" and container.get("name") == owner
        if isinstance(volume, str) and volume.startswith(prefix) and not is_owner:
            return owner
    return ""


def _check_keys(
    given: Mapping[str, Any], path: Path, keys: tuple[str, ...], prefixes: tuple[str, ...]
) -> Iterator[Problem]:
    for key in given:
        if is_reserved_key(key) and key not in keys and not key.startswith(prefixes):
            yield Problem((*path, key), "belongs to the platform")
