from __future__ import annotations

import asyncio
from typing import Any

import pytest

from itsbox.api.body import BODY
from itsbox.api.idempotency import IdempotencyStore
from itsbox.api.problems import Unacceptable
from itsbox.sessions.limits import Limits
from tests.api.conftest import Service

RAM = 0x4000_0000


def test_a_request_sent_again_is_answered_again(service: Service) -> None:
    """The op runs once; the second answer is the first, and says so."""
    path = service.session()
    key = {"idempotency-key": "retry-1"}
    body = {"addr": RAM, "hex": "ff"}
    first = service.post(f"{path}/memory/store", body, headers=key)
    again = service.post(f"{path}/memory/store", body, headers=key)

    assert first.content == again.content
    assert (first.status_code, again.status_code) == (200, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert service.get(path)["step"] == 1


def test_a_session_is_made_once(service: Service) -> None:
    """A retried creation answers the same session, Location included."""
    key = {"idempotency-key": "create-1"}
    first = service.post("/v1/sessions", {"hardening": "off"}, headers=key)
    again = service.post("/v1/sessions", {"hardening": "off"}, headers=key)

    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize("other", [{"addr": RAM, "hex": "00"}, {"addr": RAM, "hex": "ff", "x": 1}])
def test_the_same_key_for_another_request_is_422(service: Service, other: Any) -> None:
    """Nothing runs; the problem says why."""
    path = service.session()
    key = {"idempotency-key": f"reused-{len(other)}"}
    service.post(f"{path}/memory/store", {"addr": RAM, "hex": "ff"}, headers=key)
    answer = service.post(f"{path}/memory/store", other, headers=key)

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:itsbox:problem:key-reused"
    assert service.get(path)["step"] == 1


def test_the_same_key_on_another_path_is_422(service: Service) -> None:
    """A key belongs to one request, whichever route it went to."""
    one, other = service.session(), service.session()
    key = {"idempotency-key": "path-1"}
    assert service.post(f"{one}/snapshots", headers=key).status_code == 201
    assert service.post(f"{other}/snapshots", headers=key).status_code == 422


def test_refusals_are_answered_again_too(service: Service) -> None:
    """A client's mistake stays the same mistake."""
    path = service.session()
    key = {"idempotency-key": "mistake-1"}
    first = service.post(f"{path}/ack", {"cpu": 99}, headers=key)
    again = service.post(f"{path}/ack", {"cpu": 99}, headers=key)

    assert (first.status_code, again.status_code) == (422, 422)
    assert first.content == again.content


def test_a_cap_of_too_many_is_tried_anew(make_service: Any) -> None:
    """A 429 is not kept: the retry that it asks for can succeed."""
    service = make_service(limits={"sessions": 1})
    path = service.session()
    key = {"idempotency-key": "later"}
    assert service.post("/v1/sessions", headers=key).status_code == 429
    service.http.delete(path)

    assert service.post("/v1/sessions", headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ümlaut"])
def test_a_key_has_a_form(service: Service, key: str) -> None:
    """Empty, too long or strange keys are 400."""
    answer = service.http.post("/v1/sessions", headers=[(b"idempotency-key", key.encode())])

    assert answer.status_code == 400


class Harness:
    """An application that counts its runs and answers when told to."""

    def __init__(self, **caps: int) -> None:
        self.store = IdempotencyStore(Limits(**caps))
        self.runs = 0
        self.go = asyncio.Event()
        self.status = 200

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the run's number."""
        self.runs += 1
        await self.go.wait()
        if self.status == 0:
            raise OSError("an injected failure")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % self.runs})

    async def ask(self, key: str, body: bytes = b"") -> bytes:
        """One request."""
        got: list[Any] = []

        async def send(message: Any) -> None:
            got.append(message)

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        scope: Any = {
            "type": "http", "method": "POST", "path": "/x", "query_string": b"", BODY: body,
            "headers": [(b"idempotency-key", key.encode())],
        }  # fmt: skip
        await self.store.serve(self.app, scope, receive, send)
        return bytes(got[-1]["body"])


async def test_a_key_in_flight_is_409() -> None:
    """While the first request runs, its double is refused; afterwards it is answered."""
    harness = Harness()
    first = asyncio.ensure_future(harness.ask("k"))
    await asyncio.sleep(0)
    with pytest.raises(Unacceptable) as refused:
        await harness.ask("k")
    harness.go.set()

    assert (refused.value.status, refused.value.kind) == (409, "request-in-flight")
    assert await first == await harness.ask("k") == b"1"


async def test_a_request_that_failed_without_answer_can_be_tried_anew() -> None:
    """A key whose request never came to an answer is free again."""
    harness = Harness()
    harness.go.set()
    harness.status = 0
    with pytest.raises(OSError, match="injected"):
        await harness.ask("k")
    harness.status = 200

    assert await harness.ask("k") == b"2"


async def test_old_answers_are_forgotten() -> None:
    """The number of kept keys is bounded; the oldest goes first."""
    harness = Harness(idempotency_keys=2)
    harness.go.set()
    for key in ("a", "b", "c"):
        await harness.ask(key)

    assert await harness.ask("c") == b"3"
    assert await harness.ask("a") == b"4"


async def test_the_bytes_of_answers_are_bounded() -> None:
    """Answers together take no more than their cap."""
    harness = Harness(idempotency_bytes=1)
    harness.go.set()
    await harness.ask("a")
    await harness.ask("b")

    assert await harness.ask("b") == b"2"
    assert await harness.ask("a") == b"3"
    assert harness.store._bytes <= 1
