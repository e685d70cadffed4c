"""What the knobs of tables do, and those of the switch-over that hands them over."""

from __future__ import annotations

from dataclasses import replace as _replace
from struct import Struct

import pytest

from itsbox.arch.its_commands import INT, MAPD, SYNC, VMAPP
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, GITS_CWRITER
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.values import pfn_of
from itsbox.hypervisor.host_tables import HostTables, its_baser
from itsbox.ops import (
    Aborted,
    Done,
    Drive,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    Msi,
    Outcome,
    Panicked,
    Refused,
    Store,
)
from itsbox.reasons import Reason
from tests.hypervisor.box import VALID, Box
from tests.hypervisor.shown import shows

BARE = {"start": "bare"}


def mapd(device_id: int, itt_addr: int, size: int = 3, valid: int = 1) -> MAPD:
    """Map (or unmap) a device."""
    return MAPD(device_id=device_id, size=size, itt_addr=itt_addr, valid=valid)


def errno(outcome: Outcome) -> str | None:
    """The errno of a hypercall's answer."""
    assert isinstance(outcome, HvcReturn), outcome
    return outcome.errno


def devices(box: Box) -> set[str]:
    """DeviceIDs that the ITS has mapped."""
    return set(box.machine.state()["devices"])


# ---------------------------------------------------------------- level 1


@shows("l1_index", 2)
def test_which_level_1_entry_is_mirrored() -> None:
    """RFC: the one with the id's own number, past the end for a large id: a fault at EL2. Strict: the id's entry."""
    rfc = Box("rfc-v1")
    rfc.add_l2(1, rfc.page(1) | VALID)
    assert rfc.post(mapd(8192, rfc.page(0) + 0x100)) == Panicked(Reason.EL2_FAULT)
    assert rfc.hw_l1(1) == 0

    strict = Box()
    strict.add_l2(1, strict.page(1) | VALID)
    assert strict.verdicts(mapd(8192, strict.page(0))) == ["executed"]
    assert L1Entry.decode(strict.hw_l1(1)).address == strict.page(1)
    assert "8192" in devices(strict)


def test_ids_beyond_the_table() -> None:
    """v2: -ENOSPC beyond level 1; strict: refused by the width of DeviceIDs."""
    assert Box("v2").verdicts(mapd(1 << 26, Box().page(0))) == ["l1_index_range"]
    assert Box().verdicts(mapd(65536, Box().page(0))) == ["device_id_range"]


@shows("l1_mask", 7)
def test_how_the_level_2_address_is_taken() -> None:
    """RFC with its index repaired: a new level-2 page means page 0, which is not memory; MAPD is refused."""

    def verdict(preset: str, **knobs: str) -> str:
        box = Box(preset, **knobs)
        box.add_l2(1, box.page(1) | VALID)
        return box.verdicts(mapd(8192, box.page(0) + 0x100))[0]

    assert verdict("rfc-v1", l1_index="correct") == "l2_not_host_owned"
    assert verdict("rfc-v1", l1_index="correct", l1_mask="correct") == verdict("strict") == "executed"


@shows("l1_sync", 22)
def test_commands_before_the_first_mapd() -> None:
    """RFC: INT walks the hardware's stale level 1; strict looks at the host's entry first, and refuses what is not mapped."""
    rfc, strict = Box("rfc-v1"), Box()
    for box in (rfc, strict):
        box.add_l2(1, box.page(1) | VALID)
    command = INT(device_id=8200, event_id=0)

    assert rfc.records(command)[-1][3] == "error"
    assert strict.verdicts(command) == ["device_not_mapped"]
    assert strict.verdicts(INT(device_id=16400, event_id=0)) == ["l1_entry_invalid"]
    assert strict.verdicts(mapd(16400, strict.page(0))) == ["l1_entry_invalid"]


@shows("l1_removal")
def test_a_level_1_entry_that_the_host_clears() -> None:
    """v2 gives the page back although the ITS may use it; strict keeps entry and page."""

    def cleared(preset: str) -> tuple[str, bool]:
        box = Box(preset)
        box.add_l2(1, box.page(1) | VALID)
        box.verdicts(mapd(8192, box.page(0)))
        box.add_l2(1, 0)
        box.verdicts(mapd(8193, box.page(2)))
        return box.describe(box.page(1))[0], bool(L1Entry.decode(box.hw_l1(1)).valid)

    assert cleared("v2") == ("host", False)
    assert cleared("strict") == ("hyp", True)


