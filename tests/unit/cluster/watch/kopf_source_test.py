"""The event source: what kopf is told."""

import itertools

from podium.cluster.watch import kopf_source as handlers


def test_no_outage_is_so_long_that_kopf_gives_up():
    pauses = handlers._settings().networking.error_backoffs
    for _ in range(2):  # of each request again
        first = list(itertools.islice(pauses, 100))
        assert len(first) == 100
        assert (first[0], max(first)) == (1, 20)
