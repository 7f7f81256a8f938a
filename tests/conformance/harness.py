"""Cases, how a shell is driven through one, and what its end must be.

A case is a YAML file: comments that say the rule, the documents that a user would write (an
optional Workflow, a WorkflowRun), and after the last `---` what is done to the run and how it ends:

  # Before: a WorkflowRun with a name of its own, NAME-earlier, is run to its end first.
  steps:                            # in order; each waits for what `when` names, then acts
  - when: {phase: Running, a: Running}
    suspend: true                   # or: cancel, terminate, rerun {nodes, cascade, context, revision},
  - when: {phase: Paused}           #     restore N, apply {a changed Workflow's spec},
                                    #     deleteExecutor NAME, approve {node, executionId, decision,
                                    #     comment, values}, by alice of the group release; deleteRun NAME
    suspend: false
  expect:
    phase: Failed
    reason: NodeFailed              # of the condition Succeeded; more: contextVersion, outputs,
    refused: [unknown node]         # what requests were refused with, progress, removed nodes
    nodes:                          # all of them
      a: Completed                  # short for {status: Completed}
      b: Failed Timeout             # short for {status: Failed, reason: Timeout}
      c: {status: Completed, output: {n: 1}, executionCount: 2}

A case that only one shell carries out so far has `only: laptop` beside these. One whose personas
ask models has `answers: {node: [turns]}` (`tests.conformance.models`), and its ModelConfigs name
the server `http://models.example/v1`.

Of a node everything named must be so; what is not named must be at its default, but for counts and
output. `message` is a string, or several, that must occur in it; `warnings` likewise, one for each.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import yaml

from podium.api.source.files import load_text
from tests.conformance import models

CASES = Path(__file__).parent / "cases"
ENDED = ("Succeeded", "Failed", "Cancelled")
STEP_SECONDS = 120
_ONLY = re.compile(r"^only: (\w+)$", re.MULTILINE)
ACTIONS = (
    *("suspend", "cancel", "terminate", "rerun", "restore", "apply", "deleteExecutor", "approve"),
    "deleteRun",
)
OF_ANY_NAME = ("ConfigMap", "Executor", "ContractSchema", "Persona", "ModelConfig")
EXPECTED = {
    "phase", "reason", "message", "contextVersion", "progress", "nodes", "removedNodes", "refused",
    "outputs", "tokens",
}  # fmt: skip
NODE_FIELDS = {
    "status", "reason", "message", "output", "executionCount", "retryCount", "executionId",
    "warnings", "qualityScore", "contractFulfilled", "contextVersion", "stale", "history", "error",
    "copiedFrom",  # RUN/EXECUTION
    "items", "tokens",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One file."""

    name: str
    rule: str
    documents: list[dict[str, Any]]
    """What a user would apply."""
    expect: dict[str, Any]
    steps: list[dict[str, Any]] = field(default_factory=list)
    only: str | None = None
    """The one shell that carries it out; None: both do."""
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What models answer, by node and in order."""

    def find(self, kind: str) -> dict[str, Any] | None:
        found = [each for each in self.documents if each["kind"] == kind]
        return next((each for each in found if each not in self.earlier), None)

    @property
    def run(self) -> dict[str, Any]:
        found = self.find("WorkflowRun")
        assert found is not None, f"{self.name} has no WorkflowRun"
        return found

    @property
    def earlier(self) -> list[dict[str, Any]]:
        """Runs that end before the run of the case begins."""
        runs = [each for each in self.documents if each["kind"] == "WorkflowRun"]
        return [each for each in runs if each["metadata"]["name"] == f"{self.name}-earlier"]


@dataclass(frozen=True)
class End:
    """How a run ended."""

    status: dict[str, Any]
    """As it stands in the resource."""
    refused: list[str]
    """Messages of requests that were refused, sorted: Events know no order within a second."""


class Shell(Protocol):
    """What carries a run out: a laptop or a cluster."""

    poll: float
    """Seconds from one look to the next."""
    address: str
    """Where its programs reach this machine."""

    async def start(self, case: Case) -> None: ...
    async def status(self) -> dict[str, Any]: ...
    async def control(self, **asked: bool) -> None: ...
    async def rerun(self, request: dict[str, Any]) -> None: ...
    async def restore(self, version: int) -> None: ...
    async def approve(self, decision: dict[str, Any]) -> None: ...
    async def apply(self, spec: dict[str, Any]) -> None: ...
    async def delete_executor(self, name: str) -> None: ...
    async def delete_run(self, name: str) -> None: ...
    async def pending(self) -> bool:
        """Return whether a request waits to be carried out."""
        ...

    async def refused(self) -> list[str]: ...
    async def close(self) -> None: ...


def names(shell: str) -> list[str]:
    """Return the cases of a shell, laptop or cluster."""
    other = {
        path
        for path in CASES.glob("*.yaml")
        if (only := _ONLY.search(path.read_text())) and only[1] != shell
    }
    return sorted(path.stem for path in CASES.glob("*.yaml") if path not in other)


def load(name: str) -> Case:
    """Read a case, and refuse one that says something nobody would check."""
    text = (CASES / f"{name}.yaml").read_text()
    assert text.startswith("# "), f"{name}: the first line says the rule"
    rule = " ".join(line.lstrip("# ") for line in text.split("\n", 40) if line.startswith("#"))
    given, _, own = text.rpartition("\n---\n")
    last = yaml.safe_load(own)
    assert set(last) <= {"steps", "expect", "only", "answers"}, f"{name}: {set(last)}"
    only = last.get("only")
    assert only in (None, "laptop"), f"{name}: {only}"
    expect, steps = last["expect"], last.get("steps", [])
    assert set(expect) <= EXPECTED, f"{name}: {set(expect) - EXPECTED}"
    for node, wanted in expect.get("nodes", {}).items():
        unknown = set(_entry(wanted)) - NODE_FIELDS
        assert not unknown, f"{name}: {node}: {unknown}"
    for step in steps:
        assert len(set(step) & set(ACTIONS)) <= 1, f"{name}: {step}"
        assert set(step) <= {"when", *ACTIONS}, f"{name}: {step}"
    case = Case(name, rule, _documents(given, name), expect, steps, only, last.get("answers", {}))
    assert all(
        each["metadata"]["name"] == name
        or (each["kind"] == "Workflow" and each["metadata"]["name"].startswith(f"{name}-"))
        for each in case.documents
        if each["kind"] not in OF_ANY_NAME and each not in case.earlier
    ), f"{name}: Workflow and WorkflowRun have the name of the file, others begin with it"
    return case


def _documents(text: str, name: str) -> list[dict[str, Any]]:
    return [document.raw for document in load_text(text, name)]


async def drive(case: Case, shell: Shell) -> End:
    """Take a run through its steps to its end."""
    if case.answers:
        with models.answering(case.answers, shell.address) as url:
            text = json.dumps(case.documents).replace(models.PLACE, url)
            there = replace(case, documents=json.loads(text), answers={})
            return await drive(there, shell)
    asked = {"suspend": False, "cancel": False, "terminate": False}
    try:
        await shell.start(case)
        for step in case.steps:
            await _until(shell, step.get("when", {}), settled=not asked["suspend"])
            if asked.keys() & step.keys():
                asked = {name: step.get(name, value) for name, value in asked.items()}
                await shell.control(**asked)
            elif "rerun" in step:
                await shell.rerun(step["rerun"])
            elif "restore" in step:
                await shell.restore(step["restore"])
            elif "apply" in step:
                await shell.apply(step["apply"])
            elif "approve" in step:
                await shell.approve(step["approve"])
            elif "deleteRun" in step:
                await shell.delete_run(step["deleteRun"])
            elif "deleteExecutor" in step:
                await shell.delete_executor(step["deleteExecutor"])
        await _until(shell, {"phase": ENDED}, settled=True)
        status = await shell.status()
        wanted = len(case.expect.get("refused", ()))
        end = time.monotonic() + 20
        refused = await shell.refused()
        # They come as Events, when they come.
        while len(refused) < wanted and time.monotonic() < end:
            await asyncio.sleep(shell.poll)
            refused = await shell.refused()
        return End(status, sorted(refused))
    finally:
        await shell.close()


async def _until(shell: Shell, when: dict[str, Any], *, settled: bool) -> None:
    end = time.monotonic() + STEP_SECONDS
    while True:
        # Asked first: what is carried out in between shows in the status.
        waiting = settled and await shell.pending()
        status = await shell.status()
        if not waiting and _holds(when, status):
            return
        over = settled and not waiting and status.get("phase") in ENDED
        if over or time.monotonic() > end:
            shown = json.dumps(status, indent=1, ensure_ascii=False)
            raise AssertionError(f"never was {when}: {shown}")
        await asyncio.sleep(shell.poll)


def _holds(when: dict[str, Any], status: dict[str, Any]) -> bool:
    for name, wanted in when.items():
        state = status.get("nodes", {}).get(name, {})
        found = {status.get("phase")} if name == "phase" else {_short(state), _whole(state)}
        if not found & set((wanted,) if isinstance(wanted, str) else wanted):
            return False
    return True


def _short(state: dict[str, Any]) -> str:
    """Return status and reason; of what runs only the status, the reason is the shell's."""
    status = str(state.get("status"))
    return status if status in ("Running", "Ready") else _whole(state)


