"""`python -m podium.personas.tools.relay BYTES COMMAND…`: a program whose output is bounded.

The client of MCP joins what a server writes again and again, so that one that floods would hold it
up for minutes. Past the bound the program is ended, and its output with it.
"""

import os
import subprocess
import sys

__all__ = ["main"]


def main(most: int, argv: list[str]) -> int:
    """Run a command, and pass on at most `most` bytes of what it writes."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        left = most
        while chunk := os.read(process.stdout.fileno(), 65536):
            left -= len(chunk)
            if left < 0:
                process.kill()
                return 1
            while chunk:
                chunk = chunk[os.write(1, chunk) :]
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
