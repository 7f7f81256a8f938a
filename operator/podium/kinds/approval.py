"""approval: a node that waits for a person's decision. It has no program and takes no slot."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from podium import contracts, expressions
from podium.api.approvals import MAX_ANSWER_BYTES, ApprovalConfig, OnTimeout
from podium.api.base import format_duration, format_time, shorten
from podium.api.messages import translate
from podium.api.problems import Problem, Severity
from podium.api.reasons import NodeReason
from podium.api.workflow import Node
from podium.kinds.base import (
    GROUP_FIELDS,
    PROGRAM_FIELDS,
    Answer,
    AnswerRefusedError,
    CheckedValues,
    Complete,
    Decision,
    DeclaredOutput,
    Fail,
    NodeView,
    Skip,
    Source,
    Wait,
    unused_fields,
)

__all__ = ["Approval", "checked_values"]

_OUTPUT = frozenset({"approved", "by", "at", "comment", "values"})
_MESSAGE_CHARACTERS = 600
_NAMES_CHARACTERS = 150


class Approval:
    """Waits until one of its approvers decides, or its time is over; the decision is its output."""

    holds_slot = False
    has_execution = False
    runs_program = False

    def check(self, node: Node) -> Iterable[Problem]:
        """Check the config, and that nothing needs a program."""
        why = "a node of type approval runs no program and has no use of it"
        yield from unused_fields(node, PROGRAM_FIELDS, why)
        yield from unused_fields(node, GROUP_FIELDS, "only a node of type parallel_group has it")
        yield from unused_fields(
            node, ("cases", "default"), "only a node of type conditional has it"
        )
        try:
            config = _config(node)
        except ValidationError as error:
            for problem in translate(error, ApprovalConfig):
                yield Problem(("config", *problem.path), problem.message, problem.severity)
            return
        who = config.approvers
        if who is not None and not who.users and not who.groups:
            message = "names no one, so no one could decide: list users or groups, or leave it out"
            yield Problem(("config", "approvers"), message)
        if config.timeout_seconds is None and "on_timeout" in config.model_fields_set:
            message = "has no effect without timeoutSeconds: set that, too, or leave this out"
            yield Problem(("config", "onTimeout"), message)
        if config.fields is not None:
            yield from _check_fields(config, config.fields)

    def expressions(self, node: Node) -> Iterable[Source]:
        """Return the templates of the message; nothing else is filled in."""
        message = node.config.get("message")
        if isinstance(message, str) and expressions.has_template(message):
            yield Source(("config", "message"), message, is_template=True)

    def output_fields(self, node: Node) -> DeclaredOutput:  # noqa: ARG002
        """Return what every decision holds."""
        return DeclaredOutput(_OUTPUT, is_closed=True)

    def start(self, view: NodeView) -> Decision:
        """Ask."""
        config = _config(view.node)
        seconds = config.timeout_seconds
        return Wait(
            NodeReason.WAITING_FOR_APPROVAL,
            f"{_asked(config.message, view)}{_approvers(config)}",
            until=None if seconds is None else view.now + seconds,
            verb="approve",
        )

    def finish(self, view: NodeView, output: dict[str, Any] | None) -> Decision:  # noqa: ARG002
        """Decide as onTimeout says: the wait is over."""
        config = _config(view.node)
        seconds = format_duration(config.timeout_seconds or 0)
        message = f"no one decided within {seconds} (config.timeoutSeconds)"
        match config.on_timeout:
            case OnTimeout.FAIL:
                return Fail(NodeReason.TIMEOUT, message)
            case OnTimeout.SKIP:
                return Skip(NodeReason.TIMEOUT, message)
            case OnTimeout.APPROVE:
                values = checked_values(config.fields, {}).values
                return Complete(_output(None, view.now, "", values))

    def answer(self, view: NodeView, given: Answer) -> Decision:
        """Take a decision in. Raises `AnswerRefusedError`: the node goes on waiting."""
        config = _config(view.node)
        _require_approver(config, given)
        if not given.is_approved:
            comment = f": {given.comment}" if given.comment else ""
            return Fail(NodeReason.REJECTED, f"rejected by {given.shown_by}{comment}")
        checked = given.checked or checked_values(config.fields, given.values)
        if checked.problems:
            raise AnswerRefusedError("; ".join(checked.problems))
        output = _output(given.shown_by, view.now, given.comment, checked.values)
        size = len(orjson.dumps(output))
        if size >= MAX_ANSWER_BYTES:
            raise AnswerRefusedError(
                f"the decision has {size} bytes as JSON, but must have less than"
                f" {MAX_ANSWER_BYTES}: make the comment or the values shorter"
            )
        return Complete(output)


def checked_values(fields: Mapping[str, Any] | None, values: Mapping[str, Any]) -> CheckedValues:
    """Check the values of an approver against `config.fields`; its defaults are filled in."""
    if fields is None:
        if not values:
            return CheckedValues({})
        asked = f"values.{min(values)!s:.80}: the node asks for no values: leave it out"
        return CheckedValues({}, (asked,))
    made = contracts.with_defaults(fields, values)
    return CheckedValues(
        made,
        tuple(
            f"values{f'.{breach.path}' if breach.path else ''}: {breach.message}"
            for breach in contracts.compile_schema(fields).breaches(made)
        ),
    )


def _config(node: Node) -> ApprovalConfig:
    return ApprovalConfig.model_validate(node.config, by_alias=True, by_name=False)


def _check_fields(config: ApprovalConfig, fields: Mapping[str, Any]) -> Iterable[Problem]:
    is_sound = True
    for problem in contracts.schema_problems(fields, has_defaults=True):
        severity = Severity.WARNING if problem.is_warning else Severity.ERROR
        is_sound &= problem.is_warning
        yield Problem(("config", "fields", *problem.path), problem.report, severity)
    if is_sound and config.on_timeout is OnTimeout.APPROVE:
        for said in checked_values(fields, {}).problems:
            message = f"Approve fills in the defaults of config.fields only, and {said}"
            yield Problem(("config", "onTimeout"), f"{message}: give it a default")


def _asked(message: str, view: NodeView) -> str:
    """Return the message with its templates filled in."""
    if not expressions.has_template(message):
        return shorten(message.strip(), _MESSAGE_CHARACTERS)
    try:
        value = expressions.parse_template(message).render(view.scope)
    except expressions.OutOfFuelError:
        raise
    except expressions.ExpressionError as error:
        raise expressions.ExpressionError(f"config.message: {error}") from None
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return shorten(text.strip(), _MESSAGE_CHARACTERS)


def _approvers(config: ApprovalConfig) -> str:
    """Return in brackets who may decide; empty: whoever has the right."""
    who = config.approvers
    if who is None:
        return ""
    users, groups = ", ".join(who.users), ", ".join(who.groups)
    names = [shorten(users, _NAMES_CHARACTERS)] if users else []
    names += [f"members of {shorten(groups, _NAMES_CHARACTERS)}"] if groups else []
    return f" (for {', and '.join(names)})"


def _require_approver(config: ApprovalConfig, given: Answer) -> None:
    who = config.approvers
    if who is None or given.groups is None:
        return
    if given.by in who.users or not set(who.groups).isdisjoint(given.groups):
        return
    claimed = f", nor in a group that may ({', '.join(given.groups)[:200]})" if given.groups else ""
    raise AnswerRefusedError(
        f"{given.shown_by} is not among its approvers{claimed}; they are{_approvers(config)[5:-1]}"
    )


def _output(by: str | None, at: float, comment: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "approved": True,
        "by": by,
        "at": format_time(at),
        "comment": comment,
        "values": dict(values),
    }
