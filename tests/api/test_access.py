from __future__ import annotations

from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from itsbox.api.access import Access
from itsbox.api.problems import Unacceptable
from itsbox.api.settings import Settings
from tests.api.conftest import Service

KEY = "a-long-enough-key-for-tests"


@pytest.mark.parametrize("host", ["localhost:8321", "127.0.0.1", "[::1]:8321", "LOCALHOST", "box.example:80"])
def test_own_hosts_are_let_in(host: str) -> None:
    """Loopback names with any port, and those of the settings."""
    Access(Settings(allowed_hosts=("box.example",))).check({b"host": host.encode()}, "GET", "/v1/sessions")


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8321", "localhost.evil.example", "127.0.0.1.nip.io"]
)
def test_other_hosts_are_kept_out(host: str) -> None:
    """A name that a page has resolved to 127.0.0.1 is not ours."""
    with pytest.raises(Unacceptable) as refused:
        Access(Settings()).check({b"host": host.encode()}, "GET", "/v1/sessions")

    assert refused.value.kind == "host-not-allowed"


def test_a_foreign_page_can_change_nothing(service: Service) -> None:
    """A request that a page of another origin sends is 403, also one without body or content type."""
    before = service.get("/v1/sessions", limit=200)
    for origin in ("http://evil.example", "null", "http://localhost:9999"):
        answer = service.http.post("/v1/sessions", headers={"origin": origin})
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:itsbox:problem:origin-not-allowed"

    assert len(service.get("/v1/sessions", limit=200)["sessions"]) == len(before["sessions"])


def test_our_own_page_and_allowed_ones_may_write(make_service: Any) -> None:
    """The origin of the service itself, and those of the settings."""
    service = make_service(allowed_origins=("http://localhost:5173",))
    for origin in (service.url, "http://localhost:5173"):
        assert service.http.post("/v1/sessions", headers={"origin": origin}).status_code == 201


def test_no_cors_header_is_ever_sent(service: Service) -> None:
    """A preflight is not answered as one."""
    answer = service.http.options(
        "/v1/sessions", headers={"origin": "http://evil.example", "access-control-request-method": "POST"}
    )

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_websocket_of_a_foreign_page_is_refused(service: Service) -> None:
    """The upgrade is answered with a problem; without an Origin, or with our own, it is made."""
    url = service.ws_url + service.session() + "/stream"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=Origin("http://evil.example")):
        pass

    assert refused.value.response.status_code == 403
    assert b"origin-not-allowed" in (refused.value.response.body or b"")
    for origin in (None, Origin(service.url)):
        with connect(url, origin=origin) as socket:
            assert "session.created" in str(socket.recv(timeout=5))


def test_a_wrong_host_is_refused_on_websockets_too(service: Service) -> None:
    """DNS rebinding does not work there either."""
    url = service.ws_url + service.session() + "/stream"
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, additional_headers={"Host": "evil.example"}),
    ):
        pass

    assert refused.value.response.status_code == 400


def test_keys_are_needed_once_there_are_keys(make_service: Any) -> None:
    """No key, a wrong one and one in another scheme are 401; the right one is let in; health needs none."""
    service = make_service(api_keys=(KEY, "another-key-that-is-long"))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}, {"authorization": KEY}):
        answer = service.http.get("/v1/sessions", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:itsbox:problem:unauthorized"

    assert service.http.get("/v1/sessions", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    assert service.http.get("/v1/sessions", headers={"authorization": f"bearer {KEY}"}).status_code == 200
    assert service.http.get("/metrics").status_code == 401
    assert [service.http.get(path).status_code for path in ("/healthz", "/readyz", "/version")] == [200] * 3


def test_a_browser_offers_its_key_as_a_subprotocol(make_service: Any) -> None:
    """A WebSocket takes the key from either header; the key's subprotocol is never echoed."""
    service = make_service(api_keys=(KEY,))
    bearer = {"authorization": f"Bearer {KEY}"}
    path = httpx.post(service.url + "/v1/sessions", headers=bearer).headers["location"]
    url = service.ws_url + path + "/stream"
    with pytest.raises(InvalidStatus) as refused, connect(url):
        pass

    assert refused.value.response.status_code == 401
    with connect(url, additional_headers=bearer) as socket:
        assert socket.subprotocol is None
    with connect(url, subprotocols=["itsbox", f"bearer.{KEY}"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "itsbox"
