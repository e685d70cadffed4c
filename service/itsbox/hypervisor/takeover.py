"""``__pkvm_init_its_emulation``: the ITS changes hands (RFC, patches 6, 7 and 14).

Five stages, each a function that adds to what has been taken: private state, the page with the host's pointers, the queues, the
tables, and the devices that were mapped before. A stage that fails answers its reason; what happens then to the stages before it
is knob ``setup_undo``.

Everything taken is a plan committed through ``Ownership``, so "give everything back" is the inverse of what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_TYPER,
    TABLE_COLLECTIONS,
    baser_address,
    baser_bytes,
    baser_page_size,
    cbaser_bytes,
)
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry
from itsbox.arch.layout import Register
from itsbox.arch.memory_attributes import INNER_SHAREABLE
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, align_down, is_aligned, pfn_of
from itsbox.events import SHADOW_TABLE
from itsbox.hypervisor.el2 import El2, El2Stop
from itsbox.hypervisor.host_tables import HOST_TABLES_BYTES, HostTables, its_baser, kern_hyp_va
from itsbox.hypervisor.its_state import ItsState, TableRecord, table_record
from itsbox.hypervisor.l1_sync import l1_address
from itsbox.hypervisor.preswitch import adopt_devices
from itsbox.hypervisor.tracking import ITT
from itsbox.memory.ownership import DONATE, PIN, SHARE, Transition, inverse
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hardware.its import Its

__all__ = ["CAUSE", "Request", "Taken", "give_back", "read_register", "take_its"]

CAUSE: Final = "take-over of the ITS"
_MAX_ORDER: Final = 52
"""An order above this makes a range that no memory can hold; the kernel's shift would be undefined."""
_PRIVATE_HEADER: Final = 48
"""Where in the private page the RFC's array of tracked page frames begins (its_priv_state, our arithmetic)."""


class Request(NamedTuple):
    """What the host asks for: the ITS's number and address, private state and its pages, the page of pointers."""

    number: int
    base: int
    private: int
    pages: int
    shadow: int


class Taken:
    """What a take-over in progress has done: transitions in order, and how far it came (``stage``)."""

    __slots__ = ("before_tables", "done", "el2", "private", "stage", "state")

    def __init__(self, el2: El2) -> None:
        self.el2 = el2
        self.done: list[Transition] = []
        self.private: list[Transition] = []
        self.before_tables = 0
        self.stage = "private"
        self.state: ItsState | None = None

    def take(self, *plan: Transition) -> Reason | None:
        """Commit one more plan."""
        denied = self.el2.ownership.commit(plan, CAUSE)
        if denied is None:
            self.done += plan
        return denied


def read_register(el2: El2, base: int, register: type[Register], n: int = 0) -> int:
    """Read element ``n`` of a register of the ITS at ``base``."""
    return el2.bus.read(base + register.OFFSET + n * register.STRIDE, register.SIZE)


def take_its(taken: Taken, its: Its, request: Request) -> ItsState | Reason:
    """Take an ITS over. On a refusal the caller decides what ``taken`` gives back."""
    el2 = taken.el2
    denied = _take_private(taken, request)
    if denied is not None:
        return denied
    tables = HostTables.decode(el2.load(kern_hyp_va(request.shadow), HOST_TABLES_BYTES))
    believed = _VALUES[el2.knobs["setup_values"]](el2, request.base, tables)
    if believed is not None:
        return believed
    taken.stage = "queue"
    denied = _take_queues(taken, tables)
    if denied is not None:
        return denied
    taken.stage = "tables"
    state = taken.state = _state(el2, its, request, tables)
    taken.before_tables = len(taken.done)
    for table in state.tables:
        denied = _take_table(taken, state, table, tables.tables[table.n].order)
        if denied is not None:
            return denied
    taken.stage = "devices"
    if el2.knobs["preswitch_devices"] == "walked":
        denied = adopt_devices(el2, state)
        if denied is not None:
            return denied
    taken.stage = "done"
    if el2.knobs["private_page"] == "kept":
        _inherit(el2, state, request)
    return state


# ---------------------------------------------------------------- private state


def _take_private(taken: Taken, request: Request) -> Reason | None:
    """The private state and the page of pointers become the hypervisor's."""
    el2 = taken.el2
    private, shadow = kern_hyp_va(request.private), kern_hyp_va(request.shadow)
    if el2.knobs["setup_values"] != "trusted" and not (
        request.pages > 0 and is_aligned(private, PAGE_SIZE) and is_aligned(shadow, PAGE_SIZE)
    ):
        return Reason.POINTER_UNALIGNED
    donated = Transition(DONATE, pfn_of(private), request.pages)
    denied = taken.take(donated)
    if denied is not None:
        return denied
    taken.private = [donated]
    if el2.knobs["private_page"] == "zeroed":
        el2.zero(align_down(private, PAGE_SIZE), request.pages << PAGE_SHIFT)
    return taken.take(Transition(DONATE, pfn_of(shadow)))


