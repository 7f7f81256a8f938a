"""Feature gates: what may be switched, and by what words."""

import pytest

from podium.cluster.feature_gates import GATES, Gate, parse_gates
from podium.cluster.settings import Settings


def test_every_gate_says_what_it_is():
    assert set(GATES) == set(Gate)
    for feature in GATES.values():
        assert feature.what
        assert feature.default is (feature.stage != "Alpha"), "as Kubernetes has it"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (" , ,", {}),
        ("ManagedJobs=false", {Gate.MANAGED_JOBS: False}),
        (" ManagedJobs=true , ", {Gate.MANAGED_JOBS: True}),
        ("ManagedJobs=true,ManagedJobs=false", {Gate.MANAGED_JOBS: False}),
    ],
)
def test_gates_are_read(text, found):
    assert parse_gates(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Managed=true", "unknown feature gate 'Managed'; known are ManagedJobs"),
        ("managedjobs=true", "unknown feature gate"),
        ("=true", "unknown feature gate ''"),
        ("ManagedJobs", "ManagedJobs must be true or false, not ''"),
        ("ManagedJobs=True", "not 'True'"),
        ("ManagedJobs=1", "not '1'"),
        ("ManagedJobs=true=false", "not 'true=false'"),
    ],
)
def test_what_is_wrong_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        parse_gates(text)


def test_a_gate_is_at_its_default_unless_it_is_switched():
    assert Settings().manages is GATES[Gate.MANAGED_JOBS].default
    assert Settings(feature_gates=parse_gates("ManagedJobs=false")).manages is False
