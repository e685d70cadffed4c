"""How calls are carried out: retries, idempotency, problems, timeouts; blocking and awaited alike."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from itsbox_client import (
    AsyncClient,
    Client,
    Conflict,
    InternalError,
    ItsboxError,
    NotFound,
    PayloadTooLarge,
    Problem,
    ProtocolError,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
    RetryPolicy,
    ServiceUnavailable,
    SessionNotFound,
    SnapshotNotFound,
    TransportError,
    Unauthorized,
    ValidationProblem,
)
from tests.clients.python.fake_service import FakeService, problem

QUICK = RetryPolicy(attempts=4, first_wait=0.0, longest_wait=5.0)


@pytest.fixture
def service() -> FakeService:
    """A service of its own for each test."""
    return FakeService()


def _client(service: FakeService, **options: Any) -> Client:
    return Client("http://its", transport=httpx.MockTransport(service), retry=options.pop("retry", QUICK), **options)


def test_a_lost_answer_does_not_apply_the_op_twice(service: FakeService) -> None:
    """The work was done and the answer lost, twice: the client asks again under the same key and the op ran once."""
    with _client(service) as client, client.sessions.create() as session:
        service.lose = 2

        result = session.mmio_read(0x808_0000, 4)

        assert result.seq == 1
        assert len(service.applied[session.id]) == 1
        keys = [r.headers["idempotency-key"] for r in service.requests if r.url.path.endswith("mmio/read")]
        assert len(keys) == 3
        assert len(set(keys)) == 1


def test_a_lost_answer_does_not_make_two_sessions(service: FakeService) -> None:
    """Creating is retried under the same key, too."""
    service.lose = 1
    with _client(service) as client:
        client.sessions.create()

    assert list(service.applied) == ["s1"]


def test_two_calls_have_two_keys(service: FakeService) -> None:
    """An op that is meant twice is applied twice."""
    with _client(service) as client, client.sessions.create() as session:
        session.mmio_write(0x808_0088, 4, 32)
        session.mmio_write(0x808_0088, 4, 32)

        assert len(service.applied[session.id]) == 2


def test_a_service_that_never_answers_is_given_up(service: FakeService) -> None:
    """After the policy's attempts the last failure is raised."""
    service.lose = 99
    with _client(service) as client, pytest.raises(TransportError, match="connection reset"):
        client.sessions.create()

    assert len(service.requests) == QUICK.attempts


def test_retry_after_is_waited_for(service: FakeService) -> None:
    """A 429 with Retry-After 0 is tried again at once and succeeds."""
    service.script = [lambda _: problem(429, "rate-limited", {"Retry-After": "0"})]
    with _client(service) as client:
        assert client.sessions.create().id == "s1"


def test_a_wish_for_more_patience_is_the_callers_business(service: FakeService) -> None:
    """A Retry-After beyond the policy is raised at once and says how long."""
    service.script = [lambda _: problem(429, "rate-limited", {"Retry-After": "60"})]
    with _client(service) as client, pytest.raises(RateLimited) as caught:
        client.sessions.create()

    assert caught.value.retry_after == 60.0
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "status, kind, expected",
    [
        (404, "session-not-found", SessionNotFound),
        (404, "snapshot-not-found", SnapshotNotFound),
        (404, "not-found", NotFound),
        (401, "unauthorized", Unauthorized),
        (409, "conflict", Conflict),
        (413, "request-too-large", PayloadTooLarge),
        (413, "cap-exceeded", QuotaExceeded),
        (422, "invalid-request", ValidationProblem),
        (429, "cap-exceeded", QuotaExceeded),
        (429, "rate-limited", RateLimited),
        (500, "model-crash", InternalError),
        (503, "unavailable", ServiceUnavailable),
        (418, "teapot", Problem),
    ],
)
def test_each_problem_has_its_exception(service: FakeService, status: int, kind: str, expected: type[Problem]) -> None:
    """The problem's type decides, and its status where the type is new."""
    service.script = [lambda _: problem(status, kind, detail="because", extra=1)] * QUICK.attempts
    with _client(service) as client, pytest.raises(Problem) as caught:
        client.limits()

    assert type(caught.value) is expected
    assert caught.value.status == status
    assert caught.value.detail == "because"
    assert caught.value.members == {"extra": 1}
    assert isinstance(caught.value, ItsboxError)


