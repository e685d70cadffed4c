"""A TCP proxy on loopback whose connections a test can cut, and whose answers it can lose."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

#: SO_LINGER with no time: closing sends RST, as a crashed router or a pulled cable would look.
_RESET = struct.pack("ii", 1, 0)


class _Pair:
    """One connection: the client's side and the server's."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server

    def reset(self) -> None:
        """Break both sides at once."""
        for side in (self.client, self.server):
            try:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # that side was gone already
            finally:
                side.close()


class Proxy:
    """Forwards every connection to ``port``; use as a context manager.

    Invariant: ``lost`` counts answers that the server gave and the client never saw.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()
        self._to_lose = 0
        self._threads: list[threading.Thread] = []
        self.accepted = 0
        self.lost = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Break every connection that there is now; new ones are forwarded."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.reset()

    def redirect(self, port: int) -> None:
        """From now on connect new clients to another port."""
        self._target = port

    def lose(self, answers: int) -> None:
        """Lose the next answers: what the server says is thrown away, and the connection broken."""
        with self._lock:
            self._to_lose = answers

    def _spawn(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed: the test is over
            pair = _Pair(client, socket.create_connection(("127.0.0.1", self._target)))
            with self._lock:
                self._pairs.append(pair)
                self.accepted += 1
            self._spawn(self._pump, pair, pair.client, pair.server)
            self._spawn(self._pump, pair, pair.server, pair.client)

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source is pair.server and self._loses():
                    break
                sink.sendall(data)
        except OSError:
            pass  # one side broke; so does the other, below
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)
        pair.reset()

    def _loses(self) -> bool:
        with self._lock:
            if not self._to_lose:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True
