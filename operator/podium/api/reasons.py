"""Reasons: the words for programs in states of nodes, conditions of runs and events.

Docs, the engine and both shells use these; a kubelet may add words of its own to those of nodes.
"""

from enum import StrEnum
from typing import Final

__all__ = ["RETRYABLE", "EventReason", "NodeReason", "RunReason"]


class NodeReason(StrEnum):
    """Why a node is in its state."""

    # Its program failed.
    ERROR = "Error"
    """The program ended with a code other than 0."""
    SIGNAL = "Signal"
    """The program was killed by a signal."""
    OOM_KILLED = "OOMKilled"
    """The program used more memory than its limit."""
    TIMEOUT = "Timeout"
    """The program, or the decision of an approval, took longer than timeoutSeconds."""
    START_TIMEOUT = "StartTimeout"
    """The program did not start within startTimeoutSeconds."""
    OUTPUT_NOT_JSON = "OutputNotJSON"
    """The output is not a JSON object."""
    OUTPUT_TOO_LARGE = "OutputTooLarge"
    """The output does not fit into what carries it."""
    OUTPUT_CONTRACT = "OutputContract"
    """The output does not meet outputContract."""
    OUTPUT_MISSING = "OutputMissing"
    """A value that outputs names was not written, and has no default."""
    OUTPUT_LOST = "OutputLost"
    """What the program printed could not be read when it had ended."""
    ARTIFACT = "Artifact"
    """An artifact is missing, or is not what artifacts.out says."""
    UPLOAD = "Upload"
    """What the node hands over could not be stored."""
    QUALITY_BELOW_THRESHOLD = "QualityBelowThreshold"
    """The quality score of the output is below the threshold."""
    NO_RECORDED_ANSWER = "NoRecordedAnswer"
    """A persona has no recorded answer."""

    # Its execution was lost or taken away.
    JOB_DELETED = "JobDeleted"
    """A user or another controller deleted the Job."""
    POD_DELETED = "PodDeleted"
    """A user or another controller deleted the Pod."""
    POD_FAILED = "PodFailed"
    """The Pod failed without running the program."""
    EVICTED = "Evicted"
    """The kubelet evicted the Pod for what its own container used."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The kubelet ended the Pod after its activeDeadlineSeconds."""
    NODE_LOST = "NodeLost"
    """The node's machine does not answer, or how its program ended is not known."""
    TOO_MANY_DISRUPTIONS = "TooManyDisruptions"
    """The platform ended the execution more often than maxDisruptions."""
    DISRUPTED = "Disrupted"
    """The platform ended the Pod; the execution is started again."""
    INTERRUPTED = "Interrupted"
    """The program was stopped with podium; the execution is started again."""
    PROCESS_LOST = "ProcessLost"
    """The program ended while podium was not there; the execution is started again."""

    # It cannot be started.
    IMAGE_PULL = "ImagePull"
    """The image cannot be pulled."""
    CONFIG = "Config"
    """The node's configuration cannot be carried out."""
    INPUT_CONTRACT = "InputContract"
    """The input does not meet inputContract."""
    INPUT_TOO_LARGE = "InputTooLarge"
    """The input does not fit into what carries it."""
    DOWNLOAD = "Download"
    """An artifact that the node needs could not be had from the store."""
    CONDITION_ERROR = "ConditionError"
    """An expression could not be evaluated."""
    FORBIDDEN = "Forbidden"
    """The API server does not allow the Job or its Pod, or it names what nodes may not use."""
    INVALID = "Invalid"
    """The API server refused the Job or its Pod as invalid."""
    POD_REFUSED = "PodRefused"
    """The API server refuses every Pod of the Job."""
    SERVICE_ACCOUNT = "ServiceAccount"
    """pod.serviceAccountName does not exist, or may not be used."""
    NAME_TAKEN = "NameTaken"
    """An object that is not the run's has the name of its Job or Pod."""
    TOO_MANY_PODS = "TooManyPods"
    """The Job had too many Pods."""

    # It waits.
    QUOTA_EXCEEDED = "QuotaExceeded"
    """A quota of the namespace leaves no room; tried again."""
    API_UNAVAILABLE = "ApiUnavailable"
    """The API server does not take requests for now; tried again."""
    OPERATOR_LIMIT = "OperatorLimit"
    """The operator's limit of running nodes is reached; tried again."""
    STALLED = "Stalled"
    """The operator could not finish starting it; tried again."""
    TERMINATING = "Terminating"
    """What was there before, or the namespace, is being deleted; tried again."""
    QUEUED = "Queued"
    """The Job is suspended, for example by a queue."""
    FAILED_CREATE = "FailedCreate"
    """The built-in Job controller could not create the Pod yet."""
    SCHEDULING = "Scheduling"
    """The Pod has no machine yet."""
    UNSCHEDULABLE = "Unschedulable"
    """No machine can take the Pod for now."""
    STARTING = "Starting"
    """The Pod has a machine and no sandbox yet."""
    PULLING_IMAGE = "PullingImage"
    """The Pod's image is being pulled, or its container made."""

    JUDGING = "Judging"
    """A contract, a condition or a template of it is being checked, which takes a while."""

    WAITING_FOR_APPROVAL = "WaitingForApproval"
    """An approval waits for a person to decide."""

    # It was decided without running.
    REJECTED = "Rejected"
    """A person rejected what an approval asked for."""
    NO_CASE = "NoCase"
    """No case of a conditional holds, and it has no default."""
    NOT_SELECTED = "NotSelected"
    """The run runs a part of the graph, of which the node is not."""
    CONDITION_FALSE = "ConditionFalse"
    """The node's condition is false."""
    UPSTREAM_FAILED = "UpstreamFailed"
    """A node before it failed or was cancelled."""
    EDGE_INACTIVE = "EdgeInactive"
    """An incoming edge is inactive, and all must be active."""
    NO_ACTIVE_EDGE = "NoActiveEdge"
    """No incoming edge is active."""
    NO_FAILED_EDGE = "NoFailedEdge"
    """No node before it failed, and one must have."""

    GROUP_SKIPPED = "GroupSkipped"
    """The group that the node is a member of was skipped, or failed before it began."""
    MEMBER_FAILED = "MemberFailed"
    """Members of the group failed."""

    # It was stopped.
    GROUP_ENDED = "GroupEnded"
    """The group that the node is a member of was stopped, as after its timeoutSeconds."""
    RUN_CANCELLED = "RunCancelled"
    """The run was cancelled."""
    RUN_NOT_STARTED = "RunNotStarted"
    """The run cannot begin, because of another node."""
    RUN_TIMEOUT = "RunTimeout"
    """The run took longer than its timeoutSeconds."""
    FINALLY_TIMEOUT = "FinallyTimeout"
    """The nodes of finally took longer than finallyTimeoutSeconds."""
    FAIL_FAST = "FailFast"
    """Another node failed and failFast is set."""
    RERUN = "Rerun"
    """The node, or one before it, is run again."""
    RESTORE = "Restore"
    """The run was taken back to a context version."""
    REMOVED = "Removed"
    """A newer definition does not have the node."""
    UNEXPECTED = "Unexpected"
    """The execution should not be there."""


