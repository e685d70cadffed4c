"""Starting an itsbox service for a test run, and ending it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from itsbox_client import NO_RETRIES, Client, ItsboxError

__all__ = ["Server", "start"]

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
#: Another process may take the free port between our look and the server's bind.
_PORTS_TRIED = 3


class Server(NamedTuple):
    """A running service; ``pid`` is that of the process we started, None for somebody else's."""

    url: str
    pid: int | None


@contextmanager
def start(log: Path) -> Iterator[Server]:
    """Run ``python -m itsbox serve`` on a free loopback port, with its output in ``log``; end it on leaving."""
    if importlib.util.find_spec("itsbox") is None:
        pytest.fail(
            "its_server starts a service with the itsbox package, which is not installed here: "
            "install itsbox, or give --its-url",
            pytrace=False,
        )
    process, url = _started(log)
    try:
        yield Server(url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _started(log: Path) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(_PORTS_TRIED):
        port = _free_port()
        command = [sys.executable, "-m", "itsbox", "serve", "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        if _ready(process, url):
            return process, url
    pytest.fail(f"the service did not start:\n{_tail(log)}", pytrace=False)


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the service takes work; False if its process ended first. Fails the run if it does neither in time."""
    deadline = time.monotonic() + _START_SECONDS
    with Client(url, retry=NO_RETRIES, request_timeout=2.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            try:
                client.readyz()
            except ItsboxError:
                time.sleep(0.05)
            else:
                return True
    process.kill()
    process.wait()
    pytest.fail(f"the service at {url} was not ready after {_START_SECONDS:.0f} s", pytrace=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
