import pytest

from podium.personas import endpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Tries follow one another at once."""
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0)
