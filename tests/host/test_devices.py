"""Devices and events: which commands, in which order, and what the machine looks like afterwards."""

from __future__ import annotations

import pytest

from itsbox.ops import Ack, Acked, Msi
from tests.host.machine_port import Host


@pytest.fixture
def host() -> Host:
    """A booted machine; its boot's commands and lines are forgotten."""
    host = Host()
    host.call("probe")
    host.names()
    host.log()
    return host


def test_mapping_a_device_is_a_mapd_alone_and_a_mapti_with_sync_per_event(host: Host) -> None:
    """Nothing is unmasked and nothing invalidated yet."""
    answer = host.call("map_device", device_id=8, events=3)
    assert host.names() == ["MAPD", "MAPTI", "SYNC", "MAPTI", "SYNC", "MAPTI", "SYNC"]
    assert answer["timeouts"] == 0
    state = host.machine.state()
    assert state["devices"]["8"] == {"size": 1, "itt": answer["itt"]}
    assert state["events"]["8"] == {
        str(event["event_id"]): {"intid": event["lpi"], "icid": event["cpu"]} for event in answer["events"]
    }


def test_events_go_to_the_cpu_with_the_fewest(host: Host) -> None:
    """Five events on four CPUs go round; a named CPU gets them all; the next device fills up the others."""
    first = host.call("map_device", device_id=1, events=5)
    assert [event["cpu"] for event in first["events"]] == [0, 1, 2, 3, 0]
    second = host.call("map_device", device_id=2, events=2, cpu=3)
    assert [event["cpu"] for event in second["events"]] == [3, 3]
    third = host.call("map_device", device_id=3, events=2)
    assert [event["cpu"] for event in third["events"]] == [1, 2]


def test_lpis_come_in_powers_of_two_and_come_back(host: Host) -> None:
    """Five events take eight LPIs; freed, they are given out again."""
    assert host.call("map_device", device_id=1, events=5)["events"][0]["lpi"] == 8192
    assert host.call("map_device", device_id=2, events=1)["events"][0]["lpi"] == 8200
    host.call("unmap_device", device_id=1)
    assert host.call("map_device", device_id=3, events=8)["events"][0]["lpi"] == 8192


def test_an_unmasked_event_reaches_its_cpu(host: Host) -> None:
    """INV and SYNC unmask it; a device's message is then acknowledged where the event is routed."""
    answer = host.call("map_device", device_id=8, events=2)
    lpi, cpu = answer["events"][1]["lpi"], answer["events"][1]["cpu"]
    host.names()
    host.call("unmask", device_id=8, event_id=1)
    assert host.names() == ["INV", "SYNC"]
    host.machine.apply(Msi(8, 1))
    assert host.machine.apply(Ack(cpu)) == Acked(lpi)
    host.call("mask", device_id=8, event_id=1)
    host.machine.apply(Msi(8, 1))
    assert host.machine.apply(Ack(cpu)) == Acked(1023)


def test_moving_an_event_waits_for_the_cpu_that_it_leaves(host: Host) -> None:
    """MOVI names the new collection, the SYNC the old redistributor; moving it nowhere sends nothing."""
    host.call("map_device", device_id=8, events=1)
    host.machine.take_events()
    answer = host.call("move_event", device_id=8, event_id=0, cpu=2)
    movi, sync = [event for event in host.machine.take_events() if event[0].name == "command.executed"]
    assert answer["moved"]
    assert movi[4][2] == 2  # ICID
    assert sync[4][2] == 0  # RDbase 0, where it was
    assert not host.call("move_event", device_id=8, event_id=0, cpu=2)["moved"]
    assert host.names() == []


def test_retrigger_and_clear_are_int_and_clear(host: Host) -> None:
    """Each with its SYNC; the pending bit comes and goes."""
    host.call("map_device", device_id=8, events=1)
    host.names()
    host.call("retrigger", device_id=8, event_id=0)
    assert host.machine.state()["pending"] == {"0": [8192]}
    host.call("clear", device_id=8, event_id=0)
    assert host.machine.state()["pending"] == {}
    assert host.names() == ["INT", "SYNC", "CLEAR", "SYNC"]


