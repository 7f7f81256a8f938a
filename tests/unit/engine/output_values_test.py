"""Values in `outputs` of a node: read, and made part of its output."""

import pytest

from podium.engine import AttemptPhase
from tests.unit.engine.support import Run, node


def ended(outputs, output=None, limit=4096, **values):
    run = Run(node("a", outputs=outputs, retryPolicy={"maxAttempts": 2})).step()
    return run.ok("a-1", output, values=values, output_limit=limit)


FILE = {"path": "/tmp/x"}


@pytest.mark.parametrize(
    ("source", "raw", "value"),
    [
        (FILE, b"hello\n", "hello"),
        (FILE, b"a\nb\n\n", "a\nb\n"),
        (FILE, b"\n", ""),
        (FILE, b" 1 ", " 1 "),
        ({"stdout": "Text"}, "é\n".encode(), "é"),
        ({**FILE, "format": "Json"}, b'{"n": 1.0}\n', {"n": 1}),
        ({**FILE, "format": "Json"}, b"null", None),
        ({"stdout": "Json"}, b"[1]", [1]),
        ({"stdout": "Lines"}, b"a\n\nb", ["a", "", "b"]),
        ({"stdout": "Lines"}, b"\n", [""]),
        ({"stdout": "Text", "default": "d"}, b"x", "x"),
    ],
)
def test_a_value_is_read_as_it_says(source, raw, value):
    run = ended({"x": source}, x=raw)
    assert run.stands("a") == "Completed"
    assert run.state("a").output == {"x": value}


def test_values_stand_beside_what_the_program_wrote():
    run = ended({"x": {"stdout": "Text"}}, {"y": 1}, x=b"1")
    assert run.state("a").output == {"y": 1, "x": "1"}


@pytest.mark.parametrize("values", [{}, {"x": b""}])
def test_a_default_stands_for_what_is_missing_or_empty(values):
    run = ended({"x": {**FILE, "default": "d"}}, **values)
    assert run.state("a").output == {"x": "d"}


@pytest.mark.parametrize(
    ("source", "raw", "reason", "words"),
    [
        (FILE, b"", "OutputMissing", "outputs.x: /tmp/x is missing or empty: let the program write"),
        ({"stdout": "Text"}, b"", "OutputMissing", "outputs.x: standard output is empty"),
        (FILE, b"\xff", "OutputNotJSON", "outputs.x: /tmp/x is not UTF-8 text"),
        (FILE, "a\ufffd".encode(), "OutputNotJSON", "is not UTF-8 text"),
        ({"stdout": "Json"}, b"{", "OutputNotJSON", "is not JSON: "),
        ({"stdout": "Json"}, b"NaN", "OutputNotJSON", "holds NaN"),
        ({"stdout": "Json"}, b"[" * 4000, "OutputNotJSON", "nested deeper"),
        ({"stdout": "Json"}, b'{"a": 1, "a": 2}', "OutputNotJSON", "twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_fails_the_execution_and_is_tried_again(source, raw, reason, words):
    run = ended({"x": source}, x=raw)
    assert run.stands("a") in (f"Ready {reason}", f"Running {reason}", "Running")
    assert any(reason in event and words in event for event in run.events)
    assert run.state("a").retry_count == 1


def test_a_name_that_stands_in_both_is_refused():
    run = ended({"x": {"stdout": "Text"}}, {"x": 1}, x=b"1")
    assert any(
        "OutputContract" in event and "$PODIUM_OUTPUT has 'x' too" in event for event in run.events
    )


@pytest.mark.parametrize(
    "values", [{"x": b"x" * 4096}, {"x": b'"' * 2100}, {"x": b"x" * 2100, "y": b"y" * 2100}]
)
def test_all_of_an_output_is_bounded_as_json(values):
    run = ended({name: {"stdout": "Text"} for name in values}, **values)
    assert run.stands("a") == "Failed OutputTooLarge"
    assert run.state("a").retry_count == 0


def test_a_contract_looks_at_the_values():
    schema = {"properties": {"x": {"type": "integer"}}}
    run = Run(
        node("a", outputs={"x": {"stdout": "Json"}}, outputContract={"schema": schema})
    ).step()
    run.ok("a-1", values={"x": b'"1"'})
    assert run.stands("a") == "Failed OutputContract"


def test_a_program_that_failed_hands_over_nothing():
    run = Run(node("a", outputs={"x": FILE})).step()
    run.step(
        run.see(
            "a-1", AttemptPhase.FAILED, reason="Error", message="exit code 1", values={"x": b"1"}
        )
    )
    assert run.stands("a") == "Failed Error"
    assert run.state("a").output is None
