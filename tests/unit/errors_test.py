"""All exceptions of Podium have one root."""

import importlib
import inspect
import pkgutil

import podium
from podium.errors import PodiumError


def test_all_exceptions_have_one_root():
    found = set()
    for each in pkgutil.walk_packages(podium.__path__, "podium."):
        if each.name.endswith("__main__"):
            continue
        module = importlib.import_module(each.name)
        found |= {
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Exception) and kind.__module__.startswith("podium")
        }
    assert len(found) > 20
    assert [kind for kind in found if not issubclass(kind, PodiumError)] == []
    assert [kind.__name__ for kind in found if not kind.__name__.endswith("Error")] == []
