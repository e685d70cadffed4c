"""Every op described once: its wire object, its route, and what its answer means.

An ``Op`` is data. Sent alone it goes to its own route; in a batch, a journal or a reproducer the same object stands in a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from itsbox_client.results import (
    AckResult,
    DriverResult,
    HvcResult,
    LoadResult,
    MsiResult,
    OpResult,
    ReadResult,
    WriteResult,
)
from itsbox_client.wire import hex64

__all__ = [
    "Op",
    "ack",
    "clean",
    "driver",
    "fill",
    "from_wire",
    "hvc",
    "load",
    "mmio_read",
    "mmio_write",
    "msi",
    "store",
]

R = TypeVar("R", bound=OpResult)

#: Where an op goes when it is sent alone, below ``/v1/sessions/{id}/``.
_ROUTES: Mapping[str, str] = {
    "mmio_read": "mmio/read",
    "mmio_write": "mmio/write",
    "load": "memory/load",
    "store": "memory/store",
    "fill": "memory/fill",
    "hvc": "hvc",
    "msi": "msi",
    "ack": "ack",
    "clean": "clean",
}

_RESULTS: Mapping[str, type[OpResult]] = {
    "mmio_read": ReadResult,
    "mmio_write": WriteResult,
    "load": LoadResult,
    "hvc": HvcResult,
    "msi": MsiResult,
    "ack": AckResult,
    "driver": DriverResult,
}


@dataclass(frozen=True)
class Op(Generic[R]):
    """One op: ``wire`` is its JSON object, ``kind`` the class of its result."""

    wire: Mapping[str, Any]
    kind: type[R]

    @property
    def name(self) -> str:
        """The op's name."""
        return str(self.wire["op"])

    @property
    def route(self) -> str:
        """Where it goes when it is sent alone, below the session's own address."""
        return f"driver/{self.wire['call']}" if self.name == "driver" else _ROUTES[self.name]

    @property
    def body(self) -> Mapping[str, Any]:
        """What is sent there: the op's fields; for a driver call, its ``args`` themselves."""
        if self.name == "driver":
            args: Mapping[str, Any] = self.wire["args"]
            return args
        return {name: value for name, value in self.wire.items() if name != "op"}

    def read(self, answer: Mapping[str, Any]) -> R:
        """The result that an answer means."""
        return self.kind(self.wire, answer)


def from_wire(wire: Mapping[str, Any]) -> Op[OpResult]:
    """An op from its JSON object, as journals and reproducers hold it. What is in it is for the service to judge."""
    return Op(dict(wire), _RESULTS.get(str(wire.get("op")), OpResult))


def mmio_read(addr: int, size: int) -> Op[ReadResult]:
    """The host reads ``size`` bytes (1, 2, 4 or 8) of a device register."""
    return Op({"op": "mmio_read", "addr": hex64(addr), "size": size}, ReadResult)


def mmio_write(addr: int, size: int, value: int) -> Op[WriteResult]:
    """The host writes ``size`` bytes (1, 2, 4 or 8) of a device register."""
    return Op({"op": "mmio_write", "addr": hex64(addr), "size": size, "value": hex64(value)}, WriteResult)


def load(addr: int, length: int) -> Op[LoadResult]:
    """The host CPU loads ``length`` bytes of memory."""
    return Op({"op": "load", "addr": hex64(addr), "length": length}, LoadResult)


def store(addr: int, data: bytes) -> Op[OpResult]:
    """The host CPU stores bytes to memory."""
    return Op({"op": "store", "addr": hex64(addr), "hex": bytes(data).hex()}, OpResult)


def fill(addr: int, length: int, byte: int) -> Op[OpResult]:
    """The host CPU fills ``length`` bytes of memory with one byte."""
    return Op({"op": "fill", "addr": hex64(addr), "length": length, "byte": byte}, OpResult)


def hvc(function: str | int, *args: int) -> Op[HvcResult]:
    """The host issues a hypercall, by name or by function number."""
    return Op({"op": "hvc", "function": function, "args": [hex64(arg) for arg in args]}, HvcResult)


def msi(device_id: int, event_id: int) -> Op[MsiResult]:
    """A device writes an EventID to GITS_TRANSLATER; the bus carries its DeviceID."""
    return Op({"op": "msi", "device_id": device_id, "event_id": event_id}, MsiResult)


def ack(cpu: int) -> Op[AckResult]:
    """A CPU acknowledges its highest-priority pending LPI."""
    return Op({"op": "ack", "cpu": cpu}, AckResult)


def clean(addr: int, length: int) -> Op[OpResult]:
    """The host cleans a range to the point of coherency."""
    return Op({"op": "clean", "addr": hex64(addr), "length": length}, OpResult)


def driver(call: str, args: Mapping[str, Any] | None = None) -> Op[DriverResult]:
    """The built-in driver is asked to do something."""
    return Op({"op": "driver", "call": call, "args": dict(args or {})}, DriverResult)
