"""What Prometheus scrapes: counted where it happens, rendered when asked. No label ever carries an id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from itsbox.sessions.host import SessionHost

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Tally:
    """A route's good answers, counted without a look-up."""

    __slots__ = ("answers", "seconds")

    def __init__(self) -> None:
        self.answers = 0
        self.seconds = 0.0


class Metrics(Collector):
    """The counters of one service.

    requests: by (method, route template, status); seconds: time spent in them, by route.
    """

    def __init__(self, host: SessionHost) -> None:
        self._host = host
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.seconds: Counter[tuple[str, str]] = Counter()
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has been answered."""
        self.requests[method, route, status] += 1
        self.seconds[method, route] += seconds  # type: ignore[assignment]

    def tally(self, method: str, route: str) -> Tally:
        """Where the 200s of a hot route are counted."""
        return self._tallies.setdefault((method, route), Tally())

    def collect(self) -> Iterator[Metric]:
        """The metric families, as Prometheus' library asks for them."""
        requests = CounterMetricFamily(
            "itsbox_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        answered, time_in = Counter(self.requests), Counter(self.seconds)
        for (method, route), tally in self._tallies.items():
            if tally.answers:
                answered[method, route, 200] += tally.answers
                time_in[method, route] += tally.seconds  # type: ignore[assignment]
        for (method, route, status), n in answered.items():
            requests.add_metric((method, route, str(status)), n)
        yield requests
        seconds = CounterMetricFamily("itsbox_http_request_seconds", "Time in requests.", labels=("method", "route"))
        for labels, total in time_in.items():
            seconds.add_metric(labels, total)
        yield seconds
        host = self._host
        states = Counter(session.state for session in host)
        sessions = GaugeMetricFamily("itsbox_sessions", "Sessions that exist.", labels=("state",))
        for state in ("running", "crashed"):
            sessions.add_metric((state,), states[state])
        yield sessions
        yield GaugeMetricFamily("itsbox_sessions_limit", "The cap on sessions.", host.limits.sessions)
        yield CounterMetricFamily("itsbox_sessions_created", "Sessions made since the start.", host.created)
        yield CounterMetricFamily("itsbox_ops", "Ops executed.", host.totals.ops)
        yield CounterMetricFamily("itsbox_events", "Events produced.", host.totals.events)
        yield CounterMetricFamily("itsbox_violations", "Violations found.", host.totals.violations)
        yield CounterMetricFamily("itsbox_crashes", "Sessions ended by a defect of the service.", host.totals.crashes)
        yield GaugeMetricFamily(
            "itsbox_subscribers", "Event streams attached.", sum(len(session.feed.subscribers) for session in host)
        )
        yield GaugeMetricFamily(
            "itsbox_touched_pages", "Pages that the machines have touched.", sum(s.touched_pages for s in host)
        )

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self._registry)
