from __future__ import annotations

import itsbox
from tests.api.conftest import Service


def test_the_service_says_that_it_is_there(service: Service) -> None:
    """Health, readiness and version, without a key and without a session."""
    assert service.get("/healthz") == {"status": "ok"}
    assert service.get("/readyz") == {"status": "ready"}
    version = service.get("/version")
    assert (version["name"], version["version"], version["api"]) == ("itsbox", itsbox.__version__, "v1")


def test_metrics_are_in_prometheus_format(service: Service) -> None:
    """Counters of ops, events and requests, gauges of sessions and streams."""
    path = service.session()
    service.post(f"{path}/ack", {"cpu": 0})
    answer = service.http.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in ("itsbox_sessions", "itsbox_ops_total", "itsbox_events_total", "itsbox_http_requests_total"):
        assert f"# TYPE {name}" in answer.text
