"""A run whose larger questions are answered when the test says so."""

import json

from podium.engine import AttemptPhase, Engine, dump_status, load_status
from podium.engine.verdicts import answer
from tests.unit.engine.support import Run

COSTLY = {"properties": {"v": {"pattern": "^(a+)+$"}}}


class Deferred:
    """Answers when it is asked to."""

    def __init__(self):
        self.questions = []

    def ask(self, question):
        self.questions.append(question)

    def answers(self, run):
        questions, self.questions = self.questions, []
        return [
            run.see(each.execution, AttemptPhase.JUDGED, verdict=answer(each)) for each in questions
        ]


class Judged(Run):
    """A run whose larger questions are answered later."""

    def __init__(self, *nodes, **spec):
        super().__init__(*nodes, **spec)
        self.verdicts = Deferred()
        self.begin(self.engine.status)

    def begin(self, status):
        engine = self.engine
        self.engine = Engine(self.plan, engine.info, engine.initial_context, status, self.verdicts)

    def crash(self):
        self.verdicts = Deferred()
        self.begin(load_status(json.loads(json.dumps(dump_status(self.engine.status)))))
        return self

    def answered(self):
        return self.step(*self.verdicts.answers(self))
