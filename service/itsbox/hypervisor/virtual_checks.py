"""Checks of virtual commands (GICv4): the RFC's one check of VMAPP, and those of ``strict``.

Under ``strict`` a vPE is known from its VMAPP on: its pending table (and on GICv4.1 its configuration table) are held like an
interrupt translation table and let go only once the ITS has unmapped the vPE. Every other command must name a vPE in the
records; virtual INTIDs, doorbells, targets and ITS lists must lie within what the machine has
(docs/explanation/dma-surface.md 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import (
    INVDB,
    NO_DOORBELL,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPP_V41,
    VMAPTI,
    VMOVI,
    VMOVP,
    VMOVP_V41,
    VSGI,
    VSYNC,
)
from itsbox.arch.its_registers import TABLE_VPES
from itsbox.arch.lpi_tables import MIN_ID_BITS, config_table_bytes, intid_limit, pending_table_bytes
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPENDBASER_V41
from itsbox.arch.values import SIZE_64K, align_up, is_lpi, pages_of, pfn_of
from itsbox.hypervisor.command_checks import Check, Checked, PhysicalChecks
from itsbox.hypervisor.its_state import ItsState
from itsbox.hypervisor.l1_sync import OUT_OF_RANGE, sync
from itsbox.hypervisor.plan import Plan, RecordChange, Step, blame, refused_late
from itsbox.hypervisor.tracking import VCONF, VPT, Key
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2

__all__ = ["VirtualChecks", "vpe_pages"]

_PAGES_PER_64K: Final = 65536
"""What the RFC rounds a number of pages up to: 64 K, meant for bytes."""


def vpe_pages(vpt_addr: int, vpt_size: int, vconf_addr: int) -> dict[str, range]:
    """The pages behind a vPE: its pending table in 64 KB units, and its configuration table if it has one of its own."""
    pages = {VPT: pages_of(vpt_addr, align_up(pending_table_bytes(vpt_size), SIZE_64K))}
    if vconf_addr:
        pages[VCONF] = pages_of(vconf_addr, config_table_bytes(vpt_size))
    return pages


class VirtualChecks:
    """Checks of the commands of GICv4, for one ITS."""

    __slots__ = ("_el2", "_physical", "_state", "_table")

    def __init__(self, el2: El2, state: ItsState, physical: PhysicalChecks) -> None:
        self._el2 = el2
        self._state = state
        self._physical = physical
        self._table = state.by_type.get(TABLE_VPES)

    def by_opcode(self) -> dict[int, Check]:
        """The checks that the knobs ask for."""
        knobs = self._el2.knobs
        chosen: dict[int, Check] = {}
        if knobs["virtual_commands"] == "checked" and self._state.typer.virtual:
            chosen = {
                VMAPTI.MATCH: self.vmapti, VMAPI.MATCH: self.vmapi, VMOVI.MATCH: self.vmovi, VMOVP.MATCH: self.vmovp,
                VSYNC.MATCH: self.vsync, VINVALL.MATCH: self.vpe, INVDB.MATCH: self.vpe, VSGI.MATCH: self.vsgi,
            }  # fmt: skip
        if knobs["vmapp_check"] == "on":
            strict = VMAPP.MATCH in chosen or knobs["virtual_commands"] == "checked"
            chosen[VMAPP.MATCH] = self.vmapp if strict else self.vmapp_of_series
        return chosen

    # ---------------------------------------------------------------- VMAPP

    def vmapp_of_series(self, c: VMAPP | VMAPP_V41) -> Checked:
        """Patch 9: level 1, then the pending table's pages, of which it gets the number wrong."""
        if self._table is None:
            return Reason.TABLE_MISSING
        walked = sync(self._el2, self._state, self._table, c.vpe_id)
        if isinstance(walked, Reason):
            return walked
        first = pfn_of(c.vpt_addr)
        count = len(pages_of(c.vpt_addr, align_up(pending_table_bytes(c.vpt_size), SIZE_64K)))
        if self._el2.knobs["vpt_pages"] == "buggy":
            count = align_up(1 << (c.vpt_size + 1 >> 3), _PAGES_PER_64K)
            if not c.valid and not first:
                return Reason.VPT_NOT_HOST_OWNED  # empty slots of the array match page 0, which nobody shares
        held = self._hold_series(c, range(first, first + count))
        if isinstance(held, Reason):
            return refused_late(self._el2, VPT, walked, held)
        return (held,) if walked is None else (walked, held)

    def _hold_series(self, c: VMAPP | VMAPP_V41, pages: range) -> Plan | Reason:
        tracking, node = self._el2.tracking, self._state.number
        cause = f"VMAPP of vPE {c.vpe_id}"
        if not c.valid:
            gone = tracking.release(tracking.keys_of(VPT, node, c.vpe_id, pages))
            return Plan(VPT, cause, Step(gone.transitions, gone.edits))
        hold = tracking.hold(VPT, node, c.vpe_id, pages)
        return blame(VPT, hold) if isinstance(hold, Reason) else Plan(VPT, cause, Step(hold.transitions, hold.edits))

    def vmapp(self, c: VMAPP | VMAPP_V41) -> Checked:
        """Range, target, sizes, doorbell; hold both tables, or let them go once the vPE is unmapped."""
        walked = self._in_table(c.vpe_id)
        if isinstance(walked, Reason):
            return walked
        if not c.valid and isinstance(c, VMAPP) and c.vpt_size > self._el2.profile.gicr_idbits:
            return Reason.VPT_SIZE_RANGE  # hardware may refuse it for that (QEMU does), and the vPE would live on
        held = self._map_vpe(c) if c.valid else self._unmap_vpe(c.vpe_id)
        if isinstance(held, Reason):
            return held
        return held if walked is None else (walked, *held)

    def _in_table(self, vpe_id: int) -> Plan | Reason | None:
        if self._table is None:
            return Reason.TABLE_MISSING
        if vpe_id >= self._table.entries:
            return OUT_OF_RANGE[self._table.name]
        return sync(self._el2, self._state, self._table, vpe_id)

    def _map_vpe(self, c: VMAPP | VMAPP_V41) -> tuple[Plan, ...] | Reason:
        vconf_addr, doorbell = (c.vconf_addr, c.default_doorbell) if isinstance(c, VMAPP_V41) else (0, NO_DOORBELL)
        wrong = self._physical.redistributor(c.rd_base) or self._doorbell(doorbell)
        if wrong is not None:
            return wrong
        if not MIN_ID_BITS <= c.vpt_size <= self._el2.profile.gicr_idbits:
            return Reason.VPT_SIZE_RANGE
        if c.vpe_id in self._state.vpes:
            return Reason.VPE_ALREADY_MAPPED
        plans = []
        cause = f"VMAPP of vPE {c.vpe_id}"
        for kind, pages in vpe_pages(c.vpt_addr, c.vpt_size, vconf_addr).items():
            hold = self._el2.tracking.hold(kind, self._state.number, c.vpe_id, pages)
            if isinstance(hold, Reason):
                return blame(kind, hold)
            plans.append(Plan(kind, cause, Step(hold.transitions, hold.edits)))
        record = RecordChange("vpes", c.vpe_id, None, (c.vpt_addr, c.vpt_size, vconf_addr))
        plans.append(Plan(VPT, cause, Step(records=(record,))))
        return tuple(plans)

    def _unmap_vpe(self, vpe_id: int) -> tuple[Plan, ...] | Reason:
        known = self._state.vpes.get(vpe_id)
        if known is None:
            return ()
        if self._resident(known[0], vpe_id):
            return Reason.VPE_RESIDENT
        tracking = self._el2.tracking
        keys: list[Key] = []
        for kind, pages in vpe_pages(*known).items():
            keys += tracking.keys_of(kind, self._state.number, vpe_id, pages)
        gone = tracking.release(keys)
        record = RecordChange("vpes", vpe_id, known, None)
        later = Step(gone.transitions, gone.edits, records=(record,))
        return (Plan(VPT, f"VMAPP of vPE {vpe_id}", later=later),)

    def _resident(self, vpt_addr: int, vpe_id: int) -> bool:
        """Whether a redistributor has the vPE loaded: its tables are in use although the ITS has unmapped it."""
        el2 = self._el2
        for cpu in range(el2.cpus):
            at = el2.where.gicr + cpu * el2.where.gicr_stride + GICR_VPENDBASER.OFFSET
            value = el2.bus.read(at, 8)
            if self._state.typer.vmapp:
                loaded = GICR_VPENDBASER_V41.decode(value)
                if loaded.valid and loaded.vpe_id == vpe_id:
                    return True
            else:
                pending = GICR_VPENDBASER.decode(value)
                if pending.valid and pending.physical_address == vpt_addr:
                    return True
        return False

    # ---------------------------------------------------------------- the others

    def vpe(self, c: VINVALL | INVDB) -> Checked:
        """A vPE in the records."""
        return self._mapped(c.vpe_id)

    def vsync(self, c: VSYNC) -> Checked:
        """A vPE that the table can have: Linux on GICv4.0 waits for one that it has just unmapped. Nothing is written for it."""
        walked = self._in_table(c.vpe_id)
        return (walked,) if isinstance(walked, Plan) else walked

    def vmapti(self, c: VMAPTI) -> Checked:
        """Device and event, vPE, virtual INTID, doorbell."""
        return self._map_event(c, c.virtual_intid)

    def vmapi(self, c: VMAPI) -> Checked:
        """As VMAPTI, the EventID being the virtual INTID."""
        return self._map_event(c, c.event_id)

    def _map_event(self, c: VMAPTI | VMAPI, virtual_intid: int) -> Checked:
        return (
            self._physical.device(c.device_id, c.event_id)
            or self._mapped(c.vpe_id)
            or self._virtual_intid(c.vpe_id, virtual_intid)
            or self._doorbell(c.doorbell_intid)
        )

    def vmovi(self, c: VMOVI) -> Checked:
        """Device and event, the new vPE, and the doorbell if it changes."""
        wrong = self._physical.device(c.device_id, c.event_id) or self._mapped(c.vpe_id)
        return wrong or (self._doorbell(c.doorbell_intid) if c.d else None)

    def vmovp(self, c: VMOVP | VMOVP_V41) -> Checked:
        """VPE and target; ITSList must name ITSs that exist, or the command waits for ever."""
        wrong = self._mapped(c.vpe_id) or self._physical.redistributor(c.rd_base)
        if wrong is None and not self._state.typer.vmovp and c.its_list >= 1 << len(self._el2.bus.its):
            return Reason.ITS_LIST_UNKNOWN
        if wrong is None and isinstance(c, VMOVP_V41) and c.db:
            return self._doorbell(c.default_doorbell)
        return wrong

    def vsgi(self, c: VSGI) -> Checked:
        """vPE; the field for the virtual SGI holds no number beyond 15."""
        return self._mapped(c.vpe_id)

    # ---------------------------------------------------------------- ladders

    def _mapped(self, vpe_id: int) -> Reason | None:
        return None if vpe_id in self._state.vpes else Reason.VPE_NOT_MAPPED

    def _virtual_intid(self, vpe_id: int, intid: int) -> Reason | None:
        limit = intid_limit(self._state.vpes[vpe_id][1])
        return None if is_lpi(intid) and intid < limit else Reason.VINTID_RANGE

    def _doorbell(self, intid: int) -> Reason | None:
        usable = intid == NO_DOORBELL or self._physical.intid(intid) is None
        return None if usable else Reason.DOORBELL_RANGE
