"""What calls to models cost, and budgets that stop before they are passed.

Every attempt is charged, those that failed too. Where a server does not say what it counted, the
attempt is charged by an estimate from above: a token for every three bytes, which is more than
models count for text in any script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podium.api.reasons import NodeReason
from podium.personas.document import Limits, Model
from podium.personas.errors import PersonaError

__all__ = ["BYTES_PER_TOKEN", "Budget", "Charge", "Counts", "Usage", "estimated_tokens"]

BYTES_PER_TOKEN = 3
LEAST_ANSWER = 64
"""Tokens of an answer for which a call is worth its prompt."""
_HIGHEST = 10**9
_MILLION = 1_000_000


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has, from above."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one attempt used."""

    prompt: int
    completion: int
    cached: int = 0
    is_measured: bool = True

    @classmethod
    def told(cls, usage: Any, prompt: int, completion: int) -> "Charge":
        """Read what the server counted; the other numbers are the estimates where it did not."""
        found = usage if isinstance(usage, Mapping) else {}
        counted = [_count(found.get(key)) for key in ("prompt_tokens", "completion_tokens")]
        if counted[0] is None or counted[1] is None:
            return cls(prompt, completion, is_measured=False)
        details = found.get("prompt_tokens_details")
        cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
        return cls(counted[0], counted[1], min(cached or 0, counted[0]))


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _HIGHEST
    return value if is_count else None


@dataclass(slots=True)
class Counts:
    """What was used."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    unmeasured: int = 0
    kept: int = 0
    """Answers that were given again, for which no model was asked."""
    cost: float | None = None

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt + self.completion

    def count(self, model: Model, charge: Charge) -> None:
        """Count an attempt."""
        self.calls += 1
        self.prompt += charge.prompt
        self.completion += charge.completion
        self.cached += charge.cached
        self.unmeasured += not charge.is_measured
        if model.prices is not None:
            self.cost = (self.cost or 0) + cost_of(model.prices, charge)

    def add(self, other: "Counts") -> None:
        """Count what others counted."""
        self.calls += other.calls
        self.prompt += other.prompt
        self.completion += other.completion
        self.cached += other.cached
        self.unmeasured += other.unmeasured
        self.kept += other.kept
        if other.cost is not None:
            self.cost = (self.cost or 0) + other.cost

    def counts(self) -> dict[str, Any]:
        """Return it as JSON."""
        made: dict[str, Any] = {
            "calls": self.calls,
            "promptTokens": self.prompt,
            "completionTokens": self.completion,
            "totalTokens": self.tokens,
        }
        if self.cached:
            made["cachedTokens"] = self.cached
        if self.unmeasured:
            made["unmeasuredCalls"] = self.unmeasured
        if self.kept:
            made["keptAnswers"] = self.kept
        if self.cost is not None:
            made["cost"] = round(self.cost, 8)
        return made


@dataclass(slots=True)
class Usage(Counts):
    """What was used, in all and of each model."""

    models: dict[str, Counts] = field(default_factory=dict)

    def count(self, model: Model, charge: Charge) -> None:
        """Count an attempt."""
        Counts.count(self, model, charge)
        self.models.setdefault(model.name, Counts()).count(model, charge)

    def dump(self) -> dict[str, Any]:
        """Return it as JSON, as the shells take it."""
        made = self.counts()
        if len(self.models) > 1:
            made["models"] = {name: each.counts() for name, each in self.models.items()}
        return made


def cost_of(prices: Mapping[str, float], charge: Charge) -> float:
    """Return what an attempt costs by prices of a million tokens."""
    into = prices.get("input", 0)
    fresh = charge.prompt - charge.cached
    paid = fresh * into + charge.cached * prices.get("cachedInput", into)
    return (paid + charge.completion * prices.get("output", 0)) / _MILLION


class Budget:
    """Limits, and what was used of them; calls that go on at a time are reserved for."""

    def __init__(self, limits: Limits, whose: str) -> None:
        self._limits = limits
        self._whose = whose
        self.usage = Usage()
        self._reserved_tokens = 0
        self._reserved_cost = 0.0
        self.sharers = 1
        """How many ask side by side: none of them may take what is left from the others."""
        self.tell: Callable[[Usage], None] | None = None
        """Told before and after each call what was used, a call that goes on with its prompt."""
        self._open: list[tuple[Model, Charge]] = []

    def room(self, model: Model, prompt: int) -> int | None:
        """Return how many tokens an answer may have; None: any number.

        Raises `PersonaError`: the call would pass a limit.
        """
        rooms = []
        if (limit := self._limits.tokens) is not None:
            left = limit - self.usage.tokens
            room = min(left // self.sharers, left - self._reserved_tokens) - prompt
            self._require(room, f"tokens: {limit:,}", f"{max(left, 0):,}", prompt)
            rooms.append(room)
        if (most := self._limits.cost) is not None:
            if model.prices is None:
                message = f"limits.cost: the ModelConfig of {model.name} has no prices to count by"
                raise PersonaError(NodeReason.CONFIG, message)
            unspent = most - (self.usage.cost or 0)
            money = min(unspent / self.sharers, unspent - self._reserved_cost)
            money -= cost_of(model.prices, Charge(prompt, 0))
            price = model.prices.get("output", 0) / _MILLION
            room = int(money / price) if price else (_HIGHEST if money >= 0 else -1)
            self._require(room, f"cost: {most:g}", f"{max(unspent, 0):.6g}", prompt)
            rooms.append(room)
        return min(rooms, default=None)

    def _require(self, room: int, limit: str, left: str, prompt: int) -> None:
        if room < LEAST_ANSWER:
            raise PersonaError(
                NodeReason.BUDGET,
                f"{self._whose}limits.{limit}: {left} are left, and the next call has a prompt of"
                f" about {prompt:,} tokens: raise the limit, or hand less over",
            )

    def reserve(self, model: Model, prompt: int, completion: int) -> Charge:
        """Set aside what a call may use at most."""
        charge = Charge(prompt, completion, is_measured=False)
        self._reserve(model, charge, 1)
        self._open.append((model, Charge(prompt, 0, is_measured=False)))
        self._tell()
        return charge

    def settle(self, model: Model, reserved: Charge, used: Charge) -> None:
        """Count what the call used, and give back what was set aside."""
        self._reserve(model, reserved, -1)
        self._open.remove((model, Charge(reserved.prompt, 0, is_measured=False)))
        self.usage.count(model, used)
        self._tell()

    def _tell(self) -> None:
        if self.tell is None:
            return
        so_far = Usage()
        so_far.add(self.usage)
        for model, charge in self._open:
            so_far.count(model, charge)
        self.tell(so_far)

    def _reserve(self, model: Model, charge: Charge, sign: int) -> None:
        self._reserved_tokens += sign * (charge.prompt + charge.completion)
        if model.prices is not None:
            self._reserved_cost += sign * cost_of(model.prices, charge)
