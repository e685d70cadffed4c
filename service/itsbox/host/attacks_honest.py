"""No attack at all: what an honest kernel does in its life. Under ``strict`` nothing of it may be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["linux_life"]

_FAR_DEVICE: Final = 0x9008
"""A DeviceID that needs a level-2 page of its own."""


def linux_life(host: HostileHost) -> None:
    """Boot, devices with events, masks, moves, interrupts taken, a CPU offline and back, devices gone."""
    life = _Life(host)
    host.say("Map four devices, one of them in a new level-2 page, with their events.")
    for device_id, events in ((0x8, 3), (0x10, 1), (0x100, 5), (_FAR_DEVICE, 2)):
        life.drive("map_device", device_id=device_id, events=events)
    host.say("One more device, event by event.")
    life.drive("map_device", device_id=0x18, events=1)
    life.drive("unmap_event", device_id=0x18, event_id=0)
    life.drive("map_event", device_id=0x18)
    host.say("Unmask an event of each, let the device send it and take it.")
    for device_id in (0x8, 0x10, 0x100, _FAR_DEVICE):
        life.drive("unmask", device_id=device_id, event_id=0)
        life.interrupt(device_id, 0)
    host.say("Move an event to another CPU and take it there; retrigger, clear, mask.")
    life.drive("move_event", device_id=0x100, event_id=0, cpu=1)
    life.interrupt(0x100, 0)
    life.drive("retrigger", device_id=0x8, event_id=0)
    life.drive("clear", device_id=0x8, event_id=0)
    life.drive("mask", device_id=0x8, event_id=0)
    host.say("A CPU goes offline and comes back.")
    life.drive("offline", cpu=1)
    life.drive("online", cpu=1)
    host.say("Devices go.")
    for device_id in (0x18, 0x100, 0x10, 0x8, _FAR_DEVICE):
        life.drive("unmap_device", device_id=device_id)
    host.say("Their DeviceIDs are used again.")
    life.drive("map_device", device_id=0x8, events=8)


class _Life:
    """Does honest things and notes when one fails."""

    def __init__(self, host: HostileHost) -> None:
        self.host = host

    def drive(self, call: str, **args: Any) -> None:
        """A call of the driver: no timeout, no error."""
        result = self.host.drive(call, **args)
        if result is None or result.get("timeouts") or result.get("error"):
            self.host.stuck = True

    def interrupt(self, device_id: int, event_id: int) -> None:
        """A device sends an event, and some CPU takes it."""
        arrived = self.host.msi(device_id, event_id)
        taken = {self.host.ack(cpu) for cpu in range(len(self.host.known.cpus))} - {1023}
        if not arrived or len(taken) != 1:
            self.host.stuck = True
