"""The driver as a whole: what it accepts, what it remembers, and that nothing it meets breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.hardware.ports import HostAbort
from itsbox.host.arguments import Arg
from itsbox.host.calls import CALLS
from itsbox.host.errors import DriverCallError
from itsbox.host.state import DriverState, plain, restored
from itsbox.ops import HvcReturn
from tests.host.machine_port import Host

SMALL = {"device_id": 3, "event_id": 4, "vpe_id": 2, "cpu": 3, "events": 5, "its": 0, "virtual_intid": 8200}


def _arguments(name: str) -> st.SearchStrategy[tuple[str, dict[str, int]]]:
    """A call with arguments from small ranges, so that calls meet each other's devices."""
    call = CALLS[name]

    def values(arg: Arg) -> st.SearchStrategy[int]:
        high = max(arg.low, SMALL.get(arg.name, arg.low + 1))
        return st.integers(arg.low, min(high, arg.high) if isinstance(arg.high, int) else high)

    required = {arg.name: values(arg) for arg in call.args if arg.required}
    optional = {arg.name: values(arg) for arg in call.args if not arg.required}
    return st.tuples(st.just(name), st.fixed_dictionaries(required, optional=optional))


_FREQUENT = [name for name in CALLS if name not in {"probe", "deprivilege", "suspend"}]
_PROGRAMS = st.lists(st.sampled_from([*_FREQUENT, *_FREQUENT, "suspend", "resume"]).flatmap(_arguments), max_size=25)


def _booted(profile: str) -> Host:
    host = Host(profile=profile)
    host.call("probe")
    return host


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.sampled_from(["virt-gicv3", "virt-gicv4", "snapdragon"]), _PROGRAMS)
def test_an_honest_program_never_waits_and_never_breaks(
    profile: str, program: list[tuple[str, dict[str, int]]]
) -> None:
    """Whatever is called in whatever order: no exception, no timeout, no command in error, and state survives saving."""
    host = _booted(profile)
    for name, args in program:
        answer = host.call(name, **args)
        assert answer["timeouts"] == 0
        assert restored(DriverState, host.driver.state()) == host.driver._state
    assert not [event for event in host.machine.take_events() if event[0].name == "command.error"]
    state = host.machine.state()
    mapped = {
        str(device.device_id): sorted(map(str, device.events))
        for device in host.driver._state.its[0].devices.values()
        if device.device_id != host.driver._state.proxy
    }
    shown = {key: sorted(events, key=str) for key, events in state["events"].items() if key != "65535"}
    assert shown == {key: events for key, events in mapped.items() if events}


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.sampled_from(["virt-gicv3", "virt-gicv4"]), _PROGRAMS, st.integers(0, 400))
def test_an_abort_anywhere_leaves_a_driver_that_can_go_on(
    profile: str, program: list[tuple[str, dict[str, int]]], at: int
) -> None:
    """Stage 2 says no at one access: that call ends with the abort, and every later one answers."""
    host = _booted(profile)
    host.port.aborts_at = host.port.count + at
    for name, args in program:
        try:
            host.call(name, **args)
        except HostAbort:
            host.port.aborts_at = None
    assert restored(DriverState, host.driver.state()) == host.driver._state


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv4"])
def test_an_abort_at_any_access_of_boot_and_switch_over_can_be_repeated(profile: str) -> None:
    """The call is interrupted at every third access; a new machine's driver then gets through, and so does this one."""
    total = _booted(profile).port.count
    for at in range(0, total, 3):
        host = Host(profile=profile)
        host.port.aborts_at = at
        with pytest.raises(HostAbort):
            host.call("probe")
        host.port.aborts_at = None
        assert host.call("probe")["cpus"] == 4


