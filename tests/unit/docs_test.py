"""The pages say what is so: each workflow in them is valid, each command, file and citation is there."""

import re
import textwrap
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from podium.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
AHEAD = ROOT / "docs/roadmap.md"
"""Names what is not built."""
PLACES = ("operator", "tests", "charts", "crds", "examples", "benchmarks", "docs", ".ci", ".github")
WRITTEN = {"report.md", "requirements.md", "design.md", "prices.md", "a.md"}
"""What programs of examples and tests write."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = "{id: step, executor: script, config: {script: 'true'}}"
HEAD = "apiVersion: podium.dev/v1alpha1\nkind: Workflow\nmetadata: {name: page}\nspec:\n"


def blocks():
    for page in PAGES:
        for number, (language, text) in enumerate(FENCE.findall(page.read_text())):
            yield page.relative_to(ROOT), number, language, text


def workflows():
    """Yield whole resources, `nodes:` as the graph of one, `spec:` as that of one."""
    for page, number, language, text in blocks():
        if language != "yaml":
            continue
        if text.startswith("nodes:"):
            text = HEAD + textwrap.indent(text, "  ")  # noqa: PLW2901 - the rest is the same
        if text.startswith("spec:"):
            nodes = "" if "  nodes:" in text else f"  nodes: [{NODE}]\n"
            text = HEAD.removesuffix("spec:\n") + text + nodes  # noqa: PLW2901
        yield pytest.param(text, id=f"{page}-{number}")


@pytest.mark.parametrize("text", list(workflows()))
def test_workflows_are_valid(text, tmp_path):
    assert "kind: Workflow" in text
    file = tmp_path / "page.yaml"
    file.write_text(text)
    # A run's Workflow is in another block: that it is not in the file is a warning.
    strict = [] if "workflowRef:" in text else ["--strict"]
    done = CliRunner().invoke(main, ["validate", *strict, str(file)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_make_are_there(page):
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # In code, also several: `make cluster image`.
    named = re.findall(r"(?:`|^\$ |^)make ((?:[a-z0-9-]+ ?)+)", page.read_text(), re.MULTILINE)
    assert {word for words in named for word in words.split()} <= set(targets)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != AHEAD], ids=lambda page: page.name
)
def test_verbs_of_podium_are_there(page):
    text = page.read_text()
    shown = [body for language, body in FENCE.findall(text) if language == ""]
    code = "\n".join([*re.findall(r"`[^`\n]+`", text), *shown])
    code = re.sub(r" #.*", "", code)
    named = re.findall(r"(?:^|`|\$ |/)podium ([a-z]+)", code, re.MULTILINE)
    assert set(named) <= set(main.list_commands(click.Context(main)))


def unknown_options(text):
    """Yield the options that a page gives to a verb of podium which has none of that name."""
    shown = [body for language, body in FENCE.findall(text) if language == ""]
    code = "\n".join([*re.findall(r"`[^`\n]+`", text), *shown])
    code = re.sub(r" #.*", "", code)
    for verb, rest in re.findall(r"(?:^|`|\$ |/)podium ([a-z]+)\b([^`|&;\n]*)", code, re.MULTILINE):
        command = main.get_command(click.Context(main), verb)
        if command is None:
            continue  # another test's business
        known = {name for each in command.params for name in [*each.opts, *each.secondary_opts]} | {
            "-h",
            "--help",
        }
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest):
            if option not in known:
                yield f"{verb} {option}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != AHEAD], ids=lambda page: page.name
)
def test_options_of_podium_are_there(page):
    assert list(unknown_options(page.read_text())) == []


def test_a_missing_option_is_seen():
    text = "`podium run FILE --dry-run -c a=1` and `podium rerun RUN --faild`\n\n```\npodium get -x\n```\n"
    assert list(unknown_options(text)) == ["rerun --faild", "get -x"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        if target.startswith("https://"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            slugs = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads(file)}
            assert anchor in slugs, f"{target}#{anchor}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != AHEAD], ids=lambda page: page.name
)
def test_files_are_there(page):
    text = FENCE.sub("", page.read_text())
    spans = [word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split()]
    assert [word for word in spans for path in braces(word) if is_missing(path)] == []
    modules = re.findall(r"python -m ((?:tests|benchmarks|podium)[a-z_.]*)", page.read_text())
    for module in modules:
        path = module.replace(".", "/")
        places = [ROOT, ROOT / "operator"]
        assert any((at / f"{path}.py").exists() or (at / path).is_dir() for at in places), module


def braces(word):
    """Expand `a/{b,c}.py` as a shell does."""
    match = re.fullmatch(r"(.*)\{([^{}]*)\}(.*)", word)
    if not match or "," not in match[2]:
        return [word]
    return [match[1] + middle + match[3] for middle in match[2].split(",")]


def is_missing(word):
    """Return whether a word is the path of a file of ours that does not exist."""
    path = word.split("::")[0].rstrip(".,;:/'\"").lstrip("'\"")
    if not re.fullmatch(r"[\w./-]+", path) or re.search(r"[A-Z]{4}", path):
        return False  # a placeholder such as NAME
    if path.split("/")[0] in PLACES and "/" in path:
        return not (ROOT / path).exists()
    if re.fullmatch(r"[a-z_]+(/[a-z_]+)*/\w+\.py", path):
        return not any(file.match(path) for file in modules())
    return False


@cache
def modules():
    return [file.relative_to(ROOT) for file in (ROOT / "operator").rglob("*.py")]


@pytest.mark.parametrize(
    ("word", "missing"),
    [
        ("operator/podium/api/workflow.py", False),
        ("operator/podium/gone.py", True),
        ("tests/unit/docs_test.py::test_links_lead_somewhere", False),
        ("tests/upgrade/states/VERSION.yaml", False),
        ("api/workflow.py", False),
        ("api/gone.py", True),
        ("docs/gone", True),
        ("and/or", False),
    ],
)
def test_a_missing_file_is_seen(word, missing):
    assert is_missing(word) is missing


# Citations: `NAME.md`, `NAME.md 3 to 6`, `NAME.md "Heading"`.

CITED = re.compile(
    r"(?P<name>(?<![\w${}*])[\w./-]*\w\.md)\b(?:\]\([^)]*\))?"
    r"(?: (?P<numbers>\d+(?:(?:, | and | or | to )\d+)*)\b)?"
    r"(?: \"(?P<heading>[^\"\n]+)\")?"
)


def heads(page):
    return re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)


@cache
def documents():
    """Return the documents by name; ours are known by their base name."""
    return {page.name: page for page in PAGES}


def stale_citations(text, file):
    """Return what `text` of `file` cites and is not there."""
    text = re.sub(r"\n\s*(?:#|//)?\s*", " ", text)  # a citation may go on in the next line
    for match in CITED.finditer(text):
        name = match["name"]
        base = name.rpartition("/")[2]
        page = next((at for at in (file.parent / name, ROOT / name) if at.exists()), None)
        page = page or (documents().get(base) if base == name else None)
        if page is None and base not in WRITTEN:
            yield name
        if page is None or not page.is_relative_to(ROOT / "docs"):
            continue
        numbers = set(re.findall(r"^(?:#+ )?(\d+)\. ", page.read_text(), re.MULTILINE))
        for number in re.findall(r"\d+", match["numbers"] or ""):
            if number not in numbers:
                yield f"{name} {number}"
        if match["heading"] and match["heading"] not in heads(page):
            yield f'{name} "{match["heading"]}"'


def citing_files():
    kinds = {".py", ".yaml", ".yml", ".md", ".tpl", ".txt", ".sh", ".toml", ".json"}
    for place in PLACES:
        for file in sorted((ROOT / place).rglob("*")):
            if file.suffix in kinds and file.is_file() and file != Path(__file__):
                yield file
    for file in sorted(ROOT.iterdir()):
        if file.suffix in kinds or file.name in ("Makefile", "Dockerfile"):
            yield file


def test_no_citation_is_stale():
    stale = {
        f"{file.relative_to(ROOT)}: {cited}"
        for file in citing_files()
        for cited in stale_citations(file.read_text(), file)
    }
    assert stale == set()


@pytest.mark.parametrize(
    ("text", "stale"),
    [
        ("as semantics.md 3 says", []),
        ("docs/design/semantics.md 3 to 6, and kubernetes.md 2, 5 and 6", []),
        ('(architecture.md "Pinned", semantics.md 8)', []),
        ("# as semantics.md\n  # 3 says", []),
        ("as semantics.md 99 says", ["semantics.md 99"]),
        ("kubernetes.md 2, 55 and 6", ["kubernetes.md 55"]),
        ("[semantics.md](semantics.md) 77", ["semantics.md 77"]),
        ('architecture.md "Nothing such"', ['architecture.md "Nothing such"']),
        ("OPERATOR.md has it", ["OPERATOR.md"]),
        ("docs/gone/semantics.md", ["docs/gone/semantics.md"]),
        ("see DESIGN.md\nand SEMANTICS.md 4", ["DESIGN.md", "SEMANTICS.md"]),
        ("writes $PODIUM_ARTIFACTS_OUT/report.md", []),
    ],
)
def test_a_stale_citation_is_seen(text, stale):
    assert list(stale_citations(text, ROOT / "Makefile")) == stale
