"""The reconciliation of WorkflowRuns."""
