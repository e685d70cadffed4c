from __future__ import annotations

import json
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from fastapi import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from itsbox.api import stream as stream_module
from itsbox.api.routes import events
from tests.api.conftest import Service

RAM = 0x4000_0000
CTLR = {"op": "mmio_write", "addr": 0x0808_0000, "size": 4, "value": 1}


def make_events(service: Service, path: str, count: int) -> None:
    """Let ``count`` events happen: each snapshot and restore pair makes one."""
    snapshot = service.post(f"{path}/snapshots").json()["id"]
    for _ in range(count):
        assert service.post(f"{path}/restore", {"snapshot": snapshot}).status_code == 200


def receive(connection: ClientConnection, until: int) -> list[dict[str, Any]]:
    """Events up to number ``until``."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["seq"] < until:
        frame = json.loads(connection.recv(timeout=10))
        assert 1 <= len(frame["events"]) <= 200
        events += frame["events"]
    return events


def test_a_stream_gives_what_the_pull_gives(service: Service) -> None:
    """The same events in the same order, history and live alike."""
    path = service.session()
    make_events(service, path, 3)
    with connect(f"{service.ws_url}{path}/stream?after=0") as stream:
        seen = receive(stream, 4)
        make_events(service, path, 3)
        seen += receive(stream, 7)

    pulled = service.get(f"{path}/events")
    assert seen == pulled["events"]
    assert [event["seq"] for event in seen] == list(range(1, 8))
    assert (pulled["next"], pulled["head"]) == (7, 7)


def test_a_lost_connection_is_resumed_without_hole_or_duplicate(service: Service) -> None:
    """A reader that comes back with the last number it saw misses nothing and sees nothing twice."""
    path = service.session()
    seen: list[int] = []
    for _ in range(4):
        with connect(f"{service.ws_url}{path}/stream?after={seen[-1] if seen else 0}") as stream:
            make_events(service, path, 5)
            seen.append(receive(stream, (seen[-1] if seen else 0) + 1)[0]["seq"])
    with connect(f"{service.ws_url}{path}/stream?after={seen[-1]}") as stream:
        seen += [event["seq"] for event in receive(stream, 21)]

    assert seen == list(range(1, 22))


def test_a_frame_carries_the_epoch(service: Service) -> None:
    """A restore is seen in the frames that follow it."""
    path = service.session()
    with connect(f"{service.ws_url}{path}/stream") as stream:
        assert json.loads(stream.recv(timeout=10))["epoch"] == 1
        make_events(service, path, 1)
        frame = json.loads(stream.recv(timeout=10))

    assert frame["epoch"] == 2
    assert frame["events"][0]["type"] == "session.restored"


def test_a_filter_names_types_or_families(service: Service) -> None:
    """Pull, WebSocket and SSE filter alike; numbers keep their place."""
    path = service.session()
    make_events(service, path, 3)
    with connect(f"{service.ws_url}{path}/stream?types=session.restored") as stream:
        live = [event["seq"] for event in receive(stream, 4)]
    page = service.get(f"{path}/events", types="session.restored,trap.*")

    assert live == [2, 3, 4]
    assert [event["seq"] for event in page["events"]] == [2, 3, 4]
    assert service.get(f"{path}/events", types="trap.*") == {"epoch": 4, "events": [], "next": 4, "head": 4}


def test_pages_of_events_follow_one_another(service: Service) -> None:
    """``next`` leads through all of them once, also where a filter hides some."""
    path = service.session()
    make_events(service, path, 5)
    seen: list[int] = []
    cursor = 0
    while True:
        page = service.get(f"{path}/events", after=cursor, limit=2, types="session.restored")
        if not page["events"]:
            break
        seen += [event["seq"] for event in page["events"]]
        cursor = page["next"]

    assert seen == [2, 3, 4, 5, 6]


def test_what_is_gone_is_told(make_service: Any) -> None:
    """Events beyond those kept are a gap, in a page and on a stream."""
    service = make_service(limits={"events_kept": 3})
    path = service.session()
    make_events(service, path, 9)
    page = service.get(f"{path}/events", after=2)
    with connect(f"{service.ws_url}{path}/stream?after=2") as stream:
        gap, rest = json.loads(stream.recv(timeout=10)), receive(stream, 10)

    assert page["gap"] == gap["gap"] == {"from": 3, "to": 7}
    assert [event["seq"] for event in page["events"]] == [event["seq"] for event in rest] == [8, 9, 10]
    assert "gap" not in service.get(f"{path}/events", after=7)


def test_a_deleted_session_ends_its_streams(service: Service) -> None:
    """The last event says so, then the socket is closed in order."""
    path = service.session()
    with connect(f"{service.ws_url}{path}/stream") as stream:
        service.http.delete(path)
        seen = receive(stream, 2)
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=10)

    assert seen[-1]["type"] == "session.closed"
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "deleted")


def test_a_stream_takes_no_messages(service: Service) -> None:
    """A client that talks is told that nobody listens."""
    with connect(f"{service.ws_url}{service.session()}/stream?after=1") as stream:
        stream.send("hello")
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


@pytest.mark.parametrize(
    "tail, status",
    [
        ("?after=x", 422),
        ("?types=nothing", 422),
        ("?since=1", 422),
        ("?after=-1", 422),
        ("?types=trap.mmio&types=trap.hvc", 422),
    ],
)
def test_a_stream_that_cannot_be_is_a_problem(service: Service, tail: str, status: int) -> None:
    """The opening request is answered as any other."""
    with pytest.raises(InvalidStatus) as refused, connect(f"{service.ws_url}{service.session()}/stream{tail}"):
        pass

    assert refused.value.response.status_code == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.value.response.body or b"")["status"] == status


def test_a_stream_of_no_session_is_404(service: Service) -> None:
    """Unknown and ended sessions have no stream."""
    with pytest.raises(InvalidStatus) as refused, connect(f"{service.ws_url}/v1/sessions/nobody/stream"):
        pass

    assert refused.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/", "/v1/sessions", "/v1/sessions/nobody/nothing", "/v1/sessions/nobody/state"])
def test_a_path_without_a_stream_is_a_problem(service: Service, path: str) -> None:
    """An upgrade where no WebSocket is spoken is 404 in our form, not the server's bare 403."""
    with pytest.raises(InvalidStatus) as refused, connect(f"{service.ws_url}{path}"):
        pass

    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["type"] == "urn:itsbox:problem:not-found"


