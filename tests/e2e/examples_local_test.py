"""The examples on a laptop, from a copy, as somebody who cloned the repository runs them."""

import base64
import csv
import hashlib
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from podium.api.source.files import read_file
from tests.e2e.example_commands import EXAMPLES, pages
from tests.e2e.support import ROOT, load
from tests.unit.cli.support import ENV, Directory
from tests.unit.personas.model_server import model, says

SEED_SHA256 = "67189abd507c3068bb6b19c3d45c96acdbd113490a198247dcdae4da78584ef0"
"""Of the workflow that Podium was begun with: examples/sdlc has it byte for byte."""


@pytest.fixture
def here(tmp_path):
    """A directory with the examples in it."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "dist")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=left_out)
    return Directory(tmp_path)


def ran(here, *arguments, code=0, verb="run"):
    """Run podium and return the WorkflowRun that it prints."""
    return json.loads(here.podium(verb, *arguments, "-o", "json", code=code).stdout)


def nodes(document):
    """Return `{node: "Status reason"}`."""
    return {
        node: f"{state['status']} {state.get('reason', '')}".strip()
        for node, state in document["status"]["nodes"].items()
    }


def outputs(document):
    return {
        node: state["output"]
        for node, state in document["status"]["nodes"].items()
        if "output" in state
    }


def artifacts(here, document, node):
    """Return the directory of a node's artifacts."""
    execution = document["status"]["nodes"][node]["executionId"]
    name = document["metadata"]["name"]
    return here.path / ".podium" / "runs" / name / "executions" / execution / "artifacts"


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "file",
    [
        "hello/workflow.yaml",
        "hello/container.yaml",
        "artifacts/workflow.yaml",
        "child/workflow.yaml",
        "groups/workflow.yaml",
        "map/workflow.yaml",
        "outputs/workflow.yaml",
        "regions/workflow.yaml",
        "release/workflow.yaml",
        "sdlc/sdlc_complete_workflow.yaml",
        "sdlc/cluster.yaml",
    ],
)
def test_each_is_valid_strictly(here, file):
    said = here.podium("validate", "--strict", f"examples/{file}")
    assert "valid" in said.stdout
    assert not said.stderr


# What the examples' pages tell people to type


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_laptop_commands_work_as_they_are_shown(here, page):
    if page.path.parent.name == "outputs" or page.path.name == "container.yaml":
        # They need docker or podman, which may not be there.
        name = "workflow" if page.path.parent.name == "outputs" else "container"
        file = f"examples/{page.path.parent.name}/{name}.yaml"
        here.podium("validate", "--strict", file)
        assert page.of("podium") == [f"podium run {file}"]
        return
    lines = [line for line in page.block if not line.startswith("kubectl ")]
    if page.path.parent.name == "approval":
        assert lines == ["podium run examples/approval/workflow.yaml"]  # waits for the lines below
        for line in [each for each in page.spans if each.startswith("podium ")] or [APPROVE]:
            process = here.start("run", "examples/approval/workflow.yaml")
            run = waiting(here)
            typed(here, re.sub(r"\bRUN\b", run, line))
            process.communicate(timeout=60)
            assert process.returncode == (1 if "reject" in line else 0)
        return
    assert any(line.startswith("podium ") for line in lines), page.block
    typed(here, *lines)
    (place,) = {line.removeprefix("cd ") for line in lines if line.startswith("cd ")} or {"."}
    for line in page.spans:
        if line.startswith("podium "):
            typed(here, f"cd {place}", re.sub(r"\bRUN\b", "@latest", line))


def typed(here, *lines):
    """Type lines into a shell whose podium is the installed one."""
    done = subprocess.run(
        ["bash", "-e"],
        cwd=here.path,
        env=ENV,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page, line, id=f"{page.name}: {line}")
        for page in pages()
        for line in page.of("kubectl")
    ],
)
def test_kubectl_commands_name_what_is_there(page, line):
    _, verb, *arguments = shlex.split(line)
    if line.startswith("kubectl create secret generic "):
        return  # typed once, with a key of the user's
    assert verb in ("apply", "get"), "create -f can be typed once only"
    if verb == "apply":
        option, file = arguments
        assert option == "-f"
        base = page.path.parent if "cd examples/" in " ".join(page.block) else ROOT
        read = read_file(base / file)
        assert read.documents
        assert not read.problems
        named = [document.raw["metadata"].get("name") for document in read.documents]
        assert all(named), f"kubectl apply refuses generateName: {named}"


