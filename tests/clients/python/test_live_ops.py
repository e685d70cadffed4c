"""Every op, typed and raw, against the real service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from itsbox_client import Client, QueueError, Session, UnexpectedOutcome
from itsbox_client import commands as its
from itsbox_client.commands import COMMANDS, AnyCommand
from itsbox_client.registers import GICR_CTLR, GITS_BASER, GITS_CBASER, GITS_CTLR, GITS_CWRITER, table_address

ITT = 0x4800_0000
VPT = 0x4900_0000


@pytest.fixture
def host(client: Client) -> Iterator[Session]:
    """A booted GICv4 machine without hardening: commands reach the ITS as they are."""
    with client.sessions.create(profile="virt-gicv4", hardening="off", start="host") as session:
        yield session


@pytest.fixture
def guarded(client: Client) -> Iterator[Session]:
    """A deprivileged machine under strict."""
    with client.sessions.create(hardening="strict", start="deprivileged") as session:
        yield session


def test_memory_is_what_was_stored(host: Session) -> None:
    """store, load, fill and physical agree."""
    host.store(ITT, bytes(range(64))).expect()
    host.fill(ITT + 16, 16, 0xEE).expect()

    assert host.load(ITT, 64).data == bytes(range(16)) + b"\xee" * 16 + bytes(range(32, 64))
    assert host.physical(ITT + 16, 16) == b"\xee" * 16
    host.clean(ITT, 64).expect()


def test_an_interrupt_goes_all_the_way(host: Session) -> None:
    """MAPD, MAPTI, an MSI of the device, and the CPU acknowledges the LPI."""
    propbaser = host.gicr(0).propbaser
    host.store(propbaser.physical_address, b"\xa1")  # LPI 8192: priority 0xA0, enabled
    host.its.mapd(device_id=0x77, size=3, itt_addr=ITT).expect()
    host.its.mapti(device_id=0x77, event_id=5, intid=8192, icid=0).expect()
    host.its.sync(rd_base=0).expect()

    assert host.state()["events"][0x77] == {5: {"intid": 8192, "icid": 0}}
    assert host.msi(0x77, 5).delivered
    assert host.ack(0).intid == 8192
    assert host.ack(0).intid == 1023
    assert not host.msi(0x77, 6).delivered


@pytest.fixture
def bare(client: Client) -> Iterator[Session]:
    """A GICv4 machine at reset whose queue and flat tables the test itself has set up, as a driver without a kernel would."""
    with client.sessions.create(profile="virt-gicv4", hardening="off") as session:
        session.gits.write(GITS_CBASER(physical_address=0x4100_0000, size=15, shareability=1, valid=True)).expect()
        session.gits.write(GITS_CWRITER(offset=0)).expect()
        for n in range(3):
            where = 0x4200_0000 + n * 0x10_0000
            session.gits.modify(GITS_BASER, n, physical_address=where, page_size=2, valid=True).expect()
        session.gits.write(GITS_CTLR(enabled=True)).expect()
        yield session


#: All 21 commands, in an order in which a GICv4.0 ITS can carry each out. ITTs here have room for 16,384 events.
PROGRAM: list[AnyCommand] = [
    its.MAPC(icid=0, rd_base=0),
    its.MAPC(icid=1, rd_base=1),
    its.MAPD(device_id=9, size=13, itt_addr=ITT),
    its.MAPTI(device_id=9, event_id=1, intid=8200, icid=0),
    its.MAPI(device_id=9, event_id=8201, icid=0),
    its.INT(device_id=9, event_id=1),
    its.CLEAR(device_id=9, event_id=1),
    its.INV(device_id=9, event_id=1),
    its.MOVI(device_id=9, event_id=1, icid=1),
    its.INVALL(icid=0),
    its.MOVALL(rd_base1=0, rd_base2=1),
    its.SYNC(rd_base=1),
    its.VMAPP(vpe_id=3, rd_base=0, vpt_addr=VPT, vpt_size=15),
    its.VMAPP(vpe_id=4, rd_base=0, vpt_addr=VPT + 0x1_0000, vpt_size=15),
    its.VMAPTI(device_id=9, event_id=2, vpe_id=3, virtual_intid=8300),
    its.VMAPI(device_id=9, event_id=8202, vpe_id=3),
    its.VMOVI(device_id=9, event_id=2, vpe_id=4),
    its.VMOVP(vpe_id=3, rd_base=1),
    its.VSYNC(vpe_id=3),
    its.VINVALL(vpe_id=3),
    its.VSGI(vpe_id=3, virtual_intid=4, enable=True),
    its.INVDB(vpe_id=3),
    its.DISCARD(device_id=9, event_id=1),
]
#: GICv4.1's own commands are unknown to a GICv4.0 ITS.
V41 = (its.VSGI, its.INVDB)


def test_each_of_the_21_commands_is_what_the_its_sees(bare: Session) -> None:
    """What the client encoded, the ITS decodes and carries out: the same name and words, in the slot that the client chose."""
    assert {type(command) for command in PROGRAM} == set(COMMANDS.values())
    for slot, command in enumerate(PROGRAM):
        (result,) = bare.its.submit(command)

        assert result.record is not None
        assert (result.slot, result.record.slot, result.record.words) == (slot, slot, command.words())
        if not isinstance(command, V41):
            assert (result.record.name, result.verdict) == (type(command).__name__, "executed")


def test_the_tables_follow_the_commands(bare: Session) -> None:
    """After the program the decoded state holds exactly what it mapped."""
    bare.its.submit(*PROGRAM)

    state = bare.state()
    assert state["collections"] == {0: {"rd": 0}, 1: {"rd": 1}}
    assert state["devices"] == {9: {"size": 13, "itt": ITT}}
    assert state["events"] == {
        9: {
            2: {"vintid": 8300, "vpe": 4, "doorbell": 1023},
            8201: {"intid": 8201, "icid": 0},
            8202: {"vintid": 8202, "vpe": 3, "doorbell": 1023},
        }
    }
    assert state["vpes"] == {
        3: {"rd": 1, "vptsize": 15, "vpt": VPT},
        4: {"rd": 0, "vptsize": 15, "vpt": VPT + 0x1_0000},
    }


def test_gicv4_1_carries_its_own_commands_out(client: Client) -> None:
    """On a GICv4.1 machine VMAPP with its configuration table, VSGI and INVDB are executed."""
    with client.sessions.create(profile="virt-gicv4.1", hardening="off", start="host") as session:
        vconf, table = 0x4A00_0000, session.gits.baser(2)
        if table.indirect:
            session.store(table_address(table), (0x4B00_0000 | 1 << 63).to_bytes(8, "little"))
        results = session.its.submit(
            its.VMAPP(vpe_id=3, vpt_addr=VPT, vpt_size=15, vconf_addr=vconf, alloc=True, default_doorbell=1023),
            its.VSGI(vpe_id=3, virtual_intid=4, enable=True, group=True, priority=0xA0),
            its.INVDB(vpe_id=3),
            its.VMOVP(vpe_id=3, rd_base=2, db=True, default_doorbell=1023),
            its.VSYNC(vpe_id=3),
        )

        assert [(result.verdict, result.error) for result in results] == [("executed", None)] * 5
        assert session.state()["vpes"][3] == {"rd": 2, "vptsize": 15, "vpt": VPT}


@pytest.mark.parametrize("profile", ["virt-gicv3", "snapdragon"])
@pytest.mark.parametrize("preset", ["off", "forward", "v2", "android-6.12", "strict"])
def test_commands_work_under_every_preset_that_works(client: Client, preset: str, profile: str) -> None:
    """Whichever queue the host has after the switch-over, and whether or not it must be cleaned, the client finds it."""
    with client.sessions.create(profile=profile, hardening=preset, start="deprivileged") as session:
        assert session.its.mapd(device_id=5, size=4, itt_addr=ITT).executed
        assert session.its.mapti(device_id=5, event_id=0, intid=8192, icid=1).executed
        assert session.state()["events"][5] == {0: {"intid": 8192, "icid": 1}}


def test_a_wedged_queue_leaves_later_commands_pending(client: Client) -> None:
    """Under rfc-v1 a refused command stays at the head: what comes after it is looked at by nobody, and is not lost."""
    with client.sessions.create(hardening="rfc-v1", start="deprivileged") as session:
        first = session.its.mapd(device_id=5, size=4, itt_addr=ITT)
        second = session.its.mapti(device_id=5, event_id=0, intid=8192, icid=1)

        assert (first.verdict, first.reason) == ("refused", "itt_page_aligned")
        assert (second.verdict, second.slot) == ("pending", first.slot + 1)
        assert session.diagnosis()["stuck"] is True


def test_methods_and_values_say_the_same(bare: Session) -> None:
    """``s.its.mapd(...)`` is ``s.its.submit(MAPD(...))``, for each command with each of its fields."""
    for command in PROGRAM:
        fields = {name: getattr(command, name) for name in type(command).FIELDS}  # type: ignore[union-attr]
        method = getattr(bare.its, type(command).__name__.lower())

        assert method(**fields).command == command


def test_a_wrong_command_is_a_result_with_its_error(host: Session) -> None:
    """The ITS's own error has Linux's name and Arm's number; nothing is raised."""
    result = host.its.mapti(device_id=0x55, event_id=0, intid=8192, icid=0)

    assert (result.verdict, result.error, result.code) == ("error", "MAPTI_UNMAPPED_DEVICE", 0x01_0A_04)
    with pytest.raises(UnexpectedOutcome, match="MAPTI_UNMAPPED_DEVICE"):
        result.expect()


