import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import podium

ROOT = Path(podium.__file__).parent
PARTS = [
    "api",
    "cluster",
    "contracts",
    "dag",
    "engine",
    "executors",
    "expressions",
    "judge",
    "kinds",
]


def loaded_on_first_use():
    """Yield the modules that functions import."""
    for path in [
        *ROOT.glob("*.py"),
        *(file for part in PARTS for file in (ROOT / part).rglob("*.py")),
    ]:
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Import):
                        yield from (name.name for name in node.names)
                    elif isinstance(node, ast.ImportFrom):
                        yield node.module
                        for name in node.names:
                            if (
                                node.module.startswith("podium")
                                and find_spec(node.module).submodule_search_locations
                            ):
                                inner = f"{node.module}.{name.name}"
                                if find_spec(inner):
                                    yield inner


def test_the_operator_loads_nothing_on_first_use():
    wanted = set(loaded_on_first_use())
    assert {"networkx", "podium.contracts.schema_check"} <= wanted
    code = (
        "import sys, podium.cluster.operator as operator; operator.preload();"
        " print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not wanted - set(done.stdout.split())


def test_no_tool_beside_us_makes_schemas_slow_to_load():
    """With it installed, jsonschema builds grammars while it is imported: seconds of it."""
    assert find_spec("rfc3987_syntax") is None
