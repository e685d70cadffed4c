"""The ITS's tables: what the driver does with registers that keep less than it writes."""

from __future__ import annotations

from collections.abc import Callable

from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_TYPER,
    TABLE_DEVICES,
    baser_bytes,
    baser_page_size,
)
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.memory_attributes import NON_CACHEABLE, NON_SHAREABLE
from itsbox.host.tables import table_of
from tests.host.machine_port import Host

BASER0, BASER1 = GITS_BASER.OFFSET, GITS_BASER.OFFSET + 8


def probed(**reads: Callable[[GITS_BASER], GITS_BASER]) -> Host:
    """A machine with some registers tampered with: ``baser0``, ``baser1`` give what they read as."""
    host = Host()

    def tampered(change: Callable[[GITS_BASER], GITS_BASER]) -> Callable[[int], int]:
        return lambda value: change(GITS_BASER.decode(value)).word()

    for name, change in reads.items():
        host.port.reads[host.machine.map.its + {"baser0": BASER0, "baser1": BASER1}[name]] = tampered(change)
    return host


def final(host: Host, offset: int) -> GITS_BASER:
    """A register of the ITS as the driver left it."""
    written = [
        value for kind, addr, _, value in host.port.accesses if (kind, addr) == ("w", host.machine.map.its + offset)
    ]
    return GITS_BASER.decode(written[-1])


def test_the_device_table_has_two_levels_and_the_collection_table_one() -> None:
    """64 KB pages, level 1 of one page, a flat collection table of one page, both valid and inner shareable."""
    host = probed()
    host.call("probe")
    devices, collections = final(host, BASER0), final(host, BASER1)
    assert (devices.indirect, collections.indirect) == (1, 0)
    assert baser_page_size(devices) == baser_bytes(devices) == baser_bytes(collections) == 0x1_0000


def test_the_largest_page_size_that_sticks_is_used() -> None:
    """A register that only knows 4 KB pages is tried with 64 KB and 16 KB first."""
    host = probed(baser0=lambda baser: baser.replace(page_size=0), baser1=lambda baser: baser.replace(page_size=0))
    answer = host.call("probe")
    tried = [
        GITS_BASER.decode(value).page_size
        for kind, addr, _, value in host.port.accesses
        if (kind, addr) == ("w", host.machine.map.its + BASER0)
    ]
    assert tried[1:4] == [2, 1, 0]
    assert "error" not in answer
    assert any("psz 4K" in line for line in host.log())


def test_an_its_without_two_level_tables_gets_a_flat_one() -> None:
    """Indirect reads as zero: the whole DeviceID space is allocated, 512 KB in 64 KB pages."""
    host = probed(baser0=lambda baser: baser.replace(indirect=0))
    host.call("probe")
    assert baser_bytes(final(host, BASER0)) == 0x8_0000
    assert any("allocated 65536 Devices" in line and "(flat, esz 8" in line for line in host.log())


def test_a_table_that_is_not_shareable_is_not_cacheable_either() -> None:
    """When shareability does not stick, the driver writes again without cacheability, and cleans the table."""
    host = probed(baser0=lambda baser: baser.replace(shareability=NON_SHAREABLE))
    host.call("probe")
    devices = final(host, BASER0)
    assert (devices.shareability, devices.inner_cache) == (NON_SHAREABLE, NON_CACHEABLE)
    assert (devices.physical_address, 0x1_0000) in host.port.cleaned
    # What the first register accepts is what the next one is offered.
    assert final(host, BASER1).shareability == NON_SHAREABLE


def test_level_2_pages_of_a_table_that_is_not_shareable_are_cleaned() -> None:
    """The new page and the level-1 entry go to memory before the ITS can look."""
    host = probed(baser0=lambda baser: baser.replace(shareability=NON_SHAREABLE))
    host.call("probe")
    host.port.cleaned.clear()
    host.call("map_device", device_id=8192, events=1)
    table = final(host, BASER0).physical_address
    lengths = dict(host.port.cleaned)
    assert lengths[table + 8] == 8
    assert 0x1_0000 in lengths.values()