def test_every_manifest_can_be_applied():
    for path in EXAMPLES.glob("*/*.yaml"):
        for document in read_file(path).documents:
            if "apiVersion" in document.raw:
                assert document.raw["metadata"]["name"], path


def test_a_file_that_names_its_run_can_be_run_again(here):
    names = [ran(here, "examples/hello/workflow.yaml")["metadata"]["name"] for _ in range(3)]
    assert names[0] == "hello-world"
    assert len(set(names)) == 3
    assert all(name.startswith("hello-world-") for name in names[1:])
    here.podium("run", "examples/hello/workflow.yaml", "--run-name", names[0], code=2)


# hello


def test_hello(here):
    document = ran(here, "examples/hello/workflow.yaml")
    assert document["status"]["phase"] == "Succeeded"
    assert document["status"]["progress"] == "3/3"
    assert outputs(document) == {
        "greet": {"text": "Hello, world"},
        "shout": {"text": "HELLO, WORLD!"},
        "sum_up": {"said": "HELLO, WORLD!", "letters": 13},
    }


def test_hello_skips_what_its_condition_excludes(here):
    document = ran(here, "examples/hello/workflow.yaml", "-c", "who=Ada")
    assert nodes(document)["shout"] == "Skipped ConditionFalse"
    assert outputs(document)["sum_up"] == {"said": "Hello, Ada", "letters": 10}


def test_hello_takes_any_text_as_data(here):
    who = 'a "b" $(touch hacked) \\ é'
    document = ran(here, "examples/hello/workflow.yaml", "--context-string", f"who={who}")
    assert outputs(document)["greet"] == {"text": f"Hello, {who}"}
    assert outputs(document)["shout"] == {"text": f"HELLO, {who.upper()}!"}
    assert not list(here.path.rglob("hacked"))


def test_hello_says_what_its_inputs_want(here):
    said = here.podium("run", "examples/hello/workflow.yaml", "-c", "who=3", code=2).stderr
    assert "context.who" in said
    said = here.podium("run", "examples/hello/workflow.yaml", "-c", "whom=Ada", code=2).stderr
    assert "whom" in said


# approval


APPROVE = "podium approve RUN gate -v region=eu"


def waiting(here):
    """Wait for a run that waits for approval, and return its name."""
    while True:
        (here.path / ".podium").mkdir(exist_ok=True)
        runs = here.podium("get", "--state-dir", ".podium").stdout.splitlines()[1:]
        name = next((row.split()[0] for row in runs if " gate " in row and "Running" in row), None)
        if name is not None and "WaitingForApproval" in here.podium("get", name).stdout:
            return name


def test_a_person_decides_in_the_middle_of_a_run(here):
    process = here.start("run", "examples/approval/workflow.yaml")
    run = waiting(here)
    said = here.podium("approve", run, "gate", "-v", "region=moon", code=2).stderr
    assert "values.region" in said
    assert "'region' is missing" in here.podium("approve", run, code=2).stderr
    assert f"podium approve {run} gate" in here.podium("get", run, "gate").stdout
    here.podium("approve", run, "gate", "-v", "region=eu", "-v", "percent=50", "--comment", "go")
    assert process.wait(60) == 0
    document = json.loads(here.podium("get", run, "-o", "json").stdout)
    assert document["status"]["outputs"]["shipped"] == "web:1.2 to 50 % of eu"
    assert outputs(document)["gate"]["comment"] == "go"
    assert "does not wait" in here.podium("reject", run, "gate", code=2).stderr


# finally


def test_finally_removes_what_was_made_whatever_the_end(here):
    document = ran(here, "examples/finally/workflow.yaml")
    assert document["status"]["outputs"] == {"passed": 12}
    assert nodes(document)["tell"] == "Skipped ConditionFalse"
    document = ran(here, "examples/finally/workflow.yaml", "-c", "broken=true", code=1)
    assert nodes(document)["tests"] == "Failed Error"
    assert outputs(document)["remove"] == {"removed": "db-7"}
    assert nodes(document)["tell"] == "Completed"
    assert "outputs" not in document["status"]


