"""Paths of the API server's resources."""

from urllib.parse import quote, urlencode

from podium.api.names import GROUP, VERSION

__all__ = [
    "claims",
    "collection",
    "core",
    "executors",
    "jobs",
    "leases",
    "log",
    "own",
    "path_of",
    "pods",
    "revisions",
]


def own(namespace: str, plural: str, *rest: str) -> str:
    """Return the path of a resource of Podium's own."""
    return path_of(f"/apis/{GROUP}/{VERSION}", namespace, plural, *rest)


def jobs(namespace: str, *rest: str) -> str:
    """Return the path of Jobs."""
    return path_of("/apis/batch/v1", namespace, "jobs", *rest)


def pods(namespace: str, *rest: str) -> str:
    """Return the path of Pods."""
    return path_of("/api/v1", namespace, "pods", *rest)


def log(namespace: str, pod: str, container: str, most: int) -> str:
    """Return the path of about so many bytes from the beginning of a container's log."""
    query = urlencode({"container": container, "limitBytes": most})
    return f"{pods(namespace, pod, 'log')}?{query}"


def claims(namespace: str, *rest: str) -> str:
    """Return the path of PersistentVolumeClaims."""
    return path_of("/api/v1", namespace, "persistentvolumeclaims", *rest)


def core(namespace: str, plural: str, *rest: str) -> str:
    """Return the path of what is neither a workload nor Podium's own, such as a Secret."""
    return path_of("/api/v1", namespace, plural, *rest)


def leases(namespace: str, *rest: str) -> str:
    """Return the path of Leases."""
    return path_of("/apis/coordination.k8s.io/v1", namespace, "leases", *rest)


def revisions(namespace: str, *rest: str) -> str:
    """Return the path of ControllerRevisions."""
    return path_of("/apis/apps/v1", namespace, "controllerrevisions", *rest)


def collection(resource: str, namespace: str) -> str:
    """Return the path of what is watched, of one namespace or (empty) of all."""
    base = {
        "jobs": "/apis/batch/v1",
        "pods": "/api/v1",
        "workflowruns": f"/apis/{GROUP}/{VERSION}",
        "contractschemas": f"/apis/{GROUP}/{VERSION}",
    }[resource]
    return path_of(base, namespace, resource) if namespace else f"{base}/{resource}"


def executors(namespace: str, *rest: str) -> str:
    """Return the path of Executors, or (empty) of ClusterExecutors."""
    if namespace:
        return own(namespace, "executors", *rest)
    return "/".join([f"/apis/{GROUP}/{VERSION}/clusterexecutors", *map(_part, rest)])


def path_of(base: str, namespace: str, plural: str, *rest: str) -> str:
    """Return the path of a resource of a namespace, or of what is inside it."""
    return "/".join([base, "namespaces", quote(namespace, safe=""), plural, *map(_part, rest)])


def _part(part: str) -> str:
    # `..` would be another path, and quoting leaves it as it is.
    return quote(part, safe="") if part not in (".", "..") else "%2E"