@shows("new_l2")
def test_what_a_new_level_2_page_holds() -> None:
    """v2: a forged device table entry is used; strict wipes the page first."""

    def forged(preset: str) -> set[str]:
        box = Box(preset)
        box.machine.apply(Store(box.page(1) + 8 * 5, Struct("<Q").pack(1 | 3 << 1 | box.map.hyp >> 8 << 6)))
        box.add_l2(1, box.page(1) | VALID)
        box.verdicts(mapd(8192, box.page(0)))
        return devices(box)

    assert forged("v2") == {"8192", "8197"}
    assert forged("strict") == {"8192"}


@pytest.mark.parametrize("entry", ["misaligned", "hyp", "guest", "twice", "missing"])
def test_a_level_2_page_must_be_the_hosts_alone(entry: str) -> None:
    """Strict: misaligned, foreign, used twice or absent: refused, and nothing is mirrored."""
    box = Box()
    box.add_l2(1, box.page(1) | VALID)
    assert box.verdicts(mapd(8192, box.page(0))) == ["executed"]
    bad = {
        "misaligned": box.page(2) + 0x1000, "hyp": box.map.hyp, "guest": box.map.guest, "twice": box.page(1),
        "missing": 0x9_0000_0000,
    }[entry]  # fmt: skip
    box.add_l2(2, bad | VALID)
    owners = box.owners()

    assert box.verdicts(mapd(16384, box.page(3))) == ["l2_not_host_owned"]
    assert box.hw_l1(2) == 0
    assert box.owners() == owners


def test_reserved_bits_of_a_level_1_entry_do_not_reach_the_hardware() -> None:
    """Strict writes address and Valid; the low bits would move the page on an ITS that does not mask them."""
    box = Box()
    box.add_l2(1, box.page(1) | VALID | 0xFFF)
    box.verdicts(mapd(8192, box.page(0)))

    assert box.hw_l1(1) == box.page(1) | VALID
    assert Box("v2", l1_mask="correct").machine.phase == "deprivileged"


# ---------------------------------------------------------------- hiding


@shows("table_hiding")
def test_the_host_loses_the_hardwares_tables() -> None:
    """Before patch 7 the host edits level 1 and device table entries; from then on it takes an abort."""

    def touch(preset: str) -> list[bool]:
        box = Box(preset)
        level_1 = int(box.machine.tables("device", "hw")["base"], 16)
        level_2 = L1Entry.decode(box.word(level_1)).address
        return [isinstance(box.machine.apply(Store(addr, bytes(8))), Done) for addr in (level_1, level_2)]

    assert touch("rfc-v1@6") == [True, True]
    assert touch("rfc-v1@7") == touch("v2") == touch("strict") == [False, False]


@shows("collection_l2", 14)
def test_level_2_of_the_collection_table() -> None:
    """RFC: it stays with the host, who can forge entries; v2 and strict take it."""

    def owner(preset: str) -> str:
        box = Box(preset, session=BARE)
        tables = box.program(collections=1)
        box.finalise()
        assert errno(box.hand_over(tables)) is None
        return box.describe(box.page(12))[0]

    assert owner("rfc-v1") == "host"
    assert owner("v2") == owner("strict") == "hyp"


def test_flat_tables_are_taken_whole() -> None:
    """A flat device table has no level 1: all of it becomes the hypervisor's, and needs no mirroring."""
    box = Box(session=BARE)
    tables = box.program(indirect=0)
    box.finalise()

    assert errno(box.hand_over(tables)) is None
    assert box.describe(box.page(1) + 0xF000)[0] == "hyp"
    assert box.verdicts(mapd(1, box.page(5))) == ["executed"]
    assert devices(box) == {"1"}


# ---------------------------------------------------------------- taking over


def test_what_changes_hands() -> None:
    """Private state, pointers, hardware queue and tables go; the host queue and the copies of level 1 are pinned."""
    box = Box(session=BARE)
    tables = box.program()
    box.finalise()
    assert box.machine.phase == "deprivileging"
    box.machine.take_events()
    assert errno(box.hand_over(tables)) is None

    assert box.machine.phase == "deprivileged"
    assert box.events("shadow.table") == [
        {"table": "device", "index": -1, "old": hex(box.page(1)), "new": hex(box.page(16))}
    ]
    for n in (0, 1, 2, 8, 30, 31):
        assert box.describe(box.page(n)) == ("hyp", "OWNED", 0), n
    for n in (16, 20):
        assert box.describe(box.page(n)) == ("host", "SHARED_OWNED", 1), n
    assert isinstance(box.machine.apply(Load(box.page(0), 8)), Aborted)
    assert box.verdicts(SYNC(rd_base=0), mapd(1, box.page(5))) == ["executed"] * 2


