"""What every Pod and container of Podium may not do."""

from typing import Any

from podium.cluster.jobs.rules import USER
from podium.cluster.settings import Settings

__all__ = ["USER_FIELDS", "container_security", "pod_security"]

USER_FIELDS = ("runAsUser", "runAsGroup", "fsGroup")


def container_security() -> dict[str, Any]:
    """Return the `securityContext` of a container."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_security(settings: Settings, *, has_claims: bool) -> dict[str, Any]:
    """Return the `securityContext` of a Pod."""
    return {
        "runAsNonRoot": True,
        **({} if settings.arbitrary_user_ids else dict.fromkeys(USER_FIELDS, USER)),
        # Else each Pod would change the owner of every file of a volume.
        **({"fsGroupChangePolicy": "OnRootMismatch"} if has_claims else {}),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