@pytest.mark.parametrize("value", [0, (1 << 64) - 1])
def test_registers_that_read_as_nothing_are_honest_failures(value: int) -> None:
    """Every register reads as zeros, or as ones: no call raises anything."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    window = range(host.machine.map.its, host.machine.map.its + 0x1_0000, 4)
    host.port.reads = {addr: (lambda _: value) for addr in window}
    for name, call in CALLS.items():
        args = {arg.name: arg.low for arg in call.args if arg.required}
        assert isinstance(host.call(name, **args)["timeouts"], int)


def test_a_probe_that_finds_nothing_can_be_repeated() -> None:
    """With all registers reading zero there is no GIC; once they answer the probe succeeds."""
    host = Host()
    map_ = host.machine.map
    host.port.reads = {map_.gicd + 0xFFE8: lambda _: 0}
    assert host.call("probe")["error"] == "ENODEV"
    host.port.reads = {map_.its + 0xFFE8: lambda _: 0}
    assert host.call("probe")["error"] == "ENODEV"
    host.port.reads = {}
    assert "error" not in host.call("probe")


@pytest.mark.parametrize(
    "name, args, field",
    [
        ("map_devices", {}, "call"),
        ("", {}, "call"),
        ("probe", {"its": 0}, "its"),
        ("map_device", {}, "device_id"),
        ("map_device", {"device_id": 1}, "events"),
        ("map_device", {"device_id": -1, "events": 1}, "device_id"),
        ("map_device", {"device_id": 1 << 32, "events": 1}, "device_id"),
        ("map_device", {"device_id": 1, "events": 0}, "events"),
        ("map_device", {"device_id": 1, "events": 2049}, "events"),
        ("map_device", {"device_id": 1, "events": True}, "events"),
        ("map_device", {"device_id": "one", "events": 1}, "device_id"),
        ("map_device", {"device_id": 1.0, "events": 1}, "device_id"),
        ("map_device", {"device_id": [1], "events": 1}, "device_id"),
        ("map_device", {"device_id": 1, "events": 1, "its": 1}, "its"),
        ("map_device", {"device_id": 1, "events": 1, "colour": 1}, "colour"),
        ("move_event", {"device_id": 1, "event_id": 0, "cpu": 4}, "cpu"),
        ("offline", {"cpu": 4}, "cpu"),
        ("offline", {"cpu": None}, "cpu"),
        ("map_vlpi", {"device_id": 1, "event_id": 0, "vpe_id": 0, "virtual_intid": 8191}, "virtual_intid"),
        ("configure_vsgi", {"vpe_id": 0, "virtual_intid": 16, "enable": 1}, "virtual_intid"),
    ],
)
def test_a_clients_mistake_names_its_field_and_does_nothing(name: str, args: dict[str, Any], field: str) -> None:
    """No such call, or an argument that cannot be: refused before anything happens, by check and by call alike."""
    host = _booted("virt-gicv3")
    before, accesses = host.driver.state(), host.port.count
    for ask in (host.driver.check, host.driver.call):
        with pytest.raises(DriverCallError) as mistake:
            ask(name, args)
        assert mistake.value.field == field
        assert mistake.value.message
    assert host.driver.state() == before
    assert host.port.count == accesses


def test_numbers_may_be_strings() -> None:
    """As everywhere on the wire: 0x10 and 16 are the same."""
    host = _booted("virt-gicv3")
    assert host.call("map_device", device_id="0x10", events="2")["device_id"] == 16
    host.driver.check("mask", {"device_id": "16", "event_id": 0, "its": None})


@pytest.mark.parametrize("name", [name for name in CALLS if name != "probe"])
def test_nothing_goes_before_the_probe(name: str) -> None:
    """A kernel that has not booted does nothing: ENODEV, without one access."""
    host = Host()
    args = {arg.name: arg.low for arg in CALLS[name].args if arg.required}
    assert host.call(name, **args)["error"] == "ENODEV"
    assert host.port.count == 0


def test_saved_state_is_plain_and_brings_the_driver_back() -> None:
    """Nested tuples of plain values; a driver given them goes on exactly where the other was."""
    host, other = _booted("virt-gicv4"), _booted("virt-gicv4")
    host.call("map_device", device_id=8, events=3)
    host.call("map_vpe")
    saved = host.driver.state()

    def is_plain(value: Any) -> bool:
        if isinstance(value, tuple):
            return all(map(is_plain, value))
        return value is None or isinstance(value, (bool, int, str))

    assert is_plain(saved)
    other.driver.set_state(saved)
    assert other.driver.state() == saved
    assert other.driver._state == host.driver._state
    assert plain(other.driver._state) == saved


def test_saving_twice_costs_nothing_and_changes_show() -> None:
    """The saved form is kept until the driver is called again; restoring an older one undoes the call."""
    host = _booted("virt-gicv3")
    saved = host.driver.state()
    assert host.driver.state() is saved
    host.call("map_device", device_id=8, events=1)
    assert host.driver.state() != saved
    host.driver.set_state(saved)
    assert host.driver.state() == saved
    assert "error" not in host.call("map_device", device_id=8, events=1)


def test_an_unknown_errno_of_the_hypervisor_is_eio() -> None:
    """A negative answer without a name is still an error."""
    host = _booted("virt-gicv3")
    host.driver.version = type(host.driver.version)()
    host.port.hvcs = {
        "__pkvm_prot_finalize": [HvcReturn(0, 0)],
        "__pkvm_init_its_emulation": [HvcReturn(0, (1 << 64) - 999)],
    }
    assert host.call("deprivilege")["its"][0]["error"] == "EIO"
