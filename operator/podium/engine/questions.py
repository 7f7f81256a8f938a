"""Questions: what was asked of the verdict port about nodes that have not started."""

from collections import deque
from dataclasses import dataclass

from podium.engine.verdicts import Answer, InlineVerdicts, StartQuestion, Verdicts

__all__ = ["Questions"]


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
        self.changed: deque[str] = deque()
        """Nodes that are to be decided again, because of an answer or of a newer definition."""
        self._asked: dict[str, dict[str, _Asked]] = {}
        """By node and by what is asked about it."""
        self._count = 0

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
