"""What the operator counts, for Prometheus.

Counted by the queue's workers, the poller and the API clients; served by `health`. What is known
at any time (queue, pipelines, staleness) is asked for when it is scraped instead of being kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

PREFIX = "curator_operator"
# When a counter came to be interests nobody, and is a series beside each.
disable_created_metrics()  # type: ignore[no-untyped-call]
QUANTILES = (0.5, 0.95, 1.0)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Now:
    """What is true at the moment of a scrape.

    Attributes:
        queue_depth: pipelines that wait for a worker.
        queue_oldest_s: seconds that the longest waiting one has waited.
        polled: pipelines whose job is being followed.
        phases: pipelines by `status.phase`; "" where there is none yet.
        staleness_s: for each running pipeline, seconds since the newest progress that its status
            shows was taken.
    """

    queue_depth: int
    queue_oldest_s: float
    polled: int
    phases: Mapping[str, int]
    staleness_s: Sequence[float]


class Metrics:
    """All counters of one operator process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=self.registry)
        self.reconciles = self._counter("reconciles", "Looks at a pipeline, by result.", "result")
        self.reconcile_seconds = self._histogram(
            "reconcile", "Time that a look at a pipeline took."
        )
        self.actions = self._counter("actions", "Actions, by kind and result.", "action", "result")
        self.status_writes = self._counter("status_writes", "Writes of a status.", "result")
        self.api_requests = self._counter(
            "api_requests", "Requests to the API server; code 0: no answer.", "method", "code"
        )
        self.api_seconds = self._histogram("api_request", "Time that the API server took.")
        self.polls = self._counter("polls", "Polls of a running pipeline, by result.", "result")
        self.poll_seconds = self._histogram("poll", "Time that a poll took.")
        self.watch_events = self._counter(
            "watch_events", "Changes that the watches reported.", "kind"
        )
        self.watch_failures = Counter(
            f"{PREFIX}_watch_failures", "Times that all watches failed.", registry=self.registry
        )
        self.missed = self._counter(
            "watch_missed", "Changes that a listing found and the watches had not.", "kind"
        )

    def observe(self, now: Callable[[], Now]) -> None:
        """Ask `now` at each scrape."""
        self.registry.register(_Present(now))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str) -> Histogram:
        return Histogram(
            f"{PREFIX}_{name}_seconds", about, buckets=_SECONDS, registry=self.registry
        )


class _Present(Collector):
    """Gauges that are worked out when they are asked for."""

    def __init__(self, now: Callable[[], Now]) -> None:
        self.now = now

    def collect(self) -> Iterable[Metric]:
        now = self.now()
        yield _gauge("queue_depth", "Pipelines that wait for a worker.", now.queue_depth)
        yield _gauge(
            "queue_oldest_seconds", "Wait of the longest waiting pipeline.", now.queue_oldest_s
        )
        yield _gauge("polled_pipelines", "Pipelines whose job is followed.", now.polled)
        phases = GaugeMetricFamily(f"{PREFIX}_pipelines", "Pipelines by phase.", labels=["phase"])
        for phase, count in sorted(now.phases.items()):
            phases.add_metric([phase], count)
        yield phases
        stale = GaugeMetricFamily(
            f"{PREFIX}_status_staleness_seconds",
            "Age of the progress that the statuses of running pipelines show, as quantiles.",
            labels=["quantile"],
        )
        for share in QUANTILES:
            stale.add_metric([str(share)], quantile(now.staleness_s, share))
        yield stale


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value)


def quantile(values: Sequence[float], share: float) -> float:
    """Smallest of `values` that at least `share` (0 to 1) of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
