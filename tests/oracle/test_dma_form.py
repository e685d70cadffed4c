"""The DMA check: who may touch what, in which direction, how many bytes at once, and where in its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPD, MAPTI, MOVALL, SYNC, VMAPP, VMOVP
from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CWRITER,
    GITS_TYPER,
    TABLE_DEVICES,
    TABLE_VPES,
    baser_address,
    baser_stored_address,
)
from itsbox.arch.layout import Layout
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.redist_registers import GICR_PROPBASER
from itsbox.arch.values import SIZE_64K
from itsbox.hardware.profile import PROFILES
from itsbox.host.attacks import HostileHost
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Done, MmioWrite
from itsbox.oracle.dma_table import TABLE
from tests.oracle.stage import GUEST, HOST, L2, MAP, Stage, kinds

ITS, GICR = Initiator.ITS, Initiator.GICR
ITT, ITE_BYTES = HOST + 0x1F00, 12
NOWHERE = 0x9_0000_0000


def _host(hardening: str = "strict", start: str = "deprivileged", **config: Any) -> HostileHost:
    return HostileHost(Machine(MachineConfig.make(hardening=hardening, start=start, **config)))


def _mapped() -> Stage:
    """A device with a translation table of 32 entries, the last 0xF00 bytes of one page and the start of the next."""
    stage = Stage()
    stage.begin()
    stage.map_device(1, ITT)
    stage.end()
    return stage


# ---------------------------------------------------------------- who, which direction


@pytest.mark.parametrize("why", TABLE)
@pytest.mark.parametrize("by", [ITS, GICR, Initiator.DEVICE])
@pytest.mark.parametrize("write", [False, True])
def test_who_may_do_what(why: str, by: int, write: bool) -> None:
    """Each initiator does what the row allows; the other direction and other initiators are violations, in every phase."""
    row = TABLE[why]
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(why, HOST, write=write, by=by)

    if by in (row.writers if write else row.readers):
        assert not stage.end()
    else:
        rule = "wrong-kind" if by in (row.readers if write else row.writers) else "wrong-initiator"
        assert kinds(stage.end()) == [("DMA", rule)]


def test_the_rows_say_what_hardware_does() -> None:
    """The queue, level 1 and configuration are only read, translation entries are the ITS's, vPE entries its own to write."""
    only_read = {why for why, row in TABLE.items() if not row.writers}
    of_the_its = {why for why, row in TABLE.items() if row.readers == {ITS}}

    assert only_read == {Why.COMMAND, Why.L1_ENTRY, Why.CONFIG, Why.VCONF}
    assert of_the_its == {Why.COMMAND, Why.DTE, Why.CTE, Why.ITE}
    assert TABLE[Why.VTE].readers == {ITS, GICR}
    assert TABLE[Why.VTE].writers == {ITS}


# ---------------------------------------------------------------- how many bytes


@pytest.mark.parametrize("why, length, fine", [
    (Why.COMMAND, 32, True), (Why.COMMAND, 31, False), (Why.COMMAND, 64, False),
    (Why.L1_ENTRY, 8, True), (Why.L1_ENTRY, 4, False), (Why.DTE, 8, True), (Why.DTE, 16, False),
    (Why.VTE, 8, True), (Why.VTE, 32, False),
    (Why.ITE, 12, True), (Why.ITE, 8, True), (Why.ITE, 24, False), (Why.ITE, 4096, False),
    (Why.PENDING, 1, True), (Why.PENDING, pending_table_bytes(15), True), (Why.PENDING, pending_table_bytes(15) + 1, False),
    (Why.CONFIG, 1, True), (Why.CONFIG, config_table_bytes(15), True), (Why.CONFIG, config_table_bytes(15) + 1, False),
    (Why.VPT, 64, True), (Why.VPT, pending_table_bytes(15) + 1, False), (Why.VCONF, config_table_bytes(15) + 1, False),
])  # fmt: skip
@pytest.mark.parametrize("phase", ["trusted", "deprivileged"])
def test_how_many_bytes(why: str, length: int, fine: bool, phase: str) -> None:
    """One object, or of the byte tables at most the whole one; also again, when the page is known to be good."""
    stage = Stage(phase=phase)
    stage.begin()
    for n, page in enumerate((HOST, HOST + 0x1000)):
        stage.its(Why.DTE, L2, write=True, command=MAPD(device_id=n, size=4, itt_addr=page, valid=1))
    stage.end()
    if why in (Why.COMMAND, Why.L1_ENTRY, Why.DTE, Why.VTE) and phase != "trusted":
        stage = Stage(phase="trusted")  # the host's memory will not do for these

    for _ in range(2):
        stage.begin()
        stage.its(why, HOST)
        stage.its(why, HOST, length=length)
        assert kinds(stage.end()) == ([] if fine else [("DMA", "wrong-size")])


