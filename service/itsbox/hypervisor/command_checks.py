"""One check per command: may it reach the hardware, and what must change first.

A check takes the decoded command and answers None (nothing to do), a ``Reason`` (refused) or plans. It reads, it changes
nothing. ``checks_of`` composes them, once per ITS, from the knobs; virtual commands are in ``virtual_checks``.

The principle of ``strict``: hardware's own range checks are not relied on, and what a command names must be in the
hypervisor's records. A command that passes therefore cannot fail in a way that would leave records and hardware apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itsbox.arch.dist_registers import GICD_TYPER
from itsbox.arch.its_commands import (
    CLEAR,
    COMMANDS,
    COMMANDS_V41,
    DISCARD,
    INT,
    INV,
    INVALL,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    SYNC,
)
from itsbox.arch.its_registers import TABLE_COLLECTIONS, TABLE_DEVICES, ite_bytes
from itsbox.arch.its_tables import event_count, itt_bytes
from itsbox.arch.lpi_tables import intid_limit
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, align_up, is_aligned, is_lpi, pages_of, pfn_of
from itsbox.arch.words import low_half
from itsbox.hypervisor.its_state import ItsState, TableRecord
from itsbox.hypervisor.l1_sync import OUT_OF_RANGE, sync
from itsbox.hypervisor.plan import Plan, RecordChange, Step, blame, refused_late
from itsbox.hypervisor.tracking import ITT, Key
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout
    from itsbox.hypervisor.el2 import El2

__all__ = ["Check", "Checked", "PhysicalChecks", "command_layouts", "itt_pages", "redistributor_names"]

Checked: TypeAlias = "Reason | tuple[Plan, ...] | None"
Check: TypeAlias = "Callable[[Any], Checked]"

_MIN_ITT: Final = 256
_SLACK: Final = 255


def command_layouts(state: ItsState) -> dict[int, type[Layout]]:
    """Opcode to layout, as this ITS decodes commands."""
    if state.typer.vmapp:
        return COMMANDS_V41
    return {opcode: layout for opcode, layout in COMMANDS.items() if layout.SINCE != "GICv4.1"}


def itt_pages(knobs: Any, itt_addr: int, size: int, ite_size: int) -> range:
    """The pages that are held for a translation table, by knobs ``itt_pages`` and ``itt_size``."""
    length = itt_bytes(size, ite_size)
    if knobs["itt_size"] == "unchecked":
        length = low_half(length)  # computed in an unsigned int
    if knobs["itt_pages"] == "exact":
        return pages_of(itt_addr, length)
    first = pfn_of(itt_addr)
    return range(first, first + (align_up(max(length, _MIN_ITT) + _SLACK, PAGE_SIZE) >> PAGE_SHIFT))


class PhysicalChecks:
    """Checks of the commands of GICv3, for one ITS.

    Everything that does not change with the command is looked up here, once: the limits, the tables, the knobs' strategies.
    """

    __slots__ = (
        "_alignment", "_collections", "_devices", "_el2", "_intids", "_node", "_recorded", "_redistributors",
        "_state",
    )  # fmt: skip

    def __init__(self, el2: El2, state: ItsState) -> None:
        self._el2 = el2
        self._state = state
        self._node = state.number
        self._devices = state.by_type.get(TABLE_DEVICES)
        self._collections = state.by_type.get(TABLE_COLLECTIONS)
        self._recorded = el2.knobs["mapd_check"] == "on"
        self._alignment = _ALIGNMENT[el2.knobs["itt_alignment"]]
        self._intids = intid_limit(GICD_TYPER.decode(el2.bus.read(el2.where.gicd + GICD_TYPER.OFFSET, 4)).id_bits)
        self._redistributors = redistributor_names(el2, state)

    @property
    def any_redistributor(self) -> int:
        """RDbase of a redistributor that exists."""
        return min(self._redistributors)

    def by_opcode(self) -> dict[int, Check]:
        """The checks that the knobs ask for; a known command without one passes."""
        knobs = self._el2.knobs
        chosen: dict[int, Check] = {}
        if knobs["other_commands"] == "checked":
            chosen |= {
                MAPTI.MATCH: self.mapti, MAPI.MATCH: self.mapi, MOVI.MATCH: self.movi, DISCARD.MATCH: self.event,
                INT.MATCH: self.event, CLEAR.MATCH: self.event, INV.MATCH: self.event, INVALL.MATCH: self.invall,
            }  # fmt: skip
        if knobs["rd_base"] == "checked":
            chosen |= {SYNC.MATCH: self.sync, MOVALL.MATCH: self.movall}
        if knobs["mapd_check"] == "on":
            chosen[MAPD.MATCH] = self.mapd
        if knobs["mapc_check"] == "on":
            chosen[MAPC.MATCH] = self.mapc
        return chosen

    # ---------------------------------------------------------------- ladders

    def _walk(self, table: TableRecord | None, ident: int) -> Plan | Reason | None:
        """Whether an id has an entry: in range where that is checked, and its level-1 entry mirrored."""
        if table is None:
            return Reason.TABLE_MISSING
        if self._el2.knobs["l1_sync"] == "every_command" and ident >= table.entries:
            return OUT_OF_RANGE[table.name]
        return sync(self._el2, self._state, table, ident)

    def device(self, device_id: int, event_id: int) -> Checked:
        """A mapped device and an event within its table. The device is in the records, so its level-1 entry is there."""
        known = self._state.devices.get(device_id)
        if known is None:
            walked = self._walk(self._devices, device_id)
            if self._recorded or isinstance(walked, Reason):
                return walked if isinstance(walked, Reason) else Reason.DEVICE_NOT_MAPPED
            return None if walked is None else (walked,)
        return Reason.EVENT_ID_RANGE if event_id >= event_count(known[1]) else None

    def _collection(self, icid: int) -> Checked:
        table = self._collections
        if table is not None and not table.indirect:  # the common case, quickly
            return None if icid < table.entries else Reason.ICID_RANGE
        walked = self._walk(table, icid)
        return (walked,) if isinstance(walked, Plan) else walked

    def intid(self, intid: int) -> Reason | None:
        """An LPI that the machine has."""
        return None if is_lpi(intid) and intid < self._intids else Reason.INTID_RANGE

    def redistributor(self, rd_base: int) -> Reason | None:
        """RDbase names a redistributor."""
        return None if rd_base in self._redistributors else Reason.RD_BASE_UNKNOWN

    # ---------------------------------------------------------------- commands

    def mapd(self, c: MAPD) -> Checked:
        """Alignment, Size, level 1, then the pages of the table."""
        knobs = self._el2.knobs
        misplaced = self._alignment(c.itt_addr)
        if misplaced is not None:
            return misplaced
        if knobs["itt_size"] == "checked" and c.size > self._state.typer.id_bits:
            return Reason.EVENT_BITS_RANGE
        walked = self._walk(self._devices, c.device_id)
        if isinstance(walked, Reason):
            return walked
        held = self._map_device(c) if c.valid else self._unmap_device(c)
        if isinstance(held, Reason):
            return refused_late(self._el2, ITT, walked, held)
        return (held,) if walked is None else (walked, held)

    def _map_device(self, c: MAPD) -> Plan | Reason:
        """Hold the new table; a device that is mapped already lets its old one go afterwards, where that is recorded."""
        el2, known = self._el2, self._state.devices.get(c.device_id)
        pages = itt_pages(el2.knobs, c.itt_addr, c.size, ite_bytes(self._state.typer))
        hold = el2.tracking.hold(ITT, self._node, c.device_id, pages)
        if isinstance(hold, Reason):
            return blame(ITT, hold)
        cause = f"MAPD of device {c.device_id:#x}"
        record = RecordChange("devices", c.device_id, known, (c.itt_addr, c.size))
        now = Step(hold.transitions, hold.edits, records=(record,))
        if known is None or el2.knobs["itt_release"] != "recorded":
            return Plan(ITT, cause, now)
        old = el2.tracking.keys_of(
            ITT, self._node, c.device_id, itt_pages(el2.knobs, *known, ite_bytes(self._state.typer))
        )
        # Planned as if the new hold were there already: pages of both tables stay shared.
        return Plan(ITT, cause, now, self._release_after(old, hold.edits))

    def _release_after(self, old: list[Key], edits: tuple[tuple[Key, int], ...]) -> Step:
        tracking = self._el2.tracking
        tracking.apply(edits)
        gone = tracking.release(old)
        tracking.apply(edits, -1)
        return Step(gone.transitions, gone.edits)

    def _unmap_device(self, c: MAPD) -> Plan | Reason:
        """Let go of the device's pages: which ones, and when, are knobs."""
        el2 = self._el2
        known = self._state.devices.get(c.device_id)
        keys = _RELEASE[el2.knobs["itt_release"]](el2, self._state, c)
        if keys is None:
            if el2.knobs["preswitch_unmap"] == "error":
                return Reason.ITT_NOT_TRACKED
            keys = []
        gone = el2.tracking.release(keys)
        record = (RecordChange("devices", c.device_id, known, None),)
        cause = f"MAPD of device {c.device_id:#x}"
        if el2.knobs["release_time"] == "completion":
            return Plan(ITT, cause, later=Step(gone.transitions, gone.edits, records=record))
        return Plan(ITT, cause, Step(gone.transitions, gone.edits, records=record))

    def mapc(self, c: MAPC) -> Checked:
        """Level 1 of the collection table, and where RDbase points."""
        if c.valid and self._el2.knobs["rd_base"] == "checked" and c.rd_base not in self._redistributors:
            return Reason.RD_BASE_UNKNOWN
        walked = self._walk(self._collections, c.icid)
        return (walked,) if isinstance(walked, Plan) else walked

    def mapti(self, c: MAPTI) -> Checked:
        """Device, event, INTID, collection."""
        return self.device(c.device_id, c.event_id) or self.intid(c.intid) or self._collection(c.icid)

    def mapi(self, c: MAPI) -> Checked:
        """As MAPTI, the EventID being the INTID."""
        return self.device(c.device_id, c.event_id) or self.intid(c.event_id) or self._collection(c.icid)

    def movi(self, c: MOVI) -> Checked:
        """Device, event, collection."""
        return self.device(c.device_id, c.event_id) or self._collection(c.icid)

    def event(self, c: INT | CLEAR | INV | DISCARD) -> Checked:
        """Device and event."""
        return self.device(c.device_id, c.event_id)

    def invall(self, c: INVALL) -> Checked:
        """Collection."""
        return self._collection(c.icid)

    def sync(self, c: SYNC) -> Checked:
        """RDbase: a SYNC to a redistributor that is not there may never end (docs/explanation/dma-surface.md 4, A18)."""
        return None if c.rd_base in self._redistributors else Reason.RD_BASE_UNKNOWN

    def movall(self, c: MOVALL) -> Checked:
        """Both redistributors."""
        return self.redistributor(c.rd_base1) or self.redistributor(c.rd_base2)


