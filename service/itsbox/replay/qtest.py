"""A client of QEMU's qtest and QMP protocols: text lines over sockets, as QEMU documents them.

qtest: one request a line (``writel ADDR VALUE``, ``read ADDR LENGTH``), one reply a line (``OK [value]``); ``IRQ`` lines
may come in between and are not replies. Requests may be pipelined: replies come in order. QMP: JSON objects.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterable
from typing import Any

from itsbox.ops import Fill, Load, MmioRead, MmioWrite, Msi, Op, Store

__all__ = ["Qmp", "Qtest", "QtestError", "request_for"]

_WIDTH = {1: "b", 2: "w", 4: "l", 8: "q"}
_CHUNK = 1 << 16
_PIPELINE = 512  # requests in flight: bounds what both socket buffers must hold


class QtestError(RuntimeError):
    """QEMU refused a request, or is gone."""


def request_for(op: Op, translater: int) -> str:
    """The qtest line for an op. An MSI becomes a plain write to GITS_TRANSLATER, which carries DeviceID 0.

    Raises QtestError for an op that qtest cannot express.
    """
    match op:
        case MmioRead(addr, size):
            return f"read{_WIDTH[size]} {addr:#x}"
        case MmioWrite(addr, size, value):
            return f"write{_WIDTH[size]} {addr:#x} {value:#x}"
        case Store(addr, data):
            return f"write {addr:#x} {len(data):#x} 0x{data.hex()}"
        case Fill(addr, length, byte):
            return f"memset {addr:#x} {length:#x} {byte:#x}"
        case Load(addr, length):
            return f"b64read {addr:#x} {length:#x}"
        case Msi(device_id=0, event_id=event_id):
            return f"writel {translater:#x} {event_id:#x}"
        case _:
            raise QtestError(f"qtest has no request for {op}")


def connect(path: str, timeout_s: float = 20.0) -> socket.socket:
    """Connect to a unix socket that another process is about to create."""
    deadline = time.monotonic() + timeout_s
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            if time.monotonic() > deadline:
                raise QtestError(f"no socket at {path}: {error}") from error
            time.sleep(0.002)
        else:
            sock.settimeout(timeout_s)
            return sock


class Qtest:
    """The qtest protocol over a connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def call(self, requests: Iterable[str]) -> list[str]:
        """Send requests, pipelined; what follows ``OK`` in each reply, in order.

        Raises QtestError for the first reply that is not ``OK``.
        """
        lines = list(requests)
        replies: list[str] = []
        for start in range(0, len(lines), _PIPELINE):
            batch = lines[start : start + _PIPELINE]
            try:
                self.sock.sendall("".join(f"{line}\n" for line in batch).encode())
            except OSError as error:
                raise QtestError(f"{batch[0][:80]!r} could not be sent: {error}") from error
            replies += [self._reply(line) for line in batch]
        return replies

    def read(self, addr: int, size: int) -> int:
        """Read ``size`` bytes (1, 2, 4, 8) as one access."""
        return int(self.call([f"read{_WIDTH[size]} {addr:#x}"])[0], 16)

    def write(self, addr: int, size: int, value: int) -> None:
        """Write ``size`` bytes (1, 2, 4, 8) as one access."""
        self.call([f"write{_WIDTH[size]} {addr:#x} {value:#x}"])

    def load(self, addr: int, length: int) -> bytes:
        """Bytes of memory."""
        chunks = [(at, min(_CHUNK, addr + length - at)) for at in range(addr, addr + length, _CHUNK)]
        return b"".join(base64.b64decode(r) for r in self.call(f"b64read {at:#x} {n:#x}" for at, n in chunks))

    def _reply(self, request: str) -> str:
        while True:
            line = self._line()
            if line.startswith("IRQ "):
                continue
            if not line.startswith("OK"):
                raise QtestError(f"{request[:80]!r} answered {line!r}")
            return line[3:]

    def _line(self) -> str:
        while (end := self.buffer.find(b"\n")) < 0:
            try:
                chunk = self.sock.recv(_CHUNK)
            except OSError as error:
                raise QtestError(f"no reply: {error}") from error
            if not chunk:
                raise QtestError("QEMU closed the qtest socket")
            self.buffer += chunk
        line = self.buffer[:end].decode()
        del self.buffer[: end + 1]
        return line


class Qmp:
    """The QEMU Machine Protocol over a connected socket: commands, and waiting for an event."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stream = sock.makefile("rb")
        self.events: list[str] = []
        self.greeting = self._receive()
        self.call("qmp_capabilities")

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()
        self.sock.close()

    def call(self, command: str, **arguments: object) -> Any:
        """Execute a command and return its answer. Raises QtestError when QEMU refuses."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer["event"])
            elif "error" in answer:
                raise QtestError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait(self, event: str) -> None:
        """Return when the event has come; it may have come since the last call."""
        while event not in self.events:
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer["event"])
        self.events.clear()

    def version(self) -> str:
        """QEMU's version and package, as ``head.qemu`` of a trace has it."""
        version = self.greeting["QMP"]["version"]
        number = version["qemu"]
        return f"{number['major']}.{number['minor']}.{number['micro']} {version['package'].strip()}".strip()

    def _receive(self) -> dict[str, Any]:
        try:
            line = self.stream.readline()
        except OSError as error:
            raise QtestError(f"no QMP answer: {error}") from error
        if not line:
            raise QtestError("QEMU closed the QMP socket")
        answer: dict[str, Any] = json.loads(line)
        return answer
