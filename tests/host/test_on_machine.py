"""The driver where it lives: in a machine, before and after the switch-over, under every preset."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.its_registers import GITS_CWRITER, TABLE_DEVICES
from itsbox.arch.its_tables import L1Entry
from itsbox.host.tables import table_of
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Aborted, Ack, Acked, Drive, Drove, Hvc, HvcReturn, Msi

THE_HANG = (
    "ITS queue timeout (1056 1024)",
    "ITS cmd its_build_mapd_cmd failed",
    "ITS queue timeout (1120 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1184 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1248 1024)",
    "ITS cmd its_build_mapti_cmd failed",
)
PROFILES = ("virt-gicv3", "virt-gicv4", "snapdragon")
HONEST_PRESETS = ("off", "v2", "android-6.12", "strict")


def machine(profile: str, hardening: str, start: str = "deprivileged") -> Machine:
    """A machine that has come as far as ``start``."""
    return Machine(MachineConfig.make(profile=profile, hardening=hardening, start=start))


def drive(box: Machine, call: str, **args: Any) -> Drove:
    """A driver call that ends without an abort."""
    outcome = box.apply(Drive(call, args))
    assert isinstance(outcome, Drove)
    return outcome


def test_the_hang_of_the_mail_line_for_line() -> None:
    """snapdragon, rfc-v1: the first MAPD after the switch-over is never consumed, nor is anything after it."""
    box = machine("snapdragon", "rfc-v1")
    outcome = drive(box, "map_device", device_id=8, events=3)
    assert outcome.log == THE_HANG
    assert outcome.result["timeouts"] == 4
    assert len(outcome.result["events"]) == 3, "the kernel does not look at the result"


@pytest.mark.parametrize(
    "profile, preset", [("virt-gicv4", "rfc-v1"), ("virt-gicv4", "strict"), ("snapdragon", "strict")]
)
def test_the_same_machine_boots_elsewhere(profile: str, preset: str) -> None:
    """With GICv4 the proxy device took the aligned slot before the switch; strict has no such test at all."""
    box = machine(profile, preset)
    outcome = drive(box, "map_device", device_id=8, events=3)
    assert outcome.log == ()
    assert outcome.result["timeouts"] == 0
    assert sorted(box.state()["events"]["8"]) == ["0", "1", "2"]


def test_the_queue_stands_at_128_bytes_for_each_cpu() -> None:
    """Eight CPUs and nothing else: 1024 before the switch-over, no device mapped, level-1 entry 0 valid all the same."""
    box = machine("snapdragon", "rfc-v1", start="host")
    assert box.bus.read(box.map.its + GITS_CWRITER.OFFSET, 8) == 8 * 128
    assert box.state()["devices"] == {}
    table = table_of(box.driver._state.its[0], TABLE_DEVICES)
    assert table is not None
    assert L1Entry.decode(int.from_bytes(box.physical(table.base, 8), "little")).valid


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("preset", HONEST_PRESETS)
def test_collections_and_lpis_are_there_after_the_start(profile: str, preset: str) -> None:
    """Collection n is CPU n's; an unmasked event arrives on each CPU, whatever guards the ITS."""
    box = machine(profile, preset)
    cpus = box.config.cpus
    assert box.state()["collections"] == {str(cpu): {"rd": cpu} for cpu in range(cpus)}
    events = drive(box, "map_device", device_id=8, events=cpus).result["events"]
    for event in events:
        drive(box, "unmask", device_id=8, event_id=event["event_id"])
        box.apply(Msi(8, event["event_id"]))
        assert box.apply(Ack(event["cpu"])) == Acked(event["lpi"])
    assert box.violations == []


@pytest.mark.parametrize("preset", ["off", "rfc-v1", "strict"])
@pytest.mark.parametrize("ram_mib", [64, 256])
def test_the_second_half_of_memory_is_left_untouched(preset: str, ram_mib: int) -> None:
    """From half of RAM up to the guest's memory no page has been written or changed hands."""
    box = Machine(MachineConfig.make(profile="virt-gicv4", hardening=preset, start="deprivileged", ram_mib=ram_mib))
    drive(box, "map_device", device_id=8, events=100)
    half = box.map.ram + box.map.ram_bytes // 2
    touched = [pfn << 12 for pfn in box.memory.pages if half <= pfn << 12 < box.map.guest]
    assert touched == []
    assert all(box.ownership.host_may(addr >> 12) for addr in range(half, box.map.guest, 1 << 16))


