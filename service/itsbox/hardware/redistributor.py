"""One redistributor: the LPI side in full, and the SGI frame as far as a booting Linux reads it.

Pending and configuration tables are read and written in RAM each time; nothing is cached (see ``lpi``). While EnableLPIs is
clear the redistributor does nothing with them, and RAM keeps the pending bits. GICR_PROPBASER and GICR_PENDBASER stay
writable while it is set, as on QEMU (decision record).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.lpi_tables import (
    intid_limit,
    pending_place,
)
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_IIDR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PIDR4,
    GICR_PROPBASER,
    GICR_SYNCR,
    GICR_TYPER,
    GICR_WAKER,
    SGI_FRAME,
    VLPI_FRAME,
)
from itsbox.arch.values import FIRST_LPI, SPURIOUS_INTID
from itsbox.events import LPI_PENDING
from itsbox.hardware.irq_bank import EDGE, IrqBank
from itsbox.hardware.lpi import assign_pending, highest_pending, pending_intids
from itsbox.hardware.rows import Rows
from itsbox.hardware.vlpi_frame import VlpiFrame
from itsbox.hardware.vlpi_frame_v41 import VlpiFrameV41
from itsbox.memory.interconnect import Initiator, Why

if TYPE_CHECKING:
    from itsbox.events import EventLog
    from itsbox.hardware.profile import Profile
    from itsbox.memory.interconnect import Interconnect

__all__ = ["Redistributor", "typer_of"]

_ASLEEP: Final = GICR_WAKER(processor_sleep=1, children_asleep=1).word()
_AWAKE: Final = GICR_WAKER(processor_sleep=0, children_asleep=0).word()
_PART: Final = 0x93
_KNOWN: Final = 256  # registers of so many CPUs, at least
_CLUSTER: Final = 16  # CPUs that share Aff1; QEMU's virt machine with a GICv3


# A handful of values each, decoded over and over.
@lru_cache(maxsize=_KNOWN)
def _control(word: int) -> GICR_CTLR:
    return GICR_CTLR.decode(word)


@lru_cache(maxsize=_KNOWN)
def _configuration(word: int) -> GICR_PROPBASER:
    return GICR_PROPBASER.decode(word)


@lru_cache(maxsize=_KNOWN)
def _pending(word: int) -> GICR_PENDBASER:
    return GICR_PENDBASER.decode(word)


def typer_of(profile: Profile, cpu: int, cpus: int) -> int:
    """GICR_TYPER of CPU ``cpu`` of ``cpus``: its number, affinity, and Last."""
    aff1, aff0 = divmod(cpu, _CLUSTER)
    shared = GICR_TYPER.decode(profile.gicr_typer)
    return shared.replace(processor_number=cpu, last=int(cpu == cpus - 1), affinity_value=aff1 << 8 | aff0).word()


class Redistributor:
    """GICR of one CPU.

    Invariant: ``propbaser``, ``pendbaser`` are as written; ``config_table``, ``id_bits``, ``limit`` (the first INTID that these
    do not reach) and ``pending_table`` follow from them.
    Owned by: the machine.
    """

    __slots__ = (
        "_read_only", "bank", "config_table", "cpu", "enable_lpis", "id_bits", "interconnect", "limit", "log",
        "pendbaser", "pending_table", "profile", "propbaser", "typer", "vlpi", "waker",
    )  # fmt: skip

    def __init__(self, profile: Profile, cpu: int, cpus: int, interconnect: Interconnect, log: EventLog) -> None:
        self.profile = profile
        self.cpu = cpu
        self.interconnect = interconnect
        self.log = log
        self.typer = typer_of(profile, cpu, cpus)
        self._read_only = GICR_CTLR.decode(profile.gicr_ctlr)
        self.enable_lpis = False
        self.waker = _ASLEEP
        self.bank = IrqBank(1, fixed_config=1, config=[EDGE, 0])
        self.vlpi = VlpiFrameV41(self) if profile.gicv4_1 else VlpiFrame(self)
        self.set_propbaser(0)
        self.set_pendbaser(0)

    # ---------------------------------------------------------------- the port

    def read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes at ``offset`` of this redistributor's frames; 0 where nothing answers."""
        if offset < SGI_FRAME:
            return _ROWS.read(self, offset, size)
        if offset < VLPI_FRAME:
            return self.bank.read(offset - SGI_FRAME, size) or 0
        return self.vlpi.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; ignored where nothing answers."""
        if offset < SGI_FRAME:
            _ROWS.write(self, offset, size, value)
        elif offset < VLPI_FRAME:
            self.bank.write(offset - SGI_FRAME, size, value)
        else:
            self.vlpi.write(offset, size, value)

    def state(self) -> tuple[Any, ...]:
        """Everything that decides future behaviour, as plain data."""
        return (self.enable_lpis, self.waker, self.propbaser, self.pendbaser, self.bank.state(), self.vlpi.state())

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        self.enable_lpis, self.waker, propbaser, pendbaser, bank, vlpi = state
        self.interconnect.moves += 1
        if propbaser != self.propbaser:
            self.set_propbaser(propbaser)
        if pendbaser != self.pendbaser:
            self.set_pendbaser(pendbaser)
        self.bank.set_state(bank)
        self.vlpi.set_state(vlpi)

    # ---------------------------------------------------------------- registers

    @property
    def ctlr(self) -> int:
        """GICR_CTLR as it reads: EnableLPIs can be cleared again (CES)."""
        return self._read_only.replace(enable_lpis=int(self.enable_lpis)).word()

    def set_ctlr(self, value: int) -> None:
        """Write GICR_CTLR."""
        self.enable_lpis = bool(_control(value).enable_lpis)
        self.interconnect.moves += 1

    def set_waker(self, value: int) -> None:
        """Write GICR_WAKER: ChildrenAsleep follows ProcessorSleep at once."""
        sleep = GICR_WAKER.decode(value).processor_sleep
        self.waker = _ASLEEP if sleep else _AWAKE

    def set_propbaser(self, value: int) -> None:
        """Write GICR_PROPBASER: where the configuration table lies and how many INTIDs it covers."""
        self.propbaser = value
        self.interconnect.moves += 1
        register = _configuration(value)
        self.config_table = register.physical_address
        self.id_bits = min(register.id_bits, self.profile.gicr_idbits)
        self.limit = intid_limit(self.id_bits)

    def set_pendbaser(self, value: int) -> None:
        """Write GICR_PENDBASER: where the pending table lies. PTZ has no effect: RAM is read as it is."""
        self.pendbaser = value
        self.interconnect.moves += 1
        self.pending_table = _pending(value).physical_address

    def invalidate(self, register: GICR_INVLPIR | GICR_INVALLR) -> None:
        """A write to GICR_INVLPIR or GICR_INVALLR: no configuration is cached, so at most a vPE is looked up (GICv4.1)."""
        if register.v and isinstance(self.vlpi, VlpiFrameV41):
            self.vlpi.invalidate(register.vpe_id)

    # ---------------------------------------------------------------- LPIs

    def assign_pending(self, intid: int, level: bool) -> None:
        """Make an LPI pending or not; lost when LPIs are off or the INTID lies beyond PROPBASER.IDbits."""
        if self.enable_lpis and FIRST_LPI <= intid < self.limit:
            self._set_pending(intid, level)

    def _set_pending(self, intid: int, level: bool) -> None:
        changed = assign_pending(self.interconnect, self.pending_table, intid, level, Why.PENDING)
        if changed and level:
            self.log.emit(LPI_PENDING, intid, self.cpu, None)

    def is_pending(self, intid: int) -> bool:
        """Whether the pending bit of an LPI is set in memory."""
        offset, bit = pending_place(intid)
        byte = self.interconnect.read(Initiator.GICR, self.pending_table + offset, 1, Why.PENDING)
        return byte is not None and bool(byte >> bit & 1)

    def move_pending(self, intid: int, target: Redistributor) -> None:
        """MOVI: an LPI that is pending here becomes pending there instead.

        As on QEMU, the two IDbits bound the bytes of the tables here and not the INTID, so that an LPI moves to a
        redistributor which would not take it from INT (decision record).
        """
        offset, _ = pending_place(intid)
        if not self.enable_lpis or not target.enable_lpis or offset >= intid_limit(min(self.id_bits, target.id_bits)):
            return
        if self.is_pending(intid):
            self._set_pending(intid, False)
            target._set_pending(intid, True)

    def move_all_pending(self, target: Redistributor) -> None:
        """MOVALL: everything pending here, as far as both IDbits reach, becomes pending there instead."""
        if not self.enable_lpis or not target.enable_lpis:
            return
        limit = intid_limit(min(self.id_bits, target.id_bits))
        for intid in self.pending():
            if intid < limit:
                self._set_pending(intid, False)
                target._set_pending(intid, True)

    def pending(self) -> list[int]:
        """The pending LPIs of this redistributor, ascending."""
        return pending_intids(self.interconnect, self.pending_table, self.id_bits, Why.PENDING)

    def acknowledge(self) -> int:
        """The highest-priority pending enabled LPI, no longer pending then; or 1023."""
        if not self.enable_lpis:
            return int(SPURIOUS_INTID)
        pending = self.pending()
        intid = highest_pending(self.interconnect, pending, self.config_table, self.id_bits)
        if intid != SPURIOUS_INTID:
            self.assign_pending(intid, False)
        return intid


_ROWS: Final[Rows[Redistributor]] = Rows()
_ROWS.row32(GICR_CTLR.OFFSET, lambda gicr: gicr.ctlr, Redistributor.set_ctlr)
_ROWS.row32(GICR_IIDR.OFFSET, lambda gicr: gicr.profile.gicr_iidr)
_ROWS.row64(GICR_TYPER.OFFSET, lambda gicr: gicr.typer)
_ROWS.row32(GICR_WAKER.OFFSET, lambda gicr: gicr.waker, Redistributor.set_waker)
_ROWS.row64(GICR_PROPBASER.OFFSET, lambda gicr: gicr.propbaser, Redistributor.set_propbaser)
_ROWS.row64(GICR_PENDBASER.OFFSET, lambda gicr: gicr.pendbaser, Redistributor.set_pendbaser)
_ROWS.row64(GICR_INVLPIR.OFFSET, lambda _: 0, lambda gicr, value: gicr.invalidate(GICR_INVLPIR.decode(value)))
_ROWS.row64(GICR_INVALLR.OFFSET, lambda _: 0, lambda gicr, value: gicr.invalidate(GICR_INVALLR.decode(value)))
_ROWS.row32(GICR_SYNCR.OFFSET, lambda _: 0)


def _id_row(n: int) -> None:
    _ROWS.row32(GICR_PIDR4.OFFSET + 4 * n, lambda gicr: gicr.profile.frame_id(n, _PART))


for _n in range(12):
    _id_row(_n)
