"""A trace as steps: the ops to play, each with the recorded line that it must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from itsbox.arch import dist_registers, redist_registers
from itsbox.arch.register_map import find_register
from itsbox.ops import Ack, Fill, MmioRead, MmioWrite, Msi, Store
from itsbox.replay.absent import Absent
from itsbox.replay.compare import Step
from itsbox.replay.trace import Acknowledge, Filled, Head, Read, Sent, Stored, Trace, Write

__all__ = ["count_steps", "steps_of", "uncomparable"]

GICD_BYTES: Final = 0x1_0000
# What wires and CPUs decide, of which a client's trace says nothing: in the distributor and in the SGI frames.
WIRED: Final = ("ISPENDR", "ICPENDR", "ISACTIVER", "ICACTIVER")


def steps_of(trace: Trace) -> Iterator[Step]:
    """Every step, in order. For a client, with what its recording leaves out (``absent``)."""
    absent = Absent(trace) if trace.head.client else None
    for i, line in enumerate(trace.lines):
        if absent is not None:
            yield from (Step(op, None) for op in absent.before(i))
        match line:
            case Write(addr=addr, size=size, value=value):
                yield Step(MmioWrite(addr, size, value), line)
            case Read(addr=addr, size=size):
                yield Step(MmioRead(addr, size), None if uncomparable(trace.head, line) else line)
            case Stored(addr=addr, data=data):
                yield Step(Store(addr, data), line)
            case Filled(addr=addr, length=length, byte=byte):
                yield Step(Fill(addr, length, byte), line)
            case Sent(device_id=device_id, event_id=event_id):
                yield Step(Msi(device_id, event_id), line)
            case Acknowledge(cpu=cpu):
                yield Step(Ack(cpu), line)
            case _:
                continue
        if absent is not None:
            yield from (Step(op, None) for op in absent.after(i))


def count_steps(trace: Trace) -> int:
    """How many steps a trace has, which is what a progress bar counts to."""
    return sum(1 for _ in steps_of(trace))


def uncomparable(head: Head, read: Read) -> str | None:
    """Why a recorded read says nothing about a model of the ITS, or None when it must agree."""
    if head.gicd <= read.addr < head.gicd + GICD_BYTES:
        place = find_register(dist_registers.REGISTERS, read.addr - head.gicd)
        if place is None:
            return "a distributor register that is not modelled"
    elif head.gicr <= read.addr < head.gicr + head.cpus * head.gicr_stride:
        place = find_register(redist_registers.REGISTERS_V4, (read.addr - head.gicr) % head.gicr_stride)
    else:
        return None
    if head.client and place is not None and any(name in place.name for name in WIRED):
        return "pending and active state of wired interrupts is not in a client's recording"
    return None
