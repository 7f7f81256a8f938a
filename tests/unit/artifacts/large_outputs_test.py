"""Large outputs in a Pod: what the collector stores and says, what the fetcher makes of it."""

import json
import os
import stat
from dataclasses import replace

import orjson
import pytest

from podium.artifacts import collector, fetcher
from podium.artifacts.collection import sweep
from podium.artifacts.errors import ArtifactError
from podium.artifacts.packed_input import INPUT_VARIABLES, pack_input, unpack_input
from podium.artifacts.pod import InputPart, Task, Wanted
from podium.artifacts.settings import DirectorySettings
from podium.artifacts.store import ArtifactStore
from podium.artifacts.told_output import Told
from podium.contracts import AskedOutput, Breach, OutputVerdict
from tests.unit.artifacts.support import make

ROWS = [{"id": n, "text": "é" * 50} for n in range(1000)]
DOCUMENT = {"rows": ROWS, "count": 1000.0}
ASKED = AskedOutput(read=(("count",), ("rows", 1, "id")), schema={"required": ["rows"]})


@pytest.fixture
def settings(tmp_path):
    return DirectorySettings(tmp_path / "store")


def task(asked=ASKED, node="n", **fields):
    return Task("uid", node, f"{node}-1", asked=asked.dump() if asked else None, **fields)


def collect(tmp_path, settings, raw=None, given=None, left=None):
    """Collect what a program wrote, and return what was said of it."""
    output = tmp_path / "output.json"
    if raw is not None:
        output.write_bytes(raw if isinstance(raw, bytes) else json.dumps(raw).encode())
    out = make(tmp_path / "out", left or {})
    words = collector.collect(given or task(), lambda: settings, out, lambda _: None, output=output)
    assert len(words.encode()) < 3000
    return json.loads(words)


def test_a_task_survives_the_annotation():
    parts = (
        InputPart("inputs", "x", "m", "m-1", "0" * 64, "a.b"),
        InputPart("p", "y", "m", "m-1", ""),
    )
    whole = task(inputs=parts)
    assert Task.load(whole.dump()) == replace(whole, asked=json.loads(json.dumps(whole.asked)))
    assert AskedOutput.load(Task.load(whole.dump()).asked) == ASKED
    plain = task(None).dump()
    assert "asked" not in plain
    assert "inputs" not in plain, "as an operator before had it"


def test_what_is_stored_is_composed_into_an_input(tmp_path, settings):
    said = collect(tmp_path, settings, DOCUMENT, left={"file": b"f"})
    told = Told.load(said["output"])
    assert told.read == {"count": 1000, "rows": [None, {"id": 1}]}
    assert told.verdict == OutputVerdict()
    digest = said["artifacts"]["digest"]
    document = {"nodeId": "b", "dependencyOutputs": {"small": {"n": 1}}, "inputs": {}}
    inputs = fetcher.Inputs(tmp_path / "input.json", tmp_path / "whole.json")
    inputs.document.write_text(json.dumps(document))
    parts = (
        InputPart("dependencyOutputs", "n", "n", "n-1", digest),
        InputPart("inputs", "text", "n", "n-1", digest, "rows.7.text"),
        InputPart("inputs", "é", "n", "n-1", digest, "count"),
    )
    root = make(tmp_path / "in", {})
    wanted = (Wanted("n", "n-1", digest, None, str(root), "n"),)
    for _ in range(2):  # the sandbox of a Pod may be made again
        fetcher.fetch(task(None, "b", inputs=parts, wanted=wanted), settings, inputs=inputs)
        assert json.loads(inputs.whole.read_bytes()) == {
            "nodeId": "b",
            "dependencyOutputs": {"small": {"n": 1}, "n": DOCUMENT},
            "inputs": {"text": "é" * 50, "é": 1000},
        }
        assert stat.S_IMODE(inputs.whole.stat().st_mode) == 0o444
        assert [each.name for each in (root / "n").iterdir()] == ["file"], "it is no artifact"


def test_where_nothing_else_was_left_is_an_empty_directory(tmp_path, settings):
    digest = collect(tmp_path, settings, DOCUMENT)["artifacts"]["digest"]
    root = make(tmp_path / "in", {})
    wanted = (Wanted("n", "n-1", digest, None, str(root), "n"),)
    fetcher.fetch(task(None, "b", wanted=wanted), settings)
    assert [path.name for path in root.rglob("*")] == ["n"]


def test_a_small_one_is_said_and_not_stored(tmp_path, settings):
    said = collect(tmp_path, settings, {"n": 1.0})
    assert said == {
        "artifacts": {"digest": "", "files": 0, "bytes": 0},
        "output": {"read": {"n": 1}},
    }
    assert Told.load(said["output"]).verdict is None
    (tmp_path / "output.json").unlink()
    assert collect(tmp_path, settings)["output"] == {"read": {}}