def test_the_cap_on_streams_counts_both_kinds(make_service: Any) -> None:
    """WebSocket and SSE streams share one cap; 429 names it; leaving makes room."""
    service = make_service(limits={"subscribers_per_session": 2})
    path = service.session()
    with (
        connect(f"{service.ws_url}{path}/stream") as first,
        service.http.stream("GET", f"{path}/events:stream") as second,
    ):
        assert second.status_code == 200
        refused = service.http.get(f"{path}/events:stream")
        assert (refused.status_code, refused.json()["cap"]) == (429, "subscribers_per_session")
        assert refused.headers["retry-after"]
        with pytest.raises(InvalidStatus) as denied, connect(f"{service.ws_url}{path}/stream"):
            pass
        assert denied.value.response.status_code == 429
        first.close()
        for _ in range(100):
            if service.get(path)["subscribers"] == 1:
                break
            time.sleep(0.05)
        with connect(f"{service.ws_url}{path}/stream"):
            pass


def read_sse(lines: Any, until: int) -> list[dict[str, Any]]:
    """Events of server-sent frames, whose ids must be their last numbers."""
    events: list[dict[str, Any]] = []
    last = 0
    for line in lines:
        if line.startswith("id: "):
            last = int(line[4:])
        elif line.startswith("data: "):
            events += json.loads(line[6:])["events"]
            assert events[-1]["seq"] <= last
            if last >= until:
                break
    return events


def test_server_sent_events_are_the_same_frames(service: Service) -> None:
    """A stream resumed by Last-Event-ID continues where the other ended."""
    path = service.session()
    make_events(service, path, 3)
    with service.http.stream("GET", f"{path}/events:stream", params={"after": "1"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen = read_sse(answer.iter_lines(), 4)
    make_events(service, path, 2)
    with service.http.stream("GET", f"{path}/events:stream", headers={"last-event-id": "4"}) as answer:
        seen += read_sse(answer.iter_lines(), 6)

    assert [event["seq"] for event in seen] == [2, 3, 4, 5, 6]


def test_an_sse_stream_ends_with_its_session(service: Service) -> None:
    """The body is complete once the session is gone."""
    path = service.session()
    with service.http.stream("GET", f"{path}/events:stream") as answer:
        service.http.delete(path)
        text = "".join(answer.iter_text())

    assert "session.closed" in text


def test_a_quiet_sse_stream_says_that_it_is_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment now and then keeps what is between us from giving up; events still come."""
    monkeypatch.setattr(stream_module, "KEEP_ALIVE_S", 0.05)
    path = service.session()
    with service.http.stream("GET", f"{path}/events:stream", params={"after": "1"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": still here"
        make_events(service, path, 1)
        assert [event["seq"] for event in read_sse(lines, 2)] == [2]


def test_a_reader_that_stops_changes_nothing_for_the_others(service: Service) -> None:
    """A client that opened a stream and never reads again does not delay anybody."""
    path = service.session()
    host, port = service.url.removeprefix("http://").split(":")
    stopped = socket.create_connection((host, int(port)))
    stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    stopped.sendall(f"GET {path}/events:stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    snapshot = service.post(f"{path}/snapshots").json()["id"]
    with connect(f"{service.ws_url}{path}/stream") as live:
        for _ in range(30):
            service.post(f"{path}/restore", {"snapshot": snapshot})
        seen = [event["seq"] for event in receive(live, 31)]
    stopped.close()

    assert seen == list(range(1, 32))


async def test_a_client_that_vanishes_is_no_error() -> None:
    """A connection that is reset while a frame is being sent ends its stream like any other: nothing raised, nothing logged."""

    async def vanishing(*_: Any) -> None:
        raise WebSocketDisconnect(code=1006)

    service: Any = SimpleNamespace(sessions=SimpleNamespace(find=lambda _: None))
    with structlog.testing.capture_logs() as logged:
        await events._over_websocket(None, service, "any", vanishing)  # type: ignore[arg-type]

    assert logged == []