def test_a_reached_cap_says_which_and_how_much(service: FakeService) -> None:
    """QuotaExceeded carries what the service says about the cap."""
    service.script = [lambda _: problem(429, "cap-exceeded", cap="sessions", limit=256, in_use=256)]
    with _client(service, retry=RetryPolicy(attempts=1)) as client, pytest.raises(QuotaExceeded) as caught:
        client.sessions.create()

    assert (caught.value.cap, caught.value.limit, caught.value.in_use) == ("sessions", 256, 256)


def test_a_malformed_op_is_named_by_its_index(service: FakeService) -> None:
    """ValidationProblem carries what is wrong and where in the batch."""
    with _client(service) as client, client.sessions.create() as session:
        with pytest.raises(ValidationProblem) as caught:
            session.run([{"op": "ack", "cpu": 0}, {"what": 1}])

        assert caught.value.index == 1
        assert caught.value.errors[0]["msg"] == "no op"
        assert service.applied[session.id] == []


def test_an_ended_session_says_how_it_ended(service: FakeService) -> None:
    """SessionNotFound tells expired from never was."""
    with _client(service) as client, pytest.raises(SessionNotFound) as caught:
        client.sessions.connect("gone")

    assert caught.value.ended == "idle for 900 s"


@pytest.mark.parametrize("body", [b"<html>a proxy's page</html>", b'{"id": "s1"', b"[]", b'{"id": "s1"}'])
def test_an_answer_of_another_form_is_a_protocol_error(service: FakeService, body: bytes) -> None:
    """HTML, a cut body, missing members: an error that says so, not a KeyError."""
    service.script = [lambda _: httpx.Response(200, content=body)]
    with _client(service) as client, pytest.raises(ProtocolError):
        client.sessions.create()


def test_a_problem_that_is_a_proxys_page_is_still_told(service: FakeService) -> None:
    """What is no problem+json becomes the detail."""
    service.script = [lambda _: httpx.Response(404, text="<h1>nginx</h1>")]
    with _client(service) as client, pytest.raises(NotFound, match="nginx"):
        client.limits()


def test_64_bit_values_are_hex_on_the_wire_and_ints_here(service: FakeService) -> None:
    """No value passes through a float, in either direction."""
    with _client(service) as client, client.sessions.create() as session:
        value = session.mmio_read(0x808_0080, 8).value
        session.mmio_write(0x808_0080, 8, 0xB8E0_0000_4000_040F)

        assert value == (1 << 64) - 1
        assert service.applied[session.id][1]["value"] == "0xb8e000004000040f"


def test_the_request_timeout_is_the_calls_or_the_clients(service: FakeService) -> None:
    """Each request carries the timeout it was given, or the client's."""
    with _client(service, request_timeout=7.0) as client:
        client.sessions.create(request_timeout=2.0)
        client.sessions.create()

    assert [request.extensions["timeout"]["read"] for request in service.requests] == [2.0, 7.0]


def test_typed_calls_have_the_timeout_of_their_session(service: FakeService) -> None:
    """What takes no timeout itself is given one by ``with_timeout``; the session goes on with its own."""
    with _client(service, request_timeout=7.0) as client, client.sessions.create() as session:
        service.requests.clear()
        _ = session.with_timeout(1.5).gits.ctlr
        session.with_timeout(2.5).hvc.raw("__pkvm_host_share_hyp", 1)
        _ = session.gits.ctlr

        assert [request.extensions["timeout"]["read"] for request in service.requests] == [1.5, 2.5, 7.0]


def test_a_slow_service_is_a_timeout(service: FakeService) -> None:
    """No answer within the time is RequestTimeout, which is a TransportError."""

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    service.script = [slow]
    with _client(service, retry=RetryPolicy(attempts=1)) as client, pytest.raises(RequestTimeout):
        client.limits()


