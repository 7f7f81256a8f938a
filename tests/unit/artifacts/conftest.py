import pytest

from tests.unit.artifacts.support import directory_store


@pytest.fixture
def store(tmp_path):
    with directory_store(tmp_path / "store") as opened:
        yield opened
