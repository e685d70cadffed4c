"""The specification of the switch-over, of traps, and of vPEs and level-2 pages, over abstract state alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.its_commands import INT, INVDB, MAPD, NO_DOORBELL, VMAPP, VMAPP_V41
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR
from itsbox.arch.layout import Layout
from itsbox.ops import (
    Aborted,
    Bytes,
    Done,
    Fill,
    Hvc,
    HvcReturn,
    MmioRead,
    MmioWrite,
    Op,
    Outcome,
    Panicked,
    Refused,
    Store,
    Value,
    Verdict,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractPage, AbstractTable, Regions
from itsbox.oracle.spec import Call, Claims, Expected, Facts, settled, specify
from itsbox.reasons import Reason

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
FACTS = Facts(REGIONS, (0x0808_0000, 0x080C_0000), 12, 15, False, cpus=1)
FACTS_V41 = replace(FACTS, vmapp_v41=True)
FACTS_SERIES = replace(FACTS, knobs={"submission": "one_at_a_time", "setup_values": "aligned", "setup_undo": "partial"})
CTLR_ON, CTLR_OFF = (GITS_CTLR.decode(0).replace(enabled=on, quiescent=1).word() for on in (1, 0))
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
SERIES = CLAIMS._replace(commands=False)
OK, EPERM = HvcReturn(0, 0), HvcReturn(0, (1 << 64) - 1, "EPERM", Reason.PAGE_NOT_HOST_OWNED)
GONE = HvcReturn((1 << 64) - 1, 0)
SHARED, PINNED = AbstractPage("host", "hyp"), AbstractPage("host", "hyp", 1)
GUEST, HYP, WITH_GUEST = AbstractPage("guest"), AbstractPage("hyp"), AbstractPage("host", "guest")
CBASER, CTLR, CWRITER = 0x80, 0, 0x88


def _state(
    pages: dict[int, AbstractPage] | None = None, *, phase: str = "deprivileged", its: AbstractIts | None = None
) -> Abstract:
    pages = pages or {}
    taken = {} if phase == "trusted" else {0: its or AbstractIts(0x4100_0000, 0x1_0000, 0)}
    return Abstract(
        phase, pages, taken, dict.fromkeys(((0, "CTLR"), (1, "CTLR")), CTLR_ON), {},
        finalised=frozenset({0} if phase != "trusted" else ()),
        tracked={pfn: page.pins for pfn, page in pages.items() if page.pins},
    )  # fmt: skip


def _judge(
    pre: Abstract,
    op: Op,
    outcome: Outcome,
    *,
    observed: Abstract | None = None,
    claims: Claims = CLAIMS,
    facts: Facts = FACTS,
) -> Expected:
    return specify(pre, Call(op, outcome, observed or pre, facts, claims))


def _done(*commands: Layout, verdict: str = Verdict.EXECUTED) -> Done:
    return Done([(n, c.NAME, c.encode(), verdict, None, None) for n, c in enumerate(commands)])  # type: ignore[misc]


def _write(register: int = CWRITER, base: int = 0x0808_0000, size: int = 8) -> MmioWrite:
    return MmioWrite(base + register, size, 0x20)


def _pump(pre: Abstract, *commands: Layout, observed: Abstract | None = None, facts: Facts = FACTS) -> Expected:
    """The host writes commands behind those that were looked at, and all are carried out."""
    start = pre.its[0].consumed
    records = [(start // 32 + n, c.NAME, c.encode(), Verdict.EXECUTED, None, None) for n, c in enumerate(commands)]
    op = MmioWrite(0x0808_0000 + CWRITER, 8, start + 32 * len(commands))
    return _judge(pre, op, Done(records), observed=observed, facts=facts)  # type: ignore[arg-type]


# ---------------------------------------------------------------- hypercalls


@pytest.mark.parametrize("function, args, before, after", [
    ("__pkvm_host_share_guest", (0x48000, 0x48000, 2, 0), HOST_ALONE, WITH_GUEST),
    ("__pkvm_host_share_guest", (0x48000, 0x48000, 2, 0), SHARED, None),
    ("__pkvm_host_unshare_guest", (7, 0x48000, 2), WITH_GUEST, HOST_ALONE),
    ("__pkvm_host_unshare_guest", (7, 0x48000, 2), HOST_ALONE, None),
])  # fmt: skip
def test_sharing_with_a_guest(
    function: str, args: tuple[int, ...], before: AbstractPage, after: AbstractPage | None
) -> None:
    """Two pages go from the host alone to the guest's as well, and back; from any other state neither does."""
    pre = _state({pfn: before for pfn in (0x48000, 0x48001) if before != HOST_ALONE})
    right, wrong = (EPERM, OK) if after is None else (OK, EPERM)

    judged = _judge(pre, Hvc(function, args), right)

    assert judged.wrong is None
    expected = {} if after == HOST_ALONE else dict.fromkeys((0x48000, 0x48001), after)
    assert judged.post.pages == (pre.pages if after is None else expected)
    text = (
        "the hypercall succeeded although it is not"
        if after is None
        else "the hypercall was refused although it is legal"
    )
    assert _judge(pre, Hvc(function, args), wrong).wrong == text