def _inherit(el2: El2, state: ItsState, request: Request) -> None:
    """The RFC: what the host left in the page counts as frames that have been tracked."""
    page = el2.load(align_down(kern_hyp_va(request.private), PAGE_SIZE), PAGE_SIZE)
    found = {int.from_bytes(page[at : at + 8], "little") for at in range(_PRIVATE_HEADER, PAGE_SIZE, 8)}
    el2.tracking.apply(((ITT, state.number, -1, pfn), 1) for pfn in sorted(found - {0}))


# ---------------------------------------------------------------- what is believed


def _believe(el2: El2, base: int, tables: HostTables) -> Reason | None:
    """The RFC. A queue without room for a command is not one that any version could run."""
    return None if tables.cmdq_len >= COMMAND_SIZE else Reason.QUEUE_MISMATCH


def _believe_aligned(el2: El2, base: int, tables: HostTables) -> Reason | None:
    """v2: whole pages, and a copy for each two-level table."""
    queue = (tables.cmd_shadow, tables.cmd_original, tables.cmdq_len)
    if not tables.cmdq_len or not all(is_aligned(value, PAGE_SIZE) for value in queue):
        return Reason.POINTER_UNALIGNED
    for row in tables.tables:
        register = GITS_BASER.decode(row.val)
        if register.valid and not (is_aligned(row.base, PAGE_SIZE) and is_aligned(row.shadow, PAGE_SIZE)):
            return Reason.POINTER_UNALIGNED
        if register.valid and register.indirect and not row.shadow:
            return Reason.TABLE_WITHOUT_COPY
    return None


def _verify(el2: El2, base: int, tables: HostTables) -> Reason | None:
    """Own: the registers say what hardware uses, and the queue must be drained."""
    aligned = _believe_aligned(el2, base, tables)
    if aligned is not None:
        return aligned
    cbaser = GITS_CBASER.decode(read_register(el2, base, GITS_CBASER))
    named = (tables.cmd_original, tables.cmdq_len)
    if not cbaser.valid or named != (cbaser.physical_address, cbaser_bytes(cbaser)):
        return Reason.QUEUE_MISMATCH
    creadr = GITS_CREADR.decode(read_register(el2, base, GITS_CREADR))
    cwriter = GITS_CWRITER.decode(read_register(el2, base, GITS_CWRITER))
    if creadr.offset != cwriter.offset or creadr.offset >= tables.cmdq_len:
        return Reason.QUEUE_BUSY
    for n, row in enumerate(tables.tables):
        mismatch = _verify_table(GITS_BASER.decode(read_register(el2, base, GITS_BASER, n)), row)
        if mismatch is not None:
            return mismatch
    return None


def _verify_table(register: GITS_BASER, row: its_baser) -> Reason | None:
    if not register.valid:
        return Reason.TABLE_MISMATCH if GITS_BASER.decode(row.val).valid else None
    shape = (row.base, PAGE_SIZE << min(row.order, _MAX_ORDER), row.psz)
    if shape != (baser_address(register), baser_bytes(register), baser_page_size(register)):
        return Reason.TABLE_MISMATCH
    if register.indirect:
        return None if row.shadow and row.shadow != row.base else Reason.TABLE_WITHOUT_COPY
    return None


_VALUES: Final = {"trusted": _believe, "aligned": _believe_aligned, "verified": _verify}


# ---------------------------------------------------------------- queues


def _take_queues(taken: Taken, tables: HostTables) -> Reason | None:
    """The host queue is shared and pinned; the hardware's is taken."""
    pages = tables.cmdq_len + PAGE_SIZE - 1 >> PAGE_SHIFT
    host = pfn_of(kern_hyp_va(tables.cmd_shadow))
    return taken.take(Transition(SHARE, host, pages), Transition(PIN, host, pages)) or taken.take(
        Transition(DONATE, pfn_of(kern_hyp_va(tables.cmd_original)), pages)
    )


def _state(el2: El2, its: Its, request: Request, tables: HostTables) -> ItsState:
    """The record of the ITS, before its tables are taken."""
    base, typer = request.base, GITS_TYPER.decode(read_register(el2, request.base, GITS_TYPER))
    verified = el2.knobs["setup_values"] == "verified"
    values = [read_register(el2, base, GITS_BASER, n) if verified else row.val for n, row in enumerate(tables.tables)]
    records = []
    if el2.knobs["table_hiding"] == "on":
        for n, (value, row) in enumerate(zip(values, tables.tables, strict=True)):
            if GITS_BASER.decode(value).valid:
                host_l1 = kern_hyp_va(row.shadow) if GITS_BASER.decode(value).indirect else 0
                records.append(table_record(n, value, host_l1, typer, kern_hyp_va(row.base)))
    cbaser = GITS_CBASER.decode(read_register(el2, base, GITS_CBASER))
    state = ItsState(
        number=request.number,
        its=its,
        base=base,
        typer=typer,
        hw_queue=kern_hyp_va(tables.cmd_original),
        hw_bytes=tables.cmdq_len,
        host_queue=kern_hyp_va(tables.cmd_shadow),
        host_bytes=tables.cmdq_len,
        cbaser=cbaser.word(),
        base_values=tuple(values),
        tables=tuple(records),
        pinned=((pfn_of(kern_hyp_va(tables.cmd_shadow)), tables.cmdq_len + PAGE_SIZE - 1 >> PAGE_SHIFT),),
    )
    offset = _START[el2.knobs["start_offset"]](el2, base)
    state.consumed = state.hw_offset = offset if offset < tables.cmdq_len else 0
    state.host_cwriter = _at_cwriter(el2, base)
    state.enabled = bool(GITS_CTLR.decode(read_register(el2, base, GITS_CTLR)).enabled)
    state.needs_flush = cbaser.shareability != INNER_SHAREABLE
    return state