RETRYABLE: Final = (
    NodeReason.ERROR,
    NodeReason.SIGNAL,
    NodeReason.OOM_KILLED,
    NodeReason.TIMEOUT,
    NodeReason.START_TIMEOUT,
    NodeReason.MEMBER_FAILED,
    NodeReason.OUTPUT_NOT_JSON,
    NodeReason.OUTPUT_CONTRACT,
    NodeReason.OUTPUT_MISSING,
    NodeReason.OUTPUT_LOST,
    NodeReason.ARTIFACT,
    NodeReason.UPLOAD,
    NodeReason.QUALITY_BELOW_THRESHOLD,
    NodeReason.DOWNLOAD,
    NodeReason.IMAGE_PULL,
    NodeReason.CONFIG,
    NodeReason.JOB_DELETED,
    NodeReason.POD_DELETED,
    NodeReason.POD_FAILED,
    NodeReason.EVICTED,
    NodeReason.DEADLINE_EXCEEDED,
    NodeReason.NODE_LOST,
    NodeReason.TOO_MANY_DISRUPTIONS,
)
"""Reasons of failures that a retry policy may try again: what `retryOn` may name."""


class RunReason(StrEnum):
    """Why a condition of a run (or of a Workflow) has its status."""

    RUNNING = "Running"
    """Nodes have not ended."""
    FINISHING = "Finishing"
    """All has ended but the nodes of finally."""
    SUSPENDED = "Suspended"
    """Nothing new is started."""
    COMPLETED = "Completed"
    """The run ended well."""
    NODE_FAILED = "NodeFailed"
    """A node failed."""
    OUTPUTS = "Outputs"
    """An expression of outputs could not be evaluated, or they are too large."""
    TIMEOUT = "Timeout"
    """The run took longer than its timeoutSeconds."""
    CANCELLED = "Cancelled"
    """The run was cancelled."""
    VALID = "Valid"
    """The definition can be run."""
    INVALID_RUN = "InvalidRun"
    """The WorkflowRun is not valid."""
    INVALID_WORKFLOW = "InvalidWorkflow"
    """The definition is not valid."""
    INVALID_CONTEXT = "InvalidContext"
    """The run's context does not provide what the workflow needs."""
    TOO_EXPENSIVE = "TooExpensive"
    """To check the object takes too much time or memory; not tried again before it changes."""
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    """A Secret or ConfigMap that a node names, or the claim of the artifact store, is missing."""
    CONFIG = "Config"
    """A Secret or ConfigMap that a node names does not exist; nothing was started."""
    FORBIDDEN = "Forbidden"
    """A node names what nodes may not use; nothing was started."""
    INLINE_NOT_ALLOWED = "InlineNotAllowed"
    """The operator does not allow workflowSpec in a run."""
    RECORDED_ANSWERS_NOT_ALLOWED = "RecordedAnswersNotAllowed"
    """The operator does not allow recordedAnswers in a run."""
    PARTS_NOT_ALLOWED = "PartsNotAllowed"
    """The operator does not allow only and until in a run."""
    ARTIFACT_STORE_NOT_FOUND = "ArtifactStoreNotFound"
    """The ArtifactStore that the Workflow names is not there yet."""
    COMPATIBLE = "Compatible"
    """Of a ContractSchema: each version is compatible with the one before it."""
    INCOMPATIBLE = "Incompatible"
    """Of a ContractSchema: a version is not, and no run begins that names it."""
    INVALID_CONTRACT_SCHEMA = "InvalidContractSchema"
    """The ContractSchema is not valid."""
    CONTRACT_SCHEMA_NOT_FOUND = "ContractSchemaNotFound"
    """A ContractSchema that a contract names is not there yet."""
    WORKFLOW_NOT_FOUND = "WorkflowNotFound"
    """The Workflow is not there yet."""
    TOO_MANY_ACTIVE_RUNS = "TooManyActiveRuns"
    """The namespace has as many active runs as the operator allows; it begins when one ends."""
    ACTIVE_RUNS_TOO_LARGE = "ActiveRunsTooLarge"
    """The active runs hold as much of the operator's memory as they may; others wait."""
    NODE_STATES_LOST = "NodeStatesLost"
    """Objects that hold states of the run's nodes were deleted or changed."""
    SPEC_CHANGED = "SpecChanged"
    """The run's context or workflowSpec was changed after the run had begun."""
    STATUS_TOO_LARGE = "StatusTooLarge"
    """What the status holds besides the nodes does not fit into the object."""


