"""Calls of the built-in driver as methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

__all__ = ["DriverCalls"]

R = TypeVar("R")


class DriverCalls(Generic[R]):
    """Calls of the built-in driver, an honest one that behaves as Linux's does.

    ``its`` is the number of an ITS where a machine has several; the first when left out. What the driver prints is in the
    result's ``log``, what it answers in ``result``; where the kernel would fail, ``error`` names the errno. It keeps its own idea
    of where the next command goes in the queue, as Linux does: where others write to the queue as well it is misled, until
    ``suspend`` and ``resume`` let it begin at the queue's base again.
    """

    def __init__(self, put: Callable[[str, Mapping[str, Any]], R]) -> None:
        self._put = put

    def call(self, name: str, **args: Any) -> R:
        """Any driver call by name."""
        return self._put(name, args)

    def probe(self) -> R:
        """Probe the ITSs and bring every CPU up."""
        return self._put("probe", {})

    def deprivilege(self) -> R:
        """Give up the kernel's privileges and hand the ITSs to the hypervisor."""
        return self._put("deprivilege", {})

    def map_device(self, device_id: int, events: int, *, cpu: int | None = None, its: int | None = None) -> R:
        """Give a device its ITT and LPIs for ``events`` events, EventIDs 0 onwards; they begin masked."""
        return self._put("map_device", _given(device_id=device_id, events=events, cpu=cpu, its=its))

    def map_event(
        self, device_id: int, *, event_id: int | None = None, cpu: int | None = None, its: int | None = None
    ) -> R:
        """Map one more event of a device; the first free one, routed to the least loaded CPU, where not said."""
        return self._put("map_event", _given(device_id=device_id, event_id=event_id, cpu=cpu, its=its))

    def unmap_event(self, device_id: int, event_id: int, *, its: int | None = None) -> R:
        """Free one event."""
        return self._put("unmap_event", _given(device_id=device_id, event_id=event_id, its=its))

    def move_event(self, device_id: int, event_id: int, cpu: int, *, its: int | None = None) -> R:
        """Route an event to another CPU."""
        return self._put("move_event", _given(device_id=device_id, event_id=event_id, cpu=cpu, its=its))

    def unmap_device(self, device_id: int, *, its: int | None = None) -> R:
        """Free a device with all its events."""
        return self._put("unmap_device", _given(device_id=device_id, its=its))

    def mask(self, device_id: int, event_id: int, *, its: int | None = None) -> R:
        """Disable an event's LPI."""
        return self._put("mask", _given(device_id=device_id, event_id=event_id, its=its))

    def unmask(self, device_id: int, event_id: int, *, its: int | None = None) -> R:
        """Enable an event's LPI."""
        return self._put("unmask", _given(device_id=device_id, event_id=event_id, its=its))

    def retrigger(self, device_id: int, event_id: int, *, its: int | None = None) -> R:
        """Make an event's interrupt pending."""
        return self._put("retrigger", _given(device_id=device_id, event_id=event_id, its=its))

    def clear(self, device_id: int, event_id: int, *, its: int | None = None) -> R:
        """Clear an event's pending interrupt."""
        return self._put("clear", _given(device_id=device_id, event_id=event_id, its=its))

    def offline(self, cpu: int) -> R:
        """Take a CPU offline; its events move to the others."""
        return self._put("offline", {"cpu": cpu})

    def online(self, cpu: int) -> R:
        """Bring a CPU back."""
        return self._put("online", {"cpu": cpu})

    def suspend(self) -> R:
        """Save the ITSs' registers and switch the ITSs off."""
        return self._put("suspend", {})

    def resume(self) -> R:
        """Program the ITSs again, from what the driver remembers."""
        return self._put("resume", {})


def _given(**args: int | None) -> dict[str, int]:
    """Only the arguments that were given."""
    return {name: value for name, value in args.items() if value is not None}
