"""What is downloaded is checked by hashes; what is installed is listed, and looked up."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cluster.podium_image import INPUTS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
INSTRUCTIONS = [line for line in DOCKERFILE.splitlines() if re.match(r"[A-Z]+ ", line)]
spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)


def instructions(name):
    return [line.split(None, 1)[1] for line in INSTRUCTIONS if line.split()[0] == name]


def test_the_base_is_an_argument_that_takes_a_digest():
    assert INSTRUCTIONS[0].startswith("ARG BASE=")
    assert {line.split()[0] for line in instructions("FROM")} == {"${BASE}"}


def test_all_that_the_image_downloads_has_a_hash_or_a_signature():
    commands = [each.strip() for line in instructions("RUN") for each in re.split(r"&&|;|\|", line)]
    # What apt-get installs is signed.
    commands = [each for each in commands if "apt-get install" not in each]
    loading = [each for each in commands if re.search(r"\b(pip|uv|curl|wget|git|npm)\b", each)]
    assert len(loading) >= 4
    for each in loading:
        assert re.search(r"--require-hashes|sync --frozen|--offline|-m venv", each), each
    assert not instructions("ADD")


def test_uv_is_pinned_with_its_hashes():
    (line,) = re.findall(
        r"^uv==[0-9.]+ (?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+$",
        (ROOT / "requirements-uv.txt").read_text(),
        re.MULTILINE,
    )
    assert line.count("--hash") > 5, "for every kind of machine"
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    for command in re.findall(r"pip install.*", makefile):
        assert "--require-hashes" in command, command


def test_everything_else_has_hashes_in_the_lock():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    from_registry = [each for each in packages if "registry" in each["source"]]
    assert [each["name"] for each in packages if each not in from_registry] == ["podium"]
    for package in from_registry:
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        assert all(each["hash"].startswith("sha256:") for each in files), package["name"]


def test_the_builder_gets_what_the_dockerfile_copies():
    copied = {
        name
        for line in instructions("COPY")
        if not line.startswith("--from")
        for name in line.split()[:-1]
    }
    assert copied | {"Dockerfile"} == set(INPUTS)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}


def test_a_bill_of_materials_names_every_package_of_the_image(tmp_path):
    file = tmp_path / "sbom.json"
    done = subprocess.run(
        ["make", "--silent", "sbom", f"SBOM={file}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "podium")
    by_name = {each["name"]: each for each in bill["components"]}
    assert {"click", "pydantic", "kopf", "kubernetes", "jsonschema"} <= set(by_name)
    assert not {"pytest", "ruff", "hatchling"} & set(by_name)
    for each in by_name.values():
        assert each["purl"].startswith(f"pkg:pypi/{each['name']}@"), each["name"]
        assert each["externalReferences"][0]["hashes"], each["name"]


def answered(text, code=0, error=""):
    """Return a command that prints what pip-audit would."""
    program = "import sys; print(sys.argv[1]); print(sys.argv[2], file=sys.stderr);"
    return sys.executable, "-c", f"{program} sys.exit({code})", text, error


SOUND = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (
            answered(json.dumps({"dependencies": [SOUND, SKIPPED]})),
            0,
            "no known vulnerability in 1",
        ),
        (
            answered(json.dumps({"dependencies": [SOUND, BAD]}), 1),
            1,
            "audit: b 2: CVE-1, mended in 2.1",
        ),
        (answered(json.dumps({"dependencies": [SKIPPED]})), 0, "it knows none of the packages"),
        (answered("", 1, "ConnectionError: no route"), 0, "not checked, no registry answers here"),
    ],
)
def test_vulnerable_packages_fail_the_check_and_no_registry_is_said(capsys, command, code, said):
    assert audit.main(command) == code
    assert said in capsys.readouterr().out
