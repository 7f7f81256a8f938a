"""Each case on processes of this machine."""

import pytest

from tests.conformance import harness
from tests.conformance.shells import LaptopShell


@pytest.mark.parametrize("name", harness.names("laptop"))
async def test_laptop(name, tmp_path):
    case = harness.load(name)
    end = await harness.drive(case, LaptopShell(tmp_path / "run"))
    assert not harness.differences(case.expect, end), case.rule
