"""Machines that the dashboard is looked at with: what each has been through, by the service's own ops."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from tests.clients.dashboard.live_service import LiveService

__all__ = ["busy", "mapd", "post", "walked"]

_WORDS: Final = Struct("<4Q")


def mapd(device_id: int, itt: int, size: int = 4) -> bytes:
    """A MAPD command (IHI 0069H.b)."""
    return _WORDS.pack(device_id << 32 | 0x08, size, itt | 1 << 63, 0)


def post(live: LiveService, sid: str, *commands: bytes) -> dict[str, Any]:
    """The host puts commands into the queue that it sees and rings the bell."""
    session = live.call("GET", f"/v1/sessions/{sid}")
    queues = live.call("GET", f"/v1/sessions/{sid}/queues")
    queue = queues["host"] or queues["hw"]
    base, write, size = int(queue["base"], 16), queue["cwriter"], queue["size"]
    ops: list[dict[str, Any]] = []
    for command in commands:
        ops.append({"op": "store", "addr": hex(base + write), "hex": command.hex()})
        write = (write + 32) % size
    its = int(session["map"]["its"], 16)
    return live.ops(sid, *ops, {"op": "mmio_write", "addr": hex(its + 0x88), "size": 8, "value": hex(write)})


def walked(live: LiveService, **changes: Any) -> str:
    """Booted, deprivileged, a device mapped and its interrupts taken; then three attacks, which ``strict`` refuses."""
    session = live.create(start="deprivileged", metadata={"job": "dashboard"}, **changes)
    sid: str = session["id"]
    where = session["map"]
    live.drive(sid, "map_device", device_id=16, events=8)
    for event in range(8):
        live.ops(sid, {"op": "msi", "device_id": 16, "event_id": event}, {"op": "ack", "cpu": 0})
    hyp, its = where["hyp"], int(where["its"], 16)
    live.ops(
        sid,
        {"op": "store", "addr": hyp, "hex": "deadbeef"},
        {"op": "mmio_write", "addr": hex(its + 0x100), "size": 8, "value": hex(0x8107_0000_0000_0000 | int(hyp, 16))},
        {"op": "hvc", "function": "__pkvm_host_share_hyp", "args": [hex(int(hyp, 16) >> 12)]},
    )
    post(live, sid, mapd(17, int(hyp, 16)))
    return sid


def busy(live: LiveService) -> str:
    """Without pKVM: the same MAPD goes through, and an ITE lands in hypervisor memory."""
    session = live.create(start="host", hardening="off", metadata={"job": "violated"})
    sid: str = session["id"]
    mapti = _WORDS.pack(17 << 32 | 0x0A, 8192 << 32 | 1, 0, 0)
    post(live, sid, mapd(17, int(session["map"]["hyp"], 16)), mapti)
    return sid
