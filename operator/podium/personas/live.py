"""Models as the provider: an answer that breaks its contract is asked for again."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.api.reasons import NodeReason
from podium.personas.answers import Completion, ToolCall
from podium.personas.asking import Ask, Reply, Role
from podium.personas.document import Contract, Document, Model, Persona
from podium.personas.endpoint import Endpoint
from podium.personas.errors import PersonaError
from podium.personas.kept import Kept
from podium.personas.keys import without_key
from podium.personas.prompt import Part, Prompt, as_json, prompt_of
from podium.personas.reading import NotAnAnswerError, judged, read_object
from podium.personas.transcript import Transcript
from podium.personas.usage import Budget, Usage, estimated_tokens

if TYPE_CHECKING:
    from podium.personas.tools.toolbox import Toolbox

__all__ = ["Live"]

SECONDS = 3600.0
"""A node without timeoutSeconds."""
MARGIN = 2.0
"""Seconds before the node's time-out in which the runner still writes why it failed."""
_OBJECT: Mapping[str, Any] = {"type": "object"}
_CRITIQUE: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "accepted": {
            "type": "boolean",
            "description": "true: the drafts are good enough to be merged as they are",
        },
        "critiques": {
            "type": "object",
            "description": "for each member whose draft is to be revised: what is wrong with it",
            "additionalProperties": {"type": "string"},
        },
    },
    "required": ["accepted", "critiques"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Talk:
    """One reply that is wanted of a persona."""

    persona: Persona
    prompt: Prompt
    schema: Mapping[str, Any]
    contract: Contract
    about: Mapping[str, Any]
    most: int | None
    """Tokens of input."""


class Live:
    """Asks models for the personas of a node."""

    def __init__(
        self,
        document: Document,
        config: Mapping[str, Any],
        given: Mapping[str, Any],
        transcript: Transcript,
        directory: Path,
        env: Mapping[str, str] | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._document = document
        self._config = config
        self._given = given
        self._transcript = transcript
        self._directory = directory
        """Where tools of personas work: the node's artifacts."""
        self._env = env
        """What tools find in their environment; None: what this process has in its own."""
        seconds = document.timeout_seconds or SECONDS
        self._deadline = time.monotonic() + max(seconds - MARGIN, seconds / 2)
        self._budget = Budget(document.limits, "")
        self._run_budget = Budget(document.run_limits, "what its run had left for the node of its ")
        self._own_budgets: dict[str, Budget] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._kept = kept or Kept()

    @property
    def usage(self) -> Usage:
        """What was used so far."""
        return self._budget.usage

    def tell(self, tell: Callable[[Usage], None]) -> None:
        """Have told what was used, before and after each call."""
        self._budget.tell = tell

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.close()

    def share(self, sharers: int) -> None:
        """Learn how many will ask side by side."""
        self._budget.sharers = self._run_budget.sharers = max(sharers, 1)

    async def ask(self, asked: Ask) -> Reply:
        """Answer. Raises `PersonaError`."""
        persona = self._document.persona(asked.persona)
        contract = self._contract(asked, persona)
        schema = contract.schema or _OBJECT
        own = self._document.contract if asked.is_answer else None
        task = _task(asked, self._document.contract)
        prompt = prompt_of(self._document, persona, self._config, self._given, task, schema, own)
        most = persona.max_input_tokens or persona.model.max_input_tokens
        about = {"persona": asked.persona, "role": asked.role.value, "round": asked.round}
        try:
            prompt.require_fit(most)
            talk = _Talk(persona, prompt, schema, contract, about, most)
            if not persona.tools:
                return Reply(await self._answer(talk, None))
            from podium.personas.tools.toolbox import Toolbox  # noqa: PLC0415 - few have tools

            async with Toolbox(persona, self._directory, self._env) as toolbox:
                return Reply(await self._answer(talk, toolbox), toolbox.files)
        except PersonaError as error:
            self._transcript.add(**about, failed=error.reason, message=str(error))
            raise

    def _contract(self, asked: Ask, persona: Persona) -> Contract:
        """Return what this reply must meet."""
        if asked.is_answer:
            return self._document.contract
        return Contract(schema=_CRITIQUE if asked.role is Role.CRITIQUE else persona.output_schema)

    async def _answer(self, talk: _Talk, toolbox: "Toolbox | None") -> Mapping[str, Any]:
        """Ask until an answer keeps its contract. Raises `PersonaError`: none did."""
        persona, about = talk.persona, talk.about
        messages = talk.prompt.messages()
        pair = None
        said: dict[str, Completion] = {}
        self._transcript.add(**about, model=persona.model.name, asked=messages)
        for repair in range(persona.max_repairs + 1):
            text = await self._said(talk, messages, toolbox, said)
            try:
                output: dict[str, Any] = without_key(read_object(text), persona.model.key)
                judged(output, talk.contract)
            except NotAnAnswerError as error:
                wrong = str(error)
            else:
                self._kept.answers.put(said)
                return output
            if repair == persona.max_repairs:
                break
            words = f"The answer is not accepted:\n{wrong}\nAnswer again, with the whole object."
            if pair is not None:  # only the last one is handed back: all would fill the context
                del messages[pair : pair + 2]
            pair = len(messages)
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": words},
            ]
            self._transcript.add(**about, asked=messages[-1:])
        raise PersonaError(
            NodeReason.MODEL_ANSWER,
            f"{persona.model.name} was asked {persona.max_repairs + 1} times and did not keep the"
            f" contract: {'; '.join(line.removeprefix('- ') for line in wrong.splitlines()):.600}",
        )

    async def _said(
        self,
        talk: _Talk,
        messages: list[dict[str, Any]],
        toolbox: "Toolbox | None",
        said: dict[str, Completion],
    ) -> str:
        """Return the next text of the model; the tools that it calls before are added to it.

        What is not kept yet is added to `said`, by the digest of what was asked.
        """
        persona = talk.persona
        endpoint = self._endpoint(persona.model)
        own = self._own_budgets.setdefault(
            persona.name, Budget(persona.limits, f"persona {persona.name}: ")
        )
        while True:
            _require_fit(messages, talk.most)
            offers = toolbox.offers() if toolbox is not None else ()
            key = self._kept.answers.key(persona.model, messages, talk.schema, offers)
            found = self._kept.answers.get(key)
            if found is not None:
                self._budget.usage.kept += 1
                self._transcript.add(**talk.about, answered=found.text, fromCache=True)
            else:
                budgets = (self._budget, self._run_budget, own)
                found = await endpoint.ask(messages, talk.schema, budgets, offers)
                self._transcript.add(**talk.about, answered=found.text, usage=_counted(found.usage))
                said[key] = found
            if not found.tool_calls or toolbox is None or not offers:
                return found.text
            messages.append(
                {
                    "role": "assistant",
                    "content": found.text or None,
                    "tool_calls": [each.dump() for each in found.tool_calls],
                }
            )
            for each in found.tool_calls:
                result = await self._called(toolbox, each)
                messages.append({"role": "tool", "tool_call_id": each.id, "content": result})
                self._transcript.add(
                    **talk.about, tool=each.name, arguments=each.arguments, result=result
                )

    async def _called(self, toolbox: "Toolbox", asked: ToolCall) -> str:
        """Return the result of a tool. Raises `PersonaError`: the node's time is over."""
        try:
            async with asyncio.timeout(max(self._deadline - time.monotonic(), 0)):
                return await toolbox.call(asked)
        except TimeoutError:
            message = f"the node's timeoutSeconds is over, in a call of {asked.name:.80}"
            raise PersonaError(NodeReason.MODEL, message) from None

    def _endpoint(self, model: Model) -> Endpoint:
        if id(model) not in self._endpoints:
            self._endpoints[id(model)] = Endpoint(model, self._deadline, self._kept.forms)
        return self._endpoints[id(model)]


def _counted(usage: Any) -> dict[str, int]:
    """Return the numbers of what a server says of usage, whatever else is there."""
    names = ("prompt_tokens", "completion_tokens")
    found = usage if isinstance(usage, Mapping) else {}
    return {name: found[name] for name in names if isinstance(found.get(name), int)}


def _require_fit(messages: Sequence[Mapping[str, Any]], most: int | None) -> None:
    """Raise `PersonaError` if what was said since the prompt makes it too long."""
    if most is None:
        return
    sizes = {"the prompt": 0, "answers of tools": 0, "answers that were not accepted": 0}
    for number, message in enumerate(messages):
        later = (
            "answers of tools" if message["role"] == "tool" else "answers that were not accepted"
        )
        name = "the prompt" if number < 2 else later
        sizes[name] += estimated_tokens(str(message.get("content") or ""))
    if (total := sum(sizes.values())) > most:
        named = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        words = f"about {total:,} tokens are more than maxInputTokens {most:,}: {named}"
        raise PersonaError(NodeReason.INPUT_TOO_LARGE, words)


def _task(asked: Ask, contract: Contract) -> list[Part]:
    """Return what a member of a team is to do, with the drafts that it works on."""
    drafts = [
        Part(f"draft of {member}", f"## Draft of {member}\n\n{as_json(draft)}")
        for member, draft in asked.drafts.items()
    ]
    parts = [Part("drafts", "# Drafts"), *drafts] if drafts else []
    match asked.role:
        case Role.DRAFT if asked.is_answer:
            return []
        case Role.DRAFT:
            words = (
                "You work in a team. Write your own draft: the part of the result that your role"
                " knows most of. A lead merges the drafts into one result, which must meet this"
                f" JSON Schema:\n\n{as_json(contract.schema or _OBJECT)}"
            )
        case Role.CRITIQUE:
            words = (
                "You lead a team. Criticise the drafts of its members: for each draft that should"
                " be better, say what is wrong with it and what would be right. Leave out members"
                " whose drafts are good."
            )
        case Role.REVISE:
            words = (
                "You work in a team. Revise your own draft by the critique of the lead, and answer"
                f" with the whole draft:\n\n{as_json(asked.critique)}"
            )
        case Role.MERGE:
            words = "You lead a team. Merge the drafts of its members into one result."
    return [*parts, Part("what is asked of the team", f"# What to do\n\n{words}")]