def test_a_register_that_does_not_stick_ends_the_probe_and_frees_everything() -> None:
    """The kernel says what it wrote and what it read, gives the ITS up, and has no ITS left."""
    host = probed(baser1=lambda baser: baser.replace(valid=0))
    answer = host.call("probe")
    assert answer["error"] == "ENXIO"
    lines = host.log()
    assert any("Interrupt Collections doesn't stick: " in line for line in lines)
    assert f"ITS@{host.machine.map.its:#018x}: failed probing (-6)" in lines
    assert lines[-1] == "ITS: No ITS available, not enabling LPIs"


def test_the_first_level_2_page_is_there_and_others_come_on_demand() -> None:
    """After the boot level-1 entry 0 is valid and the others are not, until a device needs one."""
    host = Host()
    host.call("probe")
    its = host.driver._state.its[0]
    table = table_of(its, TABLE_DEVICES)
    assert table is not None

    def entry(n: int) -> L1Entry:
        return L1Entry.decode(int.from_bytes(host.machine.physical(table.base + 8 * n, 8), "little"))

    assert [entry(n).valid for n in range(4)] == [1, 0, 0, 0]
    host.call("map_device", device_id=3 * 8192, events=1)
    assert [entry(n).valid for n in range(4)] == [1, 0, 0, 1]
    assert entry(0).address != entry(3).address


def test_a_device_beyond_the_table_is_an_honest_failure() -> None:
    """A DeviceID of more bits than the table reaches has no entry: ENOMEM, as in the kernel, and no command."""
    host = Host()
    host.call("probe")
    host.names()
    answer = host.call("map_device", device_id=0xFFFF_FFFF, events=1)
    assert answer["error"] == "ENOMEM"
    assert host.names() == []


def test_a_queue_that_is_not_shareable_is_written_again_without_cacheability() -> None:
    """Snapdragon: GITS_CBASER loses its shareability, and the driver says that it cleans commands."""
    host = Host(profile="snapdragon")
    answer = host.call("probe")
    assert answer["its"][0]["needs_flushing"]
    assert "ITS: using cache flushing for cmd queue" in host.log()
    cbaser = host.machine.map.its + GITS_CBASER.OFFSET
    written = [
        GITS_CBASER.decode(value) for kind, addr, _, value in host.port.accesses if (kind, addr) == ("w", cbaser)
    ]
    assert [(each.shareability, each.inner_cache) for each in written] == [(1, 7), (0, 1)]


def test_a_flat_table_is_cut_at_256_pages_of_the_its() -> None:
    """20 DeviceID bits without a second level and with 4 KB pages: 8 MiB wanted, 4 MiB allocated, 1 MiB named."""
    host = Host()
    its = host.machine.map.its
    host.port.reads[its + GITS_TYPER.OFFSET] = lambda value: GITS_TYPER.decode(value).replace(devbits=19).word()
    host.port.reads[its + BASER0] = lambda value: GITS_BASER.decode(value).replace(indirect=0, page_size=0).word()
    host.call("probe")
    lines = host.log()
    assert f"ITS@{its:#018x}: Devices Table too large, reduce ids 20->19" in lines
    assert f"ITS@{its:#018x}: Devices too large, reduce ITS pages 1024->256" in lines
    assert final(host, BASER0).size == 255
    assert host.call("map_device", device_id=1 << 17, events=1)["error"] == "ENOMEM"
    assert "error" not in host.call("map_device", device_id=1234, events=1)


def test_a_page_size_that_is_none_of_the_three_ends_the_probe() -> None:
    """Page_Size reads as its reserved value whatever is written."""
    host = probed(baser0=lambda baser: baser.replace(page_size=3))
    assert host.call("probe")["error"] == "ENXIO"


def test_shareability_that_never_settles_does_not_stick() -> None:
    """A register that answers another attribute each time is given up after a few attempts."""
    answers = [1, 2]

    def restless(baser: GITS_BASER) -> GITS_BASER:
        answers.append(answers.pop(0))
        return baser.replace(shareability=answers[0] ^ baser.shareability or 3)

    host = probed(baser0=restless)
    assert host.call("probe")["error"] == "ENXIO"
    assert any("Devices doesn't stick" in line for line in host.log())
