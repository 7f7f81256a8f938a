"""The port of the engine, answered by the pool."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from podium.engine import AttemptPhase, Observation, Question
from podium.judge.pool import JudgeError, OverBudgetError, Pool, StarvedError
from podium.judge.questions import TASK, dump_question, load_answer, too_expensive

__all__ = ["PooledVerdicts"]


class PooledVerdicts:
    """Has the questions of one run answered by workers.

    What is small the engine answers itself and does not ask (`podium.engine.verdicts.is_small`, the
    fuel of expressions).
    """

    def __init__(self, pool: Pool, asker: str, tell: Callable[[Observation], None]) -> None:
        """`tell` takes each answer, for the next step of the engine."""
        self._pool = pool
        self._asker = asker
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question) -> None:
        """Have a question answered later."""
        task = asyncio.create_task(self._judge(question), name="judge-question")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Want no more answers, and keep nothing in memory that would take them."""
        for task in self._tasks:
            task.cancel()
        self._tell = _drop

    async def _judge(self, question: Question) -> None:
        try:
            answer = load_answer(question, await self._ask(question))
        except OverBudgetError as error:
            answer = too_expensive(question, str(error))
        except JudgeError as error:
            answer = too_expensive(question, f"is not possible ({error!s:.300})")
        observation = Observation(
            question.node, question.execution, AttemptPhase.JUDGED, verdict=answer
        )
        self._tell(observation)

    async def _ask(self, question: Question) -> bytes:
        """Ask until a worker gets the time to answer: a busy machine fails no node."""
        while True:
            with suppress(StarvedError):
                return await self._pool.ask(
                    TASK, lambda: dump_question(question), asker=self._asker
                )


def _drop(_: Observation) -> None:
    """Take an answer that is not wanted any more."""
