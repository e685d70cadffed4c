"""Rows that need a server: single ops, batches, executions over the lane, and the memory of idle sessions."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Final, Self
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from benchmarks.bench_machine import set_up
from benchmarks.in_process import case
from benchmarks.load import requests_per_second
from benchmarks.rounds import Plan, Result, rate, rounds
from itsbox.cli.process import ServiceProcess
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Fill, MmioRead, MmioWrite, Op, Store
from itsbox.replay.http_target import op_json
from itsbox.replay.qemu import Qemu

__all__ = ["batches", "http_row", "lane", "memory"]

OPS: Final = 1000
EXECUTIONS: Final = 100
IDLE_SESSIONS: Final = 2000

# Packed frames, from docs/wire.md.
HEADER = Struct("<4sHHII")
RECORD = Struct("<BBHIQQ")
MMIO_READ, MMIO_WRITE, STORE, FILL, RESTORE = 1, 2, 4, 5, 11


def frame(records: list[tuple[int, int, int, int, int, bytes]]) -> bytes:
    """A request frame of (op, size, length, addr, value, payload) records."""
    head = HEADER.pack(b"ITSQ", 0, 1, len(records), 0)
    rows = b"".join(RECORD.pack(op, size, 0, length, addr, value) for op, size, length, addr, value, _ in records)
    return head + rows + b"".join(payload for *_, payload in records)


def record(op: Op) -> tuple[int, int, int, int, int, bytes]:
    """An op as a record of a frame."""
    match op:
        case MmioRead(addr, size):
            return MMIO_READ, size, 0, addr, 0, b""
        case MmioWrite(addr, size, value):
            return MMIO_WRITE, size, 0, addr, value, b""
        case Store(addr, data):
            return STORE, 0, len(data), addr, 0, data
        case Fill(addr, length, byte):
            return FILL, 0, length, addr, byte, b""
        case _:
            raise TypeError(f"{op} is in no benchmark")


class Client:
    """One keep-alive connection to a service, and a session there."""

    def __init__(self, url: str, **wish: Any) -> None:
        self.url, self.address = url, urlsplit(url)
        self.connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=60)
        answer = self.post("/v1/sessions", json.dumps({"hardening": "off", **wish}).encode())
        self.path = f"/v1/sessions/{json.loads(answer)['id']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        """The body of the answer, which must be a success."""
        self.connection.request("POST", path, body, {"Content-Type": kind})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"POST {path}: {response.status} {answer[:300]!r}")
        return answer

    @contextmanager
    def lane(self) -> Iterator[ClientConnection]:
        """The session's WebSocket lane."""
        with connect(
            f"ws://{self.address.netloc}{self.path}/lane", max_size=None, proxy=None, compression=None
        ) as stream:
            yield stream


def http_row(plan: Plan) -> list[Result]:
    """A single validated op of a real session, beside an echo that does nothing."""
    body = b'{"addr":"0x8080008","size":8}'
    echoing = ServiceProcess("-m", "benchmarks.echo")
    with ServiceProcess() as service, echoing as echo, Client(service.url) as client:
        path = client.path
        seconds = max(plan.seconds, 0.2)
        found = rounds(
            plan,
            {
                "ours": lambda: requests_per_second(f"{service.url}{path}/mmio/read", body, seconds),
                "peer": lambda: requests_per_second(f"{echo.url}/anything", body, seconds),
            },
        )
    return [Result("http", "mmio_read, 16 connections", "1/s", found["ours"], "bare ASGI echo", found["peer"], 0.4)]


def batches(plan: Plan) -> list[Result]:
    """Batches of a thousand reads and stores, in three forms, beside pipelined qtest writes."""
    ops: list[Op] = [MmioRead(0x808_0008, 8), Store(0x4100_0000, bytes(8))] * (OPS // 2)
    packed = frame([record(op) for op in ops])
    text = json.dumps({"ops": [op_json(op) for op in ops]}).encode()
    writes = [f"writel {0x4100_0000 + 4 * n:#x} {n:#x}" for n in range(10_000)]
    with ServiceProcess() as service, Qemu(gic=3, cpus=4, log=False) as peer, Client(service.url) as client:
        route = f"{client.path}/ops"
        with client.lane() as lane_:
            found = rounds(
                plan,
                {
                    "JSON": rate(plan, _counted(lambda: client.post(route, text))),
                    "packed": rate(plan, _counted(lambda: client.post(route, packed, "application/octet-stream"))),
                    "lane": rate(plan, _counted(lambda: _exchange(lane_, packed))),
                    "peer": rate(plan, lambda: len(peer.qtest.call(writes))),
                },
            )
    names = {"JSON": "1,000 ops as JSON", "packed": "1,000 ops packed", "lane": "1,000 ops over the lane"}
    goals = {"JSON": None, "packed": 0.5, "lane": 0.5}
    return [
        Result("batches", figure, "ops/s", found[name], "QEMU qtest, pipelined writes", found["peer"], goals[name])
        for name, figure in names.items()
    ]


def _exchange(stream: ClientConnection, message: bytes) -> bytes:
    """Send a frame over the lane; its answer, which must be no problem."""
    stream.send(message)
    answer = stream.recv()
    if not isinstance(answer, bytes) or answer[:4] != b"ITSA" or answer[5] & 0x80:
        raise RuntimeError(f"the lane answered {answer[:400]!r}")
    return answer


def _counted(send: Callable[[], Any]) -> Callable[[], int]:
    def work() -> int:
        send()
        return OPS

    return work


def lane(plan: Plan) -> list[Result]:
    """Executions over the WebSocket lane, a hundred in a message, beside the same in process."""
    ready, ops = set_up(), case(1)
    machine = Machine(MachineConfig.make(hardening="off"))  # judged, as the session is
    for op in ready:
        machine.apply(op)
    machine.take_events()
    snapshot = machine.snapshot()

    def in_process() -> int:
        machine.restore(snapshot)
        for op in ops:
            machine.apply(op)
        machine.take_events()
        return 1

    with ServiceProcess() as service, Client(service.url) as client:
        client.post(f"{client.path}/ops", frame([record(op) for op in ready]), "application/octet-stream")
        ident = json.loads(client.post(f"{client.path}/snapshots", b"{}"))["id"].encode()
        one = [(RESTORE, 0, len(ident), 0, 0, ident), *(record(op) for op in ops)]
        message = frame(one * EXECUTIONS)
        with client.lane() as stream:

            def over() -> int:
                _exchange(stream, message)
                return EXECUTIONS

            found = rounds(plan, {"lane": rate(plan, over), "in process": rate(plan, in_process)})
    figure = f"restore and 20 commands, {EXECUTIONS} a message over the lane"
    return [Result("executions", figure, "1/s", found["lane"], "in process", found["in process"], 0.75)]


def memory(plan: Plan) -> list[Result]:
    """What an idle session keeps in memory: growth of the process over many of them."""
    count = plan.few(IDLE_SESSIONS)
    with ServiceProcess(ITSBOX_LIMITS__SESSIONS=str(count + 20)) as service, Client(service.url) as client:
        wish = b'{"start": "bare"}'
        for _ in range(10):
            client.post("/v1/sessions", wish)
        before = _resident(service.process.pid)
        for _ in range(count - 1):
            client.post("/v1/sessions", wish)
        each = (_resident(service.process.pid) - before) / count
    return [Result("memory", f"an idle session, of {count:,}", "KiB", each, None, None, 256.0, at_most=True)]


def _resident(pid: int) -> float:
    """Resident memory of a process in KiB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise RuntimeError("no VmRSS: this row needs Linux")
