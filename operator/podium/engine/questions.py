"""Questions: what was asked of the verdict port about nodes that have not started."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from podium.engine.verdicts import (
    SMALL_STEPS,
    Answer,
    InlineVerdicts,
    StartQuestion,
    Verdicts,
)
from podium.expressions import Fuel, OutOfFuelError

__all__ = ["DECISION_STEPS", "LAUNCH_STEPS", "STEP_FUEL", "Questions"]

STEP_FUEL = 5 * SMALL_STEPS
"""Steps of evaluations, and what else counts as such, in one step of an engine that must not hold
its shell up. The rest is left for the next step, which is due at once."""
EVALUATION_STEPS = 3
"""What a step of an evaluation counts here: one that writes values as text takes 8 microseconds."""
DECISION_STEPS = 20
"""What it costs to decide a node, in steps of evaluations."""
LAUNCH_STEPS = 100
"""What it costs to launch one."""
T = TypeVar("T")


@dataclass(slots=True, eq=False, repr=False)
class _Asked:
    question: StartQuestion
    answer: Answer | None = None


class Questions:
    """Questions that wait for their answer, and answers that wait for their use.

    An answer is used for the question that it was given to, and for no other: whatever changes in
    between (a re-run, an edited context) makes a question of its own. Lost in a crash: the nodes
    are decided again, and ask again.
    """

    def __init__(self) -> None:
        self.verdicts: Verdicts = InlineVerdicts()
        self._is_bounded = False
        """Whether a step has a limit of fuel: the shell has other work to do."""
        self._fuel = STEP_FUEL
        self._later: dict[str, None] = {}
        """Nodes that are to be decided or launched in the next step."""
        self._is_cut = False
        self.changed: deque[str] = deque()
        """Nodes that are to be decided again, because of an answer or of a newer definition."""
        self._asked: dict[str, dict[str, _Asked]] = {}
        """By node and by what is asked about it."""
        self._count = 0

    def use(self, verdicts: Verdicts) -> None:
        """Ask here, and bound what is done at once in a step."""
        self.verdicts = verdicts
        self._is_bounded = True

    # What is done at once

    def begin_step(self) -> list[str]:
        """Take new fuel, and return the nodes that were left by the step before."""
        self._fuel, self._is_cut = STEP_FUEL, False
        left, self._later = list(self._later), {}
        return left

    @property
    def has_left(self) -> bool:
        """Whether something was left for the next step."""
        return self._is_cut or bool(self._later)

    def may_go_on(self, steps: int = 0) -> bool:
        """Take fuel for something; False: there is none left in this step."""
        if not self._is_bounded:
            return True
        if self._fuel <= 0:
            self._is_cut = True
            return False
        self._fuel -= steps
        return True

    def leave(self, nodes: Iterable[str]) -> None:
        """Leave nodes for the next step."""
        self._later.update(dict.fromkeys(nodes))

    def at_once(self, node: str, about: str, evaluate: Callable[[], T]) -> T | None:
        """Evaluate what is small; None: this step has no fuel left, and the next one tries again.

        Raises `OutOfFuelError`: it is not small. What was asked once is not tried here again.
        """
        if about in self._asked.get(node, ()):
            raise OutOfFuelError
        if not self.may_go_on():
            self.leave([node])
            return None
        fuel = Fuel(SMALL_STEPS)
        try:
            with fuel:
                return evaluate()
        except OutOfFuelError:
            fuel.left = 0
            raise
        finally:
            self._fuel -= EVALUATION_STEPS * (SMALL_STEPS - fuel.left)

    # What is asked

    def next_number(self) -> int:
        """Return the number of a new question."""
        self._count += 1
        return self._count

    def ask(self, question: StartQuestion) -> Answer | None:
        """Return the answer; None: it comes later."""
        known = self._asked.get(question.node, {}).get(question.about)
        if known is not None and known.question == question:
            return known.answer
        answer = self.verdicts.ask(question)
        if answer is None:
            self._asked.setdefault(question.node, {})[question.about] = _Asked(question)
        return answer

    def take(self, node: str, answer: Answer) -> bool:
        """Keep an answer for when its question is asked again; False: no question waits for it."""
        for asked in self._asked.get(node, {}).values():
            if asked.question.number == answer.question and asked.answer is None:
                asked.answer = answer
                return True
        return False

    def is_pending(self, node: str) -> bool:
        """Return whether an answer about the node is awaited."""
        asked = self._asked.get(node)
        return asked is not None and any(each.answer is None for each in asked.values())

    def drop(self, node: str) -> None:
        """Forget what was asked about a node."""
        if self._asked:
            self._asked.pop(node, None)

    def drop_all(self) -> None:
        """Forget everything, and have the nodes decided again."""
        self.changed.extend(self._asked)
        self._asked.clear()
