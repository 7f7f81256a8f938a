"""How a run ended, as an exit code."""

from podium.api.reasons import RunReason
from podium.api.run import RunPhase, WorkflowRunStatus
from podium.cli.output import ExitCode

__all__ = ["run_code"]


def run_code(status: WorkflowRunStatus) -> ExitCode:
    """Return the exit code of a run that has ended."""
    if status.phase is RunPhase.SUCCEEDED:
        return ExitCode.OK
    timed_out = any(
        c.type == "Succeeded" and c.reason == RunReason.TIMEOUT for c in status.conditions
    )
    return ExitCode.TIMEOUT if timed_out else ExitCode.FAILED
