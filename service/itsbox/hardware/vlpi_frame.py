"""The VLPI frame of a redistributor (GICv4.0): which vPE is resident, and what becomes of its virtual LPIs.

A vPE is resident while GICR_VPENDBASER.Valid is set with the address of its pending table. A vLPI of a resident vPE is
bounded by GICR_VPROPBASER.IDbits and goes to the vPE; of one that is not resident it rings the doorbell, a physical LPI.
The tables lie in RAM and are read and written there each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.lpi_tables import intid_limit, pending_place
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.arch.values import SPURIOUS_INTID
from itsbox.events import LPI_PENDING
from itsbox.hardware.lpi import assign_pending, highest_pending, pending_intids
from itsbox.hardware.rows import Rows
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.hardware.redistributor import Redistributor

__all__ = ["VlpiFrame"]

# Dirty is read-only and never set: the model's residency changes are complete at once.
_WRITABLE: Final = (
    "inner_cache", "shareability", "physical_address", "outer_cache", "pending_last", "idai", "valid",
)  # fmt: skip


class VlpiFrame:
    """GICR_VPROPBASER and GICR_VPENDBASER of one CPU, and the vLPIs that arrive there.

    Invariant: the two registers read as last accepted.
    Owned by: its redistributor.
    """

    __slots__ = ("gicr", "vpendbaser", "vpropbaser")

    def __init__(self, gicr: Redistributor) -> None:
        self.gicr = gicr
        self.vpropbaser = 0
        self.vpendbaser = 0

    def read(self, offset: int, size: int) -> int:
        """Read at an offset from the redistributor's base."""
        return _ROWS.read(self, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write at an offset from the redistributor's base."""
        _ROWS.write(self, offset, size, value)

    def state(self) -> tuple[Any, ...]:
        """Everything, as plain data."""
        return (self.vpropbaser, self.vpendbaser)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        self.vpropbaser, self.vpendbaser = state

    def set_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER."""
        self.vpropbaser = value

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
            kept["pending_last"] = int(self._deliverable())
        self.vpendbaser = GICR_VPENDBASER(**{"dirty": 0, **kept}).word()

    def _deliverable(self) -> bool:
        """Whether the resident vPE has a pending vLPI that its configuration enables."""
        prop = GICR_VPROPBASER.decode(self.vpropbaser)
        vpt = GICR_VPENDBASER.decode(self.vpendbaser).physical_address
        id_bits = min(prop.id_bits, self.gicr.profile.gicr_idbits)
        bus = self.gicr.interconnect
        pending = pending_intids(bus, vpt, id_bits, Why.VPT)
        return highest_pending(bus, pending, prop.physical_address, id_bits, Why.VCONF) != SPURIOUS_INTID

    def is_resident(self, vpt: int) -> bool:
        """Whether the vPE whose pending table lies at ``vpt`` is resident here."""
        register = GICR_VPENDBASER.decode(self.vpendbaser)
        return bool(register.valid) and register.physical_address == vpt

    def assign_pending(self, intid: int, level: bool, *, vpe_id: int, vpt: int, doorbell: int) -> None:
        """Make a vLPI of a vPE pending or not; ring the doorbell if the vPE is not resident."""
        resident = self.is_resident(vpt)
        if resident and intid >= intid_limit(GICR_VPROPBASER.decode(self.vpropbaser).id_bits):
            return
        changed = assign_pending(self.gicr.interconnect, vpt, intid, level, Why.VPT)
        if changed and level:
            self.gicr.log.emit(LPI_PENDING, intid, None, vpe_id)
        if level and not resident and doorbell != SPURIOUS_INTID:
            self.gicr.assign_pending(doorbell, True)

    def withdraw(self, intid: int, vpt: int) -> bool:
        """Clear a vLPI's pending bit; whether it was set."""
        offset, bit = pending_place(intid)
        bus = self.gicr.interconnect
        byte = bus.read(Initiator.GICR, vpt + offset, 1, Why.VPT)
        if byte is None or not byte >> bit & 1:
            return False
        return assign_pending(bus, vpt, intid, False, Why.VPT)


_ROWS: Final[Rows[VlpiFrame]] = Rows()
_ROWS.row64(GICR_VPROPBASER.OFFSET, lambda frame: frame.vpropbaser, VlpiFrame.set_vpropbaser)
_ROWS.row64(GICR_VPENDBASER.OFFSET, lambda frame: frame.vpendbaser, VlpiFrame.set_vpendbaser)
