"""Podium against raw Pods on the cluster of KUBECONFIG: `python -m benchmarks.cluster`.

Each row runs the same graph by both, in turn, so many pairs. The ratio is the median of the pairs'
ratios: of seconds where a graph is one after the other (smaller is better), of nodes a second where
it is a crowd (larger is better). Removing it all is not counted.

Podium is an operator of this source tree, started again for each row, in a namespace of its own.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import floor, operator_run
from benchmarks.api import Api, connect
from benchmarks.graphs import Graph, chain, fan, sdlc
from benchmarks.testbed import free_port, warn_of_others
from tests.cluster.kwok import Kwok, kwok
from tests.conformance.cluster_shell import connect as connect_models
from tests.conformance.own_operator import OwnOperator, apply_crds, own_namespace, own_operator

WARM_SECONDS = 60
SIDE_SECONDS = 600
"""One side of a pair may take so long."""
PACED_MILLISECONDS = 250
"""From ready to Pod, p99, when nodes arrive at half the floor's rate."""
REST_SECONDS = 15
"""After a crowd the cluster still cleans up behind it: the next side does not pay for that."""


@dataclass(frozen=True)
class Row:
    """What is measured, and what is asked of it."""

    title: str
    graph: Graph
    must: float
    times: int = 1
    fake: bool = False
    """Whether kwok plays the kubelet."""
    rate: bool = False
    """Whether nodes a second are compared, else seconds."""
    paced: bool = False
    """Whether Podium's runs arrive at half the floor's rate: how soon Pods are there is asked."""


def rows(*, quick: bool) -> dict[str, Row]:
    """Return the rows by name; quick ones are smaller and say so."""
    width, runs = (200, 20) if quick else (1000, 100)
    length = 3 if quick else 10
    return {
        "chain": Row(f"chain of {length}, kubelet", chain(length), 1.10),
        "sdlc": Row("sdlc, kubelet", sdlc(), 1.10),
        "chain-kwok": Row("chain of 10, kwok", chain(10), 2.0, fake=True),
        "fan": Row(f"fan of {width}, kwok", fan(width), 0.8, fake=True, rate=True),
        "runs": Row(f"{runs} runs of sdlc, kwok", sdlc(), 0.7, times=runs, fake=True, rate=True),
        "paced": Row(
            f"{runs} runs in turn, kwok", sdlc(), 0.0, times=runs, fake=True, rate=True, paced=True
        ),
    }


