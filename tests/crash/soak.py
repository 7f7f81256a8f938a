"""Kill the operator at random points and times: `python -m tests.crash.soak --kills 500`.

Ends at the first check that fails, with what is needed to look into it: the points (`--seed` draws
them again), the namespace, which is kept, and the operator's log.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
import traceback

from tests.crash import victim
from tests.crash.harness import harness

MOST_STARTS = 5
"""Kills in one case, at most."""
LATEST_SECONDS = 12.0


def draw(chance, calls):
    """Draw the points of one case: any call that an undisturbed run makes, or any time."""
    points = []
    for _ in range(chance.randint(1, MOST_STARTS)):
        if chance.random() < 0.3:
            points.append(f"time:{chance.uniform(0, LATEST_SECONDS):.2f}")
        else:
            name = chance.choice(sorted(calls))
            points.append(f"{chance.choice(victim.WHEN)}:{name}:{chance.randint(1, calls[name])}")
    return points


async def soak(kills, at_a_time, seed):
    chance = random.Random(seed)
    begin, done, cases = time.monotonic(), 0, 0
    directory = tempfile.mkdtemp(prefix="crash-soak-")
    print(f"seed {seed}, logs in {directory}", flush=True)
    async with harness(directory) as made:
        plain = {managed: await made.case([], managed=managed) for managed in (True, False)}

        async def work():
            nonlocal done, cases
            while done < kills:
                managed = chance.random() < 0.8
                points = draw(chance, plain[managed].calls)
                result = await made.case(points, managed=managed)
                assert result.end == plain[True].end, (
                    f"{points}, managed {managed}: {result.end} and not {plain[True].end}"
                )
                done += result.kills
                cases += 1
                seconds = time.monotonic() - begin
                print(f"{done} kills, {cases} runs, {seconds:.0f} s: {points}", flush=True)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_a_time):
                tasks.create_task(work())
    print(f"{done} kills in {cases} runs: nothing ran twice, nothing was lost, all ends the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--at-a-time", type=int, default=8, help="runs side by side")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    try:
        asyncio.run(soak(given.kills, given.at_a_time, given.seed))
    except* Exception as errors:
        for error in errors.exceptions:
            traceback.print_exception(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
