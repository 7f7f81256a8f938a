"""Large outputs on a laptop: kept in the directory of their execution, read by those after them."""

import hashlib
import json

import pytest

from podium.engine import RerunRequest
from tests.unit.local.shell_test import again, begin, script, stands, started, until

MAKE = """python3 -c 'import json, os
json.dump({"text": "x" * 100_000, "n": 1}, open(os.environ["PODIUM_OUTPUT"], "w"))'"""
LOOK = """python3 -c 'import json, os
given = json.load(open(os.environ["PODIUM_INPUT"]))["dependencyOutputs"]["big"]
json.dump({"size": len(given["text"])}, open(os.environ["PODIUM_OUTPUT"], "w"))'"""


def big(text=MAKE, **fields):
    return script("big", text, largeOutput=True, **fields)


def kept(run, execution="big-1"):
    return run.directory.execution(execution) / "large-output.json"


async def test_it_is_kept_as_it_was_read_for_its_user_alone(tmp_path):
    run = begin(tmp_path, big(), script("b", LOOK, "big"))
    await run.run()
    assert stands(run) == {"big": "Completed", "b": "Completed"}
    ref = run.status.nodes["big"].output_ref
    data = kept(run).read_bytes()
    assert (ref.size, ref.digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert kept(run).stat().st_mode & 0o777 == 0o600
    assert run.status.nodes["b"].output == {"size": 100_000}


async def test_what_a_program_puts_in_its_place_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    link = f'ln -s {outside} "$(dirname "$PODIUM_OUTPUT")/large-output.json"; {MAKE}'
    run = begin(tmp_path, big(link), script("b", LOOK, "big"))
    await run.run()
    assert stands(run) == {"big": "Completed", "b": "Completed"}
    assert outside.read_text() == "mine"


async def test_one_that_is_not_kept_any_more_is_named(tmp_path):
    run = begin(tmp_path, big(), script("b", LOOK, "big"))
    await run.run()
    kept(run).unlink()
    run = again(run)
    await run.run([RerunRequest("1", ("b",), True, None)])
    assert stands(run)["b"] == "Failed Download"
    message = "the output of big-1 is not kept any more: run its node again"
    assert run.status.nodes["b"].message == message


async def test_a_rerun_reads_the_newest_one(tmp_path):
    make = MAKE.replace(
        "100_000",
        '(9000 + int(os.environ["PODIUM_EXECUTION"][-1]))',
    )
    run = begin(tmp_path, big(make), script("b", LOOK, "big"))
    await run.run()
    run = again(run)
    await run.run([RerunRequest("1", ("big",), False, None)])
    run = again(run)
    await run.run([RerunRequest("2", ("b",), True, None)])
    assert run.status.nodes["b"].output == {"size": 9002}


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("mkfifo $PODIUM_OUTPUT", "Failed OutputNotJSON"),
        ("mkdir $PODIUM_OUTPUT", "Failed OutputNotJSON"),
        ("ln -s /etc/passwd $PODIUM_OUTPUT", "Failed OutputNotJSON"),
        ("truncate -s 70M $PODIUM_OUTPUT", "Failed OutputTooLarge"),
        ("printf '\\xff' > $PODIUM_OUTPUT", "Failed OutputNotJSON"),
        (f"{MAKE}; exit 3", "Failed Error"),
    ],
)
async def test_what_is_no_output_fails_as_any(tmp_path, text, ends):
    run = begin(tmp_path, big(text))
    await run.run()
    assert stands(run) == {"big": ends}
    assert not kept(run).exists()


async def test_an_interrupted_podium_reads_it_when_it_is_back(tmp_path):
    run = begin(tmp_path, big(), script("b", LOOK, "big"))
    await started(run)
    ended = run.directory.execution("big-1") / "process"
    await until(lambda: ended.exists() and ended.read_text().count("\n") > 1)
    run = again(run)
    await run.run()
    assert stands(run) == {"big": "Completed", "b": "Completed"}
    assert json.loads(kept(run).read_bytes())["n"] == 1


async def test_an_input_of_any_size_is_a_file(tmp_path):
    """On a cluster it would come from the store."""
    text = """test -z "${PODIUM_INPUT_JSON+there}"; python3 -c 'import json, os
blob = json.load(open(os.environ["PODIUM_INPUT"]))["metadata"]["blob"]
json.dump({"size": len(blob)}, open(os.environ["PODIUM_OUTPUT"], "w"))'"""
    run = begin(tmp_path, script("a", text), metadata={"blob": "x" * (9 << 20)})
    await run.run()
    assert run.status.nodes["a"].output == {"size": 9 << 20}
