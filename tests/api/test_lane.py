from __future__ import annotations

import struct
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.conftest import Service
from tests.api.frame_client import Answer, decode, encode

RAM = 0x4000_0000
READ = {"op": "mmio_read", "addr": 0x0808_0008, "size": 8}


def ask(lane: ClientConnection, frame: bytes) -> Answer:
    """One frame and its answer."""
    lane.send(frame)
    answer = lane.recv(timeout=10)
    assert isinstance(answer, bytes)
    return decode(answer)


def test_a_frame_on_the_lane_is_answered_as_over_http(service: Service) -> None:
    """The same frame to two new sessions gives the same bytes both ways."""
    ops = [{"op": "store", "addr": RAM, "hex": "0102"}, {"op": "load", "addr": RAM, "length": 3}, READ]
    frame = encode(ops, "hash", tag=5)
    one, other = service.session(), service.session()
    with connect(f"{service.ws_url}{one}/lane") as lane:
        lane.send(frame)
        by_lane = lane.recv(timeout=10)
    by_http = service.http.post(f"{other}/ops", content=frame, headers={"content-type": "application/octet-stream"})

    assert by_http.headers["content-type"] == "application/octet-stream"
    assert by_lane == by_http.content
    answer = decode(by_http.content)
    assert (answer.tag, answer.step) == (5, 3)
    assert answer.results[1].payload == b"\x01\x02\x00"
    assert answer.results[2].value == 0x1F0001EFB1
    assert answer.state_hash == service.hash(one) == service.hash(other)


def test_several_frames_may_be_in_flight(service: Service) -> None:
    """Answers come in the order of the requests, with their tags."""
    with connect(f"{service.ws_url}{service.session()}/lane") as lane:
        for tag in range(20):
            lane.send(encode([READ] * 10, tag=tag))
        answers = [decode(lane.recv(timeout=10)) for _ in range(20)]  # type: ignore[arg-type]

    assert [answer.tag for answer in answers] == list(range(20))
    assert [answer.step for answer in answers] == list(range(10, 201, 10))


def test_a_frame_holds_many_executions(service: Service) -> None:
    """Each restore brings the same state back; the answers of equal executions are equal."""
    path = service.session()
    snapshot = service.post(f"{path}/snapshots").json()
    execution = [
        {"op": "restore", "snapshot": snapshot["id"]},
        {"op": "load", "addr": RAM, "length": 1},
        {"op": "store", "addr": RAM, "hex": "ff"},
        {"op": "load", "addr": RAM, "length": 1},
    ]
    with connect(f"{service.ws_url}{path}/lane") as lane:
        answer = ask(lane, encode([*execution * 50, execution[0]], "hash"))

    assert len(answer.results) == 201
    assert [result.payload for result in answer.results[:200]] == [b"", b"\0", b"", b"\xff"] * 50
    assert answer.state_hash == snapshot["state_hash"]


def test_a_malformed_frame_is_a_problem_and_the_lane_stays(service: Service) -> None:
    """What is wrong is named; nothing has run; the next frame is answered."""
    path = service.session()
    before = service.hash(path)
    bad = bytearray(encode([READ, READ], tag=8))
    bad[16 + 24 + 1] = 3
    with connect(f"{service.ws_url}{path}/lane") as lane:
        problems = [
            ask(lane, bytes(bad)),
            ask(lane, b"nonsense"),
            ask(lane, encode([{"op": "ack", "cpu": 9}], tag=1)),
            ask(lane, encode([{"op": "restore", "snapshot": "none"}], tag=2)),
            ask(lane, struct.pack("<4sHHII", b"ITSQ", 0, 1, 5000, 3)),
        ]
        lane.send("text")
        problems.append(decode(lane.recv(timeout=10)))  # type: ignore[arg-type]
        assert service.hash(path) == before
        good = ask(lane, encode([READ]))

    shown: list[Any] = [
        (
            answer.tag,
            problem["status"],
            problem["type"].rpartition(":")[2],
            problem.get("errors", [{}])[0].get("location"),
        )
        for answer in problems
        if (problem := answer.problem) is not None
    ]
    assert shown == [
        (8, 422, "malformed-frame", "ops.1.size"),
        (0, 422, "malformed-frame", "header"),
        (1, 422, "invalid-request", "ops.0.cpu"),
        (2, 404, "snapshot-not-found", None),
        (3, 413, "cap-exceeded", None),
        (0, 422, "malformed-frame", None),
    ]
    assert good.results[0].value == 0x1F0001EFB1


def test_the_lane_ends_with_its_session(service: Service) -> None:
    """A frame behind the deletion is answered with a problem, then the socket is closed."""
    path = service.session()
    with connect(f"{service.ws_url}{path}/lane") as lane:
        service.http.delete(path)
        answer = ask(lane, encode([READ], tag=4))
        with pytest.raises(ConnectionClosed) as closed:
            lane.recv(timeout=10)

    assert answer.problem is not None
    assert (answer.tag, answer.problem["status"]) == (4, 404)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


def test_a_message_too_large_ends_the_lane(make_service: Any) -> None:
    """The cap on a request holds for a message, and is enforced while it arrives."""
    service = make_service(limits={"request_bytes": 1 << 16})
    with connect(f"{service.ws_url}{service.session()}/lane") as lane:
        lane.send(bytes(1 << 17))
        with pytest.raises(ConnectionClosed) as closed:
            lane.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_lane_of_no_session_is_404(service: Service) -> None:
    """As with streams, the opening request is answered with a problem."""
    with pytest.raises(InvalidStatus) as refused, connect(f"{service.ws_url}/v1/sessions/nobody/lane"):
        pass

    assert refused.value.response.status_code == 404
