"""The fast path and the framework must answer the same bytes: two services, one with and one without, get the same requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from tests.api.conftest import Service

RAM = 0x4000_0000
ROUTES = ("mmio/read", "mmio/write", "memory/load", "memory/store", "memory/fill", "hvc", "msi", "ack", "clean")


class Pair:
    """The same requests to both; ids are made equal before answers are compared."""

    def __init__(self, fast: Service, slow: Service) -> None:
        self.both = (fast, slow)
        self.new_session()

    def new_session(self) -> None:
        """A fresh session on both sides."""
        self.paths = [side.session(hardening="strict") for side in self.both]

    def ask(self, route: str, body: bytes, **headers: str) -> list[tuple[int, dict[str, str], bytes]]:
        """(status, headers, body) of each side."""
        answers = []
        for side, path in zip(self.both, self.paths, strict=True):
            got = side.http.post(
                f"{path}/{route}", content=body, headers={"content-type": "application/json", **headers}
            )
            sid = path.rpartition("/")[2].encode()
            kept = {name: value for name, value in got.headers.items() if name != "date"}
            answers.append((got.status_code, kept, got.content.replace(sid, b"SESSION")))
        return answers


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A service with and one without the fast path."""
    with BackgroundServer(Settings(port=0)) as fast, BackgroundServer(Settings(port=0, fast_path=False)) as slow:
        services = Service(fast), Service(slow)
        yield Pair(*services)
        for side in services:
            side.http.close()


ADDRESSES = st.one_of(
    st.sampled_from([0x0808_0000, 0x0808_0008, 0x0808_0080, 0x0808_0088, 0x080A_0000, RAM, RAM + 4095, 0]),
    st.integers(-1, 1 << 64),
)
NUMBERS: st.SearchStrategy[Any] = st.one_of(
    ADDRESSES, ADDRESSES.map(hex), st.sampled_from([True, None, 1.0, "7", "", [], {}, "0x", "0xg"])
)
FIELDS = {
    "addr": NUMBERS,
    "size": st.one_of(st.sampled_from([1, 2, 4, 8]), NUMBERS),
    "value": NUMBERS,
    "length": st.one_of(st.integers(0, 100), NUMBERS),
    "hex": st.one_of(st.binary(max_size=8).map(bytes.hex), st.sampled_from(["0", "zz", "0 1 ", 5])),
    "byte": st.one_of(st.integers(-1, 256), NUMBERS),
    "function": st.one_of(st.sampled_from(["__pkvm_host_share_hyp", "nothing", "", 0xC6000001]), NUMBERS),
    "args": st.lists(NUMBERS, max_size=7),
    "device_id": NUMBERS,
    "event_id": NUMBERS,
    "cpu": st.one_of(st.integers(0, 5), NUMBERS),
    "extra": st.just(1),
}
WANTED = {
    "mmio/read": ("addr", "size"),
    "mmio/write": ("addr", "size", "value"),
    "memory/load": ("addr", "length"),
    "memory/store": ("addr", "hex"),
    "memory/fill": ("addr", "length", "byte"),
    "hvc": ("function", "args"),
    "msi": ("device_id", "event_id"),
    "ack": ("cpu",),
    "clean": ("addr", "length"),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A route and a body that fits it, nearly fits it, or does not."""
    route = draw(st.sampled_from(ROUTES))
    names = [name for name in WANTED[route] if draw(st.integers(0, 19))]
    if not draw(st.integers(0, 19)):
        names.append("extra")
    body: Any = {name: draw(FIELDS[name]) for name in names}
    return route, json.dumps(body).encode()


@settings(derandomize=True, max_examples=300, deadline=None)
@given(request=requests())
def test_both_answer_the_same_bytes(pair: Pair, request: tuple[str, bytes]) -> None:
    """Status, headers and body are equal for good and bad requests alike."""
    fast, slow = pair.ask(*request)

    assert fast == slow


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"cpu":0}x', b"[" * 5000, b'{"cpu":NaN}'])
def test_what_is_not_an_object_is_answered_alike(pair: Pair, body: bytes) -> None:
    """Malformed JSON, other JSON, other encodings."""
    fast, slow = pair.ask("ack", body)

    assert fast == slow
    assert fast[0] in (400, 415, 422)


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/octet-stream"}, 415),
        ({"idempotency-key": "k1"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"host": "evil.example"}, 400),
    ],
)
def test_unusual_headers_are_answered_alike(pair: Pair, headers: dict[str, str], status: int) -> None:
    """What the fast path leaves alone comes out as the framework answers it."""
    fast, slow = pair.ask("ack", b'{"cpu":0}', **headers)

    assert fast == slow
    assert fast[0] == status


@pytest.mark.parametrize("route", ROUTES)
def test_a_query_is_refused_alike(pair: Pair, route: str) -> None:
    """No op takes a parameter in its query: one that is there is a mistake, named and refused."""
    fast, slow = pair.ask(f"{route}?hash=1", json.dumps(dict.fromkeys(WANTED[route], 1)).encode())

    assert fast == slow
    assert fast[0] == 422
    assert json.loads(fast[2])["errors"][0]["location"] == "hash"


def test_sessions_that_are_not_there_are_answered_alike(pair: Pair) -> None:
    """An unknown id and a deleted session."""
    for side, path in zip(pair.both, pair.paths, strict=True):
        side.http.delete(path)
    fast, slow = pair.ask("ack", b'{"cpu":0}')
    pair.new_session()

    assert fast == slow
    assert fast[0] == 404


def test_both_leave_the_same_state(pair: Pair) -> None:
    """After the same ops the machines and histories are equal."""
    pair.new_session()
    for body in ({"addr": RAM, "hex": "0102"}, {"addr": RAM + 1, "hex": "ff"}):
        pair.ask("memory/store", json.dumps(body).encode())
    pair.ask("mmio/write", json.dumps({"addr": "0x8080000", "size": 4, "value": 1}).encode())

    answers = [side.get(path) for side, path in zip(pair.both, pair.paths, strict=True)]
    journals = [side.get(f"{path}/journal") for side, path in zip(pair.both, pair.paths, strict=True)]

    assert answers[0]["state_hash"] == answers[1]["state_hash"]
    assert [a["seq"] for a in answers] == [answers[0]["seq"]] * 2
    assert journals[0] == journals[1]
    assert len(journals[0]["ops"]) == 3