def test_a_range_ends_inside_memory() -> None:
    """The last page of RAM may be named, the one behind it not."""
    regions = REGIONS._replace(hyp=range(0), guest=range(0))
    facts = replace(FACTS, regions=regions)
    donate = "__pkvm_host_donate_guest"

    assert _judge(_state(), Hvc(donate, (0x4FFFF, 0, 1)), OK, facts=facts).wrong is None
    assert _judge(_state(), Hvc(donate, (0x4FFFF, 0, 2)), OK, facts=facts).wrong is not None


def test_missing_arguments_read_as_zero_or_are_refused() -> None:
    """A register that the host does not set: a hypervisor may take it for zero, or refuse."""
    donate = Hvc("__pkvm_host_donate_guest", (0x48000,))

    assert _judge(_state(), donate, EPERM) == Expected(_state())
    assert _judge(_state(), donate, OK) == Expected(_state())
    assert _judge(_state(), Hvc("__pkvm_host_share_hyp", ()), OK).wrong is not None


def test_privilege_is_only_lost() -> None:
    """Each call takes one CPU more; with the last one the ITSs that are waited for are disabled, and no page moves."""
    facts = replace(FACTS, cpus=2, knobs={"redistributors": "open"})
    finalize = Hvc("__pkvm_prot_finalize", ())
    pre = _state(phase="trusted")

    first = _judge(pre, finalize, OK, facts=facts).post
    assert (first.phase, set(first.finalised)) == ("deprivileging", {0})
    last = _judge(first, finalize, OK, facts=facts, observed=_registers(first, CTLR_OFF)).post
    assert (last.phase, set(last.finalised)) == ("deprivileging", {0, 1})
    assert last.quiesced == {0: CTLR_ON, 1: CTLR_ON}
    assert last.registers == dict.fromkeys(((0, "CTLR"), (1, "CTLR")), CTLR_OFF)
    assert last.pages == {}
    assert _judge(last, finalize, OK, facts=facts).wrong is not None
    assert _judge(last, finalize, EPERM, facts=facts) == Expected(last)


def _registers(state: Abstract, ctlr: int) -> Abstract:
    return replace(state, registers=dict.fromkeys(state.registers, ctlr))


TAKE_OVER = "__pkvm_init_its_emulation"


@pytest.mark.parametrize("before, after, fine", [
    (HOST_ALONE, HYP, True), (HOST_ALONE, PINNED, True), (SHARED, HYP, True), (PINNED, PINNED, True),
    (PINNED, HYP, False), (GUEST, HYP, False), (WITH_GUEST, HYP, False), (HOST_ALONE, GUEST, False),
])  # fmt: skip
def test_taking_over_takes_from_the_host(before: AbstractPage, after: AbstractPage, fine: bool) -> None:
    """Where the host is believed, which pages change hands is its choice, but each was the host's, and none goes to a guest."""
    pre = _state({0x48000: before} if before != HOST_ALONE else {}, phase="trusted")
    then = replace(_state({0x48000: after}), phase="trusted", finalised=frozenset())
    series = replace(FACTS_SERIES, regions=REGIONS)

    judged = _judge(pre, Hvc(TAKE_OVER, (0x0808_0000, 0, 0)), OK, observed=then, facts=series, claims=SERIES)

    assert judged.wrong is None
    assert (settled(judged, then, REGIONS).pages == then.pages) == fine