@shows("setup_lock", 12)
def test_a_refused_take_over_and_its_lock() -> None:
    """RFC: the second call waits for a lock that nobody will release; v2 and strict answer again."""

    def twice(preset: str) -> tuple[str | None, Outcome]:
        box = Box(preset)
        call = Hvc("__pkvm_init_its_emulation", (0x1234_5000, box.page(0), box.page(1)))
        return errno(box.machine.apply(call)), box.machine.apply(call)

    assert twice("rfc-v1") == ("ENODEV", Panicked(Reason.EL2_HANG))
    for preset in ("v2", "strict"):
        first, second = twice(preset)
        assert (first, errno(second)) == ("ENODEV", "ENODEV")


def failing(box: Box, tables: HostTables, what: str) -> HostTables:
    """Pointers that make a stage of the take-over fail."""
    if what == "queue":
        return tables._replace(cmd_shadow=box.map.hyp)
    rows = list(tables.tables)
    rows[1] = _replace(rows[1], base=box.map.guest) if what == "table" else rows[1]
    return tables._replace(tables=tuple(rows))


@shows("setup_undo", 12, 17)
def test_a_take_over_that_fails_half_way() -> None:
    """RFC: pages are lost, or EL2 faults in its unwinding; v2 never ends, or loses a page; strict leaves memory as it was."""

    def attempt(preset: str, what: str) -> tuple[Outcome, bool]:
        box = Box(preset, session=BARE)
        tables = failing(box, box.program(), what)
        box.finalise()
        owners = box.owners()
        outcome = box.hand_over(tables, private=40)
        return outcome, box.owners() == owners

    assert attempt("rfc-v1", "table") == (Panicked(Reason.EL2_FAULT), False)
    outcome, same = attempt("rfc-v1", "queue")
    assert (errno(outcome), same) == ("EPERM", False)
    assert attempt("v2", "queue") == (Panicked(Reason.EL2_HANG), False)
    outcome, same = attempt("v2", "table")
    assert (errno(outcome), same) == ("EPERM", False)
    for what in ("queue", "table"):
        outcome, same = attempt("strict", what)
        assert (errno(outcome), same) in {("EPERM", True), ("EINVAL", True)}


@shows("setup_values")
def test_a_host_that_lies_at_the_switch_over() -> None:
    """RFC: the real queue stays with the host, who goes on writing to it; strict compares with the registers."""

    def lie(preset: str) -> tuple[str | None, str]:
        box = Box(preset, session=BARE)
        tables = box.program()._replace(cmd_original=box.page(50))
        box.finalise()
        return errno(box.hand_over(tables)), box.describe(box.page(0))[0]

    assert lie("rfc-v1") == lie("v2") == (None, "host")
    assert lie("strict") == ("EINVAL", "host")


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"cmdq_len": 0x8000}, Reason.QUEUE_MISMATCH),
        ({"cmdq_len": 0}, Reason.POINTER_UNALIGNED),
        ({"cmd_shadow": 0x4800_0100}, Reason.POINTER_UNALIGNED),
        ({"base": 0x4801_1000}, Reason.TABLE_MISMATCH),
        ({"order": 5}, Reason.TABLE_MISMATCH),
        ({"order": (1 << 32) - 1}, Reason.TABLE_MISMATCH),
        ({"psz": 0x1000}, Reason.TABLE_MISMATCH),
        ({"shadow": 0}, Reason.TABLE_WITHOUT_COPY),
        ({"shadow": 0x4801_0000}, Reason.TABLE_WITHOUT_COPY),
        ({"extra": 1}, Reason.TABLE_MISMATCH),
    ],
)
def test_strict_believes_nothing(change: dict[str, int], expected: Reason) -> None:
    """Each value that the registers do not confirm is -EINVAL, and memory is as before."""
    box = Box(session=BARE)
    tables = box.program()
    rows = list(tables.tables)
    if "extra" in change:
        rows.append(its_baser(base=box.page(60), shadow=box.page(61), val=rows[0].val, order=4, psz=0x1_0000))
    rows[0] = _replace(rows[0], **{k: v for k, v in change.items() if k in its_baser.FIELDS})
    queues = {k: v for k, v in change.items() if k in HostTables._fields}
    box.finalise()
    owners = box.owners()
    outcome = box.hand_over(tables._replace(tables=tuple(rows), **queues))

    assert isinstance(outcome, HvcReturn)
    assert (outcome.reason, outcome.errno) == (expected, "EINVAL")
    assert box.owners() == owners
    assert errno(box.hand_over(tables)) is None


