"""The service as a child process on a free loopback port."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from itsbox.cli.serve import SERVING
from itsbox.replay.http_target import ServiceError

__all__ = ["ServiceProcess"]

START_S = 60.0
END_S = 10.0


class ServiceProcess:
    """``itsbox serve --port 0`` for the length of a ``with`` block; ``url`` is its address.

    ``python`` are other arguments for the interpreter, of something that announces itself as the service does. Raises
    ServiceError when it does not come up. Its settings come from this process's environment and from ``environment``.
    """

    def __init__(self, *python: str, **environment: str) -> None:
        self.python = python or ("-m", "itsbox", "serve", "--host", "127.0.0.1", "--port", "0")
        self.environment = {**os.environ, **environment}
        self.url = ""

    def __enter__(self) -> Self:
        command = [sys.executable, *self.python]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.errors: list[str] = []
        self.readers = [
            threading.Thread(target=_drain, args=(stream, take), daemon=True)
            for stream, take in ((self.process.stdout, lines.put), (self.process.stderr, self.errors.append))
        ]
        for reader in self.readers:
            reader.start()
        try:
            line = lines.get(timeout=START_S)
        except queue.Empty:
            line = ""
        if not line.startswith(SERVING):
            self.close()
            raise ServiceError(f"the service did not start: {(line + ''.join(self.errors[-20:])).strip()}")
        self.url = line.removeprefix(SERVING).strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, by its own number, and read what it still said."""
        self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self.readers:
            reader.join()


def _drain(stream: IO[str], take: Callable[[str], None]) -> None:
    """Read to the end, so that the child never waits for a reader; an empty line at the end says that it is gone."""
    with stream:
        for line in stream:
            take(line)
    take("")
