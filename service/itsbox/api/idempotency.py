"""Idempotency-Key: a request that is sent again is answered again, not carried out again.

The key is the client's; what it was used for is remembered as a digest of method, path, query, content type, credential and
body. The same key for another request is 422, for one that still runs 409. Answers that ask to be tried again (429, 503) are
not kept. (IETF draft httpapi-idempotency-key-header-07.)
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itsbox.api.body import BODY
from itsbox.api.problems import Unacceptable
from itsbox.sessions.limits import Limits

__all__ = ["HEADER", "IdempotencyStore"]

HEADER: Final = b"idempotency-key"
_REPLAYED: Final = (b"idempotent-replayed", b"true")
_KEY_MAX: Final = 255
_NOT_KEPT: Final = frozenset({429, 503})
_FINGERPRINTED: Final = (b"content-type", b"authorization")


@dataclass(slots=True)
class _Entry:
    """One key. ``status`` is 0 while the request runs."""

    fingerprint: bytes
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class IdempotencyStore:
    """Answers by key, oldest dropped first; bounded in number and bytes.

    Invariant: ``_bytes`` is the sum of the kept bodies' lengths.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that carries a key. Raises ``Unacceptable`` (400, 409, 422)."""
        headers = dict(scope["headers"])
        key: bytes = headers[HEADER]
        if not key or len(key) > _KEY_MAX or not all(0x21 <= byte <= 0x7E for byte in key):
            raise Unacceptable("bad-request", f"an Idempotency-Key has 1 to {_KEY_MAX} visible ASCII characters")
        fingerprint = _fingerprint(scope, headers)
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = entry = _Entry(fingerprint)
            await self._first(key, entry, app, (scope, receive, send))
        elif entry.fingerprint != fingerprint:
            raise Unacceptable("key-reused", "this Idempotency-Key was used for another request")
        elif not entry.status:
            raise Unacceptable("request-in-flight", "the request with this Idempotency-Key is still running")
        else:
            await send({"type": "http.response.start", "status": entry.status, "headers": [*entry.headers, _REPLAYED]})
            await send({"type": "http.response.body", "body": entry.body})

    async def _first(self, key: bytes, entry: _Entry, app: ASGIApp, connection: tuple[Scope, Receive, Send]) -> None:
        """Carry the request out and keep its answer."""
        scope, receive, send = connection
        starts: list[Message] = []
        parts: list[bytes] = []

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                starts.append(message)
            else:
                parts.append(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, record)
        finally:
            # Kept even if the client is gone by now: that is when it will ask again.
            entry.body = b"".join(parts)
            self._bytes += len(entry.body)
            if starts and starts[0]["status"] not in _NOT_KEPT:
                entry.status, entry.headers = starts[0]["status"], list(starts[0]["headers"])
            else:
                self._forget(key)
            self._trim()

    def _trim(self) -> None:
        limits = self._limits
        while len(self._entries) > limits.idempotency_keys or self._bytes > limits.idempotency_bytes:
            oldest = next((key for key, entry in self._entries.items() if entry.status), None)
            if oldest is None:
                return  # all of them are running
            self._forget(oldest)

    def _forget(self, key: bytes) -> None:
        self._bytes -= len(self._entries.pop(key).body)


def _fingerprint(scope: Scope, headers: dict[bytes, bytes]) -> bytes:
    total = hashlib.sha256()
    for part in (
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        *(headers.get(name, b"") for name in _FINGERPRINTED),
        scope[BODY],
    ):
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()
