"""Inputs that rest in the store: written, cut into pieces, joined again."""

import base64
import hashlib
import json
import random
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.artifacts import carried_input, fetcher
from podium.artifacts.carried_input import Carried, lay_out, measure, pieces, written
from podium.artifacts.errors import ArtifactError
from podium.artifacts.packed_input import INPUT_VARIABLES, PIECE_BYTES, variables_of, what_is_in
from podium.artifacts.pod import InputPart, Task
from podium.artifacts.settings import DirectorySettings
from podium.artifacts.values import Part
from tests.unit.artifacts.large_outputs_test import DOCUMENT, collect, task


def noise(size, seed=1):
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def document(execution="all-1", count=1000, **more):
    outputs = {f"n{number}": {"text": noise(3000, number)} for number in range(count)}
    return {
        "workflowId": "w",
        "executionId": execution,
        "globalContext": {"é": "\u2028"},
        "dependencyOutputs": outputs,
        "inputs": {},
        **more,
    }


def joined(carried, stored, parts=()):
    made = []
    lay_out(carried, stored, parts, lambda chunk: made.append(bytes(chunk)))
    return orjson.loads(b"".join(made))


def part(key, name, value, path=None):
    text = json.dumps(value).encode()
    return Part(key, name, path, lambda: [text[:1], text[1:]])


def test_a_fan_in_of_1000_small_outputs_is_carried_in_pieces():
    given = document()
    carried, made = measure(given), list(pieces(given))
    assert [hashlib.sha256(each).hexdigest() for each in made] == list(carried.digests)
    assert max(map(len, made)) == PIECE_BYTES
    assert len(made) > 3
    assert joined(carried, made) == given
    assert Carried.load(json.loads(json.dumps(carried.dump()))) == carried


def test_what_two_nodes_have_in_common_is_the_same_pieces():
    first, second = measure(document("a-1")), measure(document("b-2"))
    assert first.digests[:-1] == second.digests[:-1]
    assert first.digests[-1] != second.digests[-1]


@pytest.mark.parametrize("outputs", [{}, {"small": {"n": 1}}])
@pytest.mark.parametrize("inputs", [{}, {"x": [1]}])
def test_what_rests_in_the_store_by_itself_is_put_in(outputs, inputs):
    given = {"dependencyOutputs": outputs, "inputs": inputs, "nodeId": "b"}
    parts = [
        part("inputs", "y", {"a": {"b": 7}}, "a.b"),
        part("dependencyOutputs", "é", {"rows": [1, 2]}),
        part("inputs", "z", None),
        part("dependencyOutputs", "big", {}),
    ]
    assert joined(measure(given), pieces(given), parts) == {
        "dependencyOutputs": {**outputs, "é": {"rows": [1, 2]}, "big": {}},
        "inputs": {**inputs, "y": 7, "z": None},
        "nodeId": "b",
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.dictionaries(st.text(), VALUES, max_size=4)


@given(
    st.dictionaries(st.text(), VALUES, max_size=4),
    PARTS,
    PARTS,
    st.dictionaries(st.text().map(lambda name: f"+{name}"), VALUES, max_size=3),
    st.integers(1, 40),
)
def test_whatever_it_holds_it_is_joined_as_it_was(rest, outputs, inputs, more, size):
    given = {**rest, "dependencyOutputs": outputs, "inputs": inputs}
    parts = [part("dependencyOutputs", name, value) for name, value in more.items()]
    parts += [part("inputs", name, value) for name, value in more.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carried_input, "PIECE_BYTES", size)
        patch.setattr(carried_input, "MAX_PIECES", 10_000)
        found = joined(measure(given), pieces(given), parts)
    whole = {**given, "dependencyOutputs": {**outputs, **more}, "inputs": {**inputs, **more}}
    assert found == orjson.loads(orjson.dumps(whole))


@given(st.dictionaries(st.text(), VALUES, max_size=4), PARTS)
def test_a_small_one_is_written_as_it_is(rest, outputs):
    given = {**rest, "dependencyOutputs": outputs}
    text = orjson.dumps(given)
    assert written(given, len(text)) == text
    assert written(given, len(text) - 1) is None


def test_neither_writing_nor_joining_holds_all_of_it():
    """The same output under very many names: 60 MB."""
    output = {"text": noise(3000)}
    given = {"dependencyOutputs": {f"n{number}": output for number in range(15_000)}}
    tracemalloc.start()
    try:
        carried, size = measure(given), 0

        def count(chunk):
            nonlocal size
            size += len(chunk)

        lay_out(carried, pieces(given), (), count)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == carried.size > 60_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("limit", "given"),
    [
        ("MAX_CARRIED_BYTES", {"dependencyOutputs": {"a": "x" * 2_000_000}}),
        ("MAX_PIECES", document(count=600)),
    ],
)
def test_it_is_bounded(monkeypatch, limit, given):
    monkeypatch.setattr(carried_input, limit, 1_000_000 if limit == "MAX_CARRIED_BYTES" else 1)
    assert measure(given) is None


