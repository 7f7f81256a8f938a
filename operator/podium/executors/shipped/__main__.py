"""`python -m podium.executors.shipped write|check`."""

import sys

from podium.executors.shipped import run

sys.exit(run(sys.argv[1:]))
