"""Machines that are set up for measuring, and the command streams that are put to them and to QEMU alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from itsbox.arch.its_commands import CLEAR, INT, INV, INVALL, MAPC, MAPD, MAPTI, MOVI, VMAPP, VMAPTI
from itsbox.arch.layout import Layout
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Fill, MmioWrite, Op, Store

__all__ = ["CWRITER", "QUEUE", "RING", "STREAMS", "SWITCH", "Ring", "bare", "command", "registers", "set_up"]

ITS: Final = 0x808_0000
GICR: Final = 0x80A_0000
CWRITER: Final = ITS + 0x88
QUEUE: Final = 0x4100_0000
RING: Final = 2048  # slots of a 64 KiB queue; 2,047 commands are a full turn
SWITCH: Final = 2047


def command(layout: type[Layout], **fields: int) -> bytes:
    """A command's 32 bytes."""
    return layout.STRUCT.pack(*layout.decode(0, 0, 0, 0).replace(**fields).encode())


def registers(gic: int = 3, cpus: int = 4) -> list[Op]:
    """LPIs on, flat tables, a 64 KiB queue, the ITS enabled."""
    stride = 0x4_0000 if gic >= 4 else 0x2_0000
    ops: list[Op] = [Fill(0x4500_0000, 57344, 0xA1)]
    for cpu in range(cpus):
        frame = GICR + cpu * stride
        ops += [
            MmioWrite(frame + 0x70, 8, 0x4500_000F),
            MmioWrite(frame + 0x78, 8, 0x4600_0000 + cpu * 0x1_0000),
            MmioWrite(frame, 4, 1),
        ]
    ops += [MmioWrite(ITS + 0x100, 8, 0x8000_0000_4200_0207), MmioWrite(ITS + 0x108, 8, 0x8000_0000_4300_0200)]
    if gic >= 4:
        ops.append(MmioWrite(ITS + 0x110, 8, 0x8000_0000_4400_0200))
    ops += [MmioWrite(ITS + 0x80, 8, 0x8000_0000_4100_000F), MmioWrite(ITS, 4, 1)]
    return ops


def set_up(gic: int = 3, cpus: int = 4) -> list[Op]:
    """The registers, then four collections, one device with 64 K events and, on GICv4, a vPE."""
    ops = registers(gic, cpus)
    first = [command(MAPC, icid=n, rd_base=n % cpus, valid=1) for n in range(4)]
    first.append(command(MAPD, device_id=8, size=15, itt_addr=0x4700_0000, valid=1))
    first += [command(MAPTI, device_id=8, event_id=n, intid=8192 + n, icid=0) for n in range(64)]
    if gic >= 4:
        first.append(command(VMAPP, vpe_id=1, rd_base=0, vpt_addr=0x4900_0000, vpt_size=15, valid=1))
        first += [
            command(VMAPTI, device_id=8, event_id=100 + n, vpe_id=1, virtual_intid=8192 + n, doorbell_intid=1023)
            for n in range(64)
        ]
    ops += [Store(QUEUE, b"".join(first)), MmioWrite(CWRITER, 8, 32 * len(first))]
    return ops


def bare(gic: int = 3, *, oracle: str = "off", **wish: Any) -> Machine:
    """A machine without hypervisor, set up; nobody judges it unless asked, since nobody judges its peers."""
    machine = Machine(MachineConfig.make(profile=f"virt-gicv{gic}", hardening="off", oracle=oracle, **wish))
    for op in set_up(gic):
        machine.apply(op)
    machine.take_events()
    return machine


#: Name to the pattern of commands that fills the queue, in the order of ``SWITCH`` a turn.
STREAMS: Final[dict[str, Sequence[bytes]]] = {
    "MAPTI": [command(MAPTI, device_id=8, event_id=n, intid=8192 + n, icid=n % 4) for n in range(64)],
    "MOVI": [command(MOVI, device_id=8, event_id=n % 64, icid=n // 64) for n in range(128)],
    "INT/CLEAR": [command(layout, device_id=8, event_id=n) for n in range(64) for layout in (INT, CLEAR)],
    "INV": [command(INV, device_id=8, event_id=n) for n in range(64)],
    "INVALL": [command(INVALL, icid=n) for n in range(4)],
    "VMAPTI": [
        command(VMAPTI, device_id=8, event_id=100 + n, vpe_id=1, virtual_intid=8192 + n, doorbell_intid=1023)
        for n in range(64)
    ],
    "vINT/CLEAR": [command(layout, device_id=8, event_id=100 + n) for n in range(64) for layout in (INT, CLEAR)],
}


class Ring:
    """A queue full of one stream of commands; ``turn`` moves GITS_CWRITER on by a number of them.

    apply: takes an op, in whatever way. Invariant: ``slot`` is where GITS_CREADR stands when the ITS has caught up.
    """

    def __init__(self, apply: Callable[[Op], Any], stream: Sequence[bytes], slot: int) -> None:
        self.apply, self.slot = apply, slot
        whole = (list(stream) * (RING // len(stream) + 1))[:RING]
        apply(Store(QUEUE, b"".join(whole)))

    def turn(self, count: int) -> int:
        """Submit ``count`` commands; how many that were."""
        self.slot = (self.slot + count) % RING
        self.apply(MmioWrite(CWRITER, 8, 32 * self.slot))
        return count
