from __future__ import annotations

import json
import socket
import threading
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from itsbox.api import server as server_module
from itsbox.api.server import BackgroundServer, bind, url_of
from itsbox.api.settings import Settings
from tests.api.conftest import Service


def raw(service: Service, *parts: bytes) -> bytes:
    """Send parts over a plain socket and read until the server closes."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n",),
        (
            b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        ),
    ],
    ids=["no byte", "half a head", "half a body"],
)
def test_a_request_must_arrive_in_time(make_service: Any, parts: tuple[bytes, ...]) -> None:
    """A connection that sends nothing, or stops in the middle, is closed by the server."""
    service = make_service(receive_timeout_s=0.3)

    assert raw(service, *parts) == b""


def test_what_is_slow_but_not_arriving_is_left_alone(make_service: Any) -> None:
    """An open stream outlives the receive deadline, as does a kept connection that is used."""
    service = make_service(receive_timeout_s=0.3, keep_alive_s=5)
    path = service.session()
    with service.http.stream("GET", f"{path}/events:stream") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: 1")
        threading.Event().wait(0.8)
        with httpx.Client(base_url=service.url) as other:
            other.post(f"{path}/fork")
            threading.Event().wait(0.8)
            assert other.get("/healthz").status_code == 200
        assert any("session.forked" in line for line in lines if line.startswith("data"))


def test_what_is_not_http_is_a_problem(service: Service) -> None:
    """Even where no application is asked, the answer has our form."""
    head, _, body = raw(service, b"NONSENSE\r\n\r\n").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "urn:itsbox:problem:bad-request"


def test_the_cap_on_connections_answers_503(make_service: Any) -> None:
    """One connection too many is told so and closed; the others go on."""
    service = make_service(limits={"connections": 2})
    host, port = service.url.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(2)]
    answer = raw(service)
    for connection in held:
        connection.close()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"urn:itsbox:problem:unavailable" in answer


def test_every_answer_forbids_sniffing_and_hides_the_server(service: Service) -> None:
    """No server header; nosniff on everything."""
    headers = service.http.get("/healthz").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_stopping_ends_streams_in_order(make_service: Any) -> None:
    """When the service stops, an open stream is ended, not cut."""
    with BackgroundServer() as server, httpx.Client(base_url=server.url, timeout=20) as http:
        path = http.post("/v1/sessions").headers["location"]
        with http.stream("GET", f"{path}/events:stream") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "id: 1"
            server._server.should_exit = True
            rest = list(lines)

    assert rest


def test_stopping_closes_sockets_in_order() -> None:
    """A WebSocket reads to the end of its session, then is told that the service goes away."""
    with BackgroundServer() as server, httpx.Client(base_url=server.url, timeout=20) as http:
        path = http.post("/v1/sessions").headers["location"]
        with connect(server.url.replace("http", "ws", 1) + path + "/stream?after=1") as stream:
            server._server.should_exit = True
            assert "session.closed" in str(stream.recv(timeout=10))
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


def test_an_address_in_use_is_an_error_at_once() -> None:
    """Two services cannot share a port; the second says so before it starts."""
    with BackgroundServer() as server, pytest.raises(OSError, match="in use"):
        bind(Settings(port=int(server.url.rpartition(":")[2])))


def test_ipv6_loopback_has_a_url() -> None:
    """Brackets stand around the address."""
    if not socket.has_ipv6:
        return
    try:
        listener = bind(Settings(host="::1", port=0))
    except OSError:
        return  # a machine without an IPv6 loopback
    with listener:
        assert url_of(listener).startswith("http://[::1]:")


def test_run_announces_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller learns the URL once requests are accepted, and the server ends when asked."""
    told: list[str] = []
    servers: list[Any] = []
    original = server_module._Server

    def remember(*arguments: Any) -> Any:
        servers.append(original(*arguments))
        return servers[-1]

    monkeypatch.setattr(server_module, "_Server", remember)
    monkeypatch.setattr(server_module, "configure_logs", lambda: None)

    def announce(url: str) -> None:
        told.append(url)
        servers[0].should_exit = True

    server_module.run(Settings(port=0), announce)

    assert told[0].startswith("http://127.0.0.1:")
