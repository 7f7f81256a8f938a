"""A team: members draft side by side, criticise and revise in rounds, and the lead merges.

A team of one is one call. Every number of calls is bounded before the first is made: `rounds` by
the config, calls of a round by the members.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podium.personas.asking import Ask, Provider, Reply, Role
from podium.personas.errors import PersonaError

__all__ = ["Team", "answer"]


@dataclass(frozen=True, slots=True)
class Team:
    """Who works on a node, and how."""

    members: tuple[str, ...]
    lead: str
    rounds: int
    min_members: int
    """Members whose drafts are needed; the failure of others is passed over."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Team":
        """Read a node's config, which was validated."""
        members = tuple(config["personas"])
        return cls(
            members,
            str(config.get("lead") or members[0]),
            int(config.get("rounds") or 0),
            int(config.get("minMembers") or config.get("min_members") or len(members)),
        )


async def answer(team: Team, node: str, provider: Provider) -> list[Reply]:
    """Return all replies, of which the last is the node's output. Raises `PersonaError`."""
    if len(team.members) == 1:
        return [await provider.ask(Ask(node, team.members[0], Role.DRAFT, is_answer=True))]
    asks = [Ask(node, member, Role.DRAFT) for member in team.members]
    drafts = await _side_by_side(asks, provider, team.min_members)
    replies = list(drafts.values())
    for number in range(1, team.rounds + 1):
        outputs = _outputs(drafts)
        asked = Ask(node, team.lead, Role.CRITIQUE, number, drafts=outputs)
        critique = (await provider.ask(asked)).output
        if critique.get("accepted") is True:
            break
        words = critique.get("critiques")
        words = words if isinstance(words, Mapping) else {}
        asks = [
            Ask(node, member, Role.REVISE, number, drafts=outputs, critique=words[member])
            for member in drafts
            if words.get(member)
        ]
        # A member that cannot revise keeps its draft.
        revised = await _side_by_side(asks, provider, 0)
        drafts |= revised
        replies += revised.values()
    merged = Ask(node, team.lead, Role.MERGE, is_answer=True, drafts=_outputs(drafts))
    return [*replies, await provider.ask(merged)]


def _outputs(drafts: Mapping[str, Reply]) -> dict[str, Any]:
    return {member: dict(reply.output) for member, reply in drafts.items()}


async def _side_by_side(asks: Sequence[Ask], provider: Provider, needed: int) -> dict[str, Reply]:
    """Return the replies by persona. Raises the first error if fewer than `needed` came."""
    provider.share(len(asks))
    try:
        found = await asyncio.gather(*map(provider.ask, asks), return_exceptions=True)
    finally:
        provider.share(1)
    replies: dict[str, Reply] = {}
    failed: list[PersonaError] = []
    for asked, each in zip(asks, found, strict=True):
        if isinstance(each, Reply):
            replies[asked.persona] = each
        elif isinstance(each, PersonaError):
            failed.append(PersonaError(each.reason, f"{asked.persona}: {each}"))
        else:
            raise each
    if len(replies) >= needed or not failed:
        return replies
    first = failed[0]
    if needed < len(asks):
        words = f"{len(replies)} of {len(asks)} members answered, minMembers is {needed}; {first}"
        raise PersonaError(first.reason, words)
    raise first