def test_a_refused_take_over_leaves_no_trace() -> None:
    """Nothing may change where the hardening promises so; the series leaves pages behind, which its own knobs describe."""
    pre = _state(phase="trusted")

    assert _judge(pre, Hvc(TAKE_OVER, ()), EPERM) == Expected(pre)
    series = _judge(pre, Hvc(TAKE_OVER, (0, 0, 0, 0, 0, 0)), EPERM, claims=SERIES, facts=FACTS_SERIES)
    assert (series.post, [each.part for each in series.loose]) == (pre, ["pages"])


QUEUE, COPY, L1, L2, SHADOW, PRIVATE = 0x48000, 0x48010, 0x48020, 0x48030, 0x48040, 0x48041


def _handed_over() -> tuple[Abstract, Abstract]:
    """A machine before and after its one ITS was taken over: queue, a two-level device table with one page."""
    cbaser = GITS_CBASER.decode(0).replace(valid=1, physical_address=QUEUE << 12, size=0).word()
    baser = GITS_BASER.decode(0).replace(type=1, valid=1, indirect=1, physical_address=L1 << 12).word()
    registers = {
        (0, "CTLR"): CTLR_ON,
        (0, "CBASER"): cbaser,
        **{(0, f"BASER{n}"): 0 for n in range(8)},
        (0, "BASER0"): baser,
    }
    pre = replace(_state(phase="trusted"), registers=registers)
    taken = AbstractIts(
        0x4800_8000, 0x1000, 0, level_2={(1, 0): (L2, 1)}, hw_queue=QUEUE << 12, tables=(AbstractTable(1, L1, 1, COPY),)
    )
    pages = dict.fromkeys((QUEUE, L1, L2, SHADOW, PRIVATE), HYP) | dict.fromkeys((0x48008, COPY), PINNED)
    return pre, replace(pre, pages=pages, its={0: taken})


def test_what_a_take_over_takes_follows_from_the_registers() -> None:
    """Queue, tables, the copies, and the pages that the host named: those and no others."""
    facts = replace(FACTS, its=FACTS.its[:1])
    op = Hvc(TAKE_OVER, (0x0808_0000, PRIVATE << 12, SHADOW << 12))
    pre, then = _handed_over()

    assert _judge(pre, op, OK, observed=then, facts=facts) == Expected(then)
    secret = replace(pre, pages={L2: GUEST})
    assert "not the host's to give" in str(_judge(secret, op, OK, observed=then, facts=facts).wrong)
    elsewhere = then.with_its(0, hw_queue=0x4900_0000)
    assert "GITS_CBASER" in str(_judge(pre, op, OK, observed=elsewhere, facts=facts).wrong)
    other = then.with_its(0, tables=(AbstractTable(1, L1 + 1, 1, COPY),))
    assert "GITS_BASER" in str(_judge(pre, op, OK, observed=other, facts=facts).wrong)


def test_calls_that_are_el2s_own() -> None:
    """Before the switch-over the host is trusted and may try them; after it there is no such call."""
    op = Hvc("__pkvm_host_donate_hyp", (0x48000, 1))
    assert _judge(_state(phase="trusted"), op, OK).post.pages == {0x48000: HYP}
    assert _judge(_state(), op, OK).wrong == "a hypercall that does not exist answered"
    assert _judge(_state(), op, GONE) == Expected(_state())


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("op", [
    Store(0x48000FFC, bytes(8)), Fill(0x48000FFC, 8, 0), MmioRead(0x48000FFC, 8), MmioWrite(0x48000FFC, 8, 0),
])  # fmt: skip
def test_an_access_over_the_end_of_a_page(op: Op) -> None:
    """Stage 2 stops it if either page is not the host's; nothing changes either way."""
    outcome = Value(0) if isinstance(op, MmioRead) else Bytes(b"")
    abort = Aborted(Reason.HYP_MEMORY)
    foreign = _state({0x48001: GUEST})

    assert _judge(_state(), op, outcome) == Expected(_state())
    assert _judge(_state(), op, abort).wrong == "stage 2 stopped the host at its own page"
    assert _judge(foreign, op, abort) == Expected(foreign)
    assert _judge(foreign, op, outcome).wrong == "stage 2 let the host through"
    assert _judge(_state({0x48001: GUEST}, phase="trusted"), op, outcome).wrong is None


