# Generated from _async/events.py by tools/generate_sync.py: edit that one.
"""A session's events as they happen, over a WebSocket that is opened again whenever it is lost."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from itsbox_client import endpoints
from itsbox_client._websocket import SocketClosed
from itsbox_client.models import StreamItem
from itsbox_client.problems import TransportError
from itsbox_client.retry import RetryPolicy
from itsbox_client.stream import StreamPosition
from itsbox_client.wire import loads

if TYPE_CHECKING:
    from itsbox_client._sync.connection import Connection

__all__ = ["EventStream", "follow", "history"]


class EventStream:
    """An iterator of events and gaps.

    Whoever leaves it before its end closes it, or uses it in a with statement: a connection hangs on it.
    """

    def __init__(self, items: Generator[StreamItem, None, None]) -> None:
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamItem:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; nothing follows."""
        self._items.close()


def history(
    connection: Connection, id: str, position: StreamPosition, request_timeout: float | None
) -> Generator[StreamItem, None, None]:
    """The events that the session keeps now, page by page; ends at the event that was the last when it was asked."""
    head: int | None = None
    while head is None or position.after < head:
        page = connection.call(endpoints.event_page(id, position.after, position.types), request_timeout)
        head = int(page["head"]) if head is None else head
        for item in position.take(page):
            yield item
        if int(page["next"]) <= position.after and not page["events"]:
            break
        position.after = max(position.after, int(page["next"]))


def follow(
    connection: Connection,
    id: str,
    position: StreamPosition,
    idle_timeout: float | None,
    request_timeout: float | None,
) -> Generator[StreamItem, None, None]:
    """The events after ``position``, then the live ones; ends when the session ends or is silent for ``idle_timeout`` seconds.

    A lost connection is opened again from the last event seen. Raises Problem if the service refuses the stream (SessionNotFound
    once the session is gone), TransportError if it stays out of reach for as long as the retry policy tries.
    """
    path = f"/v1/sessions/{quote(id, safe='')}/stream"
    retry: RetryPolicy = connection.retry
    attempt = 1
    while not position.closed:
        try:
            socket = connection.open_stream(path, position.params, request_timeout)
            try:
                while not position.closed:
                    frame = socket.receive(idle_timeout)
                    if frame is None:
                        return
                    attempt = 1
                    for item in position.take(loads(frame)):
                        yield item
            finally:
                socket.close()
        except SocketClosed as lost:
            if lost.code in _ENDED:
                return
            _wait(connection, retry, attempt, lost)
            attempt += 1
        except TransportError as lost:
            _wait(connection, retry, attempt, lost)
            attempt += 1


#: Close codes with which the service says that this stream has come to its end.
_ENDED = frozenset({1000})


def _wait(connection: Connection, retry: RetryPolicy, attempt: int, lost: TransportError) -> None:
    wait = retry.wait(attempt, lost)
    if wait is None:
        raise lost
    connection.sleep(wait)