def test_an_unknown_opcode_is_sent_as_it_is(host: Session) -> None:
    """Raw words go to the queue untouched."""
    result = host.its.raw(0xFE, 1, 2, 3)

    assert result.record is not None
    assert (result.record.name, result.record.words) == (None, (0xFE, 1, 2, 3))


def test_commands_go_round_the_ring(host: Session) -> None:
    """More commands than there are slots, across the wrap, each of them carried out."""
    queue = host.its.queue()
    slots = queue.size // 32
    done: list[int] = []
    while len(done) < slots + 10:
        results = host.its.submit(*[its.SYNC(rd_base=0)] * 500)
        assert all(result.executed for result in results)
        done += [result.slot for result in results]

    start = queue.cwriter // 32
    assert done == [(start + n) % slots for n in range(len(done))]


def test_a_disabled_its_leaves_commands_pending(host: Session) -> None:
    """Nobody looks at the queue while GITS_CTLR.Enabled is 0; what waits is carried out once it is 1."""
    host.gits.modify(GITS_CTLR, enabled=False).expect()
    waiting = host.its.sync(rd_base=0)
    assert waiting.verdict == "pending"

    write = host.gits.modify(GITS_CTLR, enabled=True).expect()
    assert [record.slot for record in write.commands] == [waiting.slot]


