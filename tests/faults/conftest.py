import pytest

from tests.faults.testbed import places


@pytest.fixture(scope="package")
def make_place(tmp_path_factory):
    with places(tmp_path_factory.mktemp("faults")) as make:
        yield make


@pytest.fixture
def place(make_place):
    place = make_place()
    yield place
    try:
        place.end()
    finally:
        place.core.delete_namespace(place.name)