def test_a_vpe_entry_is_as_long_as_the_architecture_says() -> None:
    """With GITS_TYPER.VMAPP an entry has 32 bytes, and 8 are none."""
    stage = Stage(vmapp=1, phase="trusted")
    stage.begin()
    stage.its(Why.VTE, HOST, length=32)
    stage.its(Why.VTE, HOST, length=32, by=GICR)
    assert not stage.end()
    stage.begin()
    stage.its(Why.VTE, HOST, length=8)

    assert kinds(stage.end()) == [("DMA", "wrong-size")]


# ---------------------------------------------------------------- where


@pytest.mark.parametrize("offset, length, rule", [
    (0, 12, None), (0, 8, None), (8, 4, None), (12, 12, None), (31 * 12, 12, None), (0xFC, 12, None),
    (4, 12, "misaligned"), (4, 8, "misaligned"), (8, 8, "misaligned"), (0, 4, "misaligned"), (12, 4, "misaligned"),
    (32 * 12, 12, "outside-table"), (31 * 12 + 4, 12, "outside-table"), (-12, 12, "outside-table"),
    (0x1000, 12, "outside-table"), (-0x1000, 8, "outside-table"),
])  # fmt: skip
@pytest.mark.parametrize("write", [False, True])
def test_where_a_translation_entry_lies(offset: int, length: int, rule: str | None, write: bool) -> None:
    """Entries are counted from the start of a table that a MAPD named, to the byte; good ones next to it change nothing."""
    stage = _mapped()
    for _ in range(2):
        stage.begin()
        stage.its(Why.ITE, ITT, write=write)
        stage.its(Why.ITE, ITT + offset, length=length, write=write)
        assert kinds(stage.end()) == ([] if rule is None else [("DMA", rule)])


def test_where_an_entry_lies_is_not_asked_of_a_trusted_host() -> None:
    """A host that has its tables in its own hands may put entries where it likes."""
    stage = Stage(phase="trusted")
    stage.begin()
    stage.its(Why.ITE, ITT + 4, write=True)
    stage.its(Why.DTE, HOST + 4)
    stage.its(Why.COMMAND, HOST + 4)

    assert not stage.end()


@pytest.mark.parametrize("why", [Why.CTE, Why.PENDING, Why.VCONF])
def test_objects_lie_at_multiples_of_their_size(why: str) -> None:
    """A collection entry at an address that is no multiple of 8 is misaligned; bytes lie anywhere."""
    stage = Stage()
    stage.begin()
    stage.its(why, HOST)
    stage.its(why, HOST + 5)

    assert kinds(stage.end()) == ([("DMA", "misaligned")] if why == Why.CTE else [])


