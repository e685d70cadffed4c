"""The hostile host: what every attack program is written with."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPD, SYNC
from itsbox.arch.its_registers import GITS_CWRITER, TABLE_COLLECTIONS, TABLE_DEVICES, TABLE_VPES
from itsbox.host.attacks import AttackEnds, CannotBePlayed, HostileHost, SetUpFails
from itsbox.ops import Store
from tests.host.play import machine


def _host(hardening: object = "strict", profile: str = "virt-gicv3", **fields: object) -> HostileHost:
    host = HostileHost(machine({"hardening": hardening, "profile": profile, "start": "host", **fields}))
    host.deprivilege()
    return host


def test_it_knows_what_its_driver_knew() -> None:
    """The attacker finds the queue that the host writes now, not the one that it gave up."""
    host = _host()

    assert host.queue == host.known.its[0].queue
    assert host.before.its[0].queue != host.queue
    assert _host("off").before.its[0].queue == _host("off").queue


def test_free_pages_are_nobodys() -> None:
    """Pages that it takes for itself lie above what the driver uses and below the guest, never twice."""
    host = _host()
    where = host.box.map
    pages = [host.pages(3), host.pages(1), host.pages(16, 0x10000), host.pages(1)]

    assert all(where.ram + where.ram_bytes // 2 <= page < where.guest for page in pages)
    assert pages[1] - pages[0] == 0x3000
    assert pages[2] % 0x10000 == 0
    assert pages == sorted(set(pages))


def test_commands_are_sent_one_by_one_with_their_verdicts() -> None:
    """Each command is announced alone; its verdict comes back."""
    host = _host()

    assert host.post(SYNC(rd_base=0), INT(device_id=0x77, event_id=0)) == ["executed", "refused"]
    assert host.creadr() == host.write_offset
    assert list(host.refusals) == ["device_not_mapped"]


def test_a_blocked_queue_is_unblocked() -> None:
    """Where a refused command stays in the way it is replaced by a harmless one, and the queue goes on."""
    host = _host("rfc-v1")
    refused = MAPD(device_id=1, size=4, itt_addr=host.pages(), valid=1)  # page aligned, which the RFC rejects

    assert host.post(refused) == ["refused"]
    assert not host.stuck
    assert host.post(SYNC(rd_base=0)) == ["executed"]


@pytest.mark.parametrize("preset", ["off", "rfc-v1@9", "rfc-v1", "v2", "android-6.12", "strict"])
def test_a_device_of_its_own_is_mapped_under_every_preset(preset: str) -> None:
    """The attacker finds an alignment that the version accepts, and remembers it."""
    host = _host(preset)
    first, second = host.map_own(0x40), host.map_own(0x41)

    assert first is not None
    assert second is not None
    assert first % 0x1000 == second % 0x1000
    assert not list(host.box.violations)


def test_tables_are_found_through_the_hosts_view() -> None:
    """It finds the entry of a device through its own level 1, and no entry where there is no level-2 page yet."""
    host = _host("off")

    assert host.table_entry(TABLE_DEVICES, 3) == (host.table_entry(TABLE_DEVICES, 0) or 0) + 24
    assert host.table_entry(TABLE_COLLECTIONS, 2) is not None
    assert host.table_entry(TABLE_DEVICES, 0x3000) is None
    host.cover(TABLE_DEVICES, 0x3000)
    assert host.table_entry(TABLE_DEVICES, 0x3000) is not None
    assert host.table_entry(TABLE_VPES, 0) is None


def test_a_panic_ends_the_attack() -> None:
    """Where a forbidden access stops the machine, the program stops with it."""
    host = _host("rfc-v1")

    with pytest.raises(AttackEnds):
        host.store(host.hyp_page(), b"x")


def test_pages_change_hands_only_with_a_hypervisor() -> None:
    """Giving a page away works where there is somebody to give it, and the host loses it."""
    page = 0x4900_0000

    assert not _host("off").give_away(page)
    host = _host()
    assert host.give_away(page)
    assert host.load(page, 8) is None
    assert "guest_memory" in host.refusals


@pytest.mark.parametrize("turn, shots", [(1, [32]), (2, [])])
def test_a_race_happens_once_just_before_its_turn(turn: int, shots: list[int]) -> None:
    """Another CPU's store lands in what the hypervisor is about to read, at one read, and only within the section."""
    host, seen = _host(), []
    host.turn = turn

    def tamper(addr: int, data: bytes) -> bytes:
        assert host.queue <= addr < host.queue + host.queue_bytes
        seen.append(len(data))
        return data

    with host.racing(tamper):
        host.post(SYNC(rd_base=0))
    host.post(SYNC(rd_base=0))

    assert (seen, host.reads) == (shots, 1)


