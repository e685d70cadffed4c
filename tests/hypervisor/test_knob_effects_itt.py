"""What the knobs of interrupt translation tables do: under the RFC, and under strict."""

from __future__ import annotations

from itsbox.arch.its_commands import MAPD, MAPTI, VMAPP
from itsbox.arch.values import pfn_of
from itsbox.ops import Drive, HvcReturn, Panicked
from itsbox.reasons import Reason
from tests.hypervisor.box import VALID, Box
from tests.hypervisor.shown import shows

HOST_ALONE = ("host", "OWNED", 0)


def mapd(device_id: int, itt_addr: int, size: int = 3, valid: int = 1) -> MAPD:
    """Map (or unmap) a device with 2^(size+1) events."""
    return MAPD(device_id=device_id, size=size, itt_addr=itt_addr, valid=valid)


def unaligned(box: Box, n: int) -> int:
    """An ITT address that the RFC accepts: not page aligned."""
    return box.page(n) + 0x100


@shows("itt_alignment", 1)
def test_the_inverted_test_refuses_aligned_tables() -> None:
    """RFC: page aligned is refused, unaligned passes; Android: the other way round; v2 and strict: both pass."""

    def verdicts(preset: str) -> list[str]:
        return [
            *Box(preset).verdicts(mapd(1, Box(preset).page(0))),
            *Box(preset).verdicts(mapd(1, unaligned(Box(preset), 0))),
        ]

    assert verdicts("rfc-v1") == ["itt_page_aligned", "executed"]
    assert verdicts("android-6.12") == ["executed", "itt_unaligned"]
    assert verdicts("v2") == verdicts("strict") == ["executed", "executed"]


@shows("itt_size", 10)
def test_a_size_beyond_the_event_bits() -> None:
    """RFC: 2^32 entries wrap to nothing in 32 bits, one page is held, hardware alone refuses; strict refuses the command."""
    rfc = Box("rfc-v1")
    record = rfc.records(mapd(1, unaligned(rfc, 0), size=31))[0]
    assert (record[3], record[4] and record[4].name) == ("error", "MAPD_ITTSIZE_OOR")
    assert rfc.describe(rfc.page(0)) == ("host", "SHARED_OWNED", 0)
    assert rfc.describe(rfc.page(0) + 0x1000) == HOST_ALONE

    strict = Box()
    assert strict.verdicts(mapd(1, strict.page(0), size=16)) == ["event_bits_range"]
    assert strict.verdicts(mapd(1, strict.page(0), size=15)) == ["executed"]


@shows("itt_pages")
def test_a_table_of_one_page_counts_as_two() -> None:
    """RFC: 4096 bytes plus 255, rounded up; strict holds the pages that hold entries, also where they cross a border."""
    # 12 bytes an entry: 256 entries are 3072 bytes.
    rfc, strict = Box("rfc-v1"), Box()
    rfc.verdicts(mapd(1, unaligned(rfc, 0), size=8))  # 512 entries, 6144 bytes: two pages
    assert rfc.describe(rfc.page(0) + 0x1000)[1] == "SHARED_OWNED"
    rfc = Box("rfc-v1")
    rfc.verdicts(mapd(1, rfc.page(0) + 0xF00, size=7))  # entries reach into the second page, which is not held
    assert rfc.describe(rfc.page(0) + 0x1000) == HOST_ALONE

    strict.verdicts(mapd(1, strict.page(0) + 0xF00, size=7))
    assert strict.describe(strict.page(0)) == strict.describe(strict.page(0) + 0x1000) == ("host", "SHARED_OWNED", 1)
    assert strict.describe(strict.page(0) + 0x2000) == HOST_ALONE


@shows("itt_sharing", 9)
def test_two_devices_in_one_page() -> None:
    """RFC: the second is refused; strict counts, and the page goes back with the last of them."""
    rfc, strict = Box("rfc-v1"), Box()
    assert rfc.verdicts(mapd(1, unaligned(rfc, 0)), mapd(2, unaligned(rfc, 0) + 0x100)) == ["itt_shared"]

    one, two = mapd(1, strict.page(0)), mapd(2, strict.page(0) + 0x100)
    assert strict.verdicts(one, two) == ["executed"] * 2
    assert strict.describe(strict.page(0)) == ("host", "SHARED_OWNED", 2)
    assert strict.verdicts(one.replace(valid=0)) == ["executed"]
    assert strict.describe(strict.page(0)) == ("host", "SHARED_OWNED", 1)
    assert strict.verdicts(two.replace(valid=0)) == ["executed"]
    assert strict.describe(strict.page(0)) == HOST_ALONE


def test_a_remap_of_a_live_device_lets_the_old_table_go() -> None:
    """RFC: the old pages stay shared for ever; strict gives them back once the new table is in use."""
    rfc, strict = Box("rfc-v1"), Box()
    rfc.verdicts(mapd(1, unaligned(rfc, 0)), mapd(1, unaligned(rfc, 1)))
    assert rfc.describe(rfc.page(0))[1] == "SHARED_OWNED"

    assert strict.verdicts(mapd(1, strict.page(0)), mapd(1, strict.page(1))) == ["executed"] * 2
    assert strict.describe(strict.page(0)) == HOST_ALONE
    assert strict.describe(strict.page(1)) == ("host", "SHARED_OWNED", 1)
    assert strict.verdicts(mapd(1, strict.page(1), size=4)) == ["executed"]
    assert strict.describe(strict.page(1)) == ("host", "SHARED_OWNED", 1)