def test_a_table_of_the_same_op_is_known() -> None:
    """MAPD and MAPTI posted together: the entry lies in the table that was just named."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.map_device(1, ITT)
    stage.its(Why.ITE, ITT, write=True)

    assert not stage.end()


def test_a_table_that_was_unmapped_is_none() -> None:
    """After MAPD with V = 0, in the same op already, entries of the old table are out of bounds, known good or not."""
    stage = Stage()
    stage.taken_over()
    stage.begin()
    stage.map_device(1, ITT)
    stage.its(Why.ITE, ITT, write=True)
    assert not stage.end()
    stage.begin()
    stage.its(Why.ITE, ITT, write=True)
    stage.map_device(1, 0, valid=0)
    stage.its(Why.ITE, ITT, write=True)

    assert kinds(stage.end()) == [("DMA", "outside-table")]


def test_whose_memory_it_is_comes_first() -> None:
    """A misaligned write into a guest's page is a foreign write, and one violation."""
    stage = Stage()
    stage.begin()
    stage.its(Why.COMMAND, GUEST + 5, write=True, length=7)

    assert kinds(stage.end()) == [("DMA", "foreign-write")]


def test_the_evidence_of_an_access_that_does_not_fit() -> None:
    """Who does what to which bytes, and whose they are."""
    stage = _mapped()
    stage.begin()
    stage.its(Why.ITE, ITT + 8, by=GICR, length=16)

    (violation,) = stage.end()

    text = f"A redistributor reads an interrupt translation entry at {ITT + 8:#x}, the host's memory."
    assert violation.sentence == text
    assert (violation.initiator, violation.access, violation.why) == ("gicr", "read", Why.ITE)
    assert [(place.addr, place.length, place.owner) for place in violation.places] == [(ITT + 8, 16, "host")]


# ---------------------------------------------------------------- on real machines


def test_what_no_machine_does_is_found_on_a_machine() -> None:
    """Accesses that real hardware never makes, put on the bus of a machine behind ``strict``, are violations each."""
    box = Machine(MachineConfig.make(hardening="strict", start="deprivileged"))
    host = HostileHost(box)
    table = host.map_own(0x33)
    assert table is not None
    queue = GITS_CBASER.decode(box.its[0].cbaser).physical_address
    level_1 = baser_address(GITS_BASER.decode(box.its[0].baser[0]))
    config = GICR_PROPBASER.decode(box.redistributors[0].propbaser).physical_address
    oracle, watch = box.oracle, box.interconnect.watch
    assert oracle is not None
    assert watch is not None
    op = MmioWrite(host.gits(GITS_CWRITER), 4, 0)

    def found(by: int, write: bool, addr: int, length: int, why: str) -> list[tuple[str, str]]:
        oracle.begin(op, box.step + 1)
        watch(by, write, addr, length, why)
        return kinds(oracle.end(op, Done(())))

    assert found(ITS, True, queue, 32, Why.COMMAND) == [("DMA", "wrong-kind")]
    assert found(ITS, False, queue + 5, 32, Why.COMMAND) == [("DMA", "misaligned")]
    assert found(ITS, True, level_1, 8, Why.L1_ENTRY) == [("DMA", "wrong-kind")]
    assert found(GICR, True, config, 1, Why.CONFIG) == [("DMA", "wrong-kind")]
    assert found(ITS, True, host.pages(1), 12, Why.ITE) == [("DMA", "outside-table")]
    assert found(ITS, True, table, 4096, Why.ITE) == [("DMA", "wrong-size")]
    assert found(GICR, True, host.pages(1), 8, Why.ITE) == [("DMA", "wrong-initiator")]
    assert found(ITS, True, table, 12, Why.ITE) == []


@pytest.mark.parametrize("hardening", ["v2", "android-6.12", "strict"])
def test_a_device_of_before_the_switch_over_goes_on(hardening: str) -> None:
    """Its translation table is known from the time when the host was trusted."""
    host = _host(hardening, start="host")
    host.drive("map_device", device_id=0x20, events=2)
    host.deprivilege()

    assert host.msi(0x20, 0)
    assert not host.box.violations


@pytest.mark.parametrize("frame", ["its", "gicr", "gicd"])
@pytest.mark.parametrize("hardening, rule", [("off", "device-frame"), ("forward", "device-frame"), ("strict", None)])
def test_a_translation_table_in_the_registers_of_the_gic(hardening: str, rule: str | None, frame: str) -> None:
    """MAPD names the frames of an ITS, a redistributor or the distributor: found when the ITS goes there, or refused."""
    host = _host(hardening, start="host" if hardening == "off" else "deprivileged")
    before = len(host.box.violations)
    host.post(
        MAPD(device_id=0x60, size=4, itt_addr=MAP[frame], valid=1),
        MAPTI(device_id=0x60, event_id=0, intid=8300, icid=0),
    )

    found = [v for v in host.box.violations[before:] if v.rule.name != "host-entry"]
    assert [(v.rule.name, v.places[0].owner) for v in found] == ([] if rule is None else [(rule, "mmio")])