def test_an_access_outside_memory_is_not_stage_2s() -> None:
    """No memory, or a range that leaves it, or no bytes at all: nothing is said, and nothing changes."""
    for op in (Store(0x3000_0000, b"1"), Store(0x4FFF_FFFF, b"12"), Store(0x4FF0_0000, b"")):
        for outcome in (Done(), Aborted(Reason.HYP_MEMORY)):
            assert _judge(_state(), op, outcome) == Expected(_state())


# ---------------------------------------------------------------- registers


def _open(judged: Expected) -> set[tuple[str, object]]:
    """(part, key) of every choice whose keys are plain."""
    return {(each.part, key) for each in judged.loose if isinstance(each.keys, set) for key in each.keys}


@pytest.mark.parametrize("phase, claims, facts, loose", [
    ("trusted", CLAIMS, FACTS, {"CBASER", "CREADR", "CWRITER"}),
    ("deprivileged", SERIES, replace(FACTS, knobs={"cbaser_guard": "off"}), {"CBASER", "CREADR", "CWRITER"}),
    ("deprivileged", CLAIMS, FACTS, set()),
])  # fmt: skip
def test_what_a_write_of_gits_cbaser_leaves_open(phase: str, claims: Claims, facts: Facts, loose: set[str]) -> None:
    """Hardware's own register and its pointers where nobody guards it; nothing where the hardening does."""
    pre = _registers(_state(phase=phase), CTLR_OFF)

    judged = _judge(pre, _write(CBASER), Done(), claims=claims, facts=facts)

    assert (judged.wrong, judged.post.pages) == (None, {})
    assert _open(judged) == {("registers", (0, name)) for name in loose}
    assert _judge(pre, _write(CBASER), Refused(Reason.ITS_ENABLED), claims=claims, facts=facts).post == pre


@pytest.mark.parametrize("register", [CBASER, 0x100, 0x90, 0x4, 0x20, 0x3000])
def test_writes_that_must_be_refused(register: int) -> None:
    """While the ITS is enabled its base registers are frozen; GITS_CREADR, read-only and reserved places are at all times."""
    assert _judge(_state(), _write(register), Refused(Reason.ITS_ENABLED)) == Expected(_state())
    assert _judge(_state(), _write(register), Done()).wrong is not None


@pytest.mark.parametrize("register, size, value, node", [
    (CWRITER, 8, 0x20, 0), (CWRITER, 4, 0x20, 0), (CWRITER, 8, 0x20, 1), (CTLR, 4, 1, 0),
])  # fmt: skip
def test_writes_that_run_the_queue(register: int, size: int, value: int, node: int) -> None:
    """GITS_CWRITER and GITS_CTLR of any ITS: commands are judged, hardware's pointers follow, nothing is open."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0)
    late = replace(its, host_cwriter=0x20)  # written while the ITS was disabled
    pre = replace(_state(), its={0: its, 1: its, node: late if register == CTLR else its})
    mapped = MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1)

    judged = _judge(pre, MmioWrite(FACTS.its[node] + register, size, value), _done(mapped), observed=pre)

    assert (judged.wrong, judged.loose) == (None, ())
    assert judged.post.pages == {0x48000: PINNED}
    assert judged.post.tracked == {0x48000: 1}
    assert judged.post.its[node] == replace(late, consumed=0x20, devices={1: (0x4800_0000, 4)})
    assert judged.post.its[1 - node] == its
    assert judged.post.registers[node, "CWRITER"] == judged.post.registers[node, "CREADR"] == 0x20


@pytest.mark.parametrize("outcome", [_done(), _done(INT(device_id=1, event_id=0), INT(device_id=1, event_id=0))])
def test_each_command_is_looked_at_once(outcome: Done) -> None:
    """One that is lost, and one that the host did not write, are differences."""
    assert "were looked at" in str(_judge(_state(), _write(), outcome).wrong)


@pytest.mark.parametrize("value", [0x1_0000, 0x21 | 1 << 40, 0x3])
def test_offsets_that_name_no_slot(value: int) -> None:
    """They are refused as a whole."""
    op = MmioWrite(0x0808_0000 + CWRITER, 8, value)
    assert _judge(_state(), op, Done()).wrong is not None
    assert _judge(_state(), op, Refused(Reason.QUEUE_OFFSET)) == Expected(_state())


def test_where_commands_are_not_promised() -> None:
    """The series' presets reach the pages that a command names and the record of its ITS; no other page, no other ITS."""
    wild = _done(MAPD(device_id=9, size=4, itt_addr=0x4800_0000, valid=1))
    judged = _judge(_state(), _write(), wild, claims=SERIES, facts=FACTS_SERIES)

    pages = [each.keys for each in judged.loose if each.part == "pages"]
    assert any(0x48000 in keys for keys in pages)
    assert not any(0x48001 in keys or 0x4FF00 in keys for keys in pages)
    assert ("its", (0, "devices")) in _open(judged)
    assert not any(key[0] == 1 for part, key in _open(judged) if part == "its")  # type: ignore[index]
    assert all(each.why for each in judged.loose)


