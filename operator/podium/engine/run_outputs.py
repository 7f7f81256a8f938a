"""What a run hands over: `outputs` of its workflow, evaluated once when all of it has ended."""

from typing import Any

from podium import contracts, expressions
from podium.api.workflow import MAX_RUN_OUTPUT_BYTES
from podium.engine.context import run_scope
from podium.engine.selection import is_unselected
from podium.engine.state import RUN, RunState
from podium.engine.verdicts import ValueQuestion, read_by, value_of

__all__ = ["evaluate_outputs"]


def evaluate_outputs(run: RunState) -> bool:
    """Evaluate the outputs of a run that succeeds; False: an answer is awaited.

    What is wrong is in `RunState.output_problem` afterwards, else they are in the status.
    """
    values = run.output_values
    for name, expression in run.plan.outputs.items():
        if name in values:
            continue
        try:
            found = _value(run, name, expression)
        except expressions.ExpressionError as error:
            if _reads_unselected(run, expression):
                continue
            run.output_problem = (
                f"outputs.{name}: {error}; default(x, y) is for what may be absent"
                if isinstance(error, expressions.MissingValueError)
                else f"outputs.{name}: {error}"
            )
            return True
        if found is None:
            return False
        values[name] = found[0]
    size = len(contracts.canonical(values))
    if size > MAX_RUN_OUTPUT_BYTES:
        run.output_problem = (
            f"outputs: they have {size:,} bytes as JSON, and {MAX_RUN_OUTPUT_BYTES:,} is the limit:"
            " hand large data over in files or in a store"
        )
    else:
        run.status.outputs = values
    run.output_values = {}
    return True


def _reads_unselected(run: RunState, expression: expressions.Expression) -> bool:
    """Return whether an output is of nodes that the run, of a part, has left out."""
    paths = ([str(part) for part in each.path[1:]] for each in expression.references)
    states = run.status.nodes
    # A member is a field of its group, and what it hands over fields below.
    names = (".".join(path[:size]) for path in paths for size in range(1, min(len(path), 4) + 1))
    return any(name in states and is_unselected(states[name]) for name in names)


def _value(run: RunState, name: str, expression: expressions.Expression) -> tuple[Any] | None:
    """Return the value of an output; None: not known yet. Raises `ExpressionError`."""
    about = f"outputs.{name}"
    status, questions = run.status, run.questions
    scope = run_scope(run.plan, run.info, status.nodes, run.context, status.started_at)

    def evaluate() -> tuple[Any]:
        return (value_of(expression, scope),)

    try:
        return questions.at_once(RUN, about, evaluate)
    except expressions.OutOfFuelError:
        pass  # asked below
    question = ValueQuestion(
        number=questions.next_number(),
        about=about,
        expression=expression.source,
        scope=read_by(expression.references, scope),
    )
    answer = questions.ask(question)
    return None if answer is None else (answer.computed(),)
