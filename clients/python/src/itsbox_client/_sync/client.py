# Generated from _async/client.py by tools/generate_sync.py: edit that one.
"""The client: one service, its sessions and scenarios, and what it tells about itself."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from itsbox_client import __version__, endpoints
from itsbox_client._http import Http, Transport
from itsbox_client._sync.connection import Connection
from itsbox_client._sync.scenarios import Scenarios
from itsbox_client._sync.sessions import Sessions
from itsbox_client.retry import RetryPolicy

__all__ = ["Client"]

_DEFAULT_URL = "http://127.0.0.1:8321"


class Client:
    """A client of one itsbox service.

    ``base_url`` and ``api_key`` default to the environment's ITSBOX_URL and ITSBOX_API_KEY. ``request_timeout`` is the default
    for every call, in seconds without an answer; ``retry`` says how often a call is tried. ``transport`` replaces the network
    in tests.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        request_timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - a tuple
        transport: Transport | None = None,
    ) -> None:
        url = (base_url or os.environ.get("ITSBOX_URL") or _DEFAULT_URL).rstrip("/")
        key = api_key or os.environ.get("ITSBOX_API_KEY")
        headers = {"User-Agent": f"itsbox-client/{__version__}", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self.base_url = url
        self._connection = Connection(url, headers, Http(url, headers, transport), retry, request_timeout)
        self.sessions = Sessions(self._connection)
        self.scenarios = Scenarios(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; sessions go on."""
        self._connection.close()

    def arch(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Registers, commands, table entries, hypercalls, reasons and events: the declarations themselves."""
        return self._connection.call(endpoints.service("/v1/arch"), request_timeout)

    def hardening(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Presets and knobs, with what each means."""
        return self._connection.call(endpoints.service("/v1/hardening"), request_timeout)

    def profiles(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """The machines that there are."""
        return self._connection.call(endpoints.service("/v1/profiles"), request_timeout)

    def limits(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """The caps of the service."""
        return self._connection.call(endpoints.service("/v1/limits"), request_timeout)

    def version(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """What is running."""
        return self._connection.call(endpoints.service("/version"), request_timeout)

    def healthz(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Whether the process is alive."""
        return self._connection.call(endpoints.service("/healthz"), request_timeout)

    def readyz(self, *, request_timeout: float | None = None) -> dict[str, Any]:
        """Whether the service takes work. Raises ServiceUnavailable if it does not."""
        return self._connection.call(endpoints.service("/readyz"), request_timeout)