@shows("itt_pinning")
def test_an_unpinned_table_is_unshared_by_hypercall() -> None:
    """RFC: the host takes the sharing back while the ITS uses the page, and could give it to a guest; strict: -EBUSY."""
    rfc, strict = Box("rfc-v1"), Box()
    rfc.verdicts(mapd(1, unaligned(rfc, 0)))
    assert rfc.errno("__pkvm_host_unshare_hyp", pfn_of(rfc.page(0))) is None
    assert rfc.errno("__pkvm_host_donate_guest", pfn_of(rfc.page(0)), 0, 1) is None

    strict.verdicts(mapd(1, strict.page(0)))
    assert strict.errno("__pkvm_host_unshare_hyp", pfn_of(strict.page(0))) == "EBUSY"
    assert strict.errno("__pkvm_host_donate_guest", pfn_of(strict.page(0)), 0, 1) == "EPERM"


@shows("itt_release", 8)
def test_unmapping_one_device_releases_another_ones_pages() -> None:
    """RFC: MAPD V=0 names the pages of a live device and gets them; v2 refuses; strict goes by its own record."""
    rfc, v2, strict = Box("rfc-v1"), Box("v2"), Box()
    for box in (rfc, v2, strict):
        assert box.verdicts(mapd(1, unaligned(box, 0)), mapd(2, unaligned(box, 1))) == ["executed"] * 2

    assert rfc.verdicts(mapd(2, unaligned(rfc, 0), valid=0)) == ["executed"]
    assert rfc.describe(rfc.page(0)) == HOST_ALONE
    assert v2.verdicts(mapd(2, unaligned(v2, 0), valid=0)) == ["itt_not_tracked"]
    assert strict.verdicts(mapd(2, unaligned(strict, 0), valid=0)) == ["executed"]
    assert strict.describe(strict.page(0)) == ("host", "SHARED_OWNED", 1)
    assert strict.describe(strict.page(1)) == HOST_ALONE


@shows("release_time")
def test_pages_are_released_only_after_completion() -> None:
    """An unmap that the ITS never carries out: v2 has let the page go, takes it back and reports; strict never let it go."""
    v2 = Box("v2", session={"error_policy": "stall"})
    v2.verdicts(mapd(1, v2.page(0)))
    v2.machine.take_events()
    v2.disable()
    assert v2.verdicts(mapd(1, v2.page(0), valid=0)) == ["command_timeout"]
    changes = [event["to"] for event in v2.events("page.state")]
    assert changes == ["host SHARED_OWNED", "host OWNED", "host SHARED_OWNED", "host SHARED_OWNED pins=1"]

    strict = Box()
    strict.verdicts(mapd(1, strict.page(0)))
    strict.disable()
    strict.machine.take_events()
    assert strict.verdicts(mapd(1, strict.page(0), valid=0)) == []
    assert strict.events("page.state") == []
    assert strict.describe(strict.page(0)) == ("host", "SHARED_OWNED", 1)
    strict.enable()
    assert strict.describe(strict.page(0)) == HOST_ALONE


@shows("preswitch_unmap")
def test_unmapping_a_device_from_before_the_switch_over() -> None:
    """v2 and Android refuse it, and the queue is wedged; the RFC and strict let it pass."""

    def unmap(preset: str, aligned: int) -> str:
        box = Box(preset, session={"start": "host"})
        assert box.verdicts(mapd(1, box.page(0) + aligned)) == ["executed"]
        box.machine.apply(Drive("deprivilege", {}))
        return box.verdicts(mapd(1, box.page(0) + aligned, valid=0))[0]

    assert unmap("rfc-v1", 0x100) == unmap("strict", 0) == "executed"
    assert unmap("v2", 0) == unmap("android-6.12", 0) == "itt_not_tracked"


@shows("preswitch_devices")
def test_devices_from_before_the_switch_over_are_found() -> None:
    """Strict walks the tables and pins their memory; v2 lets the host give it to a guest."""

    def donate(preset: str) -> str | None:
        box = Box(preset, session={"start": "host"})
        box.verdicts(mapd(1, box.page(0)))
        box.machine.apply(Drive("deprivilege", {}))
        return box.errno("__pkvm_host_donate_guest", pfn_of(box.page(0)), 0, 1)

    assert donate("v2") is None
    assert donate("strict") == "EPERM"


@shows("tracking_slots", 16)
def test_the_tracking_array_fills_up() -> None:
    """RFC: after 505 pages every MAPD is refused; strict goes on."""

    def at(box: Box, n: int) -> int:
        return box.map.ram + box.map.ram_bytes // 2 + n * 0x1000 + 0x100

    rfc, strict = Box("rfc-v1"), Box()
    assert set(rfc.verdicts(*[mapd(n, at(rfc, n)) for n in range(505)])) == {"executed"}
    assert rfc.verdicts(mapd(505, at(rfc, 505))) == ["tracking_full"]
    assert set(strict.verdicts(*[mapd(n, at(strict, n)) for n in range(600)])) == {"executed"}