def redistributor_names(el2: El2, state: ItsState) -> range | frozenset[int]:
    """What RDbase may be: processor numbers, or with GITS_TYPER.PTA the frames' addresses >> 16."""
    if not state.typer.pta:
        return range(el2.cpus)
    frames = (el2.where.gicr + cpu * el2.where.gicr_stride for cpu in range(el2.cpus))
    # The field holds the address in place, so decoding an address gives its field.
    return frozenset(MAPC.decode(0, 0, frame, 0).rd_base for frame in frames)


_ALIGNMENT: Final[dict[str, Callable[[int], Reason | None]]] = {
    "inverted": lambda addr: Reason.ITT_PAGE_ALIGNED if is_aligned(addr, PAGE_SIZE) else None,
    "required": lambda addr: None if is_aligned(addr, PAGE_SIZE) else Reason.ITT_UNALIGNED,
    "none": lambda addr: None,
    "256": lambda addr: None,
}


def _release_named(el2: El2, state: ItsState, c: MAPD) -> list[Key] | None:
    """The pages that the command names, whoever holds them: the device itself first.

    A command may name a million pages; only those that somebody holds are looked at, and they are few.
    """
    keys = []
    named = itt_pages(el2.knobs, c.itt_addr, c.size, ite_bytes(state.typer))
    for pfn in sorted(pfn for pfn in el2.tracking.users if pfn in named):
        own = (ITT, state.number, c.device_id, pfn)
        holders = [own] if own in el2.tracking.counts else el2.tracking.holders(pfn)
        keys += holders[:1]
    return keys or None


def _release_of_device(el2: El2, state: ItsState, c: MAPD) -> list[Key] | None:
    """The pages that the command names, each of which must be tracked for the device."""
    pages = itt_pages(el2.knobs, c.itt_addr, c.size, ite_bytes(state.typer))
    keys = el2.tracking.keys_of(ITT, state.number, c.device_id, pages)
    return keys if len(keys) == len(pages) else None


def _release_recorded(el2: El2, state: ItsState, c: MAPD) -> list[Key] | None:
    """The pages recorded when the device was mapped, whatever the command says."""
    known = state.devices.get(c.device_id)
    if known is None:
        return None
    return el2.tracking.keys_of(ITT, state.number, c.device_id, itt_pages(el2.knobs, *known, ite_bytes(state.typer)))


_RELEASE: Final[dict[str, Callable[[El2, ItsState, MAPD], list[Key] | None]]] = {
    "command": _release_named,
    "device": _release_of_device,
    "recorded": _release_recorded,
}
