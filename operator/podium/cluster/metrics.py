"""The operator's metrics, in Prometheus form; no label is the name of a run or a Pod."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

import podium

__all__ = ["Metrics"]

_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        info = Gauge(
            "podium_build_info",
            "Version of the running operator.",
            ["version"],
            registry=self.registry,
        )
        info.labels(podium.version()).set(1)
        self.schedule = Histogram(
            "podium_node_schedule_seconds",
            "Time from a node becoming Ready to the creation of its Pod, in seconds.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.ended = Counter(
            "podium_runs_total", "Ended runs by phase.", ["phase"], registry=self.registry
        )
        self.jobs = Counter(
            "podium_jobs_total",
            "Created Jobs by what creates their Pods: podium or the built-in controller.",
            ["pods_by"],
            registry=self.registry,
        )
        self.tokens = Counter(
            "podium_persona_tokens_total",
            "Tokens used by personas, by kind: prompt or completion.",
            ["kind"],
            registry=self.registry,
        )
        self.calls = Counter(
            "podium_persona_calls_total",
            "Requests of personas that were answered by models.",
            registry=self.registry,
        )
        self.cost = Counter(
            "podium_persona_cost_total",
            "Cost of persona requests by the prices of the ModelConfigs, in their currencies.",
            registry=self.registry,
        )
        self.reconciliations = Histogram(
            "podium_reconcile_duration_seconds",
            "Duration of reconciliations by kind, in seconds; Status: writes of a run's status.",
            ["kind"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.outcomes = Counter(
            "podium_reconcile_total",
            "Reconciliations by kind and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.requests = Counter(
            "podium_kubernetes_requests_total",
            "Kubernetes API requests by request and HTTP status code; 0: no response.",
            ["request", "code"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "podium_kubernetes_request_duration_seconds",
            "Kubernetes API request latency in seconds.",
            ["request"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.loop_lag = Histogram(
            "podium_event_loop_lag_seconds",
            "Delay of the event loop beyond a sleep of 20 ms, in seconds.",
            registry=self.registry,
            buckets=_LAGS,
        )
        self.depth = Gauge(
            "podium_queue_depth", "Keys waiting in the work queue.", registry=self.registry
        )
        self.running = Gauge(
            "podium_nodes_running",
            "Jobs that have not ended.",
            registry=self.registry,
        )
        self.kept = Gauge(
            "podium_objects_kept",
            "Objects in the operator's cache by kind; active: runs in progress.",
            ["kind"],
            registry=self.registry,
        )
        self.leading = Gauge(
            "podium_leading",
            "Whether this operator is the leader (1) or not (0).",
            registry=self.registry,
        )

    def count_spent(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Count what personas spent between two statuses of a run, of which the later is written.

        Of one that is taken up again only what is new is counted: its status says what was.
        """
        if "tokenUsage" not in after or before is after:
            return
        old, new = before.get("tokenUsage") or {}, after["tokenUsage"]
        for counter, name in (
            (self.tokens.labels("prompt"), "promptTokens"),
            (self.tokens.labels("completion"), "completionTokens"),
            (self.calls, "calls"),
        ):
            counter.inc(max(0, new.get(name, 0) - old.get(name, 0)))
        self.cost.inc(max(0.0, after.get("cost", 0.0) - before.get("cost", 0.0)))

    def request(self, request: str, code: int, seconds: float) -> None:
        """Count a request to the API server."""
        self.requests.labels(request, str(code)).inc()
        self.request_seconds.labels(request).observe(seconds)

    @contextmanager
    def reconciliation(self, kind: str) -> Iterator[None]:
        """Measure a reconciliation."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.reconciliations.labels(kind).observe(time.monotonic() - begin)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
