"""The frame of virtual LPIs of a redistributor: which vPE is resident, and from which tables (knob ``vlpi_frame`` ``checked``).

GICv4.0 takes two raw addresses at each load of a vCPU: the pending table must be one that a VMAPP named to the ITS, and the
configuration table is held for as long as the vPE is resident. GICv4.1 takes a vPEID, which must be mapped; the vPE table
itself must be the one that the ITS uses, which the host knows by its own copy of level 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_registers import TABLE_VPES, VSGI_FRAME
from itsbox.arch.layout import Register
from itsbox.arch.lpi_tables import MIN_ID_BITS, config_table_bytes
from itsbox.arch.redist_registers import (
    GICR_TYPER,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
    GICR_VSGIR,
)
from itsbox.arch.values import PAGE_SIZE, align_up, pages_of
from itsbox.hypervisor.its_state import ItsState, TableRecord
from itsbox.hypervisor.plan import blame
from itsbox.hypervisor.tracking import VCONF
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2

__all__ = ["VlpiEmulation"]

_CAUSE: Final = "resident vPE"
_ANY_VPE: Final = VSGI_FRAME
"""Node number under which resident vPEs' configuration tables are recorded, beyond any ITS's."""


class VlpiEmulation:
    """Residency of vPEs on all redistributors.

    resident: CPU -> the pages of the configuration table held for the vPE that is resident there (GICv4.0).
    Owned by: ``RedistEmulation``.
    """

    __slots__ = ("_its_states", "el2", "resident")

    def __init__(self, el2: El2, its_states: Callable[[], list[ItsState]]) -> None:
        self.el2 = el2
        self._its_states = its_states
        self.resident: dict[int, range] = {}

    def writes(self) -> dict[type[Register], Callable[[int, int], Reason | None]]:
        """The rules for writes, by register."""
        shared = GICR_TYPER.decode(self.el2.profile.gicr_typer)
        if not shared.vlpis:
            return {}
        if not shared.rvpeid:
            return {GICR_VPROPBASER: self._write_vpropbaser, GICR_VPENDBASER: self._write_vpendbaser}
        return {
            GICR_VPROPBASER_V41: self._write_vpe_table,
            GICR_VPENDBASER_V41: self._write_resident_vpe,
            GICR_VSGIR: self._write_vsgir,
        }

    def _read(self, cpu: int, register: type[Register]) -> int:
        at = self.el2.where.gicr + cpu * self.el2.where.gicr_stride + register.OFFSET
        return self.el2.bus.read(at, register.SIZE)

    def _write(self, cpu: int, register: type[Register], value: int) -> None:
        at = self.el2.where.gicr + cpu * self.el2.where.gicr_stride + register.OFFSET
        self.el2.bus.write(at, register.SIZE, value)

    # ---------------------------------------------------------------- GICv4.0

    def _write_vpropbaser(self, cpu: int, value: int) -> Reason | None:
        """Only while nobody is resident; the table is held when somebody becomes so."""
        if GICR_VPENDBASER.decode(self._read(cpu, GICR_VPENDBASER)).valid:
            return Reason.VPROPBASER_CHANGED
        self._write(cpu, GICR_VPROPBASER, GICR_VPROPBASER.decode(value).word())
        return None

    def _write_vpendbaser(self, cpu: int, value: int) -> Reason | None:
        """A vPE comes or goes. Its pending table must be known from a VMAPP."""
        now, wanted = (GICR_VPENDBASER.decode(word) for word in (self._read(cpu, GICR_VPENDBASER), value))
        if wanted.valid and now.valid:
            return Reason.VPENDBASER_UNKNOWN if wanted.physical_address != now.physical_address else None
        if wanted.valid:
            known = any(
                vpt_addr == wanted.physical_address
                for state in self._its_states()
                for vpt_addr, _, _ in state.vpes.values()
            )
            denied = self._hold_config(cpu) if known else Reason.VPENDBASER_UNKNOWN
            if denied is not None:
                return denied
        self._write(cpu, GICR_VPENDBASER, wanted.word())
        self._settle(cpu)
        return None

    def _hold_config(self, cpu: int) -> Reason | None:
        prop = GICR_VPROPBASER.decode(self._read(cpu, GICR_VPROPBASER))
        id_bits = min(max(prop.id_bits, MIN_ID_BITS), self.el2.profile.gicr_idbits)
        pages = pages_of(prop.physical_address, align_up(config_table_bytes(id_bits), PAGE_SIZE))
        hold = self.el2.tracking.hold(VCONF, _ANY_VPE, cpu, pages)
        denied = hold if isinstance(hold, Reason) else self.el2.ownership.commit(hold.transitions, _CAUSE)
        if isinstance(hold, Reason) or denied is not None:
            return Reason.VCONF_NOT_HOST_OWNED if denied is None else blame(VCONF, denied)
        self.el2.tracking.apply(hold.edits)
        self.resident[cpu] = pages
        return None

    def _settle(self, cpu: int) -> None:
        """Let the configuration table go once the vPE is gone and its state written back."""
        now = GICR_VPENDBASER.decode(self._read(cpu, GICR_VPENDBASER))
        if cpu in self.resident and not now.valid and not now.dirty:
            tracking = self.el2.tracking
            gone = tracking.release(tracking.keys_of(VCONF, _ANY_VPE, cpu, self.resident.pop(cpu)))
            self.el2.ownership.commit(gone.transitions, _CAUSE)
            tracking.apply(gone.edits)

    # ---------------------------------------------------------------- GICv4.1

    def _vpe_table(self) -> TableRecord | None:
        return next((table for state in self._its_states() if (table := state.by_type.get(TABLE_VPES))), None)

    def _write_vpe_table(self, cpu: int, value: int) -> Reason | None:
        """Nothing but the vPE table that the ITS uses, named as the host sees it; or none."""
        wanted = GICR_VPROPBASER_V41.decode(value)
        if GICR_VPENDBASER_V41.decode(self._read(cpu, GICR_VPENDBASER_V41)).valid:
            return Reason.VPROPBASER_CHANGED
        if wanted.valid:
            table = self._vpe_table()
            if table is None or not _names(wanted, table, table.host_l1 or table.base):
                return Reason.VPROPBASER_CHANGED
            wanted = wanted.replace(physical_address=table.base, z=0)
        self._write(cpu, GICR_VPROPBASER_V41, wanted.word())
        return None

    def _write_resident_vpe(self, cpu: int, value: int) -> Reason | None:
        """A vPE comes or goes; it must be mapped."""
        wanted = GICR_VPENDBASER_V41.decode(value)
        if wanted.valid and not self._mapped(wanted.vpe_id):
            return Reason.VPENDBASER_UNKNOWN
        self._write(cpu, GICR_VPENDBASER_V41, value)
        return None

    def _write_vsgir(self, cpu: int, value: int) -> Reason | None:
        if not self._mapped(GICR_VSGIR.decode(value).vpe_id):
            return Reason.VPENDBASER_UNKNOWN
        self._write(cpu, GICR_VSGIR, value)
        return None

    def _mapped(self, vpe_id: int) -> bool:
        return any(vpe_id in state.vpes for state in self._its_states())

    def shown(self, register: type[Register], value: int) -> int:
        """A register as the host sees it: the vPE table by the host's copy of level 1."""
        if register is GICR_VPROPBASER_V41:
            table, now = self._vpe_table(), GICR_VPROPBASER_V41.decode(value)
            if table is not None and table.host_l1 and now.valid and now.physical_address == table.base:
                return now.replace(physical_address=table.host_l1).word()
        return value

    # ---------------------------------------------------------------- taking over

    def _checked(self) -> bool:
        return bool(GICR_TYPER.decode(self.el2.profile.gicr_typer).vlpis) and self.el2.knobs["vlpi_frame"] == "checked"

    def verify(self, cpu: int) -> Reason | None:
        """Whether what the frame holds at the take-over is what the host could have written after it."""
        if not self._checked():
            return None
        if GICR_TYPER.decode(self.el2.profile.gicr_typer).rvpeid:
            named, table = GICR_VPROPBASER_V41.decode(self._read(cpu, GICR_VPROPBASER_V41)), self._vpe_table()
            if named.valid and (table is None or not _names(named, table, table.base)):
                return Reason.VPROPBASER_CHANGED
        self.evict(cpu)
        return None

    def evict(self, cpu: int) -> None:
        """No vPE stays resident over the switch-over: it would use tables that nobody holds."""
        if not self._checked() or cpu in self.resident:
            return
        register = GICR_VPENDBASER_V41 if GICR_TYPER.decode(self.el2.profile.gicr_typer).rvpeid else GICR_VPENDBASER
        now = register.decode(self._read(cpu, register))
        if now.valid:
            self._write(cpu, register, now.replace(valid=0).word())

    def state(self) -> dict[int, tuple[int, int]]:
        """Everything, as plain data."""
        return {cpu: (pages.start, len(pages)) for cpu, pages in self.resident.items()}

    def set_state(self, state: dict[int, Any]) -> None:
        """Take back what ``state`` gave."""
        self.resident = {cpu: range(start, start + pages) for cpu, (start, pages) in state.items()}


def _names(named: GICR_VPROPBASER_V41, table: TableRecord, addr: int) -> bool:
    """Whether the register describes the table: address, size, shape. Its page size has GITS_BASER's encoding."""
    length = named.size + 1
    return (
        named.physical_address == addr
        and bool(named.indirect) == table.indirect
        and length * _PAGE_BYTES.get(named.page_size, 0) == table.length
        and _PAGE_BYTES.get(named.page_size) == table.page_bytes
    )


_PAGE_BYTES: Final = {0: 1 << 12, 1: 1 << 14, 2: 1 << 16}
