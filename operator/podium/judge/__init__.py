"""The judge: worker processes for whatever may take long because a user wrote it.

Contracts, schemas, larger expressions, and whole objects are judged in processes that can be ended:
each question has a budget of time and memory, and one that goes beyond it is answered all the same
(`OverBudgetError`), by a worker that is ended and replaced. What is small for certain needs none of
this and is judged where it is asked (`podium.engine.verdicts.is_small`, `podium.judge.small`).

Nothing here knows Kubernetes: `pool` asks on behalf of the operator, `__main__` is a worker,
`tasks` says what workers can be asked, `questions` how those of the engine become plain data.
"""
