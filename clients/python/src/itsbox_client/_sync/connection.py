# Generated from _async/connection.py by tools/generate_sync.py: edit that one.
"""Carries calls out: one attempt after another, as the retry policy decides."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from collections.abc import Mapping
from typing import TypeVar

from itsbox_client._http import Answer, Http
from itsbox_client._websocket import Socket, stream_url
from itsbox_client.endpoints import Call
from itsbox_client.problems import ItsboxError, ProtocolError, problem_from
from itsbox_client.retry import RetryPolicy, retry_after
from itsbox_client.wire import dumps, loads

__all__ = ["Connection"]

T = TypeVar("T")


class Connection:
    """The way to one service."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], http: Http, retry: RetryPolicy, request_timeout: float
    ) -> None:
        self.base_url = base_url
        self.retry = retry
        self.request_timeout = request_timeout
        self._headers = dict(headers)
        self._http = http

    def with_timeout(self, request_timeout: float) -> Connection:
        """The same way, with another default for ``request_timeout``."""
        other = copy.copy(self)
        other.request_timeout = request_timeout
        return other

    def call(self, call: Call[T], request_timeout: float | None = None) -> T:
        """Send a call, again where that is safe and may help, and read its answer.

        Raises Problem for what the service refuses, TransportError where it cannot be reached, ProtocolError for an answer that
        is not of the contract's form.
        """
        # The same key for every attempt: the service does the work once and repeats the answer.
        headers = {"Idempotency-Key": uuid.uuid4().hex} if call.method == "POST" else {}
        attempt = 1
        while True:
            try:
                answer = self._attempt(call, headers, request_timeout or self.request_timeout)
            except ItsboxError as failure:
                wait = self.retry.wait(attempt, failure)
                if wait is None:
                    raise
                self._http.sleep(wait)
                attempt += 1
            else:
                return _read(call, answer)

    def open_stream(self, path: str, params: Mapping[str, str], request_timeout: float | None) -> Socket:
        """Open a WebSocket of the service."""
        url = stream_url(self.base_url, path, params)
        return Socket.open(url, self._headers, request_timeout or self.request_timeout)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._http.sleep(seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _attempt(self, call: Call[T], headers: Mapping[str, str], timeout: float) -> Answer:
        content = None
        if call.body is not None:
            content = dumps(call.body)
            headers = {**headers, "Content-Type": "application/json"}
        answer = self._http.send(
            call.method, call.path, params=call.params, content=content, headers=headers, timeout=timeout
        )
        if answer.status < 400:
            return answer
        wait = retry_after(answer.headers, dt.datetime.now(dt.UTC))
        raise problem_from(answer.status, _problem_members(answer), wait)


def _problem_members(answer: Answer) -> Mapping[str, object]:
    """The problem's members; what is no JSON object (a proxy's page) becomes the detail."""
    if "json" in answer.headers.get("content-type", ""):
        members = loads(answer.body)
        if isinstance(members, dict):
            return members
    return {"detail": answer.body[:200].decode(errors="replace")}


def _read(call: Call[T], answer: Answer) -> T:
    value = loads(answer.body) if answer.body else None
    try:
        return call.read(value)
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(
            f"the answer to {call.method} {call.path} is not of the expected form: {error!r}"
        ) from error
