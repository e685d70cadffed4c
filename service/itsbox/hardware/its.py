"""The ITS: its registers, its command queue, and the state that they share with the command functions.

Registers are rows (``_ROWS``, at the end of this file). The queue is worked off synchronously,
inside the register write that made commands visible, so that software that polls GITS_CREADR never waits.

Two error policies (IHI 0069H.b leaves the choice to the implementation): ``ignore`` goes on with the next command, as QEMU
does, and stalls only where a table cannot be read or written; ``stall`` stops at the faulty command, with
GITS_CREADR.Stalled, until GITS_CWRITER.Retry is written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from itsbox.arch.its_commands import COMMAND_SIZE, COMMANDS, OPCODE_MASK, SYNC
from itsbox.arch.its_errors import Cause, CommandError, command_error
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_MPIDR,
    GITS_PIDR4,
    GITS_TYPER,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_VPES,
    cbaser_bytes,
    icid_bits,
    ite_bytes,
)
from itsbox.arch.its_tables import level_2_page, rd_frame
from itsbox.arch.lpi_tables import intid_limit
from itsbox.arch.values import FIRST_LPI
from itsbox.arch.words import with_high_half
from itsbox.events import COMMAND_ERROR, COMMAND_EXECUTED
from itsbox.hardware.its_execute import PHYSICAL, translate
from itsbox.hardware.its_list import ItsList
from itsbox.hardware.its_lookup import EMPTY, Table, table_of
from itsbox.hardware.its_virtual import VIRTUAL
from itsbox.hardware.its_virtual_v41 import VIRTUAL_V41, send_sgi
from itsbox.hardware.rows import Rows
from itsbox.hardware.vlpi_frame_v41 import VlpiFrameV41
from itsbox.hardware.vpe_table import vpe_id_bits
from itsbox.memory.interconnect import Initiator, Shape, Why
from itsbox.ops import Verdict

if TYPE_CHECKING:
    from itsbox.arch.its_tables import VTE_V41
    from itsbox.events import EventLog
    from itsbox.hardware.its_execute import Execute
    from itsbox.hardware.profile import Profile
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.memory.interconnect import Interconnect
    from itsbox.ops import CommandRecord

__all__ = ["Its"]

#: A command in the queue: the four doublewords that all layouts share.
_COMMAND: Final = Shape(SYNC.STRUCT, (COMMAND_SIZE,))
_ITS: Final = Initiator.ITS
_WHY_COMMAND: Final = Why.COMMAND
_EXECUTED: Final = Verdict.EXECUTED
_NOTHING: Final = (0, 0, 0, 0)
_TABLES: Final = {"device": TABLE_DEVICES, "collection": TABLE_COLLECTIONS, "vpe": TABLE_VPES}


# A handful of values each, decoded over and over.
@lru_cache(maxsize=64)
def _control(word: int) -> GITS_CTLR:
    return GITS_CTLR.decode(word)


@lru_cache(maxsize=64)
def _control_word(enabled: int, its_number: int, quiescent: bool) -> int:
    return GITS_CTLR(enabled=enabled, imde=0, its_number=its_number, umsi_irq=0, quiescent=int(quiescent)).word()


@lru_cache(maxsize=64)
def _queue_of(word: int) -> tuple[int, int]:
    """Address and bytes of the queue that a GITS_CBASER describes; no bytes when not Valid."""
    queue = GITS_CBASER.decode(word)
    return queue.physical_address, cbaser_bytes(queue) if queue.valid else 0


#: What a queue makes of an opcode: its name if it has one, how its words are taken apart, and how it is carried out.
_Row: TypeAlias = "tuple[str | None, Callable[..., Any], Execute]"
_UNKNOWN: Final[_Row] = (None, lambda *words: words, lambda _its, _words: Cause.UNKNOWN_COMMAND)


def _commands(profile: Profile) -> dict[int, _Row]:
    """The commands that a profile's ITS knows by name. One of a later architecture is unknown, name and all."""
    names = {op: c.NAME for op, c in COMMANDS.items() if profile.gicv4_1 or c.SINCE != "GICv4.1"}
    rows = PHYSICAL | (VIRTUAL if profile.virtual else {}) | (VIRTUAL_V41 if profile.gicv4_1 else {})
    known = {op: (layout.decode, execute) for op, (layout, execute) in rows.items()}
    return {op: (name, *known.get(op, _UNKNOWN[1:])) for op, name in names.items()}


