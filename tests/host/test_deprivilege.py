"""The switch-over, seen from the host: what it hands over, what it keeps, and what it takes back on every error."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, TABLE_DEVICES
from itsbox.arch.smccc import Errno, to_register
from itsbox.host.state import ItsNode
from itsbox.host.tables import table_of
from itsbox.host.versions import DriverVersion, driver_version
from itsbox.hypervisor.host_tables import HostTables
from itsbox.hypervisor.knobs import PRESETS, resolve
from itsbox.ops import HvcReturn
from tests.host.machine_port import NOT_SUPPORTED, Host

OK = HvcReturn(0, 0)
DONE = "kvm [1]: Protected nVHE mode initialized successfully"
V2 = DriverVersion()


def refused(errno: Errno) -> HvcReturn:
    """A handler's negative answer."""
    return HvcReturn(0, to_register(-errno), errno.name)


def booted(version: DriverVersion, init: HvcReturn = OK, finalize: HvcReturn = OK, profile: str = "virt-gicv3") -> Host:
    """A booted machine whose hypervisor answers as told."""
    host = Host(version, profile=profile)
    host.port.hvcs = {
        "__pkvm_prot_finalize": [finalize],
        "__pkvm_init_its_emulation": [init],
        "__pkvm_init_redist_emulation": [init],
    }
    host.call("probe")
    host.log()
    return host


def its_of(host: Host) -> ItsNode:
    """The driver's ITS."""
    return host.driver._state.its[0]


def tables_handed_over(host: Host) -> HostTables:
    """The page that the driver filled for the hypervisor."""
    *_, (_, args) = [call for call in host.port.calls if call[0] == "__pkvm_init_its_emulation"]
    return HostTables.decode(host.machine.physical(args[-1], 4096))


def test_every_cpu_is_finalised_before_the_its_is_handed_over() -> None:
    """One call per CPU, then one for the ITS, with its address first."""
    host = booted(V2)
    answer = host.call("deprivilege")
    names = [name for name, _ in host.port.calls]
    assert names == ["__pkvm_prot_finalize"] * 4 + ["__pkvm_init_its_emulation"]
    assert host.port.calls[-1][1][0] == host.machine.map.its
    assert answer["deprivileged"]
    assert host.driver.phase == "deprivileged"
    assert host.log() == [DONE]


def test_the_page_names_both_queues_and_every_table() -> None:
    """The old queue is GITS_CBASER's, the new one is zeroed; two-level tables have a copy of level 1, flat ones none."""
    host = booted(V2)
    its = replace(its_of(host))
    before = [replace(baser) for baser in its.basers]
    host.call("deprivilege")
    page = tables_handed_over(host)
    cbaser = GITS_CBASER.decode(host.machine.bus.read(its.base + GITS_CBASER.OFFSET, 8))
    assert page.cmd_original == cbaser.physical_address == its.queue
    assert page.cmdq_len == 0x1_0000
    assert host.machine.physical(page.cmd_shadow, page.cmdq_len) == bytes(0x1_0000)
    devices, collections = page.tables[0], page.tables[1]
    assert (devices.base, devices.order, devices.psz) == (before[0].base, before[0].order, 0x1_0000)
    assert devices.val == before[0].value
    assert host.machine.physical(devices.shadow, 0x1_0000) == host.machine.physical(devices.base, 0x1_0000)
    assert any(host.machine.physical(devices.shadow, 8)), "level-1 entry 0 is valid and copied"
    assert collections.shadow == 0
    assert all(row.base == row.val == 0 for row in page.tables[2:])


def test_the_driver_goes_on_with_its_own_copies() -> None:
    """Queue and level 1 are the new ones, the offset stays, and the registers are not written."""
    host = booted(V2)
    its = its_of(host)
    offset, queue = its.write_offset, its.queue
    host.port.accesses.clear()
    host.call("deprivilege")
    page = tables_handed_over(host)
    table = table_of(its, TABLE_DEVICES)
    assert table is not None
    assert host.port.accesses == []
    assert its.queue == page.cmd_shadow != queue
    assert its.write_offset == offset
    assert table.base == page.tables[0].shadow
    assert GITS_BASER.decode(table.value).physical_address == page.tables[0].shadow
    assert GITS_BASER.decode(table.value).replace(physical_address=0) == GITS_BASER.decode(page.tables[0].val).replace(
        physical_address=0
    )


