"""A run on this machine against bare processes: `python -m benchmarks.laptop`.

The same number of `true` by `podium run` and by asyncio, with as many at a time; seconds of wall
clock, and the ratio of the medians of pairs run in turn. Podium's side includes the start of the
command itself (what a run of one node takes is shown beside it), checking the workflow, and writing
all that a run leaves behind. Scripts are run by bash, so the floor is shown with bash, too.

Podium is compiled first, as its installation does. What the runs left is removed at the very end:
ext4 passes over the inodes of files that were removed in the last five minutes, which takes the
next run longer than all else that it writes. A benchmark soon after another suffers, too:
TMPDIR=/dev/shm helps.
"""

import argparse
import asyncio
import compileall
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import yaml

import podium

MUST = 2.0
SIDE_SECONDS = 300
"""One side of a pair may take so long."""


def workflow(nodes: int, at_a_time: int) -> str:
    """Make a workflow of independent scripts, and a run of it."""
    graph = [
        {"id": f"n{i}", "executor": "script", "config": {"script": "true"}} for i in range(nodes)
    ]
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "podium.dev/v1alpha1",
                "kind": "Workflow",
                "metadata": {"name": "bench"},
                "spec": {"nodes": graph},
            },
            {
                "apiVersion": "podium.dev/v1alpha1",
                "kind": "WorkflowRun",
                "metadata": {"name": "bench"},
                "spec": {"workflowRef": {"name": "bench"}, "maxParallel": at_a_time},
            },
        ]
    )


async def floor(command: list[str], nodes: int, at_a_time: int) -> None:
    """Start processes with asyncio and wait for each."""
    slots = asyncio.Semaphore(at_a_time)

    async def one() -> None:
        async with slots:
            process = await asyncio.create_subprocess_exec(*command)
            assert await process.wait() == 0

    async with asyncio.timeout(SIDE_SECONDS):
        await asyncio.gather(*(one() for _ in range(nodes)))


def bare(command: list[str], nodes: int, at_a_time: int) -> float:
    """Return the seconds of the floor."""
    begin = time.perf_counter()
    asyncio.run(floor(command, nodes, at_a_time))
    return time.perf_counter() - begin


def run(directory: Path, nodes: int, at_a_time: int) -> float:
    """Run them as a workflow, in a new directory; return the seconds."""
    directory.mkdir()
    file = directory / "workflow.yaml"
    file.write_text(workflow(nodes, at_a_time))
    command = [Path(sys.executable).with_name("podium"), "run", file]
    begin = time.perf_counter()
    done = subprocess.run(
        [*command, "--state-dir", directory / "state"],
        capture_output=True,
        text=True,
        timeout=SIDE_SECONDS,
        check=False,
    )
    took = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"podium run ended with {done.returncode}: {done.stderr[-2000:]}")
    return took


def measured(directory: Path, nodes: int, at_a_time: int, pairs: int) -> dict[str, list[float]]:
    """Return the seconds of each kind of work."""
    taken: dict[str, list[float]] = {"true": [], "bash": [], "one": [], "podium": []}
    for pair in range(pairs):
        work = {
            "true": partial(bare, ["true"], nodes, at_a_time),
            "bash": partial(bare, ["bash", "-c", "true"], nodes, at_a_time),
            "one": partial(run, directory / f"one-{pair}", 1, at_a_time),
            "podium": partial(run, directory / f"all-{pair}", nodes, at_a_time),
        }
        for name, act in work.items():
            taken[name].append(act())
            said = f"pair {pair + 1} of {pairs}: {name} {taken[name][-1]:.2f} s"
            print(said, file=sys.stderr, flush=True)
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.laptop", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--at-a-time", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    compileall.compile_dir(Path(podium.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as directory:
        taken = measured(Path(directory), options.nodes, options.at_a_time, options.pairs)
    seconds = {name: median(values) for name, values in taken.items()}
    ratio = seconds["podium"] / seconds["true"]
    form = "{:<6} {:<10} {:<15} {:<15} {:<13} {:<18} {:<14} {}"
    print(
        form.format(
            *("nodes", "at a time", "asyncio true s", "asyncio bash s", "podium run s"),
            *("podium, one node s", "ratio to true", "must"),
        )
    )
    print(
        form.format(
            options.nodes,
            options.at_a_time,
            *(f"{seconds[name]:.2f}" for name in ("true", "bash", "podium", "one")),
            f"{ratio:.2f}",
            f"<={MUST:.2f} {'ok' if ratio <= MUST else 'MISS'}",
        )
    )


if __name__ == "__main__":
    main()
