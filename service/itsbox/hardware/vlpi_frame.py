"""The VLPI frame of a redistributor (GICv4.0): which vPE is resident, and what becomes of its virtual LPIs.

A vPE is resident while GICR_VPENDBASER.Valid is set with the address of its pending table. A vLPI of a resident vPE is
bounded by GICR_VPROPBASER.IDbits and goes to the vPE; of one that is not resident it rings the doorbell, a physical LPI.

Pending bits lie in RAM and are read and written there each time. One thing is remembered, as QEMU does it: the best pending
vLPI of the resident vPE, from which PendingLast follows. It is looked for in the tables when a vPE becomes resident, when the
best one goes, and at INV and VINVALL; a vLPI that arrives is compared with it. So a change of configuration counts from
the next of these on, and what is remembered stays when the vPE has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.lpi_tables import intid_limit, pending_place
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.arch.values import SPURIOUS_INTID
from itsbox.events import LPI_PENDING
from itsbox.hardware.lpi import IDLE, assign_pending, best_virtual, priority_of
from itsbox.hardware.rows import Rows
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.hardware.vpe_table import AnyVTE

__all__ = ["VlpiFrame"]

# Dirty is read-only and never set: the model's residency changes are complete at once.
_WRITABLE: Final = (
    "inner_cache", "shareability", "physical_address", "outer_cache", "pending_last", "idai", "valid",
)  # fmt: skip
_NOBODY: Final = -1


class VlpiFrame:
    """GICR_VPROPBASER and GICR_VPENDBASER of one CPU, and the vLPIs that arrive there.

    resident: the pending table of the resident vPE, or -1; limit: first vINTID that VPROPBASER.IDbits does not reach;
    best_priority, best: the best pending vLPI as last looked for (``IDLE``: there was none).

    Invariant: the two registers read as last accepted; ``resident`` and ``limit`` follow from them.
    Owned by: its redistributor.
    """

    __slots__ = ("best", "best_priority", "config_table", "gicr", "limit", "resident", "vpendbaser", "vpropbaser")

    def __init__(self, gicr: Redistributor) -> None:
        self.gicr = gicr
        self.vpendbaser = 0
        self.resident = _NOBODY
        self.best, self.best_priority = 0, IDLE
        self.set_vpropbaser(0)

    def read(self, offset: int, size: int) -> int:
        """Read at an offset from the redistributor's base."""
        return _ROWS.read(self, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write at an offset from the redistributor's base."""
        _ROWS.write(self, offset, size, value)

    def state(self) -> tuple[Any, ...]:
        """Everything, as plain data."""
        return (self.vpropbaser, self.vpendbaser, self.best, self.best_priority)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        if state == self.state():
            return
        vpropbaser, self.vpendbaser, self.best, self.best_priority = state
        self.set_vpropbaser(vpropbaser)
        self._follow()

    # ---------------------------------------------------------------- registers

    def set_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER."""
        self.vpropbaser = value
        register = GICR_VPROPBASER.decode(value)
        self.config_table = register.physical_address
        self.limit = intid_limit(register.id_bits)

    def set_vpendbaser(self, value: int) -> None:
        """Write GICR_VPENDBASER: schedule a vPE in or out.

        While one is resident nothing but Valid can change. PendingLast reads one after scheduling in, and after scheduling
        out tells whether an enabled vLPI is left pending.
        """
        old, new = GICR_VPENDBASER.decode(self.vpendbaser), GICR_VPENDBASER.decode(value)
        if old.valid and new.valid:
            return
        kept = {name: getattr(new, name) for name in _WRITABLE}
        if new.valid:
            kept["pending_last"] = 1
        elif old.valid:
            kept["pending_last"] = int(self.best_priority != IDLE)
        self.vpendbaser = GICR_VPENDBASER(**{"dirty": 0, **kept}).word()
        self._follow()
        if new.valid:
            self._look_for_best()

    def _follow(self) -> None:
        register = GICR_VPENDBASER.decode(self.vpendbaser)
        self.resident = register.physical_address if register.valid else _NOBODY

    # ---------------------------------------------------------------- the best pending vLPI

    def _look_for_best(self) -> None:
        """Go through the resident vPE's tables. With IDbits of 31 there is nothing: QEMU counts the bits in 32 bits."""
        if self.limit >> 32:
            self.best_priority = IDLE
            return
        id_bits = min(GICR_VPROPBASER.decode(self.vpropbaser).id_bits, self.gicr.profile.gicr_idbits)
        priority, intid = best_virtual(self.gicr.interconnect, self.resident, self.config_table, id_bits)
        self.best_priority = priority
        if priority != IDLE:
            self.best = intid

    def _compare(self, intid: int) -> None:
        """A vLPI is pending: is it the best one? Ties go to the lowest INTID."""
        priority = priority_of(self.gicr.interconnect, self.config_table, intid, Why.VCONF)
        best = self.best_priority
        if priority < best or (priority == best != IDLE and intid < self.best):
            self.best, self.best_priority = intid, priority

    def reread(self, vte: AnyVTE, vpe_id: int) -> None:
        """INV or VINVALL of a vPE: if it is resident its configuration is read again."""
        if vte.vpt_addr == self.resident:
            self._look_for_best()

    # ---------------------------------------------------------------- vLPIs

    def signal(self, vte: AnyVTE, vpe_id: int, intid: int, level: bool, doorbell: int) -> None:
        """Make a vLPI of a vPE pending or not; ring the doorbell if the vPE is not resident."""
        vpt = vte.vpt_addr
        resident = vpt == self.resident
        if resident and intid >= self.limit:
            return
        gicr = self.gicr
        if assign_pending(gicr.interconnect, vpt, intid, level, Why.VPT):
            if level:
                gicr.log.emit(LPI_PENDING, intid, None, vpe_id)
            if resident:
                self._changed(intid, level)
        if level and not resident and doorbell != SPURIOUS_INTID:
            gicr.assign_pending(doorbell, True)

    def _changed(self, intid: int, level: bool) -> None:
        """The pending state of a vLPI of the resident vPE changed."""
        if level:
            self._compare(intid)
        elif intid == self.best:
            self._look_for_best()

    def withdraw(self, vte: AnyVTE, vpe_id: int, intid: int) -> bool:
        """Clear a vLPI's pending bit; whether it was set."""
        offset, bit = pending_place(intid)
        bus = self.gicr.interconnect
        byte = bus.read(Initiator.GICR, vte.vpt_addr + offset, 1, Why.VPT)
        if byte is None or not byte >> bit & 1:
            return False
        cleared = assign_pending(bus, vte.vpt_addr, intid, False, Why.VPT)
        if cleared and vte.vpt_addr == self.resident:
            self._changed(intid, False)
        return cleared


_ROWS: Final[Rows[VlpiFrame]] = Rows()
_ROWS.row64(GICR_VPROPBASER.OFFSET, lambda frame: frame.vpropbaser, VlpiFrame.set_vpropbaser)
_ROWS.row64(GICR_VPENDBASER.OFFSET, lambda frame: frame.vpendbaser, VlpiFrame.set_vpendbaser)