@pytest.mark.parametrize("before, after", [(True, False), (False, True)])
def test_commands_that_wait(before: bool, after: bool) -> None:
    """They may be carried out or taken back at any time: the pages that they hold are open, and the host's; no others."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0)
    stopped = replace(its, waiting=True, stopped=frozenset({0x48000}))
    pre, then = (_state(its=stopped if flag else its) for flag in (before, after))

    judged = _judge(pre, _write(), Done(), observed=then)

    (loose, *_) = [each for each in judged.loose if each.part == "pages"]
    assert 0x48000 in loose.keys
    assert 0x48001 not in loose.keys
    assert loose.allowed(HOST_ALONE, PINNED)
    assert not loose.allowed(HOST_ALONE, GUEST)


def test_one_wrong_command_of_many() -> None:
    """Commands are taken in turn; the first that should not have got there is named."""
    commands = (MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1), INT(device_id=1, event_id=31))

    assert _pump(_state(), *commands).wrong is None
    wrong = _pump(_state(), *commands, INT(device_id=1, event_id=32), INT(device_id=2, event_id=0))
    assert wrong.wrong == "INT of an event beyond its device's table reached the hardware"


def test_an_opcode_that_no_command_has() -> None:
    """It is named."""
    outcome = Done([(0, "", (0x77, 0, 0, 0), Verdict.EXECUTED, None, None)])

    assert _judge(_state(), _write(), outcome).wrong == "opcode 0x77, which no command has, reached the hardware"


@pytest.mark.parametrize("page, whose", [(GUEST, "guest"), (HYP, "hyp"), (WITH_GUEST, "guest")])
def test_a_table_in_memory_of_others_is_named(page: AbstractPage, whose: str) -> None:
    """Whose memory it is stands in the error."""
    mapped = MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1)

    wrong = _judge(_state({0x48000: page}), _write(), _done(mapped)).wrong

    assert wrong == f"a translation table in memory of the {whose} reached the hardware"


# ---------------------------------------------------------------- vPEs


def _vmapp(vpe_id: int, addr: int, conf: int = 0, *, size: int = 13, valid: int = 1, v41: bool = False) -> Layout:
    if v41:
        return VMAPP_V41(
            alloc=1,
            ptz=0,
            vconf_addr=conf,
            default_doorbell=NO_DOORBELL,
            vpe_id=vpe_id,
            rd_base=0,
            valid=valid,
            vpt_size=size,
            vpt_addr=addr,
        )
    return VMAPP(vpe_id=vpe_id, rd_base=0, vpt_addr=addr, vpt_size=size, valid=valid)


def test_a_vpe_holds_its_pending_table() -> None:
    """In units of 64 KB from VMAPP with V = 1 to the next that maps it elsewhere or unmaps it."""
    first, second = range(0x48010, 0x48020), range(0x48020, 0x48040)

    mapped = _pump(_state(), _vmapp(3, 0x4801_0000)).post
    assert mapped.pages == dict.fromkeys(first, PINNED)
    assert mapped.its[0].vpes == {3: (0x4801_0000, 13, 0)}

    moved = _pump(mapped, _vmapp(3, 0x4802_0000, size=19)).post
    assert moved.pages == dict.fromkeys(second, PINNED)
    assert moved.its[0].vpes == {3: (0x4802_0000, 19, 0)}

    gone = _pump(moved, _vmapp(3, 0, valid=0)).post
    assert (gone.pages, gone.its[0].vpes) == ({}, {})
    assert _pump(gone, _vmapp(3, 0, valid=0)).wrong is None  # twice is nothing


def test_a_vpe_of_gicv4_1_holds_its_configuration_table_too() -> None:
    """Bytes for 2 to the power of VPT_size + 1 virtual INTIDs, without the first 8192."""
    mapped = _judge(_state(), _write(), _done(_vmapp(3, 0x4801_0000, 0x4900_0000, v41=True)), facts=FACTS_V41).post
    assert {pfn for pfn in mapped.pages if pfn >= 0x49000} == {0x49000, 0x49001}
    assert mapped.its[0].vpes == {3: (0x4801_0000, 13, 0x4900_0000)}

    gone = _pump(mapped, _vmapp(3, 0, valid=0, v41=True), facts=FACTS_V41).post
    assert gone.pages == {}


@pytest.mark.parametrize("at, what", [
    (0x48010, "a virtual pending table"), (0x4801F, "a virtual pending table"), (0x49001, "a virtual configuration table"),
])  # fmt: skip
def test_a_vpes_tables_in_memory_of_others(at: int, what: str) -> None:
    """Each page counts, and the table is named."""
    mapped = _done(_vmapp(3, 0x4801_0000, 0x4900_0000, v41=True))

    wrong = _judge(_state({at: GUEST}), _write(), mapped, facts=FACTS_V41).wrong

    assert wrong == f"{what} in memory of the guest reached the hardware"


def test_the_layout_of_vmapp_is_the_machines() -> None:
    """On GICv4.0 the words that hold VCONF_addr on GICv4.1 are reserved, and no table is there."""
    command = _vmapp(3, 0x4801_0000, 0x4900_0000, v41=True)

    assert 0x49000 not in _judge(_state(), _write(), _done(command)).post.pages


def test_commands_for_a_vpe_need_it() -> None:
    """INVDB of one that is mapped is fine; of another it is not."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, vpes={3: (0x4801_0000, 13, 0)})

    assert _judge(_state(its=its), _write(), _done(INVDB(vpe_id=3)), facts=FACTS_V41).wrong is None
    wrong = _judge(_state(its=its), _write(), _done(INVDB(vpe_id=4)), facts=FACTS_V41).wrong
    assert wrong == "INVDB of an unmapped vPE reached the hardware"


