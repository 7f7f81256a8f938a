"""What a Job of Podium may be, and what the metadata of its Jobs and Pods may hold.

The part of the closed list (`closed_list`) that the API server alone checks.
"""

from typing import Final

from podium.api.names import FINALIZER, MAX_ITEMS
from podium.cluster.jobs.rules import Anything, Each, Fields, OneOf, Within

__all__ = ["JOB_METADATA", "JOB_SPEC", "POD_METADATA", "TEMPLATE_METADATA"]

ANYTHING = Anything()
MAX_TRIES = 100

_WRITTEN_BY_THE_SERVER = dict.fromkeys(
    (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "managedFields",
        "labels",
        "annotations",
        "ownerReferences",
    ),
    ANYTHING,
)
POD_METADATA: Final = Fields(
    {**_WRITTEN_BY_THE_SERVER, "finalizers": Each("f", OneOf((FINALIZER,)))}
)
JOB_METADATA: Final = Fields(_WRITTEN_BY_THE_SERVER)
TEMPLATE_METADATA: Final = Fields(
    {"labels": ANYTHING, "annotations": ANYTHING, "creationTimestamp": ANYTHING}
)
JOB_SPEC: Final = Fields(
    {
        "managedBy": ANYTHING,
        "backoffLimit": OneOf((0,)),
        # More than one only of an Indexed Job whose Pods Podium makes: see `pod_policy`.
        "completions": Within(1, MAX_ITEMS),
        "parallelism": Within(0, MAX_ITEMS),
        "completionMode": OneOf(("NonIndexed", "Indexed")),
        "backoffLimitPerIndex": Within(0, MAX_TRIES),
        "podReplacementPolicy": ANYTHING,
        "podFailurePolicy": ANYTHING,
        "suspend": ANYTHING,
        "selector": ANYTHING,
        # With true, its selector takes Pods of others.
        "manualSelector": OneOf((False,)),
        "ttlSecondsAfterFinished": ANYTHING,
        "template": ANYTHING,
    },
)
