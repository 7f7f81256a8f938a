"""Executors of an installation: those that come with Podium, and entry points of packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.executors import added, custom, shipped
from podium.judge.executors import names_in
from tests.unit.cli.support import ENV, PODIUM

ROOT = Path(__file__).parents[3]
SPEC = {
    "title": "Of a package",
    "config": {"properties": {"word": {"type": "string"}}},
    "template": {"spec": {"containers": [{"name": "node", "image": "x"}]}},
    "local": {
        "command": [
            "sh",
            "-c",
            'echo "{\\"said\\": \\"$1\\"}" > $PODIUM_OUTPUT',
            "-",
            "${{ config.word }}",
        ]
    },
}


def package(directory, spec, code=""):
    """Install a package that has one executor, `say`, into a directory."""
    (directory / "saying").mkdir()
    text = f"{code}\ndef executor():\n    return {spec!r}\n"
    (directory / "saying/__init__.py").write_text(text)
    info = directory / "saying-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: saying\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[podium.executors]\nsay = saying:executor\n")


def podium(directory, *arguments):
    return subprocess.run(
        [PODIUM, *arguments],
        cwd=directory,
        env={**ENV, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def workflow(directory, executor="say", **config):
    nodes = [{"id": "a", "executor": executor, "config": config}]
    document = {
        "apiVersion": "podium.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"nodes": nodes},
    }
    (directory / "w.yaml").write_text(json.dumps(document))


def test_a_package_adds_an_executor(tmp_path):
    package(tmp_path, SPEC)
    workflow(tmp_path, word="hello")
    done = podium(tmp_path, "run", "w.yaml", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"]["nodes"]["a"]["output"] == {"said": "hello"}
    assert "say            installed   Of a package" in podium(tmp_path, "executors").stdout
    workflow(tmp_path, "sai")
    done = podium(tmp_path, "validate", "w.yaml")
    assert "known are script, container, persona, persona_team, team, workflow, http" in done.stderr
    assert "did you mean 'say'?" in done.stderr


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (
            {**SPEC, "template": {}},
            "",
            "say of a package is not valid: spec.template.spec: is missing",
        ),
        ({**SPEC, "command": ["${{ config.x }}"]}, "", "config.x: unknown property"),
        (SPEC, "raise ImportError('no numpy')", "say (saying:executor): ImportError: no numpy"),
        (["x"], "", "say (saying:executor) is not a mapping"),
    ],
)
def test_a_broken_one_is_named(tmp_path, spec, code, message):
    package(tmp_path, spec, code)
    workflow(tmp_path)
    done = podium(tmp_path, "validate", "w.yaml")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_packages_are_looked_for_only_where_one_may_be_named():
    """It takes as long as a start of podium."""
    code = (
        "import sys\nfrom podium.cli.checked_file import sound_file\nsound_file(sys.argv[1])\n"
        "print('importlib.metadata' in sys.modules, 'podium.executors.added' in sys.modules)"
    )
    example = str(ROOT / "examples/hello/workflow.yaml")
    done = subprocess.run(
        [sys.executable, "-c", code, example],
        env={**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize("name", shipped.NAMES)
def test_those_that_come_with_podium_are_valid(name):
    executor = shipped.load(name)
    assert executor.metadata.name == name
    assert list(custom.definition_problems(executor.spec)) == []
    assert added.find(name) == executor
    assert names_in({"nodes": [{"executor": name}]}) == [name], "on a cluster it is a resource"


def test_the_charts_manifests_are_generated_from_them():
    for path, text in shipped.files(ROOT).items():
        assert path.read_text() == text