def test_freeing_a_device_masks_what_is_unmasked_and_discards_everything(host: Host) -> None:
    """INV only for the unmasked event, DISCARD for each, MAPD with V=0 last, still naming the ITT."""
    answer = host.call("map_device", device_id=8, events=2)
    host.call("unmask", device_id=8, event_id=1)
    host.machine.take_events()
    host.call("unmap_device", device_id=8)
    executed = [event for event in host.machine.take_events() if event[0].name == "command.executed"]
    assert [event[3] for event in executed] == ["DISCARD", "SYNC", "INV", "SYNC", "DISCARD", "SYNC", "MAPD"]
    assert executed[-1][4][2] == int(answer["itt"], 16)
    assert host.machine.state()["devices"] == {}


def test_one_more_event_takes_the_first_free_place(host: Host) -> None:
    """A device of three events has LPIs for four; then no more."""
    host.call("map_device", device_id=8, events=3)
    host.call("unmap_event", device_id=8, event_id=1)
    assert host.call("map_event", device_id=8)["event_id"] == 1
    assert host.call("map_event", device_id=8, cpu=3) == {
        "device_id": 8,
        "event_id": 3,
        "lpi": 8195,
        "cpu": 3,
        "timeouts": 0,
    }
    assert host.call("map_event", device_id=8)["error"] == "ENOSPC"
    assert host.call("map_event", device_id=8, event_id=2)["error"] == "EEXIST"


@pytest.mark.parametrize(
    "call, args, error",
    [
        ("map_device", {"device_id": 1, "events": 1}, "EEXIST"),
        ("unmap_device", {"device_id": 2}, "ENODEV"),
        ("map_event", {"device_id": 2}, "ENODEV"),
        ("unmap_event", {"device_id": 1, "event_id": 9}, "EINVAL"),
        ("mask", {"device_id": 1, "event_id": 9}, "EINVAL"),
        ("unmask", {"device_id": 2, "event_id": 0}, "ENODEV"),
        ("move_event", {"device_id": 1, "event_id": 9, "cpu": 0}, "EINVAL"),
        ("retrigger", {"device_id": 1, "event_id": 9}, "EINVAL"),
        ("clear", {"device_id": 2, "event_id": 9}, "ENODEV"),
        ("probe", {}, "EBUSY"),
        ("resume", {}, "EINVAL"),
        ("online", {"cpu": 0}, "EINVAL"),
        ("map_vpe", {}, "EOPNOTSUPP"),
        ("unmap_vpe", {"vpe_id": 0}, "EOPNOTSUPP"),
        ("unmap_vlpi", {"device_id": 1, "event_id": 0}, "EOPNOTSUPP"),
    ],
)
def test_what_cannot_be_is_an_honest_failure_without_a_command(
    host: Host, call: str, args: dict[str, int], error: str
) -> None:
    """The kernel answers an errno, and neither the ITS nor the driver has changed."""
    host.call("map_device", device_id=1, events=1)
    host.names()
    before = host.driver.state()
    answer = host.call(call, **args)
    assert answer["error"] == error
    assert answer["detail"]
    assert host.names() == []
    assert host.driver.state() == before


def test_too_many_events_for_the_lpis_left_gives_everything_back(host: Host) -> None:
    """2,048 events at a time until LPIs run out: the last device is unmapped again, LPIs and memory as before."""
    host.driver._state.lpis[:] = [[8192, 100]]
    before = host.driver.state()
    answer = host.call("map_device", device_id=9, events=100)
    assert answer["error"] == "ENOSPC"
    assert host.names() == ["MAPD", "MAPD"]
    after = host.driver.state()
    assert after[:2] == before[:2]
    assert host.driver._state.lpis == [[8192, 100]]
    assert not host.driver._state.its[0].devices


def test_without_any_lpi_no_device_is_created(host: Host) -> None:
    """No LPI at all: ENOMEM as in the kernel, the ITT is free again, and no command was sent."""
    host.driver._state.lpis.clear()
    answer = host.call("map_device", device_id=9, events=1)
    assert answer["error"] == "ENOMEM"
    assert host.names() == []
    assert all(free == [[0, 4096]] for free in host.driver._state.itt_pool.values())