@shows("vpt_pages", 6)
def test_the_size_of_a_virtual_pending_table() -> None:
    """RFC: 65,536 pages are wanted for any table, so VMAPP never works, nor does its undoing; strict holds 64 KB."""

    def vmapp(box: Box, valid: int = 1, vpt: int | None = None) -> VMAPP:
        return VMAPP(vpe_id=3, rd_base=0, valid=valid, vpt_size=15, vpt_addr=box.page(0) if vpt is None else vpt)

    gicv4 = {"profile": "virt-gicv4"}
    rfc = Box("rfc-v1", session=gicv4)
    assert rfc.verdicts(vmapp(rfc)) == ["tracking_full"]
    rfc = Box("rfc-v1", session=gicv4)
    assert rfc.verdicts(vmapp(rfc, valid=0, vpt=0)) == ["vpt_not_host_owned"]

    repaired = Box("rfc-v1", vpt_pages="correct", session=gicv4)
    assert repaired.verdicts(vmapp(repaired), vmapp(repaired, valid=0)) == ["executed"] * 2
    strict = Box(session=gicv4)
    strict.add_l2(0, strict.page(2) | VALID, "vpe")
    assert strict.verdicts(vmapp(strict)) == ["executed"]
    assert strict.describe(strict.page(0) + 0xF000) == ("host", "SHARED_OWNED", 1)
    assert strict.describe(strict.page(1)) == HOST_ALONE
    assert strict.verdicts(vmapp(strict, valid=0, vpt=0)) == ["executed"]
    assert strict.describe(strict.page(0)) == HOST_ALONE


@shows("rollback")
def test_a_level_2_page_taken_for_a_refused_command() -> None:
    """v2: MAPD adds a level-2 page, then fails at its table; the page stays taken. Strict takes nothing."""

    def refused(preset: str) -> tuple[list[str], str]:
        box = Box(preset)
        box.add_l2(1, box.page(1) | VALID)
        return box.verdicts(mapd(8192, box.map.guest)), box.describe(box.page(1))[0]

    assert refused("v2") == (["itt_not_host_owned"], "hyp")
    assert refused("strict") == (["itt_not_host_owned"], "host")


def test_a_batch_with_a_bad_command_makes_the_good_one_before_it_fail() -> None:
    """RFC: the retry shares the good command's page a second time, which is refused: the queue is lost for good."""
    rfc = Box("rfc-v1")
    good, bad = mapd(1, unaligned(rfc, 0)), mapd(2, rfc.page(1))
    assert rfc.verdicts(good, bad) == ["itt_page_aligned"]
    assert rfc.verdicts() == ["itt_shared"]

    strict = Box()
    assert strict.verdicts(mapd(1, strict.page(0)), mapd(2, strict.map.hyp), mapd(3, strict.page(1))) == [
        "executed", "itt_not_host_owned", "executed"
    ]  # fmt: skip


def test_a_table_outside_host_memory_is_refused_everywhere() -> None:
    """Hypervisor, guest, device and absent memory; with the RFC too, as long as the address is unaligned."""
    for preset in ("rfc-v1", "v2", "strict"):
        for addr in ("hyp", "guest", "gicd"):
            box = Box(preset)
            assert box.verdicts(mapd(1, getattr(box.map, addr) + 0x100)) == ["itt_not_host_owned"], (preset, addr)
    strict = Box()
    assert strict.verdicts(mapd(1, 0xF_0000_0000_0000)) == ["itt_not_host_owned"]
    assert strict.verdicts(mapd(1, strict.map.guest - 0x1000, size=15)) == ["itt_not_host_owned"]


def test_strict_refuses_what_its_records_do_not_cover() -> None:
    """An event beyond the recorded Size, and a device that is not mapped."""
    box = Box()
    box.verdicts(mapd(1, box.page(0), size=3))

    def event(device_id: int, event_id: int, intid: int = 8192) -> MAPTI:
        return MAPTI(device_id=device_id, event_id=event_id, intid=intid, icid=0)

    assert box.verdicts(event(1, 15), event(1, 16), event(2, 0)) == ["executed", "event_id_range", "device_not_mapped"]
    assert box.verdicts(event(1, 0, 8191), event(1, 0, 65535), event(1, 0, 65536)) == [
        "intid_range", "executed", "intid_range"
    ]  # fmt: skip


def test_a_reason_is_given_with_each_answer() -> None:
    """The outcome has the first refusal's reason, and the last refusal is remembered."""
    box = Box()
    outcome = box.post(mapd(1, box.map.hyp), mapd(2, box.map.guest))
    assert not isinstance(outcome, HvcReturn | Panicked)

    assert getattr(outcome, "reason", None) is Reason.ITT_NOT_HOST_OWNED
    assert box.machine.diagnosis()["last_refused"]["words"][0] == "0x200000008"