# ---------------------------------------------------------------- level 2


HAS = {(1, 0): (0x48008, 1)}


@pytest.mark.parametrize("named, wrong", [
    (0x48001, None), (0x48002, "not the host's to give"), (0x48003, "not the host's to give"),
])  # fmt: skip
def test_level_2_pages_come_from_the_host_alone(named: int, wrong: str | None) -> None:
    """With a new level-1 entry, the page that it names becomes the hypervisor's if the host owned it alone; no other does."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, level_2=HAS)
    pre = _state({0x48002: SHARED, 0x48003: GUEST}, its=its)
    then = replace(pre, its={0: replace(its, level_2={**HAS, (1, 5): (named, 1)})})

    judged = _pump(pre, observed=then)

    assert (wrong or "None") in str(judged.wrong)
    if wrong is None:
        assert judged.post.pages == {**pre.pages, named: HYP}
        assert judged.post.its[0].level_2 == {**HAS, (1, 5): (named, 1)}


def test_without_a_new_level_1_entry_no_page_is_taken() -> None:
    """The same pages then are a difference, and an entry that hardware has stays as it is."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, level_2=HAS)
    pre, then = _state(its=its), _state({0x48001: HYP}, its=its)

    assert _pump(pre, observed=then).post.pages == {}
    gone = _pump(pre, observed=_state(its=replace(its, level_2={})))
    assert gone.wrong == "a level-1 entry that hardware uses was changed"


def test_a_machine_that_stopped() -> None:
    """Behind full hardening it never does; elsewhere it did so half way, and no secret page moved."""
    stopped = Panicked(Reason.EL2_FAULT)

    assert _judge(_state(), _write(), stopped).wrong == "the hypervisor stopped the machine"
    judged = _judge(_state(), _write(), stopped, claims=SERIES)
    (pages,) = [each for each in judged.loose if each.part == "pages"]
    assert pages.allowed(HOST_ALONE, HYP)
    assert not pages.allowed(GUEST, HOST_ALONE)