def test_strict_wants_the_queue_drained() -> None:
    """A queue with commands in flight or stalled is -EBUSY."""
    box = Box(session={**BARE, "error_policy": "stall"})
    tables = box.program()
    box.machine.apply(Store(box.page(0), bytes([0x5F, *bytes(31)])))
    box.write(GITS_CWRITER.OFFSET, 32)
    box.finalise()

    outcome = box.hand_over(tables)
    assert isinstance(outcome, HvcReturn)
    assert (outcome.errno, outcome.reason) == ("EBUSY", Reason.QUEUE_BUSY)


def test_existing_level_2_pages_must_be_the_hosts() -> None:
    """Strict: a level-1 entry that names foreign or misaligned memory is -EPERM."""
    for bad in ("hyp", "misaligned"):
        box = Box(session=BARE)
        tables = box.program(indirect=2)
        entry = box.map.hyp if bad == "hyp" else box.page(9) + 0x2000
        box.machine.apply(Store(box.page(1) + 8, (entry | VALID).to_bytes(8, "little")))
        box.finalise()
        outcome = box.hand_over(tables)
        assert isinstance(outcome, HvcReturn)
        assert (outcome.errno, outcome.reason) == ("EPERM", Reason.L2_UNUSABLE)


def test_a_command_without_its_table() -> None:
    """No valid table of the type was handed over: -EINVAL."""
    box = Box(session={**BARE, "profile": "virt-gicv4"})
    tables = box.program()
    box.finalise()
    assert errno(box.hand_over(tables)) is None

    assert box.verdicts(VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=box.page(5))) == ["table_missing"]


def test_an_existing_device_with_a_foreign_table_is_refused() -> None:
    """Strict: a device mapped onto hypervisor memory while the host was trusted is -EPERM at the take-over."""
    box = Box(session=BARE)
    tables = box.program()
    box.machine.apply(Store(box.page(0), MAPD.STRUCT.pack(*mapd(1, box.map.hyp).encode())))
    box.write(GITS_CWRITER.OFFSET, 32)
    box.finalise()
    outcome = box.hand_over(tables)

    assert isinstance(outcome, HvcReturn)
    assert outcome.reason is Reason.DEVICE_UNUSABLE
    assert not GITS_CTLR.decode(box.hardware(GITS_CTLR)).enabled


@shows("private_state")
def test_how_much_private_state_is_donated() -> None:
    """The RFC donates one page; later versions say how many, and none is -EINVAL."""
    rfc, v2 = Box("rfc-v1", session=BARE), Box("v2", session=BARE)
    for box, pages in ((rfc, 1), (v2, 2)):
        tables = box.program()
        box.finalise()
        assert errno(box.hand_over(tables)) is None
        assert box.describe(box.page(30) + 0x1000 * (pages - 1))[0] == "hyp"
        assert box.describe(box.page(30) + 0x1000 * pages)[0] == "host"
    strict = Box(session=BARE)
    strict.program()
    strict.finalise()
    assert strict.errno("__pkvm_init_its_emulation", strict.its, strict.page(1), 0, strict.page(2)) == "EINVAL"


@shows("private_page")
def test_what_the_private_state_holds_at_first() -> None:
    """RFC: what the host left there counts as tracked pages, here so many that no device can be mapped; v2: zeros."""

    def verdict(preset: str) -> str:
        box = Box(preset, session=BARE)
        tables = box.program()
        box.finalise()
        page = b"".join((0x7000 + n).to_bytes(8, "little") for n in range(512))
        box.machine.apply(Store(box.page(30), page))
        assert errno(box.hand_over(tables)) is None
        return box.verdicts(mapd(1, box.page(5) + 0x100))[-1]

    assert verdict("rfc-v1") == "tracking_full"
    assert verdict("v2") == verdict("strict") == "executed"