class Its:
    """One ITS.

    Registers are kept as software wrote them (``ctlr``, ``cbaser``, ``cwriter``, ``creadr``, ``baser``). ``device_table``,
    ``collection_table``, ``vpe_table`` and the queue's place are what the ITS took from them when it was last enabled.
    ``records`` collects what became of each command looked at, until the machine takes them; ``command`` is the one being
    carried out, for whoever watches the interconnect. ``siblings`` are the machine's ITSs, this one included, and ``number`` its
    place among them; ``waiting`` is the sequence number and the ITSList of a VMOVP that the queue stands at because an ITS of the
    list has not come to it, or None; ``released`` is ``ItsList``'s.

    Invariant: ``creadr`` and ``cwriter`` change only in the register rows and in ``run_queue``.
    Owned by: the machine.
    """

    __slots__ = (
        "_places",
        "base",
        "baser",
        "cbaser",
        "checks_invall",
        "checks_vpe",
        "collection_table",
        "command",
        "commands",
        "creadr",
        "ctlr",
        "cwriter",
        "device_id_bits",
        "device_table",
        "event_id_bits",
        "icid_bits",
        "interconnect",
        "ite_bytes",
        "log",
        "lpi_limit",
        "map_bit",
        "number",
        "on_message",
        "policy",
        "profile",
        "queue_base",
        "queue_bytes",
        "records",
        "redistributors",
        "released",
        "siblings",
        "stall_on_error",
        "typer",
        "vpe_table",
        "waiting",
        "wide_vtes",
    )  # fmt: skip

    initiator: ClassVar[int] = Initiator.ITS

    def __init__(
        self,
        profile: Profile,
        base: int,
        interconnect: Interconnect,
        redistributors: list[Redistributor],
        log: EventLog,
        *,
        error_policy: str = "ignore",
        siblings: ItsList | None = None,
    ) -> None:
        self.profile = profile
        self.base = base
        self.interconnect = interconnect
        self.redistributors = redistributors
        self.log = log
        self.stall_on_error = error_policy == "stall"
        self.checks_invall = profile.checks_invall or self.stall_on_error
        self.checks_vpe = profile.checks_vpe or self.stall_on_error
        self.typer = GITS_TYPER.decode(profile.its_typer)
        self.ite_bytes = ite_bytes(self.typer)
        self.event_id_bits = self.typer.id_bits
        self.device_id_bits = self.typer.devbits
        self.icid_bits = icid_bits(self.typer) - 1
        self.lpi_limit = intid_limit(profile.gicr_idbits)
        self.commands = _commands(profile)
        self.wide_vtes = bool(self.typer.vmapp)
        self._join(ItsList() if siblings is None else siblings)
        self.on_message: Callable[[int, int, str], None] | None = None
        self.records: list[CommandRecord] = []
        self.command: tuple[int, str | None, tuple[int, int, int, int]] | None = None
        self.waiting: tuple[int, int] | None = None
        self.released = False
        numbered = self._numbered_by_software()
        self.ctlr: int = self._ctlr_word(enabled=0, its_number=self.number if numbered else 0)
        self.cbaser: int = 0
        self.cwriter: int = 0
        self.creadr: int = 0
        self.baser = list(profile.baser_reset)
        self._places = self._table_registers()
        self._latch()

    def _join(self, siblings: ItsList) -> None:
        """Take the next place among the machine's ITSs. The first one's vPE table is the redistributors' too (SVPET)."""
        self.siblings = siblings
        self.number = len(siblings.nodes)
        self.map_bit = 1 << self.number
        siblings.nodes.append(self)
        for gicr in self.redistributors:
            if isinstance(gicr.vlpi, VlpiFrameV41) and gicr.vlpi.its is None:
                gicr.vlpi.its = self

    # ---------------------------------------------------------------- the port

    def read(self, offset: int, size: int) -> int:
        """Read the control frame: ``size`` bytes at ``offset``; 0 where nothing answers."""
        return _ROWS.read(self, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the control frame; ignored where nothing answers."""
        _ROWS.write(self, offset, size, value)

    def translate(self, device_id: int, event_id: int) -> bool:
        """A write to GITS_TRANSLATER: whether the translation ended at an existing redistributor."""
        return self.enabled and translate(self, device_id, event_id)

    def send_sgi(self, value: int) -> None:
        """A write to GITS_SGIR."""
        send_sgi(self, value)

    @property
    def its_number(self) -> int:
        """GITS_CTLR.ITS_Number, its bit in an ITSList."""
        return _control(self.ctlr).its_number

    @property
    def enabled(self) -> bool:
        """GITS_CTLR.Enabled."""
        return bool(_control(self.ctlr).enabled)

    def state(self) -> dict[str, Any]:
        """Everything that decides future behaviour, as plain data."""
        return {
            "ctlr": self.ctlr,
            "cbaser": self.cbaser,
            "cwriter": self.cwriter,
            "creadr": self.creadr,
            "baser": tuple(self.baser),
            "waiting": self.waiting,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        before = (self.ctlr, self.cbaser, self.baser)
        self.ctlr, self.cbaser = state["ctlr"], state["cbaser"]
        self.cwriter, self.creadr = state["cwriter"], state["creadr"]
        self.baser = list(state["baser"])
        self.interconnect.moves += 1
        self.waiting = state["waiting"]
        self.records, self.command = [], None
        # The base registers are locked while enabled: if they and Enabled are the same, so is what was taken from them.
        if before != (self.ctlr, self.cbaser, self.baser):
            self._latch()

    # ---------------------------------------------------------------- registers

    def set_ctlr(self, value: int) -> None:
        """Write GITS_CTLR: enabling takes the tables over and works the queue off. ITS_Number changes only while disabled."""
        written, old = _control(value), _control(self.ctlr)
        renumbered = self._numbered_by_software() and not old.enabled
        self.ctlr = self._ctlr_word(written.enabled, written.its_number if renumbered else old.its_number)
        self.interconnect.moves += 1
        if written.enabled:
            self._latch()
        else:
            self.waiting = None
        self.siblings.look_again()
        self.process_queue()

    def _ctlr_word(self, enabled: int, its_number: int) -> int:
        # Everything is complete at once: an ITS that is off is quiescent.
        return _control_word(enabled, its_number, not enabled or self.profile.quiescent_while_enabled)

    def _numbered_by_software(self) -> bool:
        """Whether GITS_CTLR.ITS_Number counts: VMOVP goes to each ITS of a list."""
        return self.profile.virtual and not self.typer.vmovp

    def set_cbaser(self, value: int) -> None:
        """Write GITS_CBASER: ignored while enabled; resets GITS_CREADR, Stalled included."""
        if not self.enabled:
            self.cbaser = value & self.profile.cbaser_writable
            self.interconnect.moves += 1
            self.creadr = 0

    def set_cwriter(self, value: int) -> None:
        """Write GITS_CWRITER: new commands, or a retry of the one that stalled. Retry itself reads as zero."""
        written = GITS_CWRITER.decode(value)
        self.cwriter = value - written.retry
        if self.stall_on_error and written.retry:
            self.creadr -= GITS_CREADR.decode(self.creadr).stalled
        self.process_queue()

    def set_cwriter_high(self, half: int) -> None:
        """Write the upper half of GITS_CWRITER, all of it reserved."""
        self.cwriter = with_high_half(self.cwriter, half)

    def set_creadr(self, value: int) -> None:
        """Write GITS_CREADR, where the profile lets software do that."""
        if self.profile.creadr_writable:
            self.creadr = value - GITS_CREADR.decode(value).stalled
            self.waiting = None

    def set_baser(self, n: int, value: int) -> None:
        """Write GITS_BASER<n>: ignored while enabled or where there is no table."""
        if not self.enabled and self.profile.baser_reset[n]:
            writable = self.profile.baser_writable
            self.baser[n] = value & writable | self.profile.baser_reset[n] & ~writable
            self.interconnect.moves += 1

    def _latch(self) -> None:
        """Take the queue and the tables from the registers, as the ITS does when it is enabled."""
        self.queue_base, self.queue_bytes = self.current_queue()
        self.device_table = self.current_table("device")
        self.collection_table = self.current_table("collection")
        self.vpe_table = self.current_table("vpe")

    def _table_registers(self) -> dict[str, tuple[int | None, int]]:
        """For each kind of table its GITS_BASER's number, or None without one, and the width of its ids, minus one."""
        types = [GITS_BASER.decode(value).type for value in self.profile.baser_reset]
        id_bits = {"device": self.device_id_bits, "collection": self.icid_bits, "vpe": vpe_id_bits(self.profile)}
        return {kind: (types.index(t) if t in types else None, id_bits[kind]) for kind, t in _TABLES.items()}

    def current_queue(self) -> tuple[int, int]:
        """Address and bytes of the command queue as GITS_CBASER says now; no bytes when not Valid."""
        return _queue_of(self.cbaser)

    def current_table(self, kind: str) -> Table:
        """The table of a kind (device, collection, vpe) as GITS_BASER says now, in force or not."""
        n, id_bits = self._places[kind]
        return EMPTY if n is None else table_of(self.baser[n], id_bits)

    # ---------------------------------------------------------------- what commands ask

    def l2_page(self, raw: int, page_bytes: int) -> int | None:
        """Address of the level-2 page that a level-1 entry names, or None when it is not valid."""
        return level_2_page(raw, page_bytes, as_qemu=self.profile.l1_as_qemu)

    def is_lpi(self, intid: int) -> bool:
        """Whether an INTID is an LPI that this machine has."""
        return FIRST_LPI <= intid < self.lpi_limit

    def redistributor_of(self, rd_base: int, *, whole: bool = False) -> int | None:
        """Index of the redistributor that a command's RDbase names, or None.

        RDbase is a processor number, or with PTA=1 bits [51:16] of the address of an RD frame (IHI 0069H.b, GITS_TYPER.PTA).
        whole: compare all bits of a number; otherwise those that the profile keeps.
        """
        if self.typer.pta:
            return self.profile.redistributor_at(rd_base, len(self.redistributors))
        number = rd_base if whole else rd_base % (1 << self.profile.rd_base_bits)
        return number if number < len(self.redistributors) else None

    def maps(self, entry: VTE_V41) -> bool:
        """Whether this ITS, and not only another one that shares the vPE table, has a vPE mapped."""
        return bool(entry.its_map & self.map_bit) or len(self.siblings.nodes) == 1

    def followers(self) -> list[Its]:
        """The other ITSs for which a VMOVP given to this one counts too (GITS_TYPER.VMOVP = 1)."""
        return [node for node in self.siblings.nodes if node is not self and node.enabled] if self.typer.vmovp else []

    def message(self, rd_base: int) -> None:
        """A bus message to a redistributor: with PTA=1 it goes to an address, which is the oracle's business."""
        if self.typer.pta and self.on_message is not None:
            self.on_message(_ITS, rd_frame(rd_base), Why.RD_BASE)

    # ---------------------------------------------------------------- the queue

    def process_queue(self) -> None:
        """Carry out the commands in [CREADR, CWRITER), and let ITSs go on that waited for one of them."""
        self.run_queue()
        self.siblings.settle()

    def run_queue(self) -> None:
        """Carry out the commands in [CREADR, CWRITER), until none is left, one stalls or one has to wait."""
        write_offset = GITS_CWRITER.decode(self.cwriter).offset
        read = GITS_CREADR.decode(self.creadr)
        offset = read.offset
        if not self.enabled or write_offset >= self.queue_bytes or offset >= self.queue_bytes:
            return
        if read.stalled and self.stall_on_error:
            return
        self.waiting = None
        while offset != write_offset:
            if self._step(offset):
                following = offset + COMMAND_SIZE
                if following == self.queue_bytes:
                    following = 0
                self.creadr += following - offset  # what else software wrote there stays
                offset = following
            else:
                if self.waiting is None:
                    self.creadr += 1 - read.stalled
                break
        self.command = None

    def _step(self, offset: int) -> bool:
        """Carry out the command at a byte offset of the queue; False when the queue stays at it."""
        slot = offset // COMMAND_SIZE
        found = self.interconnect.unpack(_ITS, self.queue_base + offset, _COMMAND, _WHY_COMMAND)
        words: tuple[int, int, int, int] = self._unread() if found is None else found
        name, decode, execute = self.commands.get(words[0] & OPCODE_MASK, _UNKNOWN)
        self.command = (slot, name, words)
        if found is None and self.profile.queue_fault == "stall":
            cause: Cause | None = Cause.MEMORY_FAULT
        else:
            cause = execute(self, decode(*words))
        if cause is None:
            if self.waiting is not None:
                self.records.append((slot, name, words, Verdict.STALLED, None, None))
                return False
            self.records.append((slot, name, words, _EXECUTED, None, None))
            self.log.items.append((COMMAND_EXECUTED, self.log.step, slot, name, words))
            return True
        return self._fail(slot, name, words, cause)

    def _fail(self, slot: int, name: str | None, words: tuple[int, int, int, int], cause: Cause) -> bool:
        """Record a command that was not carried out; whether the queue goes on."""
        unknown = name is None or cause is Cause.UNKNOWN_COMMAND
        error = CommandError.UNKNOWN_COMMAND if unknown else command_error(name or "", cause)
        stalled = self._stalls(cause)
        verdict = Verdict.STALLED if stalled else Verdict.ERROR
        self.records.append((slot, name, words, verdict, error, None))
        self.log.emit(COMMAND_ERROR, slot, name, words, error, error.code, stalled)
        return not stalled

    def _unread(self) -> tuple[int, int, int, int]:
        """What a command in missing memory reads as."""
        return _NOTHING

    def _stalls(self, cause: Cause) -> bool:
        """Whether the queue stays at a command that failed."""
        return cause is Cause.MEMORY_FAULT or self.stall_on_error


# ---------------------------------------------------------------- register rows

_ROWS: Final[Rows[Its]] = Rows()


def _baser_row(n: int, offset: int) -> None:
    _ROWS.row64(offset, lambda its: its.baser[n], lambda its, value: its.set_baser(n, value))


def _id_row(n: int, offset: int) -> None:
    _ROWS.row32(offset, lambda its: its.profile.its_pidr[n])


_ROWS.row32(GITS_CTLR.OFFSET, lambda its: its.ctlr, Its.set_ctlr)
_ROWS.row32(GITS_IIDR.OFFSET, lambda its: its.profile.its_iidr)
_ROWS.row64(GITS_TYPER.OFFSET, lambda its: its.profile.its_typer)
_ROWS.row32(GITS_MPIDR.OFFSET, lambda its: its.profile.its_mpidr)
_ROWS.row64(GITS_CBASER.OFFSET, lambda its: its.cbaser, Its.set_cbaser)
_ROWS.row64(GITS_CWRITER.OFFSET, lambda its: its.cwriter, Its.set_cwriter)
# The upper half holds no pointer: a write to it alone brings no command and retries none.
_ROWS.writes[GITS_CWRITER.OFFSET + 4, 4] = Its.set_cwriter_high
_ROWS.row64(GITS_CREADR.OFFSET, lambda its: its.creadr, Its.set_creadr)
for _n, _offset in GITS_BASER.elements():
    _baser_row(_n, _offset)
for _n in range(12):
    _id_row(_n, GITS_PIDR4.OFFSET + 4 * _n)
