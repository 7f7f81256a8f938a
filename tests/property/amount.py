"""How many random cases a property is tried with.

`PODIUM_FUZZ=10 pytest tests/property` tries ten times as many; `make test-long` does so.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = float(os.environ.get("PODIUM_FUZZ", "1"))


def tried(times):
    """Try a property with so many cases in a usual run."""
    return settings(
        max_examples=round(times * TIMES),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
