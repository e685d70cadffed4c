"""Several ITSs in one machine: each has its own queue, and a GICv4 one without single VMOVP a number."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import VMOVP
from tests.host.machine_port import Host


@pytest.fixture
def host() -> Host:
    """A booted machine with two ITSs and two vPEs."""
    host = Host(profile="virt-gicv4-dual-its")
    host.call("probe")
    host.call("map_vpe", cpu=3)
    host.call("map_vpe", cpu=3)
    return host


def test_both_are_probed_and_every_collection_is_mapped_on_both(host: Host) -> None:
    """Two queues, two sets of tables, numbers 0 and 1, four commands per CPU and ITS."""
    first, second = host.driver._state.its
    assert (first.its_number, second.its_number) == (0, 1)
    assert sorted(first.collections) == sorted(second.collections) == [0, 1, 2, 3]
    assert second.write_offset == 4 * 128
    assert host.names().count("MAPC") == 8


def test_a_device_belongs_to_one_its(host: Host) -> None:
    """The same DeviceID on both is two devices, with LPIs and an ITT each."""
    one, other = (host.call("map_device", device_id=8, events=1, its=its) for its in (0, 1))
    assert one["itt"] != other["itt"]
    assert one["events"][0]["lpi"] != other["events"][0]["lpi"]
    host.call("unmap_device", device_id=8)
    assert host.call("mask", device_id=8, event_id=0)["error"] == "ENODEV"
    assert "error" not in host.call("mask", device_id=8, event_id=0, its=1)


def test_an_its_learns_of_vpes_with_its_first_event_and_forgets_them_with_its_last(host: Host) -> None:
    """With an ITS list all vPEs of the guest are mapped before the first VMAPTI and unmapped after the last."""
    for its in (0, 1):
        host.call("map_device", device_id=8, events=2, its=its)
    host.names()
    both = ["VMAPP", "VSYNC", "VINVALL", "VSYNC"] * 2
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000, its=1)
    assert host.names() == [*both, "DISCARD", "SYNC", "VMAPTI", "VSYNC"]
    host.call("map_vlpi", device_id=8, event_id=1, vpe_id=1, virtual_intid=9001, its=1)
    assert host.names() == ["DISCARD", "SYNC", "VMAPTI", "VSYNC"]
    host.call("map_vpe", vpe_id=7)
    assert host.names() == ["VMAPP", "VSYNC", "VINVALL", "VSYNC"]
    host.call("unmap_vlpi", device_id=8, event_id=0, its=1)
    assert "VMAPP" not in host.names()
    host.call("unmap_vlpi", device_id=8, event_id=1, its=1)
    assert host.names()[-6:] == ["VMAPP", "VSYNC"] * 3


def test_vmovp_goes_to_each_its_that_knows_the_vpe_with_one_number(host: Host) -> None:
    """The sequence number is the same on all, the list names them, and the next move has the next number."""
    for its in (0, 1):
        host.call("map_device", device_id=8, events=1, its=its)
        host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000 + its, its=its)
    host.machine.take_events()

    def moves(cpu: int) -> list[VMOVP]:
        host.call("move_vpe", vpe_id=0, cpu=cpu)
        return [VMOVP.decode(*event[4]) for event in host.machine.take_events() if event[3:4] == ("VMOVP",)]

    assert [(move.sequence_number, move.its_list, move.rd_base) for move in moves(0)] == [(0, 0b11, 0)] * 2
    assert [(move.sequence_number, move.its_list, move.rd_base) for move in moves(1)] == [(1, 0b11, 1)] * 2


def test_one_its_that_fails_leaves_the_other() -> None:
    """The second ITS does not become quiescent: it is given up, the first works, and naming the second is an honest failure."""
    host = Host(profile="virt-gicv4-dual-its")
    second = host.machine.its[1].base
    host.port.reads[second] = lambda _: 1
    answer = host.call("probe")
    assert len(answer["its"]) == 1
    lines = host.log()
    assert f"ITS@{second:#018x}: failed to quiesce, giving up" in lines
    assert f"ITS@{second:#018x}: failed probing (-16)" in lines
    assert "error" not in host.call("map_device", device_id=1, events=1)
    assert host.call("map_device", device_id=1, events=1, its=1)["error"] == "ENODEV"


def test_suspend_that_fails_on_the_second_switches_the_first_on_again() -> None:
    """All or nothing: the ITSs that were switched off are on again, newest first."""
    host = Host(profile="virt-gicv4-dual-its")
    host.call("probe")
    first, second = (node.base for node in host.machine.its)
    host.port.reads[second] = lambda _: 1
    assert host.call("suspend")["error"] == "EBUSY"
    assert [(addr, value & 1) for kind, addr, _, value in host.port.accesses[-2:] if kind == "w"] == [
        (second, 1),
        (first, 1),
    ]
