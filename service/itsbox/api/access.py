"""Who may ask: the Host header, the Origin of web pages, API keys. Asked before anything else is looked at.

A service on loopback is reachable from every web page that the same person has open: a page can resolve its own name to
127.0.0.1 (so Host is checked) and can send requests and open WebSockets to ours (so Origin is checked). No page of another
origin is answered, and no CORS header is ever sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from itsbox.api.problems import Unacceptable
from itsbox.api.settings import LOOPBACK_NAMES, Settings

__all__ = ["SUBPROTOCOL", "Access"]

#: A browser cannot set headers on a WebSocket, so it offers the key as a second subprotocol: ``itsbox, bearer.KEY``.
SUBPROTOCOL: Final = "itsbox"
_KEY_PROTOCOL: Final = "bearer."
_BEARER: Final = "bearer "
#: What needs no key: whether the service is there, what it is, and the page that asks for the key.
_OPEN: Final = frozenset({"/healthz", "/readyz", "/version", "/openapi.json"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """The rules of one service. Keys are kept as digests and compared in constant time."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = frozenset((*LOOPBACK_NAMES, *(name.lower() for name in settings.allowed_hosts)))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in settings.allowed_origins)
        self._keys = tuple(hashlib.sha256(key.encode()).digest() for key in settings.api_keys)
        #: Host headers that were found good, as they came; bounded because ports are.
        self._known_hosts: set[bytes] = set()

    def check(self, headers: Mapping[bytes, bytes], method: str, path: str, *, websocket: bool = False) -> None:
        """Raises ``Unacceptable``: 400 for a wrong Host, 403 for a foreign Origin, 401 without a key."""
        host = headers.get(b"host", b"")
        if host not in self._known_hosts:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None and (websocket or method not in _SAFE_METHODS):
            self._check_origin(origin, host)
        if self._keys and path not in _OPEN and path.startswith(("/v1/", "/metrics")):
            self._check_key(headers, websocket=websocket)

    def _check_host(self, host: bytes) -> None:
        name = host.decode("latin-1").lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        if name not in self._hosts:
            raise Unacceptable("host-not-allowed", "the Host header names no host of this service")
        if len(self._known_hosts) < 1024:
            self._known_hosts.add(host)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        asked = origin.decode("latin-1").lower()
        own = host.decode("latin-1").lower()
        if asked not in (f"http://{own}", f"https://{own}") and asked not in self._origins:
            raise Unacceptable("origin-not-allowed", "a page of another origin may not use this service")

    def _check_key(self, headers: Mapping[bytes, bytes], *, websocket: bool) -> None:
        given = headers.get(b"authorization", b"").decode("latin-1")
        key = given[len(_BEARER) :] if given[: len(_BEARER)].lower() == _BEARER else ""
        if not key and websocket:
            offered = headers.get(b"sec-websocket-protocol", b"").decode("latin-1").split(",")
            key = next(
                (name.strip()[len(_KEY_PROTOCOL) :] for name in offered if name.strip().startswith(_KEY_PROTOCOL)), ""
            )
        digest = hashlib.sha256(key.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._keys]  # all of them, always
        if not any(matches):
            raise Unacceptable("unauthorized", "send one of the service's API keys as a bearer token")