class EventReason(StrEnum):
    """What an event tells; a warning about a node or run may carry its reason instead."""

    RUN_STARTED = "RunStarted"
    """The run began."""
    RUN_PAUSED = "RunPaused"
    """The run was suspended."""
    RUN_RESUMED = "RunResumed"
    """The run is no longer suspended."""
    RUN_FINISHING = "RunFinishing"
    """All has ended but the nodes of finally, which begin."""
    RUN_SUCCEEDED = "RunSucceeded"
    """The run ended well."""
    RUN_FAILED = "RunFailed"
    """The run failed."""
    RUN_CANCELLED = "RunCancelled"
    """The run was cancelled."""
    NODE_COMPLETED = "NodeCompleted"
    """A node completed."""
    NODE_FAILED = "NodeFailed"
    """A node failed for good."""
    NODE_RETRYING = "NodeRetrying"
    """An execution failed and is tried again."""
    NODE_SKIPPED = "NodeSkipped"
    """A node was skipped."""
    NODE_WAITING = "NodeWaiting"
    """A node has waited for long to start, or waits for a person."""
    NODE_DISRUPTED = "NodeDisrupted"
    """The platform ended an execution; it is started again."""
    OUTPUTS_OMITTED = "OutputsOmitted"
    """A node has more ancestors than outputs are handed over of."""
    NODE_NOT_GONE = "NodeNotGone"
    """What was stopped is not known to be gone, and is waited for no longer."""
    VOLUME_LOST = "VolumeLost"
    """A volume of the run was deleted; it is made again, empty."""
    APPROVED = "Approved"
    """A person approved what an approval asked for."""
    APPROVAL_REFUSED = "ApprovalRefused"
    """A decision about an approval was refused; it goes on waiting."""
    RERUN = "Rerun"
    """Nodes run again."""
    RERUN_REFUSED = "RerunRefused"
    """A re-run was refused."""
    RESTORED = "Restored"
    """The run was taken back to a context version."""
    RESTORE_REFUSED = "RestoreRefused"
    """A restore was refused."""
