"""An editor with a YAML language server completes and checks files by the committed schema."""

import json
import re
import shutil

import pytest

from podium.api import names
from podium.api.workflow import Node
from tests.e2e.support import ROOT
from tests.long.language_server import LanguageServer

pytestmark = pytest.mark.long

HEAD = "# yaml-language-server: $schema=podium.json\napiVersion: podium.dev/v1alpha1\n"
WORKFLOW = f"{HEAD}kind: Workflow\nmetadata: {{name: w}}\nspec:\n  nodes:\n  - id: a\n"


@pytest.fixture
def editor(tmp_path):
    """A directory with the schema in it, and a server that works there."""
    shutil.copy(ROOT / "docs" / "schema" / "podium.json", tmp_path)
    with LanguageServer(tmp_path) as server:
        server.directory = tmp_path
        yield server


def opened(editor, text, name="w.yaml"):
    path = editor.directory / name
    editor.open(path, text)
    return path


def proposed(editor, text):
    """Return what is proposed where the text has a bar."""
    before, _, after = text.partition("|")
    path = opened(editor, before + after, f"{len(text)}-{hash(text)}.yaml")
    return editor.complete(path, before.count("\n"), len(before.rpartition("\n")[2]))


def test_fields_are_completed(editor):
    there = proposed(editor, f"{WORKFLOW}    executor: script\n    retr|\n")
    assert "retryPolicy" in there
    there = proposed(editor, f"{WORKFLOW}    retryPolicy:\n      |\n")
    assert {"maxAttempts", "backoffSeconds", "retryOn"} <= set(there)
    every = {field.alias for field in Node.model_fields.values()} - {"id"}
    assert every <= set(proposed(editor, f"{WORKFLOW}    |\n"))


def test_values_are_completed(editor):
    assert {"script", "container", "persona_team"} <= set(
        proposed(editor, f"{WORKFLOW}    executor: |\n")
    )
    assert "Workflow" in proposed(editor, f"{HEAD}kind: |\n")


@pytest.mark.parametrize(
    ("executor", "field", "other"),
    [
        ("script", "interpreter", "command"),
        ("container", "command", "interpreter"),
        ("persona_team", "personas", "image"),
    ],
)
def test_a_config_is_completed_by_its_executor(editor, executor, field, other):
    there = proposed(editor, f"{WORKFLOW}    executor: {executor}\n    config:\n      |\n")
    assert field in there
    assert other not in there


def test_a_field_is_explained(editor):
    text = f"{WORKFLOW}    executor: script\n    config: {{script: exit 0}}\n    triggerRule: AllDone\n"
    path = opened(editor, text)
    said = editor.hover(path, text.count("\n") - 1, 6)
    node = json.loads((editor.directory / "podium.json").read_text())["definitions"]["Node"]
    words = node["properties"]["triggerRule"]["description"].split()
    assert " ".join(words[:3]) in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("    type: phas\n", "phase"),
        ("    executor: script\n    config: {script: exit 0, scripts: x}\n", "scripts"),
        ("    executor: script\n", "config"),
        ("    executor: script\n    config: {script: exit 0}\n    timeout: 5\n", "timeout"),
        (
            "    executor: script\n    config: {script: exit 0}\n    retryPolicy: {maxAttempts: x}\n",
            "Incorrect type",
        ),
    ],
)
def test_a_bad_file_is_refused(editor, lines, said):
    path = opened(editor, WORKFLOW + lines)
    problems = editor.problems(path, some=True)
    assert any(said in message for _, message in problems), problems
    assert all(line >= WORKFLOW.count("\n") for line, _ in problems)


def test_a_bad_document_after_a_good_one_is_refused(editor):
    good = f"{WORKFLOW}    executor: script\n    config: {{script: exit 0}}\n"
    run = f"{HEAD}kind: WorkflowRun\nmetadata: {{name: r}}\n"  # each document has the line
    path = opened(editor, f"{good}---\n{run}spec: {{workflowRef: {{name: w}}, contxt: {{}}}}\n")
    ((line, message),) = editor.problems(path, some=True)
    assert "contxt" in message
    assert line == good.count("\n") + 6


def test_every_example_is_without_problems_and_checked(editor):
    checked = 0
    for path in sorted((ROOT / "examples").glob("*/*.yaml")):
        text = path.read_text()
        if names.API_VERSION not in text:
            continue
        editor.open(path, text)
        assert editor.problems(path) == [], path
        # The same with a mistake in each document of ours: the line that names the schema works.
        broken, count = re.subn(r"^spec:", "speck:", text, flags=re.MULTILINE)
        other = path.with_name(f"broken-{path.name}")
        editor.open(other, broken)
        assert len([m for _, m in editor.problems(other, some=True) if "speck" in m]) == count
        checked += 1
    assert checked >= 4
