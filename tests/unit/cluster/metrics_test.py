"""What is counted of personas: what a status that is written says more than the one before it."""

from podium.cluster.metrics import Metrics


def counted(metrics):
    lines = metrics.text().decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("podium_persona"))
    return {name.removeprefix("podium_persona_"): float(value) for name, value in found.items()}


def status(prompt, completion, calls, cost=None):
    usage = {"promptTokens": prompt, "completionTokens": completion, "calls": calls}
    return {"tokenUsage": usage, **({} if cost is None else {"cost": cost})}


def test_what_a_run_spent_is_counted_once_and_by_no_name_of_a_tenants():
    metrics = Metrics()
    metrics.count_spent({}, {"phase": "Running"})
    first = status(100, 10, 1, 0.5)
    metrics.count_spent({}, first)
    metrics.count_spent(first, first)
    metrics.count_spent(first, status(150, 10, 2, 0.75))
    found = counted(metrics)
    assert found['tokens_total{kind="prompt"}'] == 150
    assert found['tokens_total{kind="completion"}'] == 10
    assert (found["calls_total"], found["cost_total"]) == (2, 0.75)
    assert not [name for name in found if "{" in name and "kind=" not in name]


def test_a_run_that_is_taken_up_again_is_not_counted_again():
    metrics = Metrics()
    known = status(100, 10, 1, 0.5)
    metrics.count_spent(known, {**known, "phase": "Succeeded"})
    assert counted(metrics).get("calls_total") == 0
