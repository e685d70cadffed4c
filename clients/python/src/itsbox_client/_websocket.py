"""The only module that knows websockets: open a stream, receive text frames, and our own exceptions for what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from urllib.parse import urlencode

import websockets.asyncio.client
import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from itsbox_client.problems import ItsboxError, Problem, TransportError, problem_from
from itsbox_client.wire import loads

__all__ = ["AsyncSocket", "Socket", "SocketClosed", "stream_url"]

#: A frame holds at most 200 events; one event at most four words and a few names. Far above both, and bounded.
_LARGEST_FRAME = 16 * 1024 * 1024


class SocketClosed(TransportError):
    """The stream's connection ended; ``code`` is 1006 where it was simply lost."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the stream was closed ({code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason


def stream_url(base_url: str, path: str, params: Mapping[str, str]) -> str:
    """The ws(s) address for an http(s) one."""
    root = base_url.rstrip("/").replace("http", "ws", 1)
    return f"{root}{path}?{urlencode(params)}" if params else f"{root}{path}"


def _closed(error: ConnectionClosed) -> SocketClosed:
    close = error.rcvd
    return SocketClosed(close.code, close.reason) if close else SocketClosed(1006, "")


def _refused(error: Exception) -> ItsboxError:
    """What a failed opening means: the service's problem where it answered one, else a transport failure."""
    if not isinstance(error, InvalidStatus):
        return TransportError(f"no stream: {error!r}")
    response = error.response
    kind = response.headers.get("content-type", "")
    members = loads(bytes(response.body)) if response.body and "json" in kind else {}
    problem: Problem = problem_from(response.status_code, members)
    return problem


def _text(frame: str | bytes) -> str:
    return frame if isinstance(frame, str) else frame.decode()


class Socket:
    """A stream that blocks."""

    def __init__(self, connection: websockets.sync.client.ClientConnection, stack: ExitStack) -> None:
        self._socket = connection
        self._stack = stack

    @classmethod
    def open(cls, url: str, headers: Mapping[str, str], timeout: float) -> Socket:
        """Connect. Raises Problem if the service refuses, TransportError if it cannot be reached."""
        stack = ExitStack()
        try:
            connecting = websockets.sync.client.connect(
                url, additional_headers=dict(headers), open_timeout=timeout, max_size=_LARGEST_FRAME
            )
            return cls(stack.enter_context(connecting), stack)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise _refused(error) from error

    def receive(self, timeout: float | None) -> str | None:
        """The next frame, or None after ``timeout`` seconds without one. Raises SocketClosed."""
        try:
            return _text(self._socket.recv(timeout))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise _closed(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._stack.close()


class AsyncSocket:
    """A stream that is awaited."""

    def __init__(self, connection: websockets.asyncio.client.ClientConnection) -> None:
        self._socket = connection

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str], timeout: float) -> AsyncSocket:
        """Connect. Raises Problem if the service refuses, TransportError if it cannot be reached."""
        try:
            return cls(
                await websockets.asyncio.client.connect(
                    url, additional_headers=dict(headers), open_timeout=timeout, max_size=_LARGEST_FRAME
                )
            )
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise _refused(error) from error

    async def receive(self, timeout: float | None) -> str | None:
        """The next frame, or None after ``timeout`` seconds without one. Raises SocketClosed."""
        try:
            async with asyncio.timeout(timeout):
                return _text(await self._socket.recv())
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._socket.close()