def test_what_another_cpu_stores_is_what_the_hypervisor_reads() -> None:
    """The exchanged command runs instead of the one that was announced: whatever is read once is also what is checked."""
    host = _host()
    host.turn = 1
    with host.racing(lambda addr, data: INT.STRUCT.pack(*INT(device_id=0x77, event_id=0).encode())):
        assert host.post(SYNC(rd_base=0)) == ["refused"]

    assert list(host.refusals) == ["device_not_mapped"]


def test_pages_that_the_host_may_not_write_cannot_be_raced_for() -> None:
    """The take-over reads only pages that it has taken: each read has its turn, and stage 2 refuses each store."""
    for turn in range(1, 6):
        host = HostileHost(machine({"hardening": "strict", "start": "host"}), turn=turn)
        with host.racing(lambda addr, data: pytest.fail("the host may not write there")):
            host.deprivilege()
        assert host.reads >= 4
        assert host.box.phase == "deprivileged"


def test_only_what_one_op_reads_twice_counts_as_read_again() -> None:
    """Two traps that read the same slot are no double fetch."""
    host = _host()
    with host.racing(lambda addr, data: pytest.fail("nothing is read twice"), again=True):
        for _ in range(2):
            host.ring(host.put(SYNC(rd_base=0)))

    assert host.reads == 0


def test_what_was_posted_before_the_switch_over_stays_posted() -> None:
    """The driver does not know of commands that were sent by hand; the attacker goes on behind them."""
    host = HostileHost(machine({"hardening": "strict", "start": "host"}))
    host.post(SYNC(rd_base=0))
    host.deprivilege()

    assert host.creadr() == host.write_offset
    assert host.post(SYNC(rd_base=0)) == ["executed"]


def test_memory_is_cleaned_only_where_that_matters() -> None:
    """On the machine whose ITS does not see the caches each store is cleaned; elsewhere the journal stays short."""
    for profile, expected in (("virt-gicv3", 1), ("snapdragon", 2)):
        host = _host("off", profile)
        before = len(host.steps)
        host.store(host.pages(), b"data")
        assert len(host.steps) - before == expected


def test_every_step_is_explained() -> None:
    """What it does is kept with the explanation given last, with what came of it, and with the machine's step."""
    host = _host()
    host.say("Touch the hypervisor's page.")
    host.store(host.hyp_page(), b"x")
    host.show("See that nothing happened.", host.hyp_page(), 4)

    (store, look) = host.steps[-2:]
    assert (store.text, type(store.op), store.result) == ("Touch the hypervisor's page.", Store, "abort: hyp_memory")
    assert look.op is None
    assert look.result.startswith(f"{host.hyp_page():#x}: ")
    assert (store.step, look.step) == (host.box.step, host.box.step)


def test_what_a_machine_lacks_is_said() -> None:
    """An attack that this machine cannot express says so, and one whose honest beginning is not let through does too."""
    with pytest.raises(CannotBePlayed, match="virtual LPIs"):
        _host().vmapp(1, 0)
    host = _host()
    host.enable(False)
    with pytest.raises(SetUpFails, match="0x40"):
        host.needs_own(0x40)


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv3-pta"])
def test_redistributors_are_named_as_the_machine_has_it(profile: str) -> None:
    """By number, or by address: a SYNC to CPU 1 passes either way, and is no violation."""
    for preset in ("off", "strict"):
        host = _host(preset, profile)
        assert host.post(SYNC(rd_base=host.rd_base(1))) == ["executed"]
        assert not host.box.violations


def test_registers_are_read_and_written_as_the_host_may() -> None:
    """A refused write answers False, a refused read zero."""
    host = _host()

    assert host.enable(True)
    assert not host.write(host.gits(GITS_CWRITER), 0xFFFE0)
    assert host.read(host.box.map.its + 0xC000) == 0