def _at_creadr(el2: El2, base: int) -> int:
    return GITS_CREADR.decode(read_register(el2, base, GITS_CREADR)).offset


def _at_cwriter(el2: El2, base: int) -> int:
    return GITS_CWRITER.decode(read_register(el2, base, GITS_CWRITER)).offset


_START: Final[dict[str, Callable[[El2, int], int]]] = {
    "zero": lambda el2, base: 0,
    "creadr": _at_creadr,
    "cwriter": _at_cwriter,
}


# ---------------------------------------------------------------- tables


def _take_table(taken: Taken, state: ItsState, table: TableRecord, order: int) -> Reason | None:
    """Level 1 or the flat table is taken; the host's copy of level 1 is shared and pinned; then the last level."""
    pages = 1 << min(order, _MAX_ORDER)
    denied = taken.take(Transition(DONATE, pfn_of(table.base), pages))
    if denied is not None or not table.indirect:
        return denied
    copy = (pfn_of(table.host_l1), pages)
    denied = taken.take(Transition(SHARE, *copy), Transition(PIN, *copy))
    if denied is not None:
        return denied
    state.pinned += (copy,)
    taken.el2.log.emit(SHADOW_TABLE, table.name, -1, table.base, table.host_l1)
    if table.type == TABLE_COLLECTIONS and taken.el2.knobs["collection_l2"] == "host":
        return None
    return _take_last_level(taken, state, table)


def _take_last_level(taken: Taken, state: ItsState, table: TableRecord) -> Reason | None:
    """Each level-2 page that the hardware's level 1 names."""
    el2 = taken.el2
    clean = el2.knobs["reserved_bits"] == "cleared"
    level_1 = el2.load(table.base, table.length)
    present = state.present.setdefault(table.n, set())
    for index in range(table.length // L1_ENTRY_SIZE):
        word = int.from_bytes(level_1[index * L1_ENTRY_SIZE : (index + 1) * L1_ENTRY_SIZE], "little")
        if not word or not L1Entry.decode(word).valid:
            continue
        addr = L1Entry.decode(word).address
        if clean and not is_aligned(addr, table.page_bytes):
            return Reason.L2_UNUSABLE
        if taken.take(Transition(DONATE, pfn_of(addr), table.page_bytes >> PAGE_SHIFT)) is not None:
            return Reason.L2_UNUSABLE
        if clean:
            el2.write(l1_address(table.base, index), L1Entry(address=addr, valid=1).encode()[0])
        present.add(index)
    if clean:
        el2.interconnect.clean(table.base, table.length)
    return None


# ---------------------------------------------------------------- unwinding


def give_back(taken: Taken) -> None:
    """Take back what a failed take-over did, as knob ``setup_undo`` has it. Raises El2Stop where that goes wrong."""
    _UNDO[taken.el2.knobs["setup_undo"]](taken)


def _undo_all(taken: Taken) -> None:
    """Own: memory as it was."""
    taken.el2.ownership.commit(inverse(taken.done), CAUSE)


def _undo_partial(taken: Taken) -> None:
    """v2: a countdown of an unsigned number never ends where the host queue could not be shared; one private page returns."""
    if taken.stage == "queue":
        raise El2Stop(Reason.EL2_HANG)
    rest = [step for step in taken.done if step not in taken.private]
    first = [step._replace(pages=1) for step in taken.private]
    taken.el2.ownership.commit(inverse([*first, *rest]), CAUSE)


def _undo_broken(taken: Taken) -> None:
    """The RFC: each step undoes itself and no other; the one of two-level tables walks a wild pointer."""
    if taken.stage == "queue":
        undone = [step for step in taken.done if step.verb in (SHARE, PIN)]
    elif taken.stage == "tables":
        undone = taken.done[taken.before_tables :]
        if any(step.verb == SHARE for step in undone):
            raise El2Stop(Reason.EL2_FAULT)
    else:
        undone = []
    taken.el2.ownership.commit(inverse(undone), CAUSE)


_UNDO: Final = {"full": _undo_all, "partial": _undo_partial, "broken": _undo_broken}