def test_the_key_and_the_url_come_from_the_environment(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """ITSBOX_URL and ITSBOX_API_KEY are the defaults, as CI sets them."""
    monkeypatch.setenv("ITSBOX_URL", "http://ci.internal:9000/")
    monkeypatch.setenv("ITSBOX_API_KEY", "itsk_secret")
    with Client(transport=httpx.MockTransport(service)) as client:
        client.sessions.create()

    (request,) = service.requests
    assert str(request.url) == "http://ci.internal:9000/v1/sessions"
    assert request.headers["authorization"] == "Bearer itsk_secret"


def test_a_listing_pages_until_it_ends(service: FakeService) -> None:
    """The iterator asks for the next page only when it gets there."""
    with _client(service) as client:
        for n in range(5):
            client.sessions.create(metadata={"job": "ci-7" if n % 2 else "ci-8"})
        service.requests.clear()

        listing = client.sessions.list()
        first = next(listing)
        asked = len(service.requests)

        assert [first.id, *(info.id for info in listing)] == ["s1", "s2", "s3", "s4", "s5"]
        assert asked == 1
        assert [info.id for info in client.sessions.list(metadata={"job": "ci-7"})] == ["s2", "s4"]


def test_leaving_the_block_ends_the_session_unless_it_is_kept(service: FakeService) -> None:
    """``with`` owns what it made; ``keep`` gives it away."""
    with _client(service) as client:
        with client.sessions.create():
            pass
        with client.sessions.create(keep=True):
            pass
        with client.sessions.connect("s2"):
            pass

    assert list(service.applied) == ["s2"]


def test_the_blocks_own_exception_is_the_one_to_see(service: FakeService) -> None:
    """If ending the session fails as well, that is a note on the first failure."""
    client = _client(service, retry=RetryPolicy(attempts=1))
    with client, pytest.raises(LookupError) as caught, client.sessions.create():  # noqa: PT012
        service.lose = 1
        raise LookupError("mine")

    assert any("could not be ended" in note for note in caught.value.__notes__)


def test_a_batch_is_one_request_and_its_results_come_after_it(service: FakeService) -> None:
    """Results are promised within the block and there behind it."""
    with _client(service) as client, client.sessions.create() as session:
        service.requests.clear()
        with session.batch(hash=True, stop_on=["violation"]) as batch:
            first = batch.mmio_read(0x808_0000, 4)
            second = batch.mmio_read(0x808_0008, 8)
            assert not first.done

        assert (first.result().value, second.result().value) == (0, 1)
        assert (batch.outcome.executed, batch.outcome.state_hash) == (2, "ab")
        (request,) = service.requests
        sent = json.loads(request.content)
        assert [op["op"] for op in sent["ops"]] == ["mmio_read", "mmio_read"]
        assert sent["stop_on"] == ["violation"]


def test_a_batch_whose_block_fails_is_not_sent(service: FakeService) -> None:
    """An exception within the block means that the batch was not finished."""
    with _client(service) as client, client.sessions.create() as session:
        with pytest.raises(LookupError), session.batch() as batch:  # noqa: PT012
            batch.ack(0)
            raise LookupError

        assert service.applied[session.id] == []


async def test_the_awaited_client_does_the_same(service: FakeService) -> None:
    """The same script, awaited: a lost answer, a listing, a batch, a problem."""
    async with AsyncClient("http://its", transport=httpx.MockTransport(service), retry=QUICK) as client:
        async with await client.sessions.create() as session:
            service.lose = 1
            assert (await session.mmio_read(0x808_0000, 4)).value == (1 << 64) - 1
            assert len(service.applied[session.id]) == 1
            async with session.batch() as batch:
                promised = batch.ack(0)
            assert promised.done
            assert [info.id async for info in client.sessions.list()] == ["s1"]
        with pytest.raises(SessionNotFound):
            await client.sessions.connect("s1")
    assert service.applied == {}
