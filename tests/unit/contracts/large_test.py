"""Large outputs: read within bounds, and what is picked of them."""

import json
import random

import pytest

from podium.contracts import (
    LARGE_OUTPUT_BYTES,
    AskedOutput,
    OutputNotJSONError,
    OutputTooLargeError,
    large,
    read_large_output,
)

ROWS = [{"id": n, "name": f"row {n}", "tags": ["a", "b"]} for n in range(500)]
DOCUMENT = {
    "rows": ROWS,
    "count": 500.0,
    "report": {"ok": True, "text": "x" * 5000},
    "0": "zero",
    "few": [1, 2],
}


def read(document=DOCUMENT, **asked):
    return read_large_output(json.dumps(document).encode(), AskedOutput(**asked))


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ([], {}),
        ([("count",)], {"count": 500}),
        ([("none",), ("report", "none")], {"report": {}}),
        ([("report", "ok"), ("count",)], {"report": {"ok": True}, "count": 500}),
        ([("rows", 2, "id")], {"rows": [None, None, {"id": 2}]}),
        ([("rows", 1, "id"), ("rows", 1, "tags")], {"rows": [None, {"id": 1, "tags": ["a", "b"]}]}),
        ([("rows", 1, "id"), ("rows", 1)], {"rows": [None, ROWS[1]]}),
        ([("rows", 1), ("rows", 1, "id")], {"rows": [None, ROWS[1]]}),
        ([("few", 3, "id")], {"few": [None, None]}),
        ([("rows", "ok")], {"rows": []}),
        ([("rows", 0, "name", 1)], {"rows": [{"name": "row 0"}]}),
        ([("report", "text", "more")], {"report": {"text": ""}}),
        ([("count", "more")], {"count": 500}),
        ([("0",)], {"0": "zero"}),
    ],
)
def test_what_is_read_travels_and_nothing_else(paths, found):
    output = read(read=tuple(paths))
    assert output.read == found
    assert not output.is_whole
    assert json.loads(output.data) == DOCUMENT


def test_of_what_must_be_there_the_place_travels():
    output = read(present=(("report", "text"), ("rows", "1"), ("none",)), read=(("count",),))
    assert output.read == {"report": {"text": None}, "rows": [None, None], "count": 500}


def test_a_value_that_is_read_is_not_hidden_by_its_being_asked_for():
    paths = (("report", "ok"),)
    assert read(read=paths, present=paths).read == {"report": {"ok": True}}
    assert read(read=(("rows", 0),), present=(("rows", "0", "id"),)).read == {"rows": ROWS[:1]}


def test_a_small_output_travels_whole():
    output = read({"n": 1.0, "m": None})
    assert (output.read, output.is_whole) == ({"n": 1, "m": None}, True)
    assert read({"n": "x" * 2039}).is_whole
    assert not read({"n": "x" * 2040}).is_whole


@pytest.mark.parametrize("path", [(), ("report",), ("report", "text"), ("rows",), ("rows", 499)])
def test_too_much_to_travel_is_refused_with_what_is_read(path):
    with pytest.raises(OutputTooLargeError, match="must have less than 2,048") as refused:
        read(read=(path,))
    assert f"({'.'.join(map(str, path)) or 'all of it'})" in str(refused.value)


def test_its_contract_is_judged_over_all_of_it():
    schema = {"properties": {"rows": {"items": {"properties": {"id": {"maximum": 498}}}}}}
    verdict = read(schema=schema, produces=("count", "more")).verdict
    assert verdict.reason == "OutputContract"
    assert [breach.path for breach in verdict.breaches] == ["more", "rows[499].id"]
    assert read(quality_threshold=0.5, is_own_threshold=True).verdict.reason != ""


@pytest.mark.parametrize(
    "raw", [b"[" + b"1," * 3000 + b"1]", b"{", b'{"a": NaN}', b'{"a":' * 200 + b"1" + b"}" * 200]
)
def test_what_is_no_json_object_is_refused(raw):
    with pytest.raises(OutputNotJSONError):
        read_large_output(raw, AskedOutput())


def test_size_and_number_of_values_are_bounded():
    with pytest.raises(OutputTooLargeError, match="more than 64 MiB"):
        read_large_output(b" " * (LARGE_OUTPUT_BYTES + 1), AskedOutput())
    with pytest.raises(OutputTooLargeError, match="2,000,000 is the most"):
        read_large_output(b'{"a":[' + b"[]," * 2_100_000 + b"1]}", AskedOutput())


def test_commas_in_strings_are_no_values():
    text = '\\",[{' * 400_000 + "\\\\"
    assert read({"text": text, "n": 1}, read=(("n",),)).read == {"n": 1}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_outside_of_strings_is_found_wherever_it_is_cut(monkeypatch, seed):
    chance = random.Random(seed)
    monkeypatch.setattr(large, "_CHUNK", chance.randint(1, 9))
    texts = ["".join(chance.choices('\\"a,[é', k=chance.randint(0, 12))) for _ in range(30)]
    raw = json.dumps({text: [text, 1] for text in texts}).encode()
    outside = b"".join(large._outside_strings(raw))
    assert outside.count(b"[") == outside.count(b"]") == len(set(texts))
    assert outside.count(b",") == 2 * len(set(texts)) - 1
    assert set(outside) <= set(b"{}[]:, 1")


def test_what_is_asked_survives_as_json():
    asked = AskedOutput(
        read=((), ("a", 1, "b")),
        present=(("c", "0"),),
        produces=("a",),
        schema={"type": "object"},
        quality_threshold=0.5,
        is_own_threshold=True,
        quality_field="q",
    )
    assert AskedOutput.load(json.loads(json.dumps(asked.dump()))) == asked