@pytest.mark.parametrize("version, count", [(replace(V2, private_pages=1), 3), (V2, 4)])
def test_more_than_one_private_page_is_counted_in_the_call(version: DriverVersion, count: int) -> None:
    """The RFC passes (its, state, page), later versions (its, state, pages, page)."""
    host = booted(version)
    host.call("deprivilege")
    args = host.port.calls[-1][1]
    assert len(args) == count
    assert args[2:-1] == ((2,) if count == 4 else ())


@pytest.mark.parametrize("errno", [Errno.EPERM, Errno.EINVAL, Errno.ENODEV, Errno.EOPNOTSUPP, Errno.EBUSY])
def test_a_refused_its_leaves_the_driver_as_it_was(errno: Errno) -> None:
    """Everything is freed, the pointers are the old ones; the host is deprivileged all the same."""
    host = booted(V2, init=refused(errno))
    pages, its = [list(free) for free in host.driver._state.pages], replace(its_of(host))
    answer = host.call("deprivilege")
    assert answer["deprivileged"]
    assert answer["its"][0]["error"] == errno.name
    assert host.driver._state.pages == pages
    assert its_of(host) == its
    assert host.log()[0] == f"ITS@{its.base:#018x}: not taken over by the hypervisor ({-errno})"


def test_a_hypervisor_without_the_call_is_eopnotsupp() -> None:
    """SMCCC NOT_SUPPORTED is an error like any other."""
    host = booted(V2, init=HvcReturn(NOT_SUPPORTED, 0))
    assert host.call("deprivilege")["its"][0]["error"] == "EOPNOTSUPP"


def test_the_rfc_leaks_its_level_1_copies_on_error() -> None:
    """Copies are freed with order 0: fifteen of the sixteen pages of each stay lost; nothing else does."""

    def free_pages_after(version: DriverVersion) -> int:
        host = booted(version, init=refused(Errno.EPERM))
        host.call("deprivilege")
        return sum(len(free) << order for order, free in enumerate(host.driver._state.pages))

    assert free_pages_after(V2) - free_pages_after(replace(V2, leaks_shadow_tables=True)) == 15


def test_a_cpu_that_is_not_finalised_stops_the_switch_over() -> None:
    """The kernel says so; every CPU has been asked, no ITS is handed over, and the driver is as it was."""
    host = booted(V2, finalize=refused(Errno.EPERM))
    before = host.driver.state()
    answer = host.call("deprivilege")
    assert answer["error"] == "EINVAL"
    assert [name for name, _ in host.port.calls] == ["__pkvm_prot_finalize"] * 4
    assert host.log() == ["Failed to finalize Hyp protection: -22"]
    assert host.driver.state() == before


def test_without_memory_nothing_is_handed_over() -> None:
    """ENOMEM at each allocation in turn: everything is given back and the hypervisor is never asked."""
    for orders in ([0], [0, 4], [0, 4, 4]):
        host = booted(V2)
        state = host.driver._state
        state.pages = [[] for _ in state.pages]
        for n, order in enumerate(orders):
            state.pages[order].append(0x4100_0000 + n * 0x2_0000)
        pages = [list(free) for free in state.pages]
        answer = host.call("deprivilege")
        assert answer["its"][0]["error"] == "ENOMEM"
        assert sorted(addr for free in state.pages for addr in free) == sorted(addr for free in pages for addr in free)
        assert "__pkvm_init_its_emulation" not in [name for name, _ in host.port.calls]


def test_a_second_switch_over_is_refused() -> None:
    """Once is enough."""
    host = booted(V2)
    host.call("deprivilege")
    assert host.call("deprivilege")["error"] == "EBUSY"


def test_a_kernel_without_pkvm_says_so_and_makes_no_call() -> None:
    """Preset off: nothing happens, and the answer and the log say why."""
    host = booted(driver_version(resolve("off").knobs))
    answer = host.call("deprivilege")
    assert not answer["deprivileged"]
    assert "no pKVM" in answer["detail"]
    assert host.port.calls == []
    assert host.log() == ["kvm [1]: Hyp nVHE mode initialized successfully"]
    assert host.driver.phase == "probed"


def test_forward_finalises_and_hands_nothing_over() -> None:
    """Patches 1 to 4: stage 2 is on, the driver keeps its pointers."""
    host = booted(driver_version(resolve("forward").knobs))
    its = replace(its_of(host))
    answer = host.call("deprivilege")
    assert answer == {"deprivileged": True, "its": [], "timeouts": 0}
    assert [name for name, _ in host.port.calls] == ["__pkvm_prot_finalize"] * 4
    assert its_of(host) == its