def test_one_that_breaks_its_contract_is_not_stored(tmp_path, settings):
    schema = {"properties": {"rows": {"items": {"properties": {"id": {"type": "string"}}}}}}
    asked = AskedOutput(schema=schema, produces=("more",))
    said = collect(tmp_path, settings, {**DOCUMENT, "quality_score": 0.5}, task(asked))
    assert said["artifacts"]["digest"] == ""
    verdict = Told.load(said["output"]).verdict
    assert (verdict.reason, verdict.quality_score) == ("OutputContract", 0.5)
    assert verdict.breaches[0] == Breach("more", verdict.breaches[0].message)
    assert verdict.breaches[1] == Breach("rows[0].id", "0 is not of type string")


def test_breaches_are_said_as_far_as_there_is_room():
    breaches = [Breach(f"path{n}" * 30, "é" * 300) for n in range(50)]
    told = Told({}, 5000, "d", OutputVerdict("OutputContract", breaches)).dump()
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 2000
    assert told["breaches"][-1] == ["", f"and {50 - len(told['breaches']) + 1} more"]
    assert Told.load(told).verdict.breaches[0] == Breach("path0" * 30, "é" * 250)


@pytest.mark.parametrize(
    ("raw", "reason", "is_retryable"),
    [
        (b"[1]", "OutputNotJSON", True),
        (b'{"a": NaN}', "OutputNotJSON", True),
        (b'{"count": "' + b"x" * 4000 + b'"}', "OutputTooLarge", False),
        (b" " * ((64 << 20) + 1), "OutputTooLarge", False),
    ],
)
def test_what_is_wrong_is_said(tmp_path, settings, raw, reason, is_retryable):
    said = collect(tmp_path, settings, raw)["podiumError"]
    assert (said["reason"], said["retryable"]) == (reason, is_retryable)


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_is_not_read(tmp_path, settings, kind):
    place = tmp_path / "output.json"
    if kind == "link":
        place.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
    said = collect(tmp_path, settings)["podiumError"]
    assert said["reason"] == "OutputNotJSON"
    assert "write one JSON object to a file" in said["message"]


def test_one_that_is_gone_or_was_changed_is_named(tmp_path, settings):
    digest = collect(tmp_path, settings, DOCUMENT)["artifacts"]["digest"]
    inputs = fetcher.Inputs(tmp_path / "input.json", tmp_path / "whole.json")
    inputs.document.write_text("{}")
    for gone in ("", "0" * 64):
        part = InputPart("dependencyOutputs", "n", "n", "n-1", gone)
        with pytest.raises(ArtifactError, match="run n again"):
            fetcher.fetch(task(None, "b", inputs=(part,)), settings, inputs=inputs)
    (blob,) = [each for each in (settings.path / "blobs").rglob("*") if each.is_file()]
    blob.write_bytes(b"x" * blob.stat().st_size)
    part = InputPart("dependencyOutputs", "n", "n", "n-1", digest)
    with pytest.raises(ArtifactError, match="is not what was stored"):
        fetcher.fetch(task(None, "b", inputs=(part,)), settings, inputs=inputs)


def test_a_sweep_keeps_those_of_living_runs(tmp_path, settings):
    collect(tmp_path, settings, DOCUMENT)
    with ArtifactStore(settings) as store:
        assert sweep(store, {"uid"}, 0).objects == 0
        assert sweep(store, set(), 0).objects == 1


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"read": []},
        {"read": {}, "digest": 1, "size": 1},
        {"read": {}, "digest": "d", "size": "1"},
        {"read": {}, "digest": "d", "size": 1, "score": "1"},
        {"read": {}, "digest": "d", "size": 1, "breaches": [1]},
    ],
)
def test_words_that_are_none_are_refused(told):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Told.load(told)


@pytest.mark.parametrize("parts", [(), ("x",)])
def test_a_packed_input_is_laid_out_with_what_is_in_a_store(tmp_path, settings, parts):
    given = {"globalContext": {"é": "a\u2028"}, "inputs": {"y": 1}}
    variables = dict(zip(INPUT_VARIABLES, pack_input(orjson.dumps(given)), strict=False))
    inputs = fetcher.Inputs(tmp_path / "none", tmp_path / "whole", unpack_input(variables))
    if parts:
        digest = collect(tmp_path, settings, DOCUMENT)["artifacts"]["digest"]
        wanted = tuple(InputPart("inputs", each, "n", "n-1", digest) for each in parts)
        fetcher.fetch(task(None, "b", inputs=wanted), settings, inputs=inputs)
        given["inputs"]["x"] = DOCUMENT
    else:
        fetcher.fetch(task(None, "b"), None, inputs=inputs)
    assert orjson.loads(inputs.whole.read_bytes()) == given
    assert inputs.whole.stat().st_mode & 0o777 == 0o444