def _whole(state: dict[str, Any]) -> str:
    return f"{state.get('status')} {state.get('reason', '')}".strip()


# What must be


def differences(expect: dict[str, Any], end: End) -> list[str]:
    """Return where an end differs from what was expected."""
    status = end.status
    found: list[str] = []

    def same(what: str, wanted: Any, got: Any) -> None:
        if _text(wanted) != _text(got):
            found.append(f"{what}: wanted {_text(wanted)}, got {_text(got)}")

    def holds(what: str, wanted: Any, got: str) -> None:
        for part in [wanted] if isinstance(wanted, str) else wanted:
            if part not in got:
                found.append(f"{what}: wanted {part!r} in {got!r}")

    ended = next((c for c in status.get("conditions", []) if c["type"] == "Succeeded"), {})
    same("phase", expect["phase"], status.get("phase"))
    if "reason" in expect:
        same("reason", expect["reason"], ended.get("reason", ""))
    if "message" in expect:
        holds("message", expect["message"], ended.get("message", ""))
    for name, default in (("contextVersion", 0), ("progress", None)):
        if name in expect:
            same(name, expect[name], status.get(name, default))
    same("outputs", expect.get("outputs"), status.get("outputs"))
    if "tokens" in expect:
        same("tokens", expect["tokens"], _tokens(status))
    refused = expect.get("refused", [])
    same("number of refused requests", len(refused), len(end.refused))
    for wanted in refused:
        parts = [wanted] if isinstance(wanted, str) else wanted
        if not any(all(part in got for part in parts) for got in end.refused):
            found.append(f"refused: wanted {parts} in one of {end.refused}")
    nodes = status.get("nodes", {})
    same("nodes", sorted(expect.get("nodes", {})), sorted(nodes))
    same(
        "removedNodes",
        sorted(expect.get("removedNodes", [])),
        sorted(status.get("removedNodes", {})),
    )
    for node, wanted in expect.get("nodes", {}).items():
        _node(node, _entry(wanted), nodes.get(node, {}), same, holds)
    return found


