"""What is read off the operator and the API server before and after a measurement."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.api import Api

WRITES = {"POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION"}
SCHEDULE = "podium_node_schedule_seconds_bucket"
REQUESTS = "podium_kubernetes_requests_total"
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def _samples(text: str, *names: str) -> list[tuple[str, dict[str, str], int]]:
    found = (match.groups() for match in _SAMPLE.finditer(text))
    return [
        (n, dict(_LABEL.findall(labels)), int(float(v))) for n, labels, v in found if n in names
    ]


def _process(pid: int) -> tuple[float, float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    ticks = int(fields[11]) + int(fields[12])
    memory = [int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]
    return ticks / os.sysconf("SC_CLK_TCK"), memory[0], memory[1]


@dataclass
class Operator:
    """What an operator used and did until now, or between two looks."""

    cpu: float
    """Seconds of processor time."""
    resident: float
    """MB in memory."""
    peak: float
    """The most MB in memory since it started."""
    writes: Counter[str] = field(default_factory=Counter)
    """Its own requests that change something: `POST pods`. Empty where it does not count them."""
    schedule: Counter[float] = field(default_factory=Counter)
    """Nodes by the bound of seconds within which their Pod was created, cumulative."""

    @classmethod
    async def look(cls, pid: int, port: int) -> "Operator":
        """Look at an operator; one without metrics is known by its process alone."""
        found = cls(*_process(pid))
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://127.0.0.1:{port}/metrics")
            text = await answer.text() if answer.status == 200 else ""
        for name, labels, value in _samples(text, SCHEDULE, REQUESTS):
            if name == SCHEDULE:
                found.schedule[float(labels["le"])] += value
            elif labels["request"].split()[0] in WRITES:
                refused = "" if labels["code"].startswith("2") else f" refused {labels['code']}"
                found.writes[labels["request"] + refused] += value
        return found

    def since(self, before: "Operator") -> "Operator":
        """Return what it used and did since an earlier look."""
        return Operator(
            self.cpu - before.cpu,
            self.resident,
            self.peak,
            self.writes - before.writes,
            self.schedule - before.schedule,
        )

    def schedule_quantile(self, share: float) -> float | None:
        """Return a quantile of the seconds from ready to Pod, as exact as the buckets are."""
        total = self.schedule[float("inf")]
        low, below = 0.0, 0
        for bound, count in sorted(self.schedule.items()):
            if count >= share * total:
                if bound == float("inf"):
                    return low
                return low + (bound - low) * (share * total - below) / max(1, count - below)
            low, below = bound, count
        return None


async def gauges(port: int) -> dict[str, float]:
    """Return the operator's metrics by name and labels; none while it does not answer yet."""
    async with aiohttp.ClientSession() as session:
        try:
            answer = await session.get(f"http://127.0.0.1:{port}/metrics")
        except aiohttp.ClientConnectorError:
            return {}
        lines = (await answer.text()).splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def count_writes(api: Api) -> Counter[str]:
    """Count the requests so far that change something, by whomever: `PATCH pods/status`."""
    found: Counter[str] = Counter()
    text = (await api.text("GET", "/metrics")).decode()
    for _, labels, value in _samples(text, "apiserver_request_total"):
        if labels["verb"] in WRITES:
            inner = f"/{labels['subresource']}" if labels["subresource"] else ""
            refused = "" if labels["code"].startswith("2") else f" refused {labels['code']}"
            found[f"{labels['verb']} {labels['resource']}{inner}{refused}"] += value
    return found