@pytest.mark.parametrize("preset", ["off", "strict"])
@pytest.mark.parametrize("profile", PROFILES)
def test_suspend_and_resume_go_through_the_hypervisor(profile: str, preset: str) -> None:
    """The driver writes its own copies' addresses back, and everything works afterwards."""
    box = machine(profile, preset)
    drive(box, "map_device", device_id=8, events=2)
    before = box.state()
    drive(box, "suspend")
    drive(box, "resume")
    assert box.state() == before
    assert drive(box, "move_event", device_id=8, event_id=0, cpu=3).result["timeouts"] == 0
    assert drive(box, "map_device", device_id=9, events=1).log == ()
    assert box.violations == []


def test_a_page_that_is_not_the_hosts_aborts_the_call() -> None:
    """The kernel's next page was shared away behind its back: zeroing it aborts, and the outcome says why."""
    box = machine("virt-gicv3", "strict")
    page = min(addr for free in box.driver._state.pages for addr in free)
    assert box.apply(Hvc("__pkvm_host_donate_guest", (page >> 12, page >> 12, 1))) == HvcReturn(0, 0)
    outcome = box.apply(Drive("map_device", {"device_id": 8, "events": 300}))
    assert isinstance(outcome, Aborted)
    assert outcome.log == ()
    assert drive(box, "map_device", device_id=9, events=1).result["timeouts"] == 0


_CALLS = st.one_of(
    st.tuples(
        st.just("map_device"), st.fixed_dictionaries({"device_id": st.integers(0, 3), "events": st.integers(1, 5)})
    ),
    st.tuples(
        st.just("map_device"), st.fixed_dictionaries({"device_id": st.integers(8190, 8193), "events": st.just(2)})
    ),
    st.tuples(
        st.sampled_from(["mask", "unmask", "retrigger", "clear", "unmap_event", "map_event"]),
        st.fixed_dictionaries({"device_id": st.integers(0, 3), "event_id": st.integers(0, 4)}),
    ),
    st.tuples(
        st.just("move_event"),
        st.fixed_dictionaries(
            {"device_id": st.integers(0, 3), "event_id": st.integers(0, 4), "cpu": st.integers(0, 3)}
        ),
    ),
    st.tuples(st.just("unmap_device"), st.fixed_dictionaries({"device_id": st.integers(0, 3)})),
    st.tuples(st.sampled_from(["online", "offline"]), st.fixed_dictionaries({"cpu": st.integers(0, 3)})),
)


def _comparable(box: Machine) -> dict[str, Any]:
    """The decoded tables without addresses, which the copies of the switch-over move."""
    state = box.state()
    return {**state, "devices": {key: device["size"] for key, device in state["devices"].items()}}


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.sampled_from(PROFILES), st.lists(_CALLS, max_size=14), st.integers(0, 14))
def test_an_honest_host_does_not_notice_strict(
    profile: str, program: list[tuple[str, dict[str, int]]], at: int
) -> None:
    """The same calls with and without hardening, switched over at any moment: same answers, same tables, no violation."""
    plain, guarded = (machine(profile, preset, start="host") for preset in ("off", "strict"))
    for n, (call, args) in enumerate(program):
        if n == at:
            assert all("error" not in row for row in drive(guarded, "deprivilege").result["its"])
        answers = [drive(box, call, **args).result for box in (plain, guarded)]
        for answer in answers:
            answer.pop("itt", None)
        assert answers[0] == answers[1]
        assert answers[1]["timeouts"] == 0
        assert _comparable(plain) == _comparable(guarded)
    assert guarded.violations == []


@pytest.mark.parametrize("preset", ["v2", "android-6.12"])
def test_unmapping_a_device_from_before_the_switch_over_wedges_v2(preset: str) -> None:
    """The known difference of v2 and Android: they do not know the device, refuse its MAPD, and nothing passes it."""
    box = machine("virt-gicv3", preset, start="host")
    drive(box, "map_device", device_id=8, events=1)
    drive(box, "deprivilege")
    outcome = drive(box, "unmap_device", device_id=8)
    assert "ITS cmd its_build_mapd_cmd failed" in outcome.log
    assert drive(box, "map_device", device_id=9, events=1).result["timeouts"] == 2


def test_what_the_driver_remembers_is_part_of_the_machine() -> None:
    """A snapshot takes the driver along: restored, it goes on where it was, and hashes are equal."""
    box = machine("virt-gicv4", "strict")
    taken, digest = box.snapshot(), box.state_hash()
    first = drive(box, "map_device", device_id=8, events=2).result
    assert box.state_hash() != digest
    box.restore(taken)
    assert box.state_hash() == digest
    assert drive(box, "map_device", device_id=8, events=2).result == first
    assert drive(Machine.fork(taken), "map_device", device_id=8, events=2).result == first