# rollback


def test_a_trip_that_is_not_paid_is_undone(here):
    document = ran(here, "examples/rollback/workflow.yaml")
    assert document["status"]["outputs"] == {"booked": "F-12 H-7"}
    assert nodes(document)["flight.compensation"] == "Skipped NotNeeded"
    document = ran(here, "examples/rollback/workflow.yaml", "-c", "card=declined", code=1)
    assert nodes(document)["flight"] == nodes(document)["hotel"] == "Completed Compensated"
    assert outputs(document)["flight.compensation"] == {"cancelled": "F-12"}
    run = document["metadata"]["name"]
    assert "because of pay" in here.podium("logs", run, "hotel.compensation").stdout
    shown = here.podium("get", run).stdout
    assert shown.index("hotel.compensation") > shown.index("flight.compensation")


# groups


def test_a_group_is_content_with_enough_members(here):
    document = ran(here, "examples/groups/workflow.yaml")
    assert document["status"]["outputs"] == {"passed": 12, "old": "Completed"}
    document = ran(here, "examples/groups/workflow.yaml", "-c", "broken=true")
    assert document["status"]["outputs"] == {"passed": 12, "old": "Failed"}
    assert nodes(document)["checks.tests.old"] == "Failed Error"
    assert outputs(document)["checks.sum_up"] == {"lines": 3, "passed": 12}


# map


def test_a_map_lets_half_of_its_items_fail_and_runs_one_again(here):
    document = ran(here, "examples/map/workflow.yaml")
    assert document["status"]["outputs"] == {"words": 8, "failed": 0}
    assert document["status"]["nodes"]["count"]["items"]["skipped"] == "1"
    document = ran(here, "examples/map/workflow.yaml", "-c", "broken=three")
    assert document["status"]["outputs"] == {"words": 5, "failed": 1}
    assert nodes(document)["count[2]"] == "Failed Error"
    assert outputs(document)["count[3]"] == {"words": 2}


# regions


def test_each_region_has_a_child_run_and_one_that_failed_runs_again(here):
    document = ran(here, "examples/regions/workflow.yaml")
    endpoints = "eu-1.example.com us-1.example.com ap-1.example.com"
    assert document["status"]["outputs"] == {"endpoints": endpoints}
    assert outputs(document)["deploy[2]"] == {"endpoint": "ap-1.example.com"}
    document = ran(here, "examples/regions/workflow.yaml", "-c", "broken=us-1", code=1)
    assert nodes(document)["deploy[1]"] == "Failed ChildRunFailed"


# artifacts


def test_artifacts_go_from_node_to_node(here):
    document = ran(here, "examples/artifacts/workflow.yaml", "--run-name", "files")
    assert set(nodes(document).values()) == {"Completed"}
    total = sum(n * n % 97 for n in range(1000))
    assert outputs(document) == {"fetch": {}, "measure": {"total": total}, "report": {}}
    here.podium("artifacts", "get", "files", "report.report", "-o", "got")
    text = here.read("got/report.md")
    assert "1000 rows in 4 parts" in text
    assert sum(json.loads(text.splitlines()[-1]).values()) == total


# release


def test_contracts_of_another_file_hold(here):
    files = ("examples/contracts/workflow.yaml", "-f", "examples/contracts/contracts.yaml")
    document = json.loads(here.podium("run", *files, "-o", "json").stdout)
    assert outputs(document)["count"] == {"stories": 2}
    assert document["status"]["nodes"]["write"]["contractFulfilled"] is True


def test_an_executor_of_another_file_runs_the_nodes(here):
    files = ("examples/executor/workflow.yaml", "-f", "examples/executor/executor.yaml")
    nodes = ran(here, *files)["status"]["nodes"]
    assert nodes["build"]["output"] == {"command": "build", "target": "prod", "models": 2}
    assert nodes["test"]["output"] == {"command": "test", "target": "prod", "models": 1}


