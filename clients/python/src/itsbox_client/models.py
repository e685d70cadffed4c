"""What the service tells about sessions, events, snapshots and scenarios, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeAlias

from itsbox_client.wire import numbers

__all__ = [
    "CommandRecord",
    "Event",
    "Gap",
    "Hardening",
    "MemoryMap",
    "Restored",
    "ScenarioRun",
    "SessionInfo",
    "Snapshot",
    "StreamItem",
    "Violation",
]

#: A preset's name, or ``{"preset": name, "knobs": {...}}``.
Hardening: TypeAlias = str | Mapping[str, Any]


class MemoryMap(NamedTuple):
    """Where things are in a session's machine: physical addresses and sizes in bytes."""

    gicd: int
    its: int
    translater: int
    gicr: int
    gicr_stride: int
    ram: int
    ram_bytes: int
    hyp: int
    hyp_bytes: int
    guest: int
    guest_bytes: int

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From the ``map`` of a session; members that are not named here are left out."""
        found = numbers(dict(wire))
        return cls(*(int(found[name]) for name in cls._fields))


@dataclass(frozen=True)
class SessionInfo:
    """A session as the service described it at one moment."""

    id: str
    profile: str
    cpus: int
    ram_mib: int
    phase: str
    state: str
    hardening: Mapping[str, Any]
    start: str
    quirks: Mapping[str, Any]
    map: MemoryMap
    epoch: int
    seq: int
    step: int
    state_hash: str | None
    metadata: Mapping[str, str]
    created_at: str
    expires_at: str | None
    #: The whole answer, with whatever later versions add.
    wire: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From a session's JSON."""
        return cls(
            id=wire["id"],
            profile=wire["profile"],
            cpus=wire["cpus"],
            ram_mib=wire["ram_mib"],
            phase=wire["phase"],
            state=wire["state"],
            hardening=wire["hardening"],
            start=wire["start"],
            quirks=wire["quirks"],
            map=MemoryMap.from_wire(wire["map"]),
            epoch=wire["epoch"],
            seq=wire["seq"],
            step=wire["step"],
            state_hash=wire.get("state_hash"),
            metadata=wire.get("metadata") or {},
            created_at=wire["created_at"],
            expires_at=wire.get("expires_at"),
            wire=wire,
        )


@dataclass(frozen=True)
class Violation:
    """The oracle's verdict that memory isolation did not hold. ``bucket`` is equal for the same defect met another way."""

    oracle: str
    sentence: str
    bucket: str
    #: The whole verdict: op, addresses (ints) and owners.
    evidence: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From a violation's JSON."""
        return cls(str(wire["oracle"]), str(wire["sentence"]), str(wire["bucket"]), numbers(dict(wire)))

    def __str__(self) -> str:
        return f"[{self.oracle}] {self.sentence} ({self.bucket})"


class CommandRecord(NamedTuple):
    """One command that the ITS or the hypervisor looked at; ``name`` is None for an unknown opcode."""

    slot: int
    name: str | None
    words: tuple[int, ...]
    verdict: str
    error: str | None = None
    code: int | None = None
    reason: str | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From an item of ``commands``."""
        code = numbers(wire.get("code"))
        return cls(
            slot=wire["slot"],
            name=wire["name"],
            words=tuple(numbers(list(wire["words"]))),
            verdict=wire["verdict"],
            error=wire.get("error"),
            code=code,
            reason=wire.get("reason"),
        )


class Event(NamedTuple):
    """One event of a session; numbers in ``data`` are ints."""

    epoch: int
    seq: int
    step: int
    type: str
    data: Mapping[str, Any]

    @classmethod
    def from_wire(cls, epoch: int, wire: Mapping[str, Any]) -> Self:
        """From an item of ``events``."""
        return cls(epoch, wire["seq"], wire["step"], wire["type"], numbers(wire["data"]))


class Gap(NamedTuple):
    """Events ``first`` to ``last`` (inclusive) of an epoch are gone: the session kept no more, or the reader was too slow."""

    epoch: int
    first: int
    last: int


StreamItem: TypeAlias = Event | Gap


@dataclass(frozen=True)
class Snapshot:
    """A kept state of a machine. Two machines are equal exactly when their ``state_hash`` is."""

    id: str
    state_hash: str
    seq: int
    step: int

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From a snapshot's JSON."""
        return cls(wire["id"], wire["state_hash"], wire["seq"], wire["step"])


class Restored(NamedTuple):
    """What a restore answers: the state that the machine now has, and the new epoch of its events."""

    state_hash: str
    epoch: int


@dataclass(frozen=True)
class ScenarioRun:
    """How a scenario ended: ``isolated``, ``violated``, ``wedged`` or ``error``."""

    name: str
    hardening: Any
    verdict: str
    refusals: list[Any]
    violations: tuple[Violation, ...]
    session: str | None
    wire: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """From the answer of a run."""
        return cls(
            name=wire["name"],
            hardening=wire["hardening"],
            verdict=wire["verdict"],
            refusals=numbers(list(wire["refusals"])),
            violations=tuple(Violation.from_wire(item) for item in wire["violations"]),
            session=wire.get("session"),
            wire=wire,
        )
