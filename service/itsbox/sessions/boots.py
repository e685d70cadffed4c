"""Machines that have booted once: booting is deterministic, so the next session of the same kind starts from a snapshot."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from itsbox.events import Event
from itsbox.machine import Machine, MachineConfig, Snapshot

__all__ = ["Boots"]

_KEPT: Final = 32


class Boots:
    """The last few boots, by configuration.

    Invariant: a machine from here cannot be told from one that was built and booted.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], tuple[Snapshot, tuple[Event, ...]]] = OrderedDict()

    def machine(self, config: MachineConfig) -> tuple[Machine, list[Event]]:
        """A machine where ``config.start`` says, and the events of its boot."""
        if config.start == "bare":
            return _built(config)
        key = (_frozen(config.identity()), config.start, config.oracle)
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            snapshot, events = known
            return Machine.fork(snapshot), list(events)
        machine, new = _built(config)
        self._kept[key] = machine.snapshot(), tuple(new)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return machine, new


def _built(config: MachineConfig) -> tuple[Machine, list[Event]]:
    machine = Machine(config)
    return machine, machine.take_events()


def _frozen(value: Any) -> Any:
    """Plain data as something that can be a key."""
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, tuple | list) else value