def test_redistributors_are_handed_over_one_by_one() -> None:
    """Each gets private state of its own; an error frees it and does not stop the others."""
    host = booted(replace(V2, redistributors=True))
    host.port.hvcs["__pkvm_init_redist_emulation"] = [OK, refused(Errno.EPERM), OK]
    answer = host.call("deprivilege")
    calls = [args for name, args in host.port.calls if name == "__pkvm_init_redist_emulation"]
    stride = host.machine.map.gicr_stride
    assert [args[0] for args in calls] == [host.machine.map.gicr + cpu * stride for cpu in range(4)]
    assert [row.get("error") for row in answer["redistributors"]] == [None, "EPERM", None, None]
    # What the refused one gave back, the next one donates.
    assert calls[1][1] == calls[2][1]
    assert len({args[1] for args in calls}) == 3


def test_redistributors_without_memory_are_not_handed_over() -> None:
    """No memory for private state: each says ENOMEM, and the hypervisor is not asked."""
    host = booted(replace(V2, redistributors=True, handover="none"))
    host.driver._state.cpus[2].rd_base = 0  # a CPU that was never found
    host.driver._state.pages = [[] for _ in host.driver._state.pages]
    answer = host.call("deprivilege")
    assert [row["error"] for row in answer["redistributors"]] == ["ENOMEM"] * 3
    assert [name for name, _ in host.port.calls] == ["__pkvm_prot_finalize"] * 4


def test_a_hypervisor_without_redistributor_emulation_is_asked_once() -> None:
    """The call does not exist: the private state is freed and the other redistributors are not offered."""
    host = booted(replace(V2, redistributors=True))
    host.port.hvcs["__pkvm_init_redist_emulation"] = [HvcReturn(NOT_SUPPORTED, 0)]
    answer = host.call("deprivilege")
    assert answer["redistributors"] == []
    assert [name for name, _ in host.port.calls].count("__pkvm_init_redist_emulation") == 1


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv4", "snapdragon"])
def test_commands_go_to_the_new_queue_afterwards(profile: str) -> None:
    """The next command is stored at the old offset of the new queue."""
    host = booted(V2, profile=profile)
    its = its_of(host)
    old_queue, offset = its.queue, its.write_offset
    host.call("deprivilege")
    before = host.machine.physical(old_queue, 0x1_0000)
    host.call("map_device", device_id=8, events=1)
    assert host.machine.physical(old_queue, 0x1_0000) == before
    assert host.machine.physical(its.queue + offset, 1) == b"\x08"  # MAPD
    assert host.machine.physical(its.queue, offset) == bytes(offset)


def test_each_preset_has_its_driver() -> None:
    """What the versions of the series changed on the host's side."""
    rows = {name: driver_version(PRESETS[name].knobs) for name in PRESETS}
    assert not rows["off"].pkvm
    assert rows["forward"].handover == "none"
    assert (rows["rfc-v1"].private_pages, rows["rfc-v1"].leaks_shadow_tables) == (1, True)
    assert (rows["v2"].private_pages, rows["v2"].leaks_shadow_tables) == (2, False)
    assert rows["android-6.12"].itt_page_aligned
    assert rows["android-6.12"].redistributors
    assert not rows["v2"].redistributors
    assert rows["strict"].redistributors
    assert not rows["strict"].itt_page_aligned


def test_patches_are_applied_one_after_another() -> None:
    """rfc-v1@N: without pKVM before patch 1, locks from patch 5, the hand-over from patch 6."""
    order = ["none", "locks", "switch"]
    steps = [order.index(driver_version(PRESETS[f"rfc-v1@{n}"].knobs).handover) for n in range(1, 15)]
    assert all(earlier <= later for earlier, later in pairwise(steps))
    assert steps[0] == 0
    assert steps[-1] == 2


def test_android_allocates_whole_pages_for_itts() -> None:
    """Every ITT is page-aligned, because its hypervisor insists."""
    host = booted(driver_version(resolve("android-6.12").knobs))
    itts = [host.call("map_device", device_id=n, events=1)["itt"] for n in range(3)]
    assert all(int(itt, 16) % 4096 == 0 for itt in itts)


def test_a_handover_that_does_not_exist_is_a_defect() -> None:
    """The row accepts only what the driver implements."""
    with pytest.raises(ValueError, match="none, locks, switch"):
        DriverVersion(handover="everything")