def test_a_piece_fits_into_the_variables_of_one_container():
    piece = random.Random(2).randbytes(PIECE_BYTES)
    told = variables_of(piece)
    assert list(told) == list(INPUT_VARIABLES)
    assert max(map(len, told.values())) <= 128 * 1024 - 32, "Linux takes no longer one"
    assert what_is_in(told) == piece


@pytest.mark.parametrize("change", ["cut", "more", "mixed"])
def test_what_is_not_what_was_measured_is_an_error(change):
    given = document(count=500)
    made = list(pieces(given))
    if change == "cut":
        made = made[:1]
    elif change == "mixed":
        made.reverse()
    carried = measure(given)
    if change == "more":
        carried = Carried(carried.size - 1, carried.digests)
    with pytest.raises((ValueError, carried_input.zlib.error)):
        joined(carried, made)


# In Pods


@pytest.fixture
def settings(tmp_path):
    return DirectorySettings(tmp_path / "store")


def carry(settings, given, **fields):
    """Carry an input as the Pods do that are for nothing else; return the task of the node's."""
    carried = measure(given)
    for piece, digest in zip(pieces(given), carried.digests, strict=True):
        one = Task.load(Task("uid", "all", "all-1", carries=digest).dump())
        fetcher.carry(one, lambda: settings, what_is_in(variables_of(piece)))
    return Task.load(Task("uid", "all", "all-1", carried=carried, **fields).dump())


def test_it_is_laid_out_with_outputs_that_rest_in_the_store(tmp_path, settings):
    digest = collect(tmp_path, settings, DOCUMENT)["artifacts"]["digest"]
    wanted = (
        InputPart("dependencyOutputs", "n", "n", "n-1", digest),
        InputPart("inputs", "count", "n", "n-1", digest, "count"),
    )
    given = document(count=300)
    of_node = carry(settings, given, inputs=wanted)
    inputs = fetcher.Inputs(tmp_path / "none", tmp_path / "whole")
    for _ in range(2):  # the sandbox of a Pod may be made again
        fetcher.fetch(of_node, settings, inputs=inputs)
        found = orjson.loads(inputs.whole.read_bytes())
        assert found["dependencyOutputs"] == {**given["dependencyOutputs"], "n": DOCUMENT}
        assert found["inputs"] == {"count": 1000}
        assert inputs.whole.stat().st_mode & 0o777 == 0o444


def test_a_piece_that_was_swept_or_changed_is_said(tmp_path, settings):
    of_node = carry(settings, document(count=300))
    inputs = fetcher.Inputs(tmp_path / "none", tmp_path / "whole")
    blob = next(each for each in (settings.path / "blobs").rglob("*") if each.is_file())
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="is not what was stored") as caught:
        fetcher.fetch(of_node, settings, inputs=inputs)
    assert not caught.value.is_retryable
    blob.unlink()
    with pytest.raises(ArtifactError, match="its input is not in") as caught:
        fetcher.fetch(of_node, settings, inputs=inputs)
    assert caught.value.is_retryable, "the next execution carries it again"


def test_a_piece_that_is_not_what_the_operator_sent_is_not_stored(settings):
    with pytest.raises(ArtifactError, match="was changed"):
        fetcher.carry(Task("uid", "n", "n-1", carries="0" * 64), lambda: settings, b"forged")
    assert not settings.path.exists()


def test_a_store_that_does_not_answer_is_tried_again(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(fetcher, "_PAUSE", 0.01)
    asked = []

    def store_of():
        asked.append(1)
        if len(asked) < 3:
            raise ArtifactError("the store is away")
        return settings

    piece = b"piece"
    one = Task("uid", "n", "n-1", carries=hashlib.sha256(piece).hexdigest())
    with pytest.raises(ArtifactError):
        fetcher.carry(one, store_of, piece)
    fetcher.carry(one, store_of, piece, seconds=60)
    assert len(asked) == 3
    assert [each for each in settings.path.rglob("*") if each.is_file()]


def test_a_task_without_it_is_as_an_operator_before_had_it():
    assert not {"carried", "carries"} & json.loads(task(None).dump()).keys()