def _node(node: str, wanted: dict[str, Any], state: dict[str, Any], same: Any, holds: Any) -> None:
    if "tokens" in wanted:
        same(f"{node}.tokens", wanted["tokens"], _tokens(state))
    for name, default in (("status", None), ("reason", ""), ("stale", False)):
        same(f"{node}.{name}", wanted.get(name, default), state.get(name, default))
    for name, default in (
        ("output", None), ("executionId", None), ("executionCount", 0), ("retryCount", 0),
        ("qualityScore", None), ("contractFulfilled", None), ("contextVersion", None),
    ):  # fmt: skip
        if name in wanted:
            same(f"{node}.{name}", wanted[name], _timeless(state.get(name, default)))
    origin = state.get("copiedFrom")
    copied = "/".join(origin.split("/")[::2]) if origin else None
    same(f"{node}.copiedFrom", wanted.get("copiedFrom"), copied)
    if "items" in wanted:
        got = state.get("items", {})
        for name in ("count", "completed", "failed", "skipped"):
            default = 0 if name == "count" else ""
            same(f"{node}.items.{name}", wanted["items"].get(name, default), got.get(name, default))
    if "message" in wanted:
        holds(f"{node}.message", wanted["message"], state.get("message", ""))
    warnings, got = wanted.get("warnings", []), state.get("warnings", [])
    same(f"number of {node}.warnings", len(warnings), len(got))
    for part, text in zip(warnings, got, strict=False):
        holds(f"{node}.warnings", part, text)
    if "error" in wanted:
        holds(f"{node}.error", wanted["error"], state.get("error", {}).get("message", ""))
    if "history" in wanted:
        history = state.get("history", [])
        same(f"length of {node}.history", len(wanted["history"]), len(history))
        for position, (entry, record) in enumerate(zip(wanted["history"], history, strict=False)):
            for name, value in _entry(entry).items():
                same(f"{node}.history[{position}].{name}", value, record.get(name))


