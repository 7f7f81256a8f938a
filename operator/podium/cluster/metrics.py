"""What the operator counts and measures, in Prometheus form; never a label of a run or a Pod."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

import podium

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        info = Gauge(
            "podium_build_info", "The version that runs.", ["version"], registry=self.registry
        )
        info.labels(podium.version()).set(1)
        self.schedule = Histogram(
            "podium_node_schedule_seconds",
            "From a node's being ready to its Pod's being created.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.ended = Counter(
            "podium_runs_total", "Runs that ended.", ["phase"], registry=self.registry
        )
        self.jobs = Counter(
            "podium_jobs_total",
            "Jobs made, by who makes their Pods: podium or the built-in controller.",
            ["pods_by"],
            registry=self.registry,
        )
        self.turns = Histogram(
            "podium_reconcile_duration_seconds",
            "Turns of runs and Workflows, and writes of statuses.",
            ["kind"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.outcomes = Counter(
            "podium_reconcile_total",
            "The same, by how they went.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.requests = Counter(
            "podium_kubernetes_requests_total",
            "Requests to the API server; code 0: no answer.",
            ["request", "code"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "podium_kubernetes_request_duration_seconds",
            "How long they took.",
            ["request"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.depth = Gauge(
            "podium_queue_depth", "Keys that wait to be worked on.", registry=self.registry
        )
        self.running = Gauge(
            "podium_nodes_running", "Jobs that have not ended.", registry=self.registry
        )
        self.kept = Gauge(
            "podium_objects_kept",
            "Objects of which the operator keeps something; active: runs that are worked on.",
            ["kind"],
            registry=self.registry,
        )
        self.leading = Gauge(
            "podium_leading", "Whether this operator is the one that works.", registry=self.registry
        )

    def request(self, request: str, code: int, seconds: float) -> None:
        """Count a request to the API server."""
        self.requests.labels(request, str(code)).inc()
        self.request_seconds.labels(request).observe(seconds)

    @contextmanager
    def turn(self, kind: str) -> Iterator[None]:
        """Measure a turn."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.turns.labels(kind).observe(time.monotonic() - begin)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text form."""
        return generate_latest(self.registry)
