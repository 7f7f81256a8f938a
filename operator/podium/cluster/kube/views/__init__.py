"""What the operator keeps of Jobs, Pods, runs and workflows: a few fields each.

Whatever the cluster hands over is data: a field of the wrong type counts as missing, nothing
raises.
"""

from podium.cluster.kube.views.fields import (
    controller_of,
    dig,
    finalizer_of,
    items,
    latest_message,
    mapping,
    text,
    when,
)
from podium.cluster.kube.views.job import (
    ANNOTATION_EXECUTION,
    ANNOTATION_NODE,
    ANNOTATION_RESTART,
    INDEXED,
    ITEM,
    SINGLE,
    JobView,
    item_view,
    job_view,
    real_job,
    real_name,
)
from podium.cluster.kube.views.pod import (
    COLLECTOR,
    CONTAINER,
    FETCHER,
    GRACE_SECONDS,
    LABEL_INDEX,
    HelperEnd,
    PodView,
    helper_end,
    pod_view,
)
from podium.cluster.kube.views.run import RunView, WorkflowView, pool_of, run_view, workflow_view

__all__ = [
    "ANNOTATION_EXECUTION",
    "ANNOTATION_NODE",
    "ANNOTATION_RESTART",
    "COLLECTOR",
    "CONTAINER",
    "FETCHER",
    "GRACE_SECONDS",
    "INDEXED",
    "ITEM",
    "LABEL_INDEX",
    "SINGLE",
    "HelperEnd",
    "JobView",
    "PodView",
    "RunView",
    "WorkflowView",
    "controller_of",
    "dig",
    "finalizer_of",
    "helper_end",
    "item_view",
    "items",
    "job_view",
    "latest_message",
    "mapping",
    "pod_view",
    "pool_of",
    "real_job",
    "real_name",
    "run_view",
    "text",
    "when",
    "workflow_view",
]
