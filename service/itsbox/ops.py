"""Every input of a machine as data, and the closed union of what may come of it.

An op is what a client does as the host (or as a device): the wire contract, "Ops". An outcome is what the
machine answers. Two channels live here, told apart by type: what hardware shows (``Value``, ``Done``, ...) and what the
hypervisor refused (``Refused``, ``Aborted``, ``Panicked``), each with its reason.

Named tuples, not dataclasses: a batch builds thousands of them and they are compared, hashed and printed as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from itsbox.arch.its_errors import CommandError
    from itsbox.reasons import Reason

__all__ = [
    "Aborted",
    "Ack",
    "Acked",
    "Bytes",
    "Clean",
    "CommandRecord",
    "Delivered",
    "Done",
    "Drive",
    "Drove",
    "Fill",
    "Hvc",
    "HvcReturn",
    "Load",
    "MmioRead",
    "MmioWrite",
    "Msi",
    "Op",
    "Outcome",
    "Panicked",
    "Refused",
    "Store",
    "Value",
    "Verdict",
]


class MmioRead(NamedTuple):
    """The host reads ``size`` bytes (1, 2, 4 or 8) at a physical address."""

    addr: int
    size: int


class MmioWrite(NamedTuple):
    """The host writes ``size`` bytes (1, 2, 4 or 8) at a physical address."""

    addr: int
    size: int
    value: int


class Load(NamedTuple):
    """The host CPU loads ``length`` bytes of memory."""

    addr: int
    length: int


class Store(NamedTuple):
    """The host CPU stores bytes to memory."""

    addr: int
    data: bytes


class Fill(NamedTuple):
    """The host CPU fills ``length`` bytes of memory with one byte."""

    addr: int
    length: int
    byte: int


class Hvc(NamedTuple):
    """The host issues a hypercall, by name or by number, with up to 6 arguments (x1..x6)."""

    function: str | int
    args: tuple[int, ...]


class Msi(NamedTuple):
    """A PCI device writes EventID to GITS_TRANSLATER; the bus carries its DeviceID."""

    device_id: int
    event_id: int


class Ack(NamedTuple):
    """A CPU acknowledges its highest-priority pending LPI."""

    cpu: int


class Clean(NamedTuple):
    """The host cleans a range to the point of coherency (DC CVAC and DSB)."""

    addr: int
    length: int


class Drive(NamedTuple):
    """The built-in host driver is asked to do something; ``args`` are JSON-like values."""

    call: str
    args: dict[str, Any]


Op: TypeAlias = MmioRead | MmioWrite | Load | Store | Fill | Hvc | Msi | Ack | Clean | Drive


class Verdict:
    """What became of one 32-byte command that was looked at; the words of the wire."""

    EXECUTED = "executed"
    ERROR = "error"
    STALLED = "stalled"
    REFUSED = "refused"


#: (slot, name or None for an unknown opcode, the four words, verdict, the ITS's error, the hypervisor's reason).
#: A plain tuple because one is made per command.
CommandRecord: TypeAlias = "tuple[int, str | None, tuple[int, int, int, int], str, CommandError | None, Reason | None]"


class Value(NamedTuple):
    """A register read: the value the host sees."""

    value: int


class Done(NamedTuple):
    """Carried out. ``commands`` are those that the ITS or the hypervisor looked at meanwhile."""

    commands: Sequence[CommandRecord] = ()


class Bytes(NamedTuple):
    """A load: the bytes."""

    data: bytes


class HvcReturn(NamedTuple):
    """x0 and x1 as unsigned 64-bit values; ``errno`` names a negative x1; ``reason`` says why then."""

    x0: int
    x1: int
    errno: str | None = None
    reason: Reason | None = None


class Delivered(NamedTuple):
    """Whether the translation of an MSI ended at an existing redistributor."""

    delivered: bool


class Acked(NamedTuple):
    """The INTID that the CPU acknowledged, or 1023 for none."""

    intid: int


class Drove(NamedTuple):
    """What the driver printed, and its result as JSON-like data."""

    log: tuple[str, ...]
    result: Any


class Refused(NamedTuple):
    """The hypervisor refused (a part of) the access; the host sees RAZ/WI, which ``value`` is for a read."""

    reason: Reason
    value: int | None = None
    commands: Sequence[CommandRecord] = ()


class Aborted(NamedTuple):
    """Stage 2 said no and the host took an exception; ``log`` is what its driver had printed by then."""

    reason: Reason
    log: tuple[str, ...] = ()


class Panicked(NamedTuple):
    """The modelled hypervisor would have stopped the machine here."""

    reason: Reason


Outcome: TypeAlias = Value | Done | Bytes | HvcReturn | Delivered | Acked | Drove | Refused | Aborted | Panicked
