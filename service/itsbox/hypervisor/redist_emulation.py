"""Redistributors behind the hypervisor: their LPI tables are memory that hardware reads and writes on the host's word.

Per redistributor, the states of docs/explanation/dma-surface.md 9:

* before ``__pkvm_init_redist_emulation``: GICR_CTLR reads RWP, so that the driver waits; writes are refused;
* LPIs off: GICR_PROPBASER and GICR_PENDBASER take legal fields and nothing is in use;
* enabling: redistributors that share a configuration table must agree, both tables are held (shared and pinned), then
  EnableLPIs is forwarded;
* LPIs on: both registers are frozen;
* disabling: EnableLPIs is cleared first, and the tables let go once it reads zero and RWP is clear.

The series' RFC and v2 leave all this open (knob ``redistributors``); Android has it for physical LPIs. The frame of virtual LPIs
is in ``vlpi_frame``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.layout import Access, Register
from itsbox.arch.lpi_tables import MIN_ID_BITS, config_table_bytes, pending_table_bytes
from itsbox.arch.redist_registers import (
    GICR_CLRLPIR,
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PARTIDR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_TYPER,
    REGISTERS,
    REGISTERS_V4,
    REGISTERS_V41,
    SGI_FRAME,
    VLPI_FRAME,
    register_at,
)
from itsbox.arch.values import PAGE_SIZE, SIZE_64K, align_up, is_aligned, pages_of, pfn_of
from itsbox.arch.words import high_half, low_half, with_high_half, with_low_half
from itsbox.hypervisor.plan import blame
from itsbox.hypervisor.tracking import CONFIG, PENDING
from itsbox.hypervisor.vlpi_emulation import VlpiEmulation
from itsbox.memory.ownership import DONATE, RECLAIM, Transition
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from itsbox.arch.register_map import Place, RegisterMap
    from itsbox.hypervisor.el2 import El2
    from itsbox.hypervisor.its_state import ItsState
    from itsbox.hypervisor.traps import Access as TrappedAccess

__all__ = ["RedistEmulation"]

FORWARDED: Final = "forwarded"
EMULATED: Final = "emulated"
REFUSED: Final = "refused"
_CAUSE: Final = "LPI tables"


class RedistEmulation:
    """All redistributors of one machine.

    taken: CPUs whose redistributor has been handed over; held: CPU -> the pages of its configuration and pending table while
    they are in use. What is held for vPEs is in ``vlpi``.

    Invariant: ``held`` has a CPU exactly while its EnableLPIs is set and its tables could be held.
    Owned by: the hypervisor.
    """

    __slots__ = ("_registers", "_writes", "el2", "held", "taken", "vlpi")

    def __init__(self, el2: El2, its_states: Callable[[], list[ItsState]]) -> None:
        self.el2 = el2
        self.taken: set[int] = set()
        self.held: dict[int, tuple[range, range]] = {}
        self.vlpi = VlpiEmulation(el2, its_states)
        shared = GICR_TYPER.decode(el2.profile.gicr_typer)
        self._registers: RegisterMap = REGISTERS
        if shared.vlpis:
            self._registers = REGISTERS_V41 if shared.rvpeid else REGISTERS_V4
        self._writes: dict[type[Register], Callable[[int, int], Reason | None]] = {
            GICR_CTLR: self._write_ctlr,
            GICR_PROPBASER: self._write_propbaser,
            GICR_PENDBASER: self._write_pendbaser,
            GICR_INVLPIR: self._write_invlpir,
            GICR_INVALLR: self._write_invallr,
            GICR_SETLPIR: self._refuse_direct,
            GICR_CLRLPIR: self._refuse_direct,
            **self.vlpi.writes(),
        }

    # ---------------------------------------------------------------- hardware

    def base(self, cpu: int) -> int:
        """Address of a redistributor's RD_base."""
        return self.el2.where.gicr + cpu * self.el2.where.gicr_stride

    def _read(self, cpu: int, register: type[Register]) -> int:
        return self.el2.bus.read(self.base(cpu) + register.OFFSET, register.SIZE)

    def _write(self, cpu: int, register: type[Register], value: int) -> None:
        self.el2.bus.write(self.base(cpu) + register.OFFSET, register.SIZE, value)

    def _enabled(self, cpu: int) -> bool:
        ctlr = GICR_CTLR.decode(self._read(cpu, GICR_CTLR))
        return bool(ctlr.enable_lpis or ctlr.rwp)

    # ---------------------------------------------------------------- taking over

    def init(self, dev_addr: int, private: int, pages: int) -> Reason | None:
        """``__pkvm_init_redist_emulation``: one redistributor changes hands; its tables are held if LPIs are on."""
        cpu, rest = divmod(dev_addr - self.el2.where.gicr, self.el2.where.gicr_stride)
        if rest or not 0 <= cpu < self.el2.cpus:
            return Reason.NO_SUCH_REGION
        if cpu in self.taken:
            return Reason.ALREADY_EMULATED
        if self.el2.knobs["setup_values"] == "verified" and not self.el2.stage2.enabled:
            return Reason.WINDOW_CLOSED
        if pages <= 0 or not is_aligned(private, PAGE_SIZE):
            return Reason.POINTER_UNALIGNED
        donated = Transition(DONATE, pfn_of(private), pages)
        denied = self.el2.ownership.commit((donated,), _CAUSE)
        if denied is not None:
            return denied
        self.el2.zero(private, pages * PAGE_SIZE)
        denied = self.vlpi.verify(cpu)
        if denied is None and self._enabled(cpu) and cpu not in self.held:
            denied = self._hold(cpu)
        if denied is not None:
            self.el2.ownership.commit((donated._replace(verb=RECLAIM),), _CAUSE)
            return denied
        self.taken.add(cpu)
        return None

    def quiesce(self) -> None:
        """The window before the take-over, by knob ``takeover_window``: hold what is in use, turn off what cannot be held."""
        for cpu in range(self.el2.cpus):
            self.vlpi.evict(cpu)
            if self._enabled(cpu) and cpu not in self.held and self._hold(cpu) is not None:
                ctlr = GICR_CTLR.decode(self._read(cpu, GICR_CTLR))
                self._write(cpu, GICR_CTLR, ctlr.replace(enable_lpis=0).word())

    # ---------------------------------------------------------------- accesses

    def access(self, access: TrappedAccess) -> tuple[int | Reason, str]:
        """Answer a trapped access: a value (0 for a write) or why not, and what was done."""
        addr, size, value = access
        cpu, offset = divmod(addr - self.el2.where.gicr, self.el2.where.gicr_stride)
        if SGI_FRAME <= offset < VLPI_FRAME:
            return self._forward(access)  # SGIs and PPIs: no address, nobody else's interrupts
        place = register_at(offset, self._registers)
        if place is None:
            unknown = Reason.VLPI_FRAME if offset >= VLPI_FRAME else Reason.IMPDEF_REGISTER
            return (unknown, REFUSED) if self.el2.knobs["impdef_registers"] == "raz_wi" else self._forward(access)
        if not _fits(place, size):
            return Reason.ACCESS_WIDTH, REFUSED
        if place.register.OFFSET >= VLPI_FRAME and self.el2.knobs["vlpi_frame"] == "refused":
            return Reason.VLPI_FRAME, REFUSED
        if value is None:
            return self._answer_read(cpu, place, access)
        return self._answer_write(cpu, place, access)

    def _forward(self, access: TrappedAccess) -> tuple[int | Reason, str]:
        addr, size, value = access
        if value is None:
            return self.el2.bus.read(addr, size), FORWARDED
        self.el2.bus.write(addr, size, value)
        return 0, FORWARDED

    def _shown(self, cpu: int, register: type[Register]) -> int:
        """The register as the host sees it."""
        value = self._read(cpu, register)
        if register is GICR_CTLR and cpu not in self.taken:
            return GICR_CTLR.decode(value).replace(rwp=1).word()
        return self.vlpi.shown(register, value)

    def _answer_read(self, cpu: int, place: Place, access: TrappedAccess) -> tuple[int | Reason, str]:
        register = place.register
        if register not in self._writes or register.ACCESS is Access.WO:
            return self._forward(access)
        value = self._shown(cpu, register)
        if access.size < register.SIZE:
            value = low_half(value) if place.byte == 0 else high_half(value)
        return value, EMULATED

    def _answer_write(self, cpu: int, place: Place, access: TrappedAccess) -> tuple[int | Reason, str]:
        if cpu not in self.taken:
            return Reason.NOT_TAKEN_OVER, REFUSED
        register, value = place.register, access.value or 0
        rule = self._writes.get(register)
        if rule is None:
            fixed = register.ACCESS is Access.RO or register is GICR_PARTIDR
            if fixed and self.el2.knobs["read_only_registers"] == "refused":
                return Reason.REGISTER_READ_ONLY, REFUSED
            return self._forward(access)
        if access.size < register.SIZE:
            # A half of a write-only register leaves the other half zero (IHI 0069H.b, GICR registers).
            now = 0 if register.ACCESS is Access.WO else self._shown(cpu, register)
            value = with_low_half(now, value) if place.byte == 0 else with_high_half(now, value)
        denied = rule(cpu, value)
        return (0, EMULATED) if denied is None else (denied, REFUSED)

    # ---------------------------------------------------------------- rules

    def _write_ctlr(self, cpu: int, value: int) -> Reason | None:
        """EnableLPIs follows holding and letting go of the tables."""
        now, wanted = GICR_CTLR.decode(self._read(cpu, GICR_CTLR)), GICR_CTLR.decode(value)
        if wanted.enable_lpis and not now.enable_lpis and cpu not in self.held:
            denied = self._hold(cpu)
            if denied is not None:
                return denied
        self._write(cpu, GICR_CTLR, value)
        if cpu in self.held and not self._enabled(cpu):
            self._release(cpu)
        return None

    def _write_propbaser(self, cpu: int, value: int) -> Reason | None:
        return self._write_base(cpu, GICR_PROPBASER, value)

    def _write_pendbaser(self, cpu: int, value: int) -> Reason | None:
        return self._write_base(cpu, GICR_PENDBASER, value)

    def _write_base(self, cpu: int, register: type[Register], value: int) -> Reason | None:
        """Frozen while LPIs are on; legal fields only. What it names is judged when LPIs are enabled."""
        if self._enabled(cpu):
            return Reason.LPIS_ENABLED
        self._write(cpu, register, register.decode(value).word())
        return None

    def _write_invlpir(self, cpu: int, value: int) -> Reason | None:
        if GICR_INVLPIR.decode(value).v:
            return Reason.VPE_INVALIDATE
        self._write(cpu, GICR_INVLPIR, value)
        return None

    def _write_invallr(self, cpu: int, value: int) -> Reason | None:
        if GICR_INVALLR.decode(value).v:
            return Reason.VPE_INVALIDATE
        self._write(cpu, GICR_INVALLR, value)
        return None

    def _refuse_direct(self, cpu: int, value: int) -> Reason | None:
        return Reason.DIRECT_LPI

    # ---------------------------------------------------------------- tables

    def _hold(self, cpu: int) -> Reason | None:
        """Hold the tables that the redistributor names; all or nothing."""
        prop = GICR_PROPBASER.decode(self._read(cpu, GICR_PROPBASER))
        if any(self._disagree(prop, cpu, other) for other in self.held):
            return Reason.PROPBASER_DISAGREES
        id_bits = min(max(prop.id_bits, MIN_ID_BITS), self.el2.profile.gicr_idbits)
        config = pages_of(prop.physical_address, align_up(config_table_bytes(id_bits), PAGE_SIZE))
        start = GICR_PENDBASER.decode(self._read(cpu, GICR_PENDBASER)).physical_address
        pending = pages_of(start, align_up(pending_table_bytes(id_bits), SIZE_64K))
        tracking, own = self.el2.tracking, self.el2.ownership
        if any(pfn in tracking.users or pfn in config for pfn in pending):
            return Reason.PENDING_NOT_HOST_OWNED
        for kind, pages in ((CONFIG, config), (PENDING, pending)):
            hold = tracking.hold(kind, cpu, 0, pages)
            denied = hold if isinstance(hold, Reason) else own.commit(hold.transitions, _CAUSE)
            if denied is not None or isinstance(hold, Reason):
                if kind == PENDING:
                    self._let_go(CONFIG, cpu, config)
                return blame(kind, denied) if denied is not None else None
            tracking.apply(hold.edits)
        self.held[cpu] = (config, pending)
        return None

    def _release(self, cpu: int) -> None:
        config, pending = self.held.pop(cpu)
        self._let_go(CONFIG, cpu, config)
        self._let_go(PENDING, cpu, pending)

    def _let_go(self, kind: str, cpu: int, pages: range) -> None:
        tracking = self.el2.tracking
        gone = tracking.release(tracking.keys_of(kind, cpu, 0, pages))
        self.el2.ownership.commit(gone.transitions, _CAUSE)
        tracking.apply(gone.edits)

    def _disagree(self, prop: GICR_PROPBASER, cpu: int, other: int) -> bool:
        """Whether two redistributors share a configuration table (CommonLPIAff) but name different ones."""
        if other == cpu:
            return False
        ours, theirs = (GICR_TYPER.decode(self._read(n, GICR_TYPER)) for n in (cpu, other))
        levels = ours.common_lpi_aff
        if levels and ours.affinity_value >> 8 * (4 - levels) != theirs.affinity_value >> 8 * (4 - levels):
            return False
        named = GICR_PROPBASER.decode(self._read(other, GICR_PROPBASER))
        return (named.physical_address, named.id_bits) != (prop.physical_address, prop.id_bits)

    # ---------------------------------------------------------------- looking and state

    def register_name(self, addr: int) -> str | None:
        """Arm's name of the register at an address, or None."""
        offset = (addr - self.el2.where.gicr) % self.el2.where.gicr_stride
        place = register_at(offset, self._registers)
        return None if place is None else place.name

    def policy(self, addr: int) -> str:
        """What becomes of the host's accesses to a register, in one word or ``read X, write Y``."""
        offset = (addr - self.el2.where.gicr) % self.el2.where.gicr_stride
        place = register_at(offset, self._registers)
        if SGI_FRAME <= offset < VLPI_FRAME:
            return FORWARDED
        guarded = offset >= VLPI_FRAME and self.el2.knobs["vlpi_frame"] == "refused"
        if guarded or (place is None and self.el2.knobs["impdef_registers"] == "raz_wi"):
            return REFUSED
        if place is None:
            return FORWARDED
        if place.register in self._writes:
            return REFUSED if place.register in (GICR_SETLPIR, GICR_CLRLPIR) else EMULATED
        fixed = place.register.ACCESS is Access.RO and self.el2.knobs["read_only_registers"] == "refused"
        return f"read {FORWARDED}, write {REFUSED}" if fixed else FORWARDED

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        held = {cpu: tuple((pages.start, len(pages)) for pages in both) for cpu, both in self.held.items()}
        return {"taken": frozenset(self.taken), "held": held, "vlpi": self.vlpi.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.taken = set(state["taken"])
        self.held = {}
        for cpu, ((config, config_pages), (pending, pending_pages)) in state["held"].items():
            self.held[cpu] = (range(config, config + config_pages), range(pending, pending + pending_pages))
        self.vlpi.set_state(state["vlpi"])


def _fits(place: Place, size: int) -> bool:
    """The whole register, or an aligned half of a 64-bit one."""
    return (size == place.register.SIZE and place.byte == 0) or (
        size == 4 and place.register.SIZE == 8 and place.byte in (0, 4)
    )
