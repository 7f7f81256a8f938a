"""A worker that can be asked for what goes wrong."""

import json
import os
import time

from podium.judge import __main__, tasks

KEPT = []
EXTRA = {
    "keep": lambda body: KEPT.append(bytes(int(body) * 1024 * 1024)) or str(os.getpid()).encode(),
    "echo": lambda body: body,
    "pid": lambda body: str(os.getpid()).encode(),
    "spin": lambda body: any(iter(int, 1)),  # for ever: 0 is never 1, nor true
    "spin in C": lambda body: str(7 ** (10**9)).encode(),
    "wait": lambda body: bytes(time.sleep(float(body)) or 0),
    "memory": lambda body: bytes(bytearray(400 * 1024 * 1024)),
    "large": lambda body: bytes(9 * 1024 * 1024),
    "die": lambda body: os._exit(3),
    "fault": lambda body: body[1_000_000:].index(b"x").to_bytes(),
    "print": lambda body: print("x" * 10_000) or b"printed",
    "environment": lambda body: json.dumps(dict(os.environ)).encode(),
    "nice": lambda body: str(os.nice(0)).encode(),
}


if __name__ == "__main__":
    tasks.TASKS.update(EXTRA)
    tasks.load = lambda: None  # it starts sooner
    __main__.main()
