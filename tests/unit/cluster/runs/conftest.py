"""One operator and its server, for the tests of what a run does with Jobs and Pods."""

import pytest

from podium.cluster.runs import launcher, observer
from tests.unit.cluster.runs.world import Clock, World


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (launcher, observer):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def world(clock):
    return World()
