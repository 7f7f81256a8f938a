"""The plugin as its archive has it: with its libraries beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from podium.cli import kubectl

sys.exit(kubectl())