def _tokens(state: dict[str, Any]) -> int | None:
    """Return what models took, as they counted it."""
    usage = state.get("tokenUsage")
    return None if usage is None else usage.get("totalTokens", 0)


def _entry(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, dict):
        return wanted
    status, _, reason = wanted.partition(" ")
    return {"status": status, **({"reason": reason} if reason else {})}


def _text(value: Any) -> str:
    """Write a value so that 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# What both shells must agree on

_OF_A_TRY = {"startedAt", "completedAt", "artifacts"}
_OF_A_NODE = {
    *_OF_A_TRY, "createdAt", "updatedAt", "durationSeconds", "nextAttemptAt", "launchedAt",
    "deadline", "cancelledLaunches", "jobUid", "jobName", "podUid", "childRun",
}  # fmt: skip
_OF_A_RUN = {
    *_OF_A_TRY, "observedGeneration", "duration", "deadline", "workflowRevision", "workflowRevisions",
    "workflow", "handledRequests", "activeSeconds", "activeSince", "remainingSeconds", "specHash",
    "finishingSince", "artifactStore", "artifactsOf",
}  # fmt: skip


def normalised(end: End) -> dict[str, Any]:
    """Return an end without what differs from one run to the next: times, names, uids.

    The versions that nodes made say in which order they ended; side by side that is chance.
    """
    status = {key: value for key, value in end.status.items() if key not in _OF_A_RUN}
    status["conditions"] = [
        {key: c.get(key, "") for key in ("type", "status", "reason", "message")}
        for c in status.get("conditions", ())
        if (c["type"], c["status"]) != ("Valid", "True")  # a laptop refuses what is not valid
    ]
    status["contextEdits"] = [
        {key: value for key, value in edit.items() if key not in ("request", "at")}
        for edit in status.get("contextEdits", ())
    ]
    for part in ("nodes", "removedNodes"):
        status[part] = {name: _plain(state) for name, state in status.get(part, {}).items()}
    return {"status": status, "refused": end.refused}


def _timeless(value: Any) -> Any:
    """Return the output of an approval without its time, a message as the laptop has it."""
    if isinstance(value, dict) and "approved" in value:
        return {**value, "at": "time"}
    if isinstance(value, str):
        return re.sub(r"kubectl podium -n \S+ approve", "podium approve", value)
    return value


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    made = {key: _timeless(value) for key, value in state.items() if key not in _OF_A_NODE}
    if "contextVersion" in made:
        made["contextVersion"] = "one"
    if "copiedFrom" in made:
        made["copiedFrom"] = made["copiedFrom"].split("/")[::2]
    if made.get("reason") == "OutputTooLarge":
        # A laptop knows the size, a Pod's termination message only that there was more.
        said = re.sub(r"has \d+ bytes( or more)?", "has too many bytes", made["message"])
        made["message"] = said
        made["error"] = {**made["error"], "message": said}
    made["history"] = [
        {
            key: "one" if key in ("contextVersion", "copiedFrom") else _timeless(value)
            for key, value in record.items()
            if key not in _OF_A_TRY
        }
        for record in state.get("history", ())
    ]
    return made
