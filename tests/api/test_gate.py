from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest

from itsbox.api.app import create_app
from itsbox.api.logs import configure_logs
from itsbox.api.settings import Settings
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Ack, MmioRead, Op, Outcome

TYPER = {"addr": 0x0808_0008, "size": 8}


class Faulty(Machine):
    """A machine with a defect of ours at one op, and one in a view."""

    __slots__ = ()

    def apply(self, op: Op) -> Outcome:
        """Fail when CPU 3 acknowledges."""
        if op == Ack(3):
            raise ZeroDivisionError("an injected defect\nwith a second line")
        return super().apply(op)

    def queues(self) -> dict[str, Any]:
        """Fail."""
        raise KeyError("an injected defect")


@pytest.fixture
def log() -> io.StringIO:
    """What the service logs."""
    stream = io.StringIO()
    configure_logs(stream)
    return stream


def make(**settings: Any) -> tuple[httpx.AsyncClient, Any]:
    """A client that talks to the application without a socket, and the application."""
    app = create_app(Settings(**settings))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost"), app


@pytest.mark.parametrize("fast_path", [True, False])
async def test_a_crash_of_the_model_is_500_and_the_sessions_own(log: io.StringIO, fast_path: bool) -> None:
    """One log line, a problem with the incident, a crashed session that can be looked at, others untouched."""
    client, app = make(fast_path=fast_path)
    session = app.service.sessions.adopt(Faulty(MachineConfig.make()))
    path = f"/v1/sessions/{session.id}"
    other = (await client.post("/v1/sessions")).headers["location"]
    await client.post(f"{path}/mmio/read", json=TYPER)
    answer = await client.post(f"{path}/ack", json={"cpu": 3})

    lines = log.getvalue().splitlines()
    assert len(lines) == 1
    logged, problem = json.loads(lines[0]), answer.json()
    assert answer.status_code == 500
    assert problem["type"] == "urn:itsbox:problem:model-crash"
    assert problem["instance"] == f"urn:itsbox:incident:{logged['incident']}"
    assert "injected" not in answer.text
    assert (await client.get(path)).json()["state"] == "crashed"
    assert (await client.get(path)).json()["state_hash"] is None
    assert [op["op"] for op in (await client.get(f"{path}/journal")).json()["ops"]] == ["mmio_read", "ack"]
    refused = await client.post(f"{path}/mmio/read", json=TYPER)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:itsbox:problem:session-crashed")
    assert (await client.post(f"{other}/mmio/read", json=TYPER)).status_code == 200
    assert (await client.delete(path)).status_code == 204


async def test_a_batch_that_crashes_is_500_too(log: io.StringIO) -> None:
    """The ops before the defect are in the journal, with the op that met it."""
    client, app = make()
    session = app.service.sessions.adopt(Faulty(MachineConfig.make()))
    ops = [{"op": "mmio_read", **TYPER}, {"op": "ack", "cpu": 3}, {"op": "mmio_read", **TYPER}]
    answer = await client.post(f"/v1/sessions/{session.id}/ops", json={"ops": ops})

    assert answer.status_code == 500
    assert list((await session.journal(0, 9)).ops) == [MmioRead(0x0808_0008, 8), Ack(3)]
    assert len(log.getvalue().splitlines()) == 1


async def test_a_defect_of_a_view_is_500_and_hurts_nobody(log: io.StringIO) -> None:
    """Looking changes nothing, not even when it fails; the text of the failure stays in the log."""
    client, app = make()
    session = app.service.sessions.adopt(Faulty(MachineConfig.make()))
    answer = await client.get(f"/v1/sessions/{session.id}/queues")

    logged = [json.loads(line) for line in log.getvalue().splitlines()]
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:itsbox:problem:internal-error"
    assert "injected" not in answer.text
    assert [entry["incident"] for entry in logged] == [answer.json()["incident"]]
    assert "injected" in logged[0]["exception"]
    assert session.state == "running"


async def test_hostile_text_cannot_forge_a_log_line(log: io.StringIO) -> None:
    """A path with line breaks and escapes is one JSON string."""
    client, app = make()
    session = app.service.sessions.adopt(Faulty(MachineConfig.make()))
    await client.get(f"/v1/sessions/{session.id}/queues?x=%0a%1b[31mforged")
    await client.get("/v1/sessions/%0a{forged}/queues")

    assert len([line for line in log.getvalue().splitlines() if "forged" in line]) == 0
    assert all(isinstance(json.loads(line), dict) for line in log.getvalue().splitlines())


async def test_a_client_that_leaves_is_not_an_error(log: io.StringIO) -> None:
    """An upload that is cut off is counted, not logged."""
    _, app = make()
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"100"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/sessions", "raw_path": b"/v1/sessions", "query_string": b"",
        "headers": headers, "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)

    assert log.getvalue() == ""
    assert app.service.metrics.requests["POST", "other", 499] == 1


async def test_requests_are_counted_by_route(log: io.StringIO) -> None:
    """Route templates, not paths; fast and slow answers alike; unknown paths under one name."""
    client, app = make()
    path = (await client.post("/v1/sessions")).headers["location"]
    await client.post(f"{path}/mmio/read", json=TYPER)
    await client.post(f"{path}/mmio/read", json={})
    await client.get("/nowhere")
    text = (await client.get("/metrics")).text

    template = "/v1/sessions/{session_id}/mmio/read"
    assert f'itsbox_http_requests_total{{method="POST",route="{template}",status="200"}} 1.0' in text
    assert f'itsbox_http_requests_total{{method="POST",route="{template}",status="422"}} 1.0' in text
    assert 'itsbox_http_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'itsbox_sessions{state="running"} 1.0' in text
    assert "itsbox_ops_total 1.0" in text
    assert path.rpartition("/")[2] not in text
    assert len(app.service.sessions) == 1


async def test_not_ready_before_the_start(log: io.StringIO) -> None:
    """Without its sweeper the service says that it is not ready, and that it lives."""
    client, _ = make()
    answer = await client.get("/readyz")

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:itsbox:problem:unavailable")
    assert answer.headers["retry-after"]
    assert (await client.get("/healthz")).json() == {"status": "ok"}