def test_a_bare_machine_has_no_queue_yet(client: Client) -> None:
    """Before anybody wrote GITS_CBASER there is nowhere to put a command; afterwards there is."""
    with client.sessions.create(hardening="off") as session:
        with pytest.raises(QueueError, match="GITS_CBASER is not valid"):
            session.its.sync(rd_base=0)

        session.gits.write(GITS_CBASER(physical_address=0x4100_0000, size=0, shareability=1, valid=True)).expect()
        session.gits.write(GITS_CWRITER(offset=0)).expect()
        session.gits.write(GITS_CTLR(enabled=True)).expect()
        assert session.its.sync(rd_base=0).executed
        assert session.its.queue().size == 0x1000


def test_registers_read_decoded(host: Session) -> None:
    """Fields by their Arm names, as the host reads them."""
    assert host.gits.ctlr.enabled
    assert (host.gits.typer.itt_entry_size, host.gits.typer.virtual) == (11, True)
    assert host.gits.pidr2.arch_rev == 4
    assert host.gits.iidr.implementer == 0x43B
    assert host.gits.cbaser.valid
    assert host.gits.creadr.offset == host.gits.cwriter.offset
    assert [host.gits.baser(n).type for n in range(4)] == [1, 4, 2, 0]
    assert host.gits.read(GITS_BASER, 1).type == 4
    assert host.gicr(1).ctlr.enable_lpis
    assert host.gicr(1).typer.processor_number == 1
    assert host.gicr(3).typer.last
    assert host.gicr(0).pendbaser.physical_address != host.gicr(1).pendbaser.physical_address
    assert not host.gicr(0).syncr.busy


def test_a_redistributor_can_be_switched(host: Session) -> None:
    """A read-modify-write of GICR_CTLR changes one field."""
    host.gicr(2).modify(GICR_CTLR, enable_lpis=False).expect()

    assert not host.gicr(2).ctlr.enable_lpis


def test_there_is_no_ninth_table(host: Session) -> None:
    """An index beyond the array is the caller's mistake, found before anything is sent."""
    with pytest.raises(ValueError, match="there is no number 8"):
        host.gits.baser(8)


def test_batches_mix_ops_and_commands(host: Session) -> None:
    """One request; the results come back each to its own promise, decoded."""
    before = host.refresh().step
    with host.batch(hash=True) as batch:
        read = batch.mmio_read(host.map.its, 4)
        stored = batch.store(ITT, b"itsbox")
        loaded = batch.load(ITT, 6)
        mapped = batch.its.mapd(device_id=4, size=1, itt_addr=ITT + 0x1_0000)
        wrong = batch.its.int(device_id=5, event_id=0)
        call = batch.hvc.raw("no_such_function")
        driven = batch.driver.map_device(device_id=6, events=2)

    assert read.result().value & 1
    assert stored.result().ok
    assert loaded.result().data == b"itsbox"
    assert mapped.result().executed
    assert wrong.result().error == "INT_UNMAPPED_DEVICE"
    assert call.result().x0 == (1 << 64) - 1
    assert driven.result().error is None
    assert batch.outcome.step - before == batch.outcome.executed == 9
    assert batch.outcome.state_hash == host.refresh().state_hash