@shows("takeover_window")
def test_between_finalisation_and_take_over() -> None:
    """RFC: registers are dead, the ITS runs on with tables that the host edits; strict stops it until it is taken over."""

    def window(preset: str) -> tuple[bool, int, bool]:
        box = Box(preset, session={"start": "host"})
        box.machine.apply(Drive("map_device", {"device_id": 1, "events": 2}))
        box.finalise()
        answer = box.machine.apply(MmioRead(box.its, 4))
        assert isinstance(answer, Refused)
        assert answer.reason is Reason.NOT_TAKEN_OVER
        delivered = getattr(box.machine.apply(Msi(1, 0)), "delivered", None)
        return bool(delivered), GITS_CTLR.decode(box.hardware(GITS_CTLR)).enabled, box.machine.phase == "deprivileging"

    assert window("rfc-v1") == window("v2") == (True, 1, True)
    assert window("strict") == (False, 0, True)
    assert GITS_CTLR.decode(Box().hardware(GITS_CTLR)).enabled


@shows("takeover_call")
def test_how_the_take_over_is_reached() -> None:
    """Patches 6 to 13: only while the switch-over runs; from patch 14 on it is a hypercall like others."""
    args = (Box().its, Box().page(0), Box().page(1))

    assert Box("rfc-v1@13").hvc("__pkvm_init_its_emulation", *args).x0 == (1 << 64) - 1
    assert Box("rfc-v1").errno("__pkvm_init_its_emulation", *args) == "EOPNOTSUPP"
    assert Box("forward").hvc("__pkvm_init_its_emulation", *args).x0 == (1 << 64) - 1


def test_the_take_over_needs_stage_2() -> None:
    """Strict: what was checked could still be changed by a host that is trusted: -EPERM."""
    box = Box(session=BARE)
    tables = box.program()
    outcome = box.hand_over(tables)

    assert isinstance(outcome, HvcReturn)
    assert outcome.reason is Reason.WINDOW_CLOSED
    rfc = Box("rfc-v1", session=BARE)
    assert errno(rfc.hand_over(rfc.program())) is None


@shows("region_scan")
def test_an_unused_slot_matches_address_zero() -> None:
    """RFC: a device at address 0 is taken over, and the host loses the pages; v2 and strict: -ENODEV."""

    def at_zero(preset: str) -> tuple[str | None, str]:
        box = Box(preset, session=BARE)
        tables = box.program()
        box.finalise()
        return errno(box.hand_over(tables, base=0)), box.describe(box.page(30))[0]

    assert at_zero("rfc-v1") == (None, "hyp")
    assert at_zero("v2") == at_zero("strict") == ("ENODEV", "host")


@shows("dt_resource")
def test_which_frames_of_a_second_its_are_taken() -> None:
    """RFC: entry number 1 of a node that has one: pKVM does not come up. Later: both ITSs are guarded."""
    dual = {"profile": "virt-gicv4-dual-its"}
    assert Box("rfc-v1", session=dual).machine.phase == "trusted"
    assert Box("rfc-v1", session=dual).machine.hypervisor.init_error is Reason.REGION_UNALIGNED

    v2 = Box("v2", session=dual)
    assert v2.machine.phase == "deprivileged"
    for base in v2.map.its_nodes:
        assert v2.describe(base)[0] == "hyp"


def test_a_finished_device_is_not_taken_twice() -> None:
    """-EOPNOTSUPP, under every preset that has the call."""
    for preset in ("rfc-v1", "v2", "android-6.12", "strict"):
        box = Box(preset)
        assert box.errno("__pkvm_init_its_emulation", box.its, box.page(0), box.page(1)) == "EOPNOTSUPP"


def test_the_driver_keeps_its_pointers_when_the_take_over_fails() -> None:
    """The page of pointers or the queue cannot be taken: the driver frees all of it; strict keeps the ITS off."""
    box = Box(session={"start": "host"})
    register = GITS_BASER.decode(box.value(GITS_BASER.OFFSET))
    box.machine.apply(Store(register.physical_address + 8 * 100, (box.map.hyp | VALID).to_bytes(8, "little")))
    outcome = box.machine.apply(Drive("deprivilege", {}))

    assert getattr(outcome, "result", {})["its"][0]["error"] == "EPERM"
    assert box.machine.phase == "deprivileging"
    assert box.describe(GITS_CBASER.decode(box.hardware(GITS_CBASER)).physical_address)[0] == "host"
    assert pfn_of(register.physical_address)
    assert isinstance(box.machine.apply(Fill(box.page(0), 8, 1)), Done)