def test_an_entry_that_never_landed_maps_nothing() -> None:
    """The device table lies in missing memory: MAPD stalls, no device exists, and no table is in use."""
    host = _host("off", start="host")
    register = host.baser(TABLE_DEVICES)
    assert register is not None
    n, value = register
    host.enable(False)
    flat = value.replace(
        physical_address=baser_stored_address(NOWHERE, SIZE_64K), indirect=0, size=0, page_size=2, valid=1
    )
    host.write(host.gits(GITS_BASER, n), flat.word())
    host.enable(True)

    assert host.post(MAPD(device_id=0x40, size=4, itt_addr=host.hyp_page(2), valid=1)) == ["stalled"]
    assert not host.box.violations


def test_a_cpus_store_to_the_translation_register_is_a_translation() -> None:
    """Before the frames are taken (RFC, patch 6) a CPU's write to GITS_TRANSLATER walks the host's tables as a device's does."""
    host = _host("rfc-v1@6")
    before = len(host.box.violations)
    host.do(MmioWrite(host.box.map.translater, 4, 0))

    assert ("H16", "translation-ends") in kinds(host.box.violations[before:])


# ---------------------------------------------------------------- messages


def _pta(monkeypatch: pytest.MonkeyPatch, profile: str) -> HostileHost:
    """A machine of a profile with GITS_TYPER.PTA = 1, after a boot that nobody objected to."""
    sibling = PROFILES[profile]
    typer = GITS_TYPER.decode(sibling.its_typer).replace(pta=1).word()
    monkeypatch.setitem(PROFILES, "pta", replace(sibling, name="pta", its_typer=typer))
    host = _host("off", profile="pta", start="host")
    assert not host.box.violations
    return host


_COMMANDS: dict[str, Callable[[int], tuple[Layout, ...]]] = {
    "SYNC": lambda rd: (SYNC(rd_base=rd),),
    "MOVALL": lambda rd: (MOVALL(rd_base1=rd, rd_base2=rd),),
    "MAPC": lambda rd: (
        MAPC(icid=3, rd_base=rd, valid=1), MAPTI(device_id=0x33, event_id=0, intid=8300, icid=3),
        INT(device_id=0x33, event_id=0),
    ),
    "VMAPP": lambda rd: (VMAPP(vpe_id=1, rd_base=rd, valid=1, vpt_size=15, vpt_addr=HOST),),
    "VMOVP": lambda rd: (VMOVP(sequence_number=0, its_list=0, vpe_id=2, rd_base=rd),),
}  # fmt: skip


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_message_goes_to_the_address_that_rdbase_stands_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """RDbase holds bits [51:16]: a redistributor's frame is fine, its second frame and memory are violations there."""
    host = _pta(monkeypatch, "virt-gicv4")
    where = host.box.map
    host.map_own(0x33)
    host.cover(TABLE_VPES, 2)
    host.post(VMAPP(vpe_id=2, rd_base=where.gicr >> 16, valid=1, vpt_size=15, vpt_addr=host.pages(16, SIZE_64K)))
    assert not host.box.violations
    commands = _COMMANDS[name]

    def places(target: int) -> set[int]:
        before = len(host.box.violations)
        host.post(*commands(target >> 16))
        found = host.box.violations[before:]
        assert {v.rule.name for v in found} <= {"message"}
        return {v.places[0].addr for v in found}

    assert places(where.gicr + where.gicr_stride) == set()
    for wrong in (where.gicr + SIZE_64K, where.gicd, host.hyp_page(0) & -SIZE_64K):
        assert places(wrong) == {wrong}