def test_hypercalls_by_name_and_number(guarded: Session) -> None:
    """What does not exist is NOT_SUPPORTED; what the hypervisor refuses has an errno and a reason; all is HTTP 200."""
    pfn = 0x4900_0000 >> 12

    assert guarded.hvc.raw("no_such_function").x0 == (1 << 64) - 1
    assert guarded.hvc.raw(0xC600_FFFF).x0 == (1 << 64) - 1
    assert guarded.hvc.host_share_hyp(pfn).succeeded
    again = guarded.hvc.host_share_hyp(pfn)
    assert (again.succeeded, again.errno) == (False, "EPERM")
    assert guarded.hvc.host_unshare_hyp(pfn).succeeded
    second = guarded.hvc.init_its_emulation(guarded.map.its, 0x4900_0000, 0x4900_1000, pages=1)
    assert second.errno == "EOPNOTSUPP"


def test_the_driver_does_what_it_is_asked(host: Session) -> None:
    """Each call of the driver, in an order in which it can succeed."""
    mapped = host.driver.map_device(device_id=0x20, events=4)
    assert mapped.error is None
    assert len(mapped.result["events"]) == 4
    assert isinstance(mapped.result["itt"], int)
    assert host.driver.unmask(0x20, 0).result["enabled"] is True
    assert host.driver.retrigger(0x20, 0).error is None
    assert host.driver.clear(0x20, 0).error is None
    assert host.driver.mask(0x20, 0).result["enabled"] is False
    assert host.driver.move_event(0x20, 1, 2).result["cpu"] == 2
    assert host.driver.unmap_event(0x20, 3).error is None
    assert host.driver.map_event(0x20, event_id=3, cpu=1).result["cpu"] == 1
    assert host.driver.offline(3).error is None
    assert host.driver.online(3).error is None
    assert host.driver.suspend().error is None
    assert host.driver.resume().error is None
    assert host.driver.unmap_device(0x20).error is None
    assert host.driver.unmap_device(0x20).error == "ENODEV"
    assert host.driver.probe().error == "EBUSY"


def test_the_host_gives_up_its_privileges(client: Client) -> None:
    """After ``driver.deprivilege()`` the session is deprivileged and the host has a queue of its own."""
    with client.sessions.create(start="host") as session:
        assert session.queues()["host"] is None
        assert session.driver.deprivilege().ok
        assert session.refresh().phase == "deprivileged"
        queues = session.queues()
        assert queues["host"]["base"] != queues["hw"]["base"]
        assert session.its.queue().base == queues["host"]["base"]
        assert session.its.mapc(icid=1, rd_base=1).executed


def test_an_attack_is_refused_by_name(guarded: Session) -> None:
    """A MAPD whose ITT lies in hypervisor memory is refused; the machine stays isolated and works on."""
    result = guarded.its.mapd(device_id=1, size=4, itt_addr=guarded.map.hyp)

    assert result.verdict == "refused"
    assert result.reason
    assert guarded.violations() == ()
    assert guarded.its.mapd(device_id=1, size=4, itt_addr=ITT).executed


def test_the_same_attack_succeeds_without_hardening(host: Session) -> None:
    """Under ``off`` the ITS writes into hypervisor memory, and the oracle says so with a bucket."""
    host.its.mapd(device_id=1, size=4, itt_addr=host.map.hyp).expect()
    before = host.physical(host.map.hyp, 16)

    result = host.its.mapti(device_id=1, event_id=0, intid=8192, icid=0)

    assert result.executed
    assert host.physical(host.map.hyp, 16) != before
    assert [violation.bucket for violation in result.violations]
    assert {violation.bucket for violation in host.violations()} >= {v.bucket for v in result.violations}
    assert all(violation.sentence and violation.oracle for violation in host.violations())


def test_memory_that_is_not_the_hosts_aborts(guarded: Session) -> None:
    """A load from hypervisor memory is an abort, not an HTTP error, and has no bytes to give."""
    result = guarded.load(guarded.map.hyp, 8)

    assert result.outcome == "abort"
    with pytest.raises(UnexpectedOutcome, match="load ended as abort"):
        _ = result.data


def test_a_queue_that_is_not_coherent_is_cleaned(client: Client) -> None:
    """On the snapdragon profile commands reach the ITS because the client cleans them, as Linux does."""
    with client.sessions.create(profile="snapdragon", hardening="off", start="host") as session:
        assert session.its.needs_cleaning(session.its.queue())
        assert session.its.sync(rd_base=7).executed