def test_release_makes_a_wheel_that_works(here):
    release = here.path / "examples" / "release"
    before = contents(release)
    document = ran(here, "examples/release/workflow.yaml")
    assert nodes(document) == {
        **dict.fromkeys(
            ["source", "lint", "unit_tests", "property_tests", "build", "smoke", "report"],
            "Completed",
        ),
        "publish_wheel": "Skipped ConditionFalse",
    }
    assert contents(release) == before, "the user's directory is only read"

    # What the nodes say is what their artifacts hold.
    said = outputs(document)
    (wheel,) = artifacts(here, document, "build").glob("*.whl")
    assert said["build"]["wheel"] == wheel.name == "plaintable-1.2.0-py3-none-any.whl"
    assert said["build"]["bytes"] == wheel.stat().st_size
    assert said["build"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert said["source"]["files"] == sum(1 for path in before if "plaintable" in path.parts)
    for suite in ("unit_tests", "property_tests"):
        xml = (artifacts(here, document, suite) / "junit.xml").read_text()
        assert said[suite]["tests"] == xml.count("<testcase ")
    tests = said["unit_tests"]["tests"] + said["property_tests"]["tests"]
    assert said["report"] == {"ready": True, "missing": [], "tests": tests}
    report = artifacts(here, document, "report")
    assert json.loads((report / "report.json").read_text())["steps"]["build"] == said["build"]
    text = (report / "report.md").read_text()
    assert said["build"]["sha256"] in text
    assert f"{said['unit_tests']['tests']} tests" in text
    check_wheel(wheel)


def check_wheel(wheel):
    """Check a wheel against its own record, and use it with nothing else in the path."""
    with zipfile.ZipFile(wheel) as packed:
        (record,) = (name for name in packed.namelist() if name.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(packed.read(record).decode().splitlines()))
        assert {name for name, _, _ in rows} == set(packed.namelist())
        for name, digest, size in rows:
            if name != record:
                content = packed.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
                assert (digest, size) == (f"sha256={found.rstrip('=')}", str(len(content)))
    program = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import plaintable;"
        " print(plaintable.__file__); print(plaintable.render([['x', 10]], ['a', 'b']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    place, *table = done.stdout.splitlines()
    assert place.startswith(str(wheel))
    assert table == ["a   b", "-  --", "x  10"]


def test_release_publishes_a_version_once(here):
    arguments = ("examples/release/workflow.yaml", "-c", "publish=true")
    document = ran(here, *arguments)
    assert document["status"]["phase"] == "Succeeded"
    index = here.path / "examples" / "release" / "dist"
    said = outputs(document)["publish_wheel"]
    wheel = index / "plaintable-1.2.0-py3-none-any.whl"
    assert said["path"] == str(wheel)
    assert {path.name for path in index.iterdir()} == {wheel.name, "SHA256SUMS"}
    assert (index / "SHA256SUMS").read_text() == f"{said['sha256']}  {wheel.name}\n"
    published = wheel.read_bytes()
    assert hashlib.sha256(published).hexdigest() == said["sha256"]

    # The same sources make the same wheel, other ones are refused under the same version.
    name = document["metadata"]["name"]
    document = ran(here, name, "--node", "build", verb="rerun")
    assert outputs(document)["publish_wheel"] == said
    assert document["status"]["nodes"]["source"]["executionCount"] == 1
    readme = here.path / "examples/release/plaintable/README.md"
    readme.write_text(readme.read_text() + "\nMore words.\n")
    document = ran(here, name, "--node", "source", verb="rerun", code=1)
    state = document["status"]["nodes"]["publish_wheel"]
    assert "raise the version" in state["error"]["message"]
    assert wheel.read_bytes() == published


def test_release_stops_at_a_bug_and_goes_on_after_its_repair(here):
    file = here.path / "examples/release/plaintable/src/plaintable/width.py"
    sound = file.read_text()
    assert 'in "WF"' in sound
    file.write_text(sound.replace('in "WF"', 'in "F"'))
    document = ran(here, "examples/release/workflow.yaml", "-c", "publish=true", code=1)
    assert document["status"]["phase"] == "Failed"
    stand = nodes(document)
    assert stand["lint"] == "Completed"
    assert stand["unit_tests"] == "Failed Error"
    for node in ("build", "smoke", "publish_wheel"):
        assert stand[node] == "Skipped UpstreamFailed"
    said = outputs(document)["report"]
    assert said["ready"] is False
    assert {"unit_tests", "build", "smoke"} <= set(said["missing"])
    text = (artifacts(here, document, "report") / "report.md").read_text()
    assert "| unit_tests | **no result** |" in text
    assert not (here.path / "examples/release/dist").exists()

    file.write_text(sound)
    name = document["metadata"]["name"]
    document = ran(here, name, "--node", "source", verb="rerun")
    assert document["status"]["phase"] == "Succeeded"
    assert set(nodes(document).values()) == {"Completed"}
    assert outputs(document)["report"]["ready"] is True


def test_release_wants_a_boolean(here):
    arguments = ("examples/release/workflow.yaml", "-c", "publish=yes")
    assert "context.publish" in here.podium("run", *arguments, code=2).stderr
    assert not (here.path / ".podium").exists()


def test_make_demo_shows_where_the_results_are_and_again(tmp_path):
    programs = Path(sys.executable).parent
    for _ in range(2):
        done = subprocess.run(
            ["make", "-o", "setup", "demo", f"DEMO_STATE={tmp_path}", f"BIN={programs}"],
            cwd=ROOT,
            env={k: v for k, v in ENV.items() if k not in ("KUBECONFIG", "MAKEFLAGS", "MFLAGS")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown = dict(
            line.split(":", 1)
            for line in done.stdout.splitlines()
            if line[:6] in ("report", "wheel:")
        )
        for what, where in shown.items():
            assert (ROOT / where.strip()).stat().st_size, what
        assert set(shown) == {"report", "wheel"}
    assert len(list((tmp_path / "runs").iterdir())) == 2


# sdlc

RUN_SDLC = (
    "examples/sdlc/sdlc_complete_workflow.yaml",
    "--context-file", "examples/sdlc/context.yaml",
    "--recorded", "examples/sdlc/recorded.yaml",
)  # fmt: skip


def answers():
    """Return `{node: output}`, as the last recorded answer of each node says."""
    rows = yaml.safe_load((ROOT / "examples/sdlc/recorded.yaml").read_text())["answers"]
    return {row["node"]: row["output"] for row in rows}


def test_sdlc_is_the_seed_byte_for_byte():
    seed = (ROOT / "examples/sdlc/sdlc_complete_workflow.yaml").read_bytes()
    assert hashlib.sha256(seed).hexdigest() == SEED_SHA256


def test_sdlc_runs_live_with_the_model_config_and_the_key_stays_where_it_is(here, monkeypatch):
    """With a server in the place of the model, which answers what is recorded for each node."""
    key = "sk-canary-" + "k" * 20
    monkeypatch.setitem(ENV, "OPENAI_API_KEY", key)

    def answer(asked):
        names = asked["response_format"]["json_schema"]["schema"].get("properties", {})
        found = (output for output in answers().values() if set(names) & set(output))
        return says(next(found, {}))

    live = here.path / "examples/sdlc/live.yaml"
    with model(answer) as server:
        text = live.read_text().replace("https://api.openai.com/v1", server.url)
        live.write_text(text)
        arguments = [*RUN_SDLC[:3], "--personas", "examples/sdlc/live.yaml"]
        done = here.podium("run", *arguments, "-o", "json")
    document = json.loads(done.stdout)
    assert set(nodes(document).values()) == {"Completed"}
    assert {each["authorization"] for each in server.headers} == {f"Bearer {key}"}
    assert len(server.asked) == 12, "nine personas, and a merge for each team"
    lead = "You lead the tests of a software team."
    assert sum(lead in json.dumps(each["messages"]) for each in server.asked) == 2
    spent = document["status"]["tokenUsage"]
    assert (spent["calls"], spent["totalTokens"]) == (12, 12 * 110)
    assert document["status"]["cost"] == pytest.approx(12 * (100 * 0.25 + 10 * 2) / 1e6)
    assert document["status"]["nodes"]["design_phase"]["tokenUsage"]["calls"] == 3
    assert "models: 12 requests, 1,320 tokens, cost 0.00054\n" in done.stderr
    shown = here.podium("get", "@latest", "design_phase").stdout
    assert "models:     3 requests, 330 tokens, cost 0.000135\n" in shown
    assert "warnings" not in document["status"]["nodes"]["design_phase"], "no answer was recorded"
    assert key not in done.stdout + done.stderr
    written = contents(here.path / ".podium")
    assert any(path.name == "transcript.jsonl" for path in written)
    assert not [path for path, data in written.items() if key.encode() in data]


def test_sdlc_live_without_its_key_says_where_it_would_be_before_anything_starts(here):
    arguments = [*RUN_SDLC[:3], "--personas", "examples/sdlc/live.yaml"]
    done = here.podium("run", *arguments, code=2)
    (line,) = done.stderr.splitlines()
    assert "the ModelConfig default: spec.apiKeySecret: no value for key OPENAI_API_KEY" in line
    assert "--secrets" in line
    assert not (here.path / ".podium").exists()


def test_sdlc_ends_with_every_output(here):
    document = ran(here, *RUN_SDLC)
    assert document["status"]["phase"] == "Succeeded"
    assert set(nodes(document).values()) == {"Completed"}
    assert outputs(document) == answers()
    definition = yaml.safe_load((here.path / RUN_SDLC[0]).read_text())["workflow"]
    for node in definition["nodes"]:
        output = outputs(document)[node["id"]]
        assert set(node["output_contract"]["produces"]) <= set(output)
        assert len(json.dumps(output)) < 4096
        state = document["status"]["nodes"][node["id"]]
        assert state["qualityScore"] >= definition["global_context"]["quality_threshold"]
        assert state["contractFulfilled"] is True
        assert any("recorded" in warning for warning in state["warnings"])
    assert "Codes have 7 letters" in (
        artifacts(here, document, "requirements_phase") / "requirements/requirements.md"
    ).read_text()  # fmt: skip


@pytest.mark.parametrize("half", ["backend", "frontend"])
def test_sdlc_goes_on_with_half_of_the_implementation(here, half):
    document = ran(here, *RUN_SDLC, "-c", f"include_{half}=false")
    assert document["status"]["phase"] == "Succeeded"
    stand = nodes(document)
    assert stand.pop(f"implementation_{half}") == "Skipped ConditionFalse"
    assert set(stand.values()) == {"Completed"}
    warnings = document["status"]["nodes"]["testing_integration"]["warnings"]
    field = f"implementation_{half}.{half}_code"
    assert any(field in warning and "not demanded" in warning for warning in warnings)


def test_sdlc_does_not_deploy_what_failed_its_tests(here):
    file = here.path / "examples/sdlc/recorded.yaml"
    file.write_text(file.read_text().replace("passed: true", "passed: false"))
    document = ran(here, *RUN_SDLC)
    assert nodes(document)["deployment_phase"] == "Skipped NoActiveEdge"


def test_sdlc_names_what_its_context_lacks(here):
    said = here.podium("run", RUN_SDLC[0], *RUN_SDLC[3:], code=2).stderr
    for key in ("initial_requirement", "include_backend", "include_frontend"):
        assert f"-c {key}=" in said


def test_sdlc_cluster_yaml_says_what_the_other_files_say(here):
    made = list(runpy.run_path(str(ROOT / "examples/sdlc/make_cluster.py"))["documents"]())
    assert load(ROOT / "examples/sdlc/cluster.yaml") == made
    workflow, answers_map, run = made
    printed = here.podium("convert", RUN_SDLC[0]).stdout
    assert workflow == yaml.safe_load(printed)
    assert answers_map["data"] == {"recorded.yaml": here.read("examples/sdlc/recorded.yaml")}
    assert run["spec"]["context"] == yaml.safe_load(here.read("examples/sdlc/context.yaml"))


def test_sdlc_as_resources_runs_here_too(here):
    document = ran(here, "examples/sdlc/cluster.yaml")
    assert document["status"]["phase"] == "Succeeded"
    assert outputs(document) == answers()
