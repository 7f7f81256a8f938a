"""The pages say what is so: each workflow in them is valid, each command is there."""

import re
import textwrap
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from podium.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = "apiVersion: podium.dev/v1alpha1\nkind: Workflow\nmetadata: {name: page}\nspec:\n"


def blocks():
    for page in PAGES:
        for number, (language, text) in enumerate(FENCE.findall(page.read_text())):
            yield page.relative_to(ROOT), number, language, text


def workflows():
    """Yield whole resources, and `nodes:` as the graph of one."""
    for page, number, language, text in blocks():
        if language != "yaml":
            continue
        if text.startswith("nodes:"):
            text = HEAD + textwrap.indent(text, "  ")  # noqa: PLW2901 - the rest is the same
        yield pytest.param(text, id=f"{page}-{number}")


@pytest.mark.parametrize("text", list(workflows()))
def test_workflows_are_valid(text, tmp_path):
    assert "kind: Workflow" in text
    file = tmp_path / "page.yaml"
    file.write_text(text)
    done = CliRunner().invoke(main, ["validate", "--strict", str(file)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_make_are_there(page):
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # In code, also several: `make cluster image`.
    named = re.findall(r"(?:`|^\$ |^)make ((?:[a-z0-9-]+ ?)+)", page.read_text(), re.MULTILINE)
    assert {word for words in named for word in words.split()} <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_of_podium_are_there(page):
    text = page.read_text()
    shown = [body for language, body in FENCE.findall(text) if language == ""]
    code = "\n".join([*re.findall(r"`[^`\n]+`", text), *shown])
    code = re.sub(r" #.*", "", code)
    named = re.findall(r"(?:^|`|\$ |/)podium ([a-z]+)", code, re.MULTILINE)
    assert set(named) <= set(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target
