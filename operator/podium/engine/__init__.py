"""The pure state machine of a run: no I/O, no clock, no randomness, no Kubernetes, no asyncio.

`Engine.step` takes what was observed, what was asked for and the time; it changes the run's
status in place and returns the actions that a shell (cluster or laptop) is to carry out.

The names below are the public API. Each is loaded when it is first used: podium starts often, and
most commands need few of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium.engine.child_runs import ChildState, child_state, observe_child
    from podium.engine.codec import dump_node, dump_status, load_in_slices, load_status
    from podium.engine.conditions import set_condition, set_end
    from podium.engine.copying import Earlier, copied_states, copied_states_in_slices
    from podium.engine.definition import definition_digest, fixed_context
    from podium.engine.engine import Engine
    from podium.engine.history import (
        VersionGoneError,
        context_at,
        former_definition,
        recorded_outcome,
    )
    from podium.engine.identity import digest_of
    from podium.engine.model import (
        LONG_WAIT_SECONDS,
        Action,
        ApprovalRequest,
        AttemptPhase,
        Control,
        Emit,
        EventType,
        Hold,
        ItemOf,
        LargeInput,
        Launch,
        Observation,
        Request,
        RerunRequest,
        ResetRequest,
        RestoreRequest,
        RunInfo,
        Stop,
        StoredOutput,
        WakeAt,
        not_started,
    )
    from podium.engine.output_values import OutputValueError, described, require_small
    from podium.engine.plan import Plan, PlanEdge, PlanNode
    from podium.engine.rerun_plan import (
        ContextCheck,
        RequestRefusedError,
        RerunPlan,
        RestorePlan,
        context_check,
        failed_nodes,
        plan_request,
    )
    from podium.engine.selection import of_selected, selected_nodes
    from podium.engine.start import (
        check_context,
        check_inputs,
        check_start,
        context_of,
        find_required_keys,
        initial_context,
        initial_status,
        initial_status_in_slices,
        required_keys,
    )
    from podium.engine.state import Changes
    from podium.engine.verdicts import (
        COSTLY,
        Answer,
        ConditionQuestion,
        InputQuestion,
        KindQuestion,
        OutputQuestion,
        Question,
        Value,
        ValueQuestion,
        answer,
    )

_HOMES = {
    "child_runs": ("ChildState", "child_state", "observe_child"),
    "codec": ("dump_node", "dump_status", "load_in_slices", "load_status"),
    "conditions": ("set_condition", "set_end"),
    "copying": ("Earlier", "copied_states", "copied_states_in_slices"),
    "definition": ("definition_digest", "fixed_context"),
    "engine": ("Engine",),
    "history": ("VersionGoneError", "context_at", "former_definition", "recorded_outcome"),
    "model": (
        "LONG_WAIT_SECONDS",
        *("Action", "ApprovalRequest", "AttemptPhase", "Control", "Emit", "EventType", "Hold"),
        *("ItemOf", "LargeInput"),
        *("Launch", "Observation", "Request", "RerunRequest", "ResetRequest", "RestoreRequest"),
        "RunInfo",
        *("Stop", "StoredOutput", "WakeAt", "not_started"),
    ),
    "identity": ("digest_of",),
    "output_values": ("OutputValueError", "described", "require_small"),
    "plan": ("Plan", "PlanEdge", "PlanNode"),
    "rerun_plan": (
        *("ContextCheck", "RequestRefusedError", "RerunPlan", "RestorePlan"),
        *("context_check", "failed_nodes", "plan_request"),
    ),
    "selection": ("of_selected", "selected_nodes"),
    "start": (
        *("check_context", "check_inputs", "check_start", "context_of", "find_required_keys"),
        *("initial_context", "initial_status", "initial_status_in_slices", "required_keys"),
    ),
    "state": ("Changes",),
    "verdicts": (
        *("COSTLY", "Answer", "ConditionQuestion", "InputQuestion", "KindQuestion"),
        *("OutputQuestion", "Question", "Value", "ValueQuestion", "answer"),
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "COSTLY",
    "LONG_WAIT_SECONDS",
    "Action",
    "Answer",
    "ApprovalRequest",
    "AttemptPhase",
    "Changes",
    "ChildState",
    "ConditionQuestion",
    "ContextCheck",
    "Control",
    "Earlier",
    "Emit",
    "Engine",
    "EventType",
    "Hold",
    "InputQuestion",
    "ItemOf",
    "KindQuestion",
    "LargeInput",
    "Launch",
    "Observation",
    "OutputQuestion",
    "OutputValueError",
    "Plan",
    "PlanEdge",
    "PlanNode",
    "Question",
    "Request",
    "RequestRefusedError",
    "RerunPlan",
    "RerunRequest",
    "ResetRequest",
    "RestorePlan",
    "RestoreRequest",
    "RunInfo",
    "Stop",
    "StoredOutput",
    "Value",
    "ValueQuestion",
    "VersionGoneError",
    "WakeAt",
    "answer",
    "check_context",
    "check_inputs",
    "check_start",
    "child_state",
    "context_at",
    "context_check",
    "context_of",
    "copied_states",
    "copied_states_in_slices",
    "definition_digest",
    "described",
    "digest_of",
    "dump_node",
    "dump_status",
    "failed_nodes",
    "find_required_keys",
    "fixed_context",
    "former_definition",
    "initial_context",
    "initial_status",
    "initial_status_in_slices",
    "load_in_slices",
    "load_status",
    "not_started",
    "observe_child",
    "of_selected",
    "plan_request",
    "recorded_outcome",
    "require_small",
    "required_keys",
    "selected_nodes",
    "set_condition",
    "set_end",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"podium.engine has no {name!r}")
    value = getattr(importlib.import_module(f"podium.engine.{home}"), name)
    globals()[name] = value
    return value
