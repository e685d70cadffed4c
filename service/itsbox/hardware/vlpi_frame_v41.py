"""The VLPI frame of a redistributor (GICv4.1): a vPE table, which vPE of it is resident, virtual SGIs, the default doorbell.

GICR_VPROPBASER names the vPE table, the same memory as GITS_BASER2's if software did as it should; GICR_VPENDBASER names a vPE
by number, and its tables come from its entry. While GICR_VPROPBASER is not Valid the redistributor uses the vPE table of the
ITS that shares it (GITS_TYPER.SVPET), as GIC-700 is known to.

Who looks where: what an ITS sends for a vPE that is not resident goes by the ITS's entry, for a resident one by the
redistributor's own, and so does all that starts here (residency, GICR_VSGIR). Nothing is cached; every time the entry is read.

The redistributor keeps the rest of a vPE's state (pending virtual SGIs, their configuration, whether the doorbell was asked for)
in its own part of the vPE's pending table, so that it goes where the vPE goes. Memory that does not answer holds no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from itsbox.arch.its_commands import NO_DOORBELL, VSGI
from itsbox.arch.its_errors import Cause
from itsbox.arch.its_tables import VTE_V41, entries_per_page, flat_entries, two_level_entries
from itsbox.arch.lpi_tables import (
    VPE_FLAGS_OFFSET,
    VPE_STATE_BYTES,
    VSGI_CONFIG_OFFSET,
    VSGIS,
    VPEFlags,
    VSGIConfig,
    intid_limit,
    pending_place,
)
from itsbox.arch.redist_registers import (
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER_V41,
    GICR_VSGIPENDR,
    GICR_VSGIR,
    vpropbaser_page_size,
)
from itsbox.events import LPI_PENDING
from itsbox.hardware.its_lookup import EMPTY, Table
from itsbox.hardware.lpi import IDLE, assign_pending, best_virtual, table_bits
from itsbox.hardware.rows import Rows
from itsbox.hardware.vpe_table import AnyVTE, lookup_vte, vpe_id_bits
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.hardware.its import Its
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.memory.interconnect import Interconnect

__all__ = ["VlpiFrameV41"]

_NOBODY: Final = -1
_FLAGS: Final = VPEFlags(doorbell=1).encode()[0]


class VlpiFrameV41:
    """GICR_VPROPBASER, GICR_VPENDBASER, GICR_VSGIR and GICR_VSGIPENDR of one CPU, and what arrives for vPEs there.

    table: the vPE table of VPROPBASER, or None while it is not Valid; resident: vPEID, or -1; its: the ITS that shares its vPE
    table with this redistributor.

    Invariant: the registers read as last accepted; ``table`` and ``resident`` follow from them.
    Owned by: its redistributor.
    """

    __slots__ = ("gicr", "interconnect", "its", "resident", "table", "vpendbaser", "vpropbaser", "vsgipendr")

    initiator: ClassVar[int] = Initiator.GICR

    def __init__(self, gicr: Redistributor) -> None:
        self.gicr = gicr
        self.interconnect: Interconnect = gicr.interconnect
        self.its: Its | None = None
        self.vpropbaser: int = self._accepted(0)
        self.vpendbaser: int = 0
        self.vsgipendr: int = 0
        self._follow()

    def read(self, offset: int, size: int) -> int:
        """Read at an offset from the redistributor's base."""
        return _ROWS.read(self, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write at an offset from the redistributor's base."""
        _ROWS.write(self, offset, size, value)

    def state(self) -> tuple[Any, ...]:
        """Everything, as plain data."""
        return (self.vpropbaser, self.vpendbaser, self.vsgipendr)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        if state != (self.vpropbaser, self.vpendbaser, self.vsgipendr):
            self.vpropbaser, self.vpendbaser, self.vsgipendr = state
            self._follow()

    def _follow(self) -> None:
        self.table = self._table(GICR_VPROPBASER_V41.decode(self.vpropbaser))
        pend = GICR_VPENDBASER_V41.decode(self.vpendbaser)
        self.resident = pend.vpe_id if pend.valid else _NOBODY

    # ---------------------------------------------------------------- registers

    def _accepted(self, value: int) -> int:
        """A value of GICR_VPROPBASER as it reads back: Entry_Size is fixed, reserved bits are zero."""
        words = VTE_V41.SIZE // 8
        return GICR_VPROPBASER_V41.decode(value).replace(entry_size=words - 1).word()

    def _table(self, register: GICR_VPROPBASER_V41) -> Table | None:
        if not register.valid:
            return None
        page, entry = vpropbaser_page_size(register), VTE_V41.SIZE
        covers = two_level_entries if register.indirect else flat_entries
        return Table(
            base=register.physical_address & -page,
            entry_bytes=entry,
            entries=min(covers(register.size + 1, page, entry), intid_limit(vpe_id_bits(self.gicr.profile))),
            indirect=bool(register.indirect),
            per_page=entries_per_page(page, entry),
            page_bytes=page,
        )

    def set_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER: ignored while a vPE is resident."""
        if self.resident == _NOBODY:
            self.vpropbaser = self._accepted(value)
            self._follow()

    def set_vpendbaser(self, value: int) -> None:
        """Write GICR_VPENDBASER: schedule a vPE in or out. While one is resident nothing but Valid can change.

        Scheduling out: PendingLast written as one says that nobody wants to know, and stays; else it tells whether an enabled
        virtual interrupt is left pending, and if not, Doorbell asks for the default doorbell when one comes.
        """
        new = GICR_VPENDBASER_V41.decode(value).replace(dirty=0)
        if self.resident == _NOBODY:
            if new.valid:
                self._assign_flags(new.vpe_id, 0)
        elif new.valid:
            return
        elif not new.pending_last:
            pending = self._deliverable(self.resident)
            new = new.replace(pending_last=int(pending))
            if new.doorbell and not pending:
                self._assign_flags(self.resident, _FLAGS)
        self.vpendbaser = new.word()
        self._follow()

    def set_vsgir(self, value: int) -> None:
        """Write GICR_VSGIR: the answer is in GICR_VSGIPENDR at once; nothing is pending for a vPE that is not mapped."""
        entry = self.lookup(GICR_VSGIR.decode(value).vpe_id)
        pending = 0 if entry is None else self._pending_sgis(entry)
        self.vsgipendr = GICR_VSGIPENDR(pending=pending, busy=0).word()

    # ---------------------------------------------------------------- the vPE table and a vPE's own state

    def l2_page(self, raw: int, page_bytes: int) -> int | None:
        """Address of the level-2 page that a level-1 entry names: read as the ITS reads its own."""
        return None if self.its is None else self.its.l2_page(raw, page_bytes)

    def lookup(self, vpe_id: int) -> VTE_V41 | None:
        """The valid entry of a vPEID in the redistributor's vPE table."""
        table = self.table
        if table is None:
            table = EMPTY if self.its is None else self.its.vpe_table
        entry = lookup_vte(self, table, vpe_id)
        return None if isinstance(entry, Cause) else entry

    def invalidate(self, vpe_id: int) -> None:
        """GICR_INVLPIR or GICR_INVALLR with V: the vPE is looked up; no configuration of its vLPIs is cached."""
        self.lookup(vpe_id)

    def reread(self, vte: AnyVTE, vpe_id: int) -> None:
        """INV or VINVALL of a vPE: no configuration of its vLPIs is cached."""

    def begin(self, entry: VTE_V41) -> None:
        """VMAPP with Alloc: a vPE begins with no virtual SGI pending or enabled, and no doorbell asked for."""
        self.interconnect.store(Initiator.GICR, entry.vpt_addr, bytes(VPE_STATE_BYTES), Why.VPT)

    def _assign_flags(self, vpe_id: int, flags: int) -> None:
        entry = self.lookup(vpe_id)
        if entry is not None:
            self._write_flags(entry, flags)

    def _write_flags(self, entry: VTE_V41, flags: int) -> None:
        place = entry.vpt_addr + VPE_FLAGS_OFFSET
        if self.interconnect.read(Initiator.GICR, place, 1, Why.VPT) != flags:
            self.interconnect.write(Initiator.GICR, place, 1, flags, Why.VPT)

    def _pending_sgis(self, entry: VTE_V41) -> int:
        """One bit for each pending virtual SGI."""
        return self.interconnect.read(Initiator.GICR, entry.vpt_addr, VSGIS // 8, Why.VPT) or 0

    def _deliverable(self, vpe_id: int) -> bool:
        """Whether a vPE has a pending virtual interrupt that its configuration enables."""
        entry = self.lookup(vpe_id)
        if entry is None:
            return False
        bus, vpt, id_bits = self.interconnect, entry.vpt_addr, entry.vpt_size
        for intid in table_bits(self._pending_sgis(entry).to_bytes(VSGIS // 8, "little")):
            config = bus.read(Initiator.GICR, vpt + VSGI_CONFIG_OFFSET + intid, 1, Why.VPT)
            if config is not None and VSGIConfig.decode(config).enable:
                return True
        id_bits = min(id_bits, self.gicr.profile.gicr_idbits)
        return best_virtual(bus, vpt, entry.vconf_addr, id_bits)[0] != IDLE

    # ---------------------------------------------------------------- virtual interrupts

    def signal(self, vte: AnyVTE, vpe_id: int, intid: int, level: bool, doorbell: int) -> None:
        """Make a vLPI of a vPE pending or not; ring its doorbells if the vPE is not resident.

        doorbell: the event's own, which there is only without GITS_TYPER.nID.
        """
        resident = vpe_id == self.resident
        entry: Any = self.lookup(vpe_id) if resident else vte
        if entry is None:
            return
        gicr = self.gicr
        if assign_pending(self.interconnect, entry.vpt_addr, intid, level, Why.VPT) and level:
            gicr.log.emit(LPI_PENDING, intid, None, vpe_id)
        if level and not resident:
            if doorbell != NO_DOORBELL:
                gicr.assign_pending(doorbell, True)
            if entry.default_doorbell != NO_DOORBELL:
                self._ring(entry)

    def _ring(self, entry: VTE_V41) -> None:
        """Ring the default doorbell if it was asked for; once, until the vPE has been resident again."""
        flags = self.interconnect.read(Initiator.GICR, entry.vpt_addr + VPE_FLAGS_OFFSET, 1, Why.VPT)
        if flags is not None and VPEFlags.decode(flags).doorbell:
            self._write_flags(entry, 0)
            self.gicr.assign_pending(entry.default_doorbell, True)

    def signal_sgi(self, entry: VTE_V41, vpe_id: int, intid: int) -> None:
        """GITS_SGIR: a virtual SGI of a vPE becomes pending."""
        self.signal(entry, vpe_id, intid, True, NO_DOORBELL)

    def withdraw(self, vte: AnyVTE, vpe_id: int, intid: int) -> bool:
        """Clear a vLPI's pending bit; whether it was set."""
        entry = self.lookup(vpe_id) if vpe_id == self.resident else vte
        if entry is None:
            return False
        offset, bit = pending_place(intid)
        byte = self.interconnect.read(Initiator.GICR, entry.vpt_addr + offset, 1, Why.VPT)
        if byte is None or not byte >> bit & 1:
            return False
        return assign_pending(self.interconnect, entry.vpt_addr, intid, False, Why.VPT)

    def configure(self, vte: VTE_V41, c: VSGI) -> None:
        """VSGI: with Clear withdraw a virtual SGI, else set its enable, group and priority."""
        entry = self.lookup(c.vpe_id) if c.vpe_id == self.resident else vte
        if entry is None:
            return
        if c.clear:
            assign_pending(self.interconnect, entry.vpt_addr, c.virtual_intid, False, Why.VPT)
            return
        byte = VSGIConfig(enable=c.enable, group=c.group, priority=c.priority).encode()[0]
        place = entry.vpt_addr + VSGI_CONFIG_OFFSET + c.virtual_intid
        self.interconnect.write(Initiator.GICR, place, 1, byte, Why.VPT)


_ROWS: Final[Rows[VlpiFrameV41]] = Rows()
_ROWS.row64(GICR_VPROPBASER_V41.OFFSET, lambda frame: frame.vpropbaser, VlpiFrameV41.set_vpropbaser)
_ROWS.row64(GICR_VPENDBASER_V41.OFFSET, lambda frame: frame.vpendbaser, VlpiFrameV41.set_vpendbaser)
_ROWS.row32(GICR_VSGIR.OFFSET, lambda _: 0, VlpiFrameV41.set_vsgir)
_ROWS.row32(GICR_VSGIPENDR.OFFSET, lambda frame: frame.vsgipendr)
