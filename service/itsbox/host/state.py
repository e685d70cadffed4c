"""What the simulated kernel remembers: plain dataclasses that can be printed, compared, copied and saved.

Nothing here acts. The names are Linux's where Linux has one (``ItsNode``, ``ItsDevice``), the fields Arm's. Every field
says beside itself how it is made again from its saved form, so ``plain`` and ``restored`` have no cases of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final, TypeVar

from itsbox.host.ranges import Ranges

__all__ = ["Baser", "Cpu", "DriverState", "Event", "ItsDevice", "ItsNode", "Vpe", "plain", "restored"]

_T = TypeVar("_T")


def plain(value: Any) -> Any:
    """``value`` as tuples of ints, strings, bools and None: the driver's part of a snapshot and of the state hash.

    A dataclass becomes its fields in order, a dictionary its (key, value) pairs in order.
    """
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    if isinstance(value, dict):
        return tuple((key, plain(item)) for key, item in value.items())
    if is_dataclass(value):
        return tuple(plain(getattr(value, each.name)) for each in fields(value))
    return value


def restored(kind: type[_T], saved: Any) -> _T:
    """The object of ``kind`` that ``plain`` gave ``saved`` for."""
    made = []
    for each, value in zip(fields(kind), saved, strict=True):  # type: ignore[arg-type]
        again: Callable[[Any], Any] | None = each.metadata.get("again")
        made.append(value if again is None else again(value))
    return kind(*made)


def _many(kind: type[Any]) -> dict[str, Any]:
    """Of a list of ``kind``."""
    return {"again": lambda saved: [restored(kind, item) for item in saved]}


def _keyed(kind: type[Any]) -> dict[str, Any]:
    """Of a dictionary from numbers to ``kind``."""
    return {"again": lambda saved: {key: restored(kind, item) for key, item in saved}}


_NUMBERS: Final[dict[str, Any]] = {"again": dict}
_ROWS: Final[dict[str, Any]] = {"again": lambda saved: [list(row) for row in saved]}
_POOL: Final[dict[str, Any]] = {"again": lambda saved: {key: [list(row) for row in rows] for key, rows in saved}}


@dataclass(slots=True)
class Baser:
    """One GITS_BASER<n> as the driver remembers it (struct its_baser).

    value: the register as last read back. base: where the driver finds the table; for a two-level table this is the
    host's copy of level 1 once the switch-over is done. order: of the allocation. page_size: in bytes.
    """

    value: int = 0
    base: int = 0
    order: int = 0
    page_size: int = 0


@dataclass(slots=True)
class Event:
    """An event of a device: the LPI that it raises, the CPU it is routed to, and whether it is unmasked.

    vpe, virtual_intid: while it is forwarded to a guest, else None.
    """

    lpi: int
    cpu: int
    enabled: bool = False
    vpe: int | None = None
    virtual_intid: int | None = None


@dataclass(slots=True)
class ItsDevice:
    """A device with an ITT (struct its_device).

    capacity: ITEs of the ITT, a power of two and at least 2. lpis: how many LPIs from ``lpi_base`` are its own.
    """

    device_id: int
    itt: int
    itt_bytes: int
    capacity: int
    lpi_base: int = 0
    lpis: int = 0
    events: dict[int, Event] = field(default_factory=dict, metadata=_keyed(Event))


@dataclass(slots=True)
class ItsNode:
    """One ITS (struct its_node).

    queue: address of the command queue that the driver writes. write_offset: byte offset of its next free slot.
    collections: CPU to the RDbase field of its collection; the ICID is the CPU's number.
    its_number: bit in the ITSList of VMOVP, or None where GITS_TYPER.VMOVP spares the driver that.
    Invariant: ``write_offset`` is a multiple of 32 below the queue size.
    """

    base: int
    typer: int = 0
    queue: int = 0
    write_offset: int = 0
    needs_flushing: bool = False
    its_number: int | None = None
    mpidr: int = 0
    basers: list[Baser] = field(default_factory=list, metadata=_many(Baser))
    collections: dict[int, int] = field(default_factory=dict, metadata=_NUMBERS)
    devices: dict[int, ItsDevice] = field(default_factory=dict, metadata=_keyed(ItsDevice))
    saved_ctlr: int = 0
    saved_cbaser: int = 0


@dataclass(slots=True)
class Cpu:
    """A CPU and its redistributor.

    rd_base: address of the RD frame. lpis_ready: the kernel has set up LPIs here (RD_LOCAL_LPI_ENABLED); vlpis_ready: and
    the virtual LPI frame. lpi_count: LPIs routed here, for picking the least loaded CPU.
    vpe_table: address of a vPE table that the redistributors do not share with an ITS, or 0; vpe_table_value: the
    GICR_VPROPBASER that says so.
    """

    rd_base: int = 0
    processor_number: int = 0
    online: bool = False
    pending_table: int = 0
    lpis_ready: bool = False
    lpi_count: int = 0
    vlpis_ready: bool = False
    vpe_table: int = 0
    vpe_table_value: int = 0


@dataclass(slots=True)
class Vpe:
    """A virtual PE (struct its_vpe).

    cpu: the CPU whose redistributor it is mapped to. vpt: address of its pending table. doorbell: the LPI that says that it
    has something to do; proxy_slot: the event of the proxy device that the doorbell has, or None.
    vlpis: how many events each ITS forwards to it; mapped: whether each ITS knows it (VMAPP). Both by place of the ITS.
    """

    vpe_id: int
    cpu: int
    vpt: int
    doorbell: int
    doorbell_enabled: bool = False
    proxy_slot: int | None = None
    resident: bool = False
    vlpis: dict[int, int] = field(default_factory=dict, metadata=_NUMBERS)
    mapped: dict[int, bool] = field(default_factory=dict, metadata=_NUMBERS)


@dataclass(slots=True)
class DriverState:
    """Everything that the host driver remembers.

    phase: what the driver has done so far: ``reset``, ``probed``, ``deprivileged``; suspended: between suspend and resume.
    pages, itt_pool, lpis: free memory and numbers. id_bits: INTID bits (not minus one). proxy: DeviceID of the vPE proxy
    device, which is on the first ITS, or None; proxy_slots: which vPE has each of its events; next_victim: the event that
    is taken next. virtual_property_table: the configuration table that all vPEs, being one guest's, share.
    Invariant: no two live objects share memory; ``lpis`` holds exactly the LPIs that no device and no vPE owns.
    """

    phase: str = "reset"
    suspended: bool = False
    pages: list[list[int]] = field(default_factory=list, metadata=_ROWS)
    itt_pool: dict[int, Ranges] = field(default_factory=dict, metadata=_POOL)
    lpis: Ranges = field(default_factory=list, metadata=_ROWS)
    id_bits: int = 0
    property_table: int = 0
    property_needs_flushing: bool = False
    direct_lpi: bool = False
    has_vlpis: bool = False
    has_rvpeid: bool = False
    max_vpes: int = 0
    its: list[ItsNode] = field(default_factory=list, metadata=_many(ItsNode))
    cpus: list[Cpu] = field(default_factory=list, metadata=_many(Cpu))
    proxy: int | None = None
    vpes: dict[int, Vpe] = field(default_factory=dict, metadata=_keyed(Vpe))
    virtual_property_table: int = 0
    proxy_slots: dict[int, int] = field(default_factory=dict, metadata=_NUMBERS)
    next_victim: int = 0
    vmovp_sequence: int = 0
