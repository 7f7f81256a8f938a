"""What users read is in the field's words: help, `kubectl explain`, metrics, documents.

A home-made word for what has a name costs each reader a guess.
"""

import ast
import re
from pathlib import Path

import click
import pytest
import yaml

from podium.cli import main
from podium.cluster.metrics import Metrics

ROOT = Path(__file__).parents[2]
DIALECT = {
    r"(?<!there )\b(?:is|are|was|were) no (?!longer|such|more\b|need|way\b|limit\b|less\b)\w+": "is not a, is not an",
    r"\banew\b": "again",
    r"\bfor ever\b": "until cancelled",
    r"\bfolders?\b": "directory",
    r"\ba text\b|\btexts\b": "string",
    r"\b(?:some|no)body\b": "name the actor",
    r"\blets? go of\b": "removes, releases",
    r"\b(?:told|tells?) whether\b": "returns whether",
    r"\bstands? (?:in|there|beside)\b": "is stored in",
    r"\bgo(?:es)? on with\b": "resume",
    r"\bcarr(?:y|ies) out\b(?= nodes)": "execute",
    r"\bas it once was\b": "an earlier version",
    r"\bthe same, by\b": "a sentence that stands alone",
    r"\bhow long they took\b": "a sentence that stands alone",
    r"\bunless told otherwise\b": "by default",
    r"\bwords of\b": "message of",
    r"\bhalf a character\b": "an unpaired surrogate",
}


def dialect(text):
    """Return the home-made words of a text, each with what would be right."""
    plain = " ".join(text.split())
    return [
        f"{match[0]!r} ({better}): …{plain[max(0, match.start() - 40) : match.end() + 40]}…"
        for pattern, better in DIALECT.items()
        for match in re.finditer(pattern, plain, re.IGNORECASE)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "its value is no number",
        "must be a text",
        "The run's folder.",
        "waits for ever",
        "Tells whether it runs.",
        "somebody deleted it",
        "The same, by how they went.",
        "What stands in the status.",
    ],
)
def test_dialect_is_seen(text):
    assert len(dialect(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["There is no limit.", "is no longer there", "text as it is", "It is not a number."],
)
def test_plain_words_are_left_alone(text):
    assert dialect(text) == []


def commands(command, path):
    yield pytest.param(command, path, id=" ".join(path))
    if isinstance(command, click.Group):
        context = click.Context(command, **main.context_settings)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), [*path, name])


@pytest.mark.parametrize(("command", "path"), list(commands(main, ["podium"])))
def test_help(command, path):
    # As podium calls it: click keeps the option for help that a command is first asked with.
    context = click.Context(command, info_name=path[-1], **main.context_settings)
    assert dialect(command.get_help(context)) == []


@pytest.mark.parametrize("file", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda file: file.stem)
def test_explain(file):
    def descriptions(data):
        if isinstance(data, dict):
            yield from ([data["description"]] if isinstance(data.get("description"), str) else [])
            for value in data.values():
                yield from descriptions(value)
        elif isinstance(data, list):
            for value in data:
                yield from descriptions(value)

    found = [
        word
        for text in set(descriptions(yaml.safe_load(file.read_text())))
        for word in dialect(text)
    ]
    assert found == []


def test_metrics():
    text = Metrics().text().decode()
    helps = re.findall(r"^# HELP (podium_\w+) (.+)$", text, re.MULTILINE)
    assert len(helps) > 10
    assert [word for _, help_ in helps for word in dialect(help_)] == []


PAGES = [
    p for at in ("*.md", "docs/**/*.md", "examples/*/README.md") for p in sorted(ROOT.glob(at))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents(page):
    assert dialect(page.read_text()) == []


def test_values_of_the_chart():
    assert dialect((ROOT / "charts/podium/values.yaml").read_text()) == []


def messages(file):
    """Yield the sentences among a module's strings; a formatted one has … for its values.

    Docstrings are left out, and so is what has no blank: names and keys.
    """
    tree = ast.parse(file.read_text())
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent.update(map(id, node.values))
            yield "".join(
                each.value if isinstance(each, ast.Constant) else "…" for each in node.values
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in silent and " " in str(node.value):
            yield str(node.value)


MODULES = sorted((ROOT / "operator/podium").rglob("*.py"))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT / "operator")))
def test_messages(file):
    assert [word for text in messages(file) for word in dialect(text)] == []


def test_messages_are_found(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        '"""A folder."""\nX = f"{1} is no number"\n\ndef f():\n    """A text."""\n    raise ValueError("a text")\n'
    )
    assert len([word for text in messages(file) for word in dialect(text)]) == 2
