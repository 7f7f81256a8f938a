"""No module imports another one that imports it, at any distance."""

import ast
from pathlib import Path

import networkx as nx
import pytest

import podium

ROOT = Path(podium.__file__).parents[1]
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "podium").rglob("*.py")
}


def imported(tree):
    """Yield the names that a module imports, also within functions, but not for types alone."""
    for each in ast.iter_child_nodes(tree):
        if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test):
            continue
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            for alias in each.names:
                whole = f"{each.module}.{alias.name}"
                yield whole if whole in MODULES else each.module
        else:
            yield from imported(each)


def circles(texts):
    """Return the modules that lead to themselves; a package may import its own parts."""
    graph = nx.DiGraph(
        (module, name)
        for module, text in texts.items()
        for name in imported(ast.parse(text))
        if name in texts and name != module and not module.startswith(f"{name}.")
    )
    return [sorted(each) for each in nx.strongly_connected_components(graph) if len(each) > 1]


def test_there_is_no_circle_of_imports():
    assert circles({module: file.read_text() for module, file in MODULES.items()}) == []


@pytest.mark.parametrize("lazy", ["from podium import cli", "def f():\n    import podium.cli"])
def test_a_circle_is_seen_also_where_an_import_is_lazy(lazy):
    texts = {"podium.cli": "import podium.api", "podium.api": lazy}
    assert circles(texts) == [["podium.api", "podium.cli"]]


def test_an_import_for_types_is_not_one():
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import podium.cli"
    assert circles({"podium.cli": "import podium.api", "podium.api": text}) == []
