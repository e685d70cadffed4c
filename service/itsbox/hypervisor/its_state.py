"""What the hypervisor knows about one ITS that it has taken over: ``its_priv_state``, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_TYPER,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_VPES,
    baser_address,
    baser_bytes,
    baser_page_size,
    baser_stored_address,
    icid_bits,
)
from itsbox.arch.its_tables import entries_per_page, flat_entries, two_level_entries

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.hypervisor.plan import Plan

__all__ = ["TABLE_NAMES", "ItsState", "TableRecord", "table_record"]

TABLE_NAMES: Final = {TABLE_DEVICES: "device", TABLE_VPES: "vpe", TABLE_COLLECTIONS: "collection"}
_VPE_ID_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class TableRecord:
    """One table as it was taken over.

    n: of GITS_BASER<n>. value: that register then; host_value: what the host sees in it. base, length: level 1, or the flat
    table. host_l1: the host's copy of level 1, 0 if there is none. page_bytes, entry_bytes, per_page: of the last level.
    entries: how many ids the table and the id's width allow. type, indirect: as in the register.
    """

    n: int
    type: int
    indirect: bool
    value: int
    host_value: int
    base: int
    length: int
    host_l1: int
    page_bytes: int
    entry_bytes: int
    per_page: int
    entries: int

    @property
    def name(self) -> str:
        """device, vpe or collection; other types have no name of their own."""
        return TABLE_NAMES.get(self.type, f"type{self.type}")


def table_record(n: int, value: int, host_l1: int, typer: GITS_TYPER, base: int | None = None) -> TableRecord:
    """Make the record from a value of GITS_BASER<n>. ``base``: where the driver says that the table is, if not there."""
    register = GITS_BASER.decode(value)
    page, entry = baser_page_size(register), register.entry_size + 1
    widths = {TABLE_DEVICES: typer.devbits + 1, TABLE_COLLECTIONS: icid_bits(typer), TABLE_VPES: _VPE_ID_BITS}
    count = (two_level_entries if register.indirect else flat_entries)(register.size + 1, page, entry)
    host_value = value
    if host_l1:
        host_value = register.replace(physical_address=baser_stored_address(host_l1, page)).word()
    return TableRecord(
        n=n,
        type=register.type,
        indirect=bool(register.indirect),
        value=value,
        host_value=host_value,
        base=baser_address(register) if base is None else base,
        length=baser_bytes(register),
        host_l1=host_l1,
        page_bytes=page,
        entry_bytes=entry,
        per_page=entries_per_page(page, entry),
        entries=min(count, 1 << widths.get(register.type, 0)),
    )


@dataclass(slots=True)
class ItsState:
    """An ITS behind the hypervisor.

    number, its: which one; base: its address.
    hw_queue, hw_bytes: the queue that GITS_CBASER names; host_queue, host_bytes: the one that the host writes.
    cbaser, base_values: GITS_CBASER and GITS_BASER0..7 as taken over, tables that are not Valid included.
    tables: those that are, by_type: the same by type; present: n of GITS_BASER<n> -> level-1 indices that hardware has.
    pinned: (first frame, pages) pinned for the host queue and the copies of level 1.
    consumed: byte offset in the host queue up to which it was looked at; hw_offset: in the hardware queue, where the next copy
    goes; host_cwriter: what the host last wrote to GITS_CWRITER.
    enabled: GITS_CTLR.Enabled as EL2 last wrote it; needs_flush: the queue is not inner shareable.
    devices: DeviceID -> (ITT_addr, Size); vpes: vPEID -> (VPT_addr, VPT_size, VCONF_addr).
    inflight: host offsets of the commands in the hardware queue from a stalled one on; stalled_plans: what that one holds.
    polls: how often EL2 polled hardware in the last trap; looked: the commands that it looked at since hardware had carried out
    all it had, as it would hand them on; None where that is not known, until hardware has; fixed: the part of ``state()`` that
    never changes.

    Invariant: consumed and hw_offset are multiples of 32 below the queue's length.
    Owned by: the region that it belongs to.
    """

    number: int
    its: Its
    base: int
    typer: GITS_TYPER
    hw_queue: int
    hw_bytes: int
    host_queue: int
    host_bytes: int
    cbaser: int
    base_values: tuple[int, ...]
    tables: tuple[TableRecord, ...]
    pinned: tuple[tuple[int, int], ...] = ()
    consumed: int = 0
    hw_offset: int = 0
    host_cwriter: int = 0
    enabled: bool = True
    needs_flush: bool = False
    present: dict[int, set[int]] = field(default_factory=dict)
    devices: dict[int, tuple[int, int]] = field(default_factory=dict)
    vpes: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    inflight: tuple[int, ...] = ()
    stalled_plans: tuple[Plan, ...] = ()
    polls: int = 0
    looked: list[tuple[int, int, int, int]] | None = field(default_factory=list)
    by_type: dict[int, TableRecord] = field(init=False)
    fixed: tuple[Any, ...] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.by_type = {table.type: table for table in reversed(self.tables)}

    def table(self, n: int) -> TableRecord | None:
        """The record of GITS_BASER<n>."""
        return next((table for table in self.tables if table.n == n), None)

    def _as_taken_over(self) -> tuple[Any, ...]:
        """What never changes once the ITS has been taken over; made when first asked for."""
        if self.fixed is None:
            queues = (self.hw_queue, self.hw_bytes, self.host_queue, self.host_bytes, self.cbaser)
            tables = tuple((t.n, t.value, t.host_l1, t.base) for t in self.tables)
            self.fixed = (self.number, self.base, queues, self.base_values, tables, self.pinned)
        return self.fixed

    def state(self) -> dict[str, Any]:
        """Everything that decides future behaviour, as plain data."""
        return {
            "fixed": self._as_taken_over(),
            "offsets": (self.consumed, self.hw_offset, self.host_cwriter),
            "flags": (self.enabled, self.needs_flush),
            "present": {n: frozenset(indices) for n, indices in self.present.items() if indices},
            "devices": dict(self.devices),
            "vpes": dict(self.vpes),
            "stalled": (self.inflight, self.stalled_plans),
        }

    def set_state(self, state: dict[str, Any]) -> bool:
        """Take back what ``state`` gave of the same ITS; False, and nothing done, if that was taken over otherwise."""
        fixed = self._as_taken_over()
        if state["fixed"] is not fixed and state["fixed"] != fixed:
            return False
        self.consumed, self.hw_offset, self.host_cwriter = state["offsets"]
        self.enabled, self.needs_flush = state["flags"]
        self.present = {n: set(indices) for n, indices in state["present"].items()}
        self.devices, self.vpes = dict(state["devices"]), dict(state["vpes"])
        self.inflight, self.stalled_plans = state["stalled"]
        self.looked = None
        return True

    @classmethod
    def from_state(cls, state: dict[str, Any], its: Its) -> ItsState:
        """Make it again from what ``state`` gave."""
        typer = its.typer
        number, base, queues, base_values, tables, pinned = state["fixed"]
        hw_queue, hw_bytes, host_queue, host_bytes, cbaser = queues
        made = cls(
            number=number,
            its=its,
            base=base,
            typer=typer,
            hw_queue=hw_queue,
            hw_bytes=hw_bytes,
            host_queue=host_queue,
            host_bytes=host_bytes,
            cbaser=cbaser,
            base_values=base_values,
            tables=tuple(table_record(n, value, host_l1, typer, table) for n, value, host_l1, table in tables),
            pinned=pinned,
        )
        made.set_state(state)
        return made