@dataclass
class Measured:
    """The pairs of a row."""

    row: Row
    floors: list[floor.Result]
    podiums: list[operator_run.Result]

    @property
    def seconds(self) -> tuple[float, float]:
        """The medians of the floor and of Podium."""
        return median(r.seconds for r in self.floors), median(r.seconds for r in self.podiums)

    @property
    def ratios(self) -> list[float]:
        """Of each pair: Podium's seconds by the floor's, or its rate by the floor's."""
        pairs = list(zip(self.floors, self.podiums, strict=True))
        if self.row.rate:
            return [podium.rate / raw.rate for raw, podium in pairs]
        return [podium.seconds / raw.seconds for raw, podium in pairs]

    @property
    def ratio(self) -> float:
        """The median: what else the machine does changes from pair to pair."""
        return median(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether it is as asked."""
        return self.ratio >= self.row.must if self.row.rate else self.ratio <= self.row.must


START = time.monotonic()


def say(text: str) -> None:
    """Print progress to standard error."""
    print(f"[{time.monotonic() - START:6.1f}s] {text}", file=sys.stderr, flush=True)


async def measure(
    row: Row,
    pairs: int,
    namespace: str,
    operator: OwnOperator,
    port: int,
    machines: Kwok | None,
) -> Measured:
    """Run a row's pairs in turn, after one node of each that warms up what is cold at first."""
    defaults = machines.pod_defaults if machines else None
    found = Measured(row, [], [])

    async def raw(api: Api, graph: Graph, times: int, patience: float) -> floor.Result:
        return await floor.run(
            api, namespace, graph, times=times, pod_defaults=defaults, patience=patience
        )

    async def podium(
        api: Api, graph: Graph, times: int, patience: float, pause: float = 0
    ) -> operator_run.Result:
        done = await operator_run.run(
            *(api, namespace, operator.pid, port, graph),
            times=times,
            patience=patience,
            pause=pause,
        )
        operator()
        return done

    async with connect() as api:
        say(f"{row.title}: one node of each first")
        await raw(api, chain(1), 1, WARM_SECONDS)
        await podium(api, chain(1), 1, WARM_SECONDS)
        rest = REST_SECONDS if row.rate else 1
        for pair in range(1, pairs + 1):
            await asyncio.sleep(rest)
            found.floors.append(await raw(api, row.graph, row.times, SIDE_SECONDS))
            say(f"{row.title}: pair {pair} of {pairs}: raw {found.floors[-1].seconds:.2f} s")
            await asyncio.sleep(rest)
            pause = 2 * len(row.graph) / found.floors[-1].rate if row.paced else 0
            found.podiums.append(await podium(api, row.graph, row.times, SIDE_SECONDS, pause))
            say(f"{row.title}: pair {pair} of {pairs}: Podium {found.podiums[-1].seconds:.2f} s")
    return found


def print_table(found: list[Measured]) -> None:
    """Print the ratios, and what the operator used."""
    form = "{:<24} {:>8} {:>8} {:>7} {:>7} {:>6} {:>11} {:>7} {:<4} {:>11} {:>7}"
    print(
        form.format(
            *("work", "raw s", "Podium s", "raw /s", "Pod. /s", "ratio", "of pairs", "must", ""),
            *("cpu ms/node", "peak MB"),
        )
    )
    for one in found:
        if one.row.paced:
            continue  # as slow as it was told to be
        raw, podium = one.seconds
        nodes = one.podiums[0].nodes
        print(
            form.format(
                one.row.title,
                f"{raw:.2f}",
                f"{podium:.2f}",
                f"{nodes / raw:.1f}",
                f"{nodes / podium:.1f}",
                f"{one.ratio:.2f}",
                f"{min(one.ratios):.2f}-{max(one.ratios):.2f}",
                f"{'>=' if one.row.rate else '<='}{one.row.must:.2f}",
                "ok" if one.holds else "MISS",
                f"{1000 * median(r.operator.cpu for r in one.podiums) / nodes:.1f}",
                f"{max(r.operator.peak for r in one.podiums):.0f}",
            )
        )


def print_schedule(found: list[Measured]) -> None:
    """Print how soon Pods were there: the raw client's exactly, Podium's by its own histogram."""
    print("\nnode ready to Pod created, milliseconds (Podium's as exact as its buckets)")
    form = "{:<24} {:>8} {:>8} {:>11} {:>11} {:>10} {:>8}"
    heads = ("work", "raw p50", "raw p99", "Podium p50", "Podium p99", "ratio p99", "must")
    print(form.format(*heads))
    for one in found:
        raw = [1000 * median(r.created_quantile(q) for r in one.floors) for q in (50, 99)]
        words = ["-", "-", "-"]
        seen = [[r.operator.schedule_quantile(q) for r in one.podiums] for q in (0.5, 0.99)]
        if all(value is not None for values in seen for value in values):
            podium = [1000 * median(value or 0 for value in values) for values in seen]
            words = [*(f"{value:.1f}" for value in podium), f"{podium[1] / raw[1]:.2f}"]
        must = f"{PACED_MILLISECONDS} ms" if one.row.paced else "1.30"
        print(form.format(one.row.title, *(f"{value:.1f}" for value in raw), *words, f"<={must}"))


def print_writes(found: list[Measured]) -> None:
    """Print the requests that change something: the operator's own, and all of the cluster."""
    print("\nwrites a node (below 0.05 not shown): the operator's own, and by whomever meanwhile")
    form = "{:<24} {:<38} {:>8} {:>8}"
    print(form.format("work", "request", "Podium", "cluster"))
    for one in found:
        nodes = sum(r.nodes for r in one.podiums)
        own = sum((r.operator.writes for r in one.podiums), Counter())
        everybody = sum((r.writes for r in one.podiums), Counter())
        title = one.row.title
        for what in sorted(own | everybody, key=lambda what: [*what.split()[1:], what]):
            if max(own[what], everybody[what]) / nodes >= 0.05 and "leases" not in what:
                counts = [f"{counter[what] / nodes:.2f}" for counter in (own, everybody)]
                print(form.format(title, what, *counts))
                title = ""
        known = f"{own.total() / nodes:.2f}" if own else "-"
        print(form.format(title, "all", known, f"{everybody.total() / nodes:.2f}"))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = list(rows(quick=False))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", choices=names, help="a row; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of each row; default 3, quick 1")
    parser.add_argument("--quick", action="store_true", help="smaller graphs")
    parser.add_argument("--tree", type=Path, help="take the operator of this checkout instead")
    return parser.parse_args()


def main() -> None:
    """Measure the rows and print the tables; the word MISS stands where a row is not as asked."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.tree:
        os.environ["PYTHONPATH"] = str(options.tree.absolute() / "operator")
    chosen = [
        row
        for name, row in rows(quick=options.quick).items()
        if not options.only or name in options.only
    ]
    pairs = options.pairs or (1 if options.quick else 3)
    found: list[Measured] = []
    with contextlib.ExitStack() as stack:
        models = connect_models()
        others = warn_of_others(models, say)
        apply_crds(models)
        namespace = stack.enter_context(own_namespace(models, guarded=others))
        machines = None
        if any(row.fake for row in chosen):
            say("fake machines")
            machines = stack.enter_context(kwok(api=models))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podium-bench-")))
        for row in chosen:
            own = machines if row.fake else None
            port = free_port()
            settings = {
                "podDefaults": own.pod_defaults if own else {},
                "logLevel": "warning",
                "livenessPort": port,
            }
            with own_operator(namespace, directory, settings) as operator:
                try:
                    found.append(asyncio.run(measure(row, pairs, namespace, operator, port, own)))
                except BaseException:
                    say(f"the operator's log ends with:\n{operator.log.read_text()[-2000:]}")
                    raise
    print_table(found)
    print_schedule(found)
    print_writes(found)


if __name__ == "__main__":
    main()
