"""Models as the provider: an answer that breaks its contract is asked for again."""

import time
from collections.abc import Mapping
from typing import Any

from podium.api.reasons import NodeReason
from podium.personas.asking import Ask, Reply, Role
from podium.personas.document import Contract, Document, Model, Persona
from podium.personas.endpoint import Endpoint
from podium.personas.errors import PersonaError
from podium.personas.prompt import Part, Prompt, as_json, prompt_of
from podium.personas.reading import NotAnAnswerError, judged, read_object
from podium.personas.transcript import Transcript
from podium.personas.usage import Budget, Usage

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


class Live:
    """Asks models for the personas of a node."""

    def __init__(
        self,
        document: Document,
        config: Mapping[str, Any],
        given: Mapping[str, Any],
        transcript: Transcript,
    ) -> None:
        self._document = document
        self._config = config
        self._given = given
        self._transcript = transcript
        seconds = document.timeout_seconds or SECONDS
        self._deadline = time.monotonic() + max(seconds - MARGIN, seconds / 2)
        self._budget = Budget(document.limits, "")
        self._own_budgets: dict[str, Budget] = {}
        self._endpoints: dict[int, Endpoint] = {}

    @property
    def usage(self) -> Usage:
        """What was used so far."""
        return self._budget.usage

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.close()

    def share(self, sharers: int) -> None:
        """Learn how many will ask side by side."""
        self._budget.sharers = max(sharers, 1)

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
            output = await self._answer(persona, prompt, schema, contract, about)
        except PersonaError as error:
            self._transcript.add(**about, failed=error.reason, message=str(error))
            raise
        return Reply(output)

    def _contract(self, asked: Ask, persona: Persona) -> Contract:
        """Return what this reply must meet."""
        if asked.is_answer:
            return self._document.contract
        return Contract(schema=_CRITIQUE if asked.role is Role.CRITIQUE else persona.output_schema)

    async def _answer(
        self,
        persona: Persona,
        prompt: Prompt,
        schema: Mapping[str, Any],
        contract: Contract,
        about: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        endpoint = self._endpoint(persona.model)
        own = self._own_budgets.setdefault(
            persona.name, Budget(persona.limits, f"persona {persona.name}: ")
        )
        messages = prompt.messages()
        self._transcript.add(**about, model=persona.model.name, asked=messages)
        for repair in range(persona.max_repairs + 1):
            found = await endpoint.ask(messages, schema, (self._budget, own))
            self._transcript.add(**about, answered=found.text, usage=found.usage)
            try:
                output = read_object(found.text)
                judged(output, contract)
            except NotAnAnswerError as error:
                wrong = str(error)
            else:
                return output
            if repair == persona.max_repairs:
                break
            words = f"The answer is not accepted:\n{wrong}\nAnswer again, with the whole object."
            more = [
                {"role": "assistant", "content": found.text},
                {"role": "user", "content": words},
            ]
            # Only the last answer is handed back: all of them would fill the context.
            messages = [*prompt.messages(), *more]
            self._transcript.add(**about, asked=more[1:])
        raise PersonaError(
            NodeReason.MODEL_ANSWER,
            f"{persona.model.name} was asked {persona.max_repairs + 1} times and did not keep the"
            f" contract: {'; '.join(line.removeprefix('- ') for line in wrong.splitlines()):.600}",
        )

    def _endpoint(self, model: Model) -> Endpoint:
        return self._endpoints.setdefault(id(model), Endpoint(model, self._deadline))


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
