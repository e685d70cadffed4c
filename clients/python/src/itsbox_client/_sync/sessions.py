# Generated from _async/sessions.py by tools/generate_sync.py: edit that one.
"""The sessions of a service."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from itsbox_client import endpoints
from itsbox_client._sync.connection import Connection
from itsbox_client._sync.session import Session
from itsbox_client.models import Hardening, SessionInfo

__all__ = ["Sessions"]


class Sessions:
    """Make, find, list and end sessions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        *,
        profile: str | None = None,
        cpus: int | None = None,
        ram_mib: int | None = None,
        hardening: Hardening | None = None,
        start: str | None = None,
        error_policy: str | None = None,
        quirks: Mapping[str, Any] | None = None,
        oracle: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idle_timeout_s: int | None = None,
        keep: bool = False,
        request_timeout: float | None = None,
    ) -> Session:
        """Make a machine; what is left out is the service's default.

        Used in a with statement the session ends with the block, unless ``keep`` is true. Raises QuotaExceeded when there are too
        many sessions, ValidationProblem for a profile, preset or size that there is not.
        """
        call = endpoints.create_session(
            profile=profile,
            cpus=cpus,
            ram_mib=ram_mib,
            hardening=hardening,
            start=start,
            error_policy=error_policy,
            quirks=quirks,
            oracle=oracle,
            metadata=metadata,
            idle_timeout_s=idle_timeout_s,
        )
        return Session(self._connection, self._connection.call(call, request_timeout), keep=keep)

    def connect(self, id: str, *, keep: bool = True, request_timeout: float | None = None) -> Session:
        """A session that exists; it outlives a with block unless ``keep`` is false. Raises SessionNotFound."""
        info = self._connection.call(endpoints.get_session(id), request_timeout)
        return Session(self._connection, info, keep=keep)

    def list(
        self,
        *,
        state: str | None = None,
        metadata: Mapping[str, str] | None = None,
        page_size: int | None = None,
        request_timeout: float | None = None,
    ) -> Generator[SessionInfo, None, None]:
        """Every session, page by page, as far as it is iterated; of one ``state``, with these ``metadata``."""
        cursor: str | None = None
        while True:
            call = endpoints.list_sessions(state, metadata or {}, page_size, cursor)
            page = self._connection.call(call, request_timeout)
            for info in page.sessions:
                yield info
            cursor = page.cursor
            if cursor is None:
                return

    def kill(self, id: str, *, request_timeout: float | None = None) -> None:
        """End a session by id; ending it twice is no error."""
        self._connection.call(endpoints.delete_session(id), request_timeout)
