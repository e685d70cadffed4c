"""Suspend and resume, and CPUs that go and come."""

from __future__ import annotations

import pytest

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, GITS_CWRITER, GITS_TYPER
from itsbox.arch.redist_registers import GICR_TYPER
from itsbox.ops import Ack, Acked, Msi
from tests.host.machine_port import Host


@pytest.fixture
def host() -> Host:
    """A booted machine with one device of four events, all unmasked."""
    host = Host()
    host.call("probe")
    host.call("map_device", device_id=8, events=4)
    for event_id in range(4):
        host.call("unmask", device_id=8, event_id=event_id)
    host.names()
    host.log()
    host.port.accesses.clear()
    return host


def test_suspend_saves_and_switches_off(host: Host) -> None:
    """CTLR is saved, Enabled cleared, CBASER saved; nothing else runs until resume."""
    its = host.machine.map.its
    assert host.call("suspend") == {"suspended": True, "timeouts": 0}
    assert not GITS_CTLR.decode(host.machine.bus.read(its, 4)).enabled
    for call, args in (("map_device", {"device_id": 1, "events": 1}), ("suspend", {}), ("offline", {"cpu": 1})):
        assert host.call(call, **args)["error"] == "EBUSY"


def test_resume_programs_the_its_in_the_kernels_order(host: Host) -> None:
    """CBASER, CWRITER = 0, each valid BASER and its read-back, CTLR last; the driver begins at offset 0 again."""
    its = host.machine.map.its
    host.call("suspend")
    host.port.accesses.clear()
    host.call("resume")
    order = [(kind, addr - its) for kind, addr, _, _ in host.port.accesses]
    assert order == [
        ("r", GITS_CTLR.OFFSET),
        ("w", GITS_CBASER.OFFSET),
        ("w", GITS_CWRITER.OFFSET),
        ("w", GITS_BASER.OFFSET),
        ("r", GITS_BASER.OFFSET),
        ("w", GITS_BASER.OFFSET + 8),
        ("r", GITS_BASER.OFFSET + 8),
        ("w", GITS_CTLR.OFFSET),
        ("r", 8),
    ]
    assert host.driver._state.its[0].write_offset == 0


def test_everything_works_after_resume(host: Host) -> None:
    """Mappings are in memory and outlive the registers; commands go on from the start of the queue."""
    before = host.machine.state()
    host.call("suspend")
    host.call("resume")
    assert host.machine.state() == before
    assert host.call("move_event", device_id=8, event_id=0, cpu=3)["timeouts"] == 0
    host.machine.apply(Msi(8, 0))
    assert host.machine.apply(Ack(3)) == Acked(8192)


def test_a_device_that_stays_busy_is_not_suspended(host: Host) -> None:
    """Quiescent never comes: EBUSY after the kernel's second, and the ITS is switched on again."""
    its = host.machine.map.its
    busy = GITS_CTLR.decode(0).replace(enabled=1).word()
    host.port.reads[its] = lambda _: busy
    assert host.call("suspend")["error"] == "EBUSY"
    assert host.log() == [f"ITS@{its:#018x}: failed to quiesce: -16"]
    assert GITS_CTLR.decode(host.machine.bus.read(its, 4)).enabled
    del host.port.reads[its]
    assert host.call("mask", device_id=8, event_id=0)["timeouts"] == 0


def test_a_device_that_wakes_up_busy_is_left_alone(host: Host) -> None:
    """On resume the kernel does not program an ITS that is not quiescent; it says so and goes on."""
    its = host.machine.map.its
    host.call("suspend")
    host.port.reads[its] = lambda _: GITS_CTLR.decode(0).replace(enabled=1).word()
    answer = host.call("resume")
    assert answer["failed"] == [f"{its:#x}"]
    assert host.log() == [f"ITS@{its:#018x}: failed to quiesce on resume: -16"]


def test_events_of_a_cpu_that_goes_move_to_the_others(host: Host) -> None:
    """One MOVI and SYNC each, to the least loaded of those that stay; interrupts arrive there."""
    answer = host.call("offline", cpu=2)
    assert host.names() == ["MOVI", "SYNC"]
    assert answer["moved"] == [{"device_id": 8, "event_id": 2, "cpu": 0}]
    host.machine.apply(Msi(8, 2))
    assert host.machine.apply(Ack(0)) == Acked(8194)
    assert host.call("move_event", device_id=8, event_id=0, cpu=2)["error"] == "EINVAL"
    assert host.call("offline", cpu=2)["error"] == "EINVAL"


def test_the_last_cpu_stays(host: Host) -> None:
    """Taking all CPUs offline is refused."""
    for cpu in range(3):
        assert not host.call("offline", cpu=cpu)["online"]
    assert host.call("offline", cpu=3)["error"] == "EBUSY"
    assert {event["icid"] for event in host.machine.state()["events"]["8"].values()} == {3}


def test_a_cpu_that_comes_back_takes_events_again(host: Host) -> None:
    """Its collection is mapped again and it is a target like any other."""
    host.call("offline", cpu=2)
    assert host.call("online", cpu=2)["online"]
    assert host.call("move_event", device_id=8, event_id=0, cpu=2)["moved"]


def test_an_event_that_cannot_go_anywhere_keeps_its_cpu() -> None:
    """The only other CPU takes no LPIs: the CPU stays online with its event."""
    host = Host(cpus=2)
    addr = host.machine.map.gicr + host.machine.map.gicr_stride + GICR_TYPER.OFFSET
    host.port.reads[addr] = lambda value: GICR_TYPER.decode(value).replace(plpis=0).word()
    host.call("probe")
    host.call("map_device", device_id=8, events=1)
    assert host.call("offline", cpu=0)["error"] == "EINVAL"
    assert host.call("mask", device_id=8, event_id=0)["timeouts"] == 0
    assert host.call("online", cpu=0)["error"] == "EINVAL", "it never left"


def test_collections_that_the_its_holds_itself_are_mapped_again(host: Host) -> None:
    """GITS_TYPER.HCC covers the boot CPU's collection: it is lost in suspend, and its MAPC is sent again."""
    host.call("suspend")
    host.port.reads[host.machine.map.its + GITS_TYPER.OFFSET] = lambda value: (
        GITS_TYPER.decode(value).replace(hcc=4).word()
    )
    host.call("resume")
    assert host.names() == ["MAPC", "SYNC", "INVALL", "SYNC"]
