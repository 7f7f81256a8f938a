"""What others may use of the engine is what the package names."""

import ast
import importlib
from pathlib import Path

import pytest

from podium import engine

PODIUM = Path(engine.__file__).parents[1]


def names_of_parts(text):
    """Return the modules of the engine that a file imports from."""
    for each in ast.walk(ast.parse(text)):
        names = [alias.name for alias in each.names] if isinstance(each, ast.Import) else []
        if isinstance(each, ast.ImportFrom):
            names = [each.module or ""]
        yield from (name for name in names if name.startswith("podium.engine."))


def test_others_import_from_the_package_and_not_from_its_parts():
    found = {
        f"{file.relative_to(PODIUM)}: {name}"
        for file in PODIUM.rglob("*.py")
        if not file.is_relative_to(PODIUM / "engine")
        for name in names_of_parts(file.read_text())
    }
    assert found == set()


def test_an_import_from_a_part_is_seen():
    text = "def f():\n    from podium.engine.plan import Plan\nimport podium.engine.state\n"
    assert set(names_of_parts(text)) == {"podium.engine.plan", "podium.engine.state"}


@pytest.mark.parametrize("name", engine.__all__)
def test_each_name_is_there(name):
    home = importlib.import_module(f"podium.engine.{engine._HOME[name]}")
    assert getattr(engine, name) is getattr(home, name)


def test_the_lists_of_names_are_one():
    assert sorted(engine.__all__) == sorted(engine._HOME)
