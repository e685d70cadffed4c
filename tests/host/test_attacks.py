"""The hostile host: what every attack program is written with."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPD, SYNC
from itsbox.arch.its_registers import GITS_CWRITER, TABLE_COLLECTIONS, TABLE_DEVICES, TABLE_VPES
from itsbox.host.attacks import AttackEnds, HostileHost
from itsbox.memory.interconnect import Initiator, Why
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


def test_a_race_happens_just_before_the_nth_read() -> None:
    """Another CPU's store lands between two reads of the hypervisor, and only while the race is on."""
    host = _host()
    page = host.pages()
    shots: list[int] = []

    def shot() -> bool:
        shots.append(1)
        host.box.interconnect.store(Initiator.HOST, page, b"raced", Why.HOST)
        return True

    end = host.race(shot, 1)
    host.post(SYNC(rd_base=0))
    end()
    host.post(SYNC(rd_base=0))

    assert shots == [1]
    assert host.box.physical(page, 5) == b"raced"


def test_memory_is_cleaned_only_where_that_matters() -> None:
    """On the machine whose ITS does not see the caches each store is cleaned; elsewhere the journal stays short."""
    for profile, expected in (("virt-gicv3", 1), ("snapdragon", 2)):
        host = _host("off", profile)
        before = len(host.steps)
        host.store(host.pages(), b"data")
        assert len(host.steps) - before == expected


def test_every_step_is_explained() -> None:
    """What it does is kept with the explanation given last, and with what came of it."""
    host = _host()
    host.say("Touch the hypervisor's page.")
    host.store(host.hyp_page(), b"x")
    host.show("See that nothing happened.", host.hyp_page(), 4)

    (store, look) = host.steps[-2:]
    assert (store.text, type(store.op), store.result) == ("Touch the hypervisor's page.", Store, "abort: hyp_memory")
    assert look.op is None
    assert look.result.startswith(f"{host.hyp_page():#x}: ")


def test_registers_are_read_and_written_as_the_host_may() -> None:
    """A refused write answers False, a refused read zero."""
    host = _host()

    assert host.enable(True)
    assert not host.write(host.gits(GITS_CWRITER), 0xFFFE0)
    assert host.read(host.box.map.its + 0xC000) == 0
