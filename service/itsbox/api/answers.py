"""What the service answers, field by field: the schemas of the OpenAPI document.

Handlers render plain data themselves (``render``, ``machine.wire``); the contract tests hold the two together.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from itsbox.api.numbers import Hex64

__all__ = [
    "AckAnswer",
    "BatchAnswer",
    "DriverAnswer",
    "EventPage",
    "Forked",
    "HvcAnswer",
    "JournalPage",
    "LoadAnswer",
    "MatrixAnswer",
    "MmioReadAnswer",
    "MmioWriteAnswer",
    "MsiAnswer",
    "OpAnswer",
    "PageRun",
    "Physical",
    "Problem",
    "Queues",
    "Register",
    "Restored",
    "ScenarioList",
    "ScenarioRun",
    "SessionInfo",
    "SessionList",
    "SnapshotInfo",
    "SnapshotList",
    "StateAnswer",
    "Violation",
]


class Answer(BaseModel):
    """Base: exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """Base: at least these fields."""

    model_config = ConfigDict(extra="allow")


# --------------------------------------------------------------------------------------------------------- problems


class FieldError(Answer):
    """One thing that is wrong with a request."""

    location: str = Field(description="Where, dotted: `ops.400.size`; empty for the body as a whole.")
    op: int | None = Field(None, description="The index of the op, in a batch.")
    field: str
    message: str


class Problem(Open):
    """RFC 9457."""

    type: str = Field(description="`urn:itsbox:problem:` and the kind.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked, or the URN of an incident of ours.")
    errors: list[FieldError] | None = None
    errors_total: int | None = Field(None, description="How many there are, when not all are listed.")
    index: int | None = Field(None, description="The index of the first malformed op of a batch.")
    cap: str | None = Field(None, description="The cap that was reached; `GET /v1/limits` has all.")
    limit: int | None = None
    in_use: int | None = None
    executed: int | None = Field(None, description="Ops that were executed before a cap was reached.")
    ended: str | None = Field(None, description="How the session ended.")
    incident: str | None = None


# --------------------------------------------------------------------------------------------------------- sessions


class MemoryMap(Answer):
    """Where things are in physical memory."""

    gicd: Hex64
    its: Hex64
    translater: Hex64
    gicr: Hex64
    gicr_stride: Hex64
    ram: Hex64
    ram_bytes: Hex64
    hyp: Hex64
    hyp_bytes: Hex64
    guest: Hex64
    guest_bytes: Hex64
    sgir: Hex64 | None = Field(None, description="GITS_SGIR; only with virtual SGIs (GICv4.1).")
    its_nodes: list[Hex64] | None = Field(
        None, description="The control frame of each ITS; only where there are several."
    )


class HardeningInfo(Answer):
    """The hypervisor of a session: all its knobs, resolved."""

    preset: str
    knobs: dict[str, Any]


class SessionInfo(Answer):
    """A session."""

    id: str
    profile: str
    cpus: int
    ram_mib: int
    phase: Literal["trusted", "deprivileging", "deprivileged"]
    state: Literal["running", "crashed", "closed"]
    hardening: HardeningInfo
    start: Literal["bare", "host", "deprivileged"]
    error_policy: Literal["ignore", "stall"]
    quirks: dict[str, Any]
    oracle: Literal["on", "off", "lockstep"]
    map: MemoryMap
    epoch: int = Field(description="Grows when a snapshot is restored.")
    seq: int = Field(
        description="Number of the newest event. In the answer that creates a session: the one behind which its own"
        " history begins, with `session.created`."
    )
    step: int = Field(description="Ops applied.")
    state_hash: str | None = Field(description="Equal exactly for equal machines; null if the session has crashed.")
    violations: int = Field(description="How many the oracle has found so far.")
    subscribers: int
    metadata: dict[str, str]
    idle_timeout_s: int
    created_at: str
    expires_at: str = Field(description="When the session ends if nobody uses it.")


class SessionList(Answer):
    """A page of sessions, oldest first."""

    sessions: list[SessionInfo]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class Forked(Answer):
    """Sessions made by a fork."""

    sessions: list[SessionInfo]


class SnapshotInfo(Answer):
    """A snapshot."""

    id: str
    state_hash: str
    seq: int
    step: int
    created_at: str


class SnapshotList(Answer):
    """All snapshots of a session, oldest first."""

    snapshots: list[SnapshotInfo]


class Restored(Answer):
    """What a restore led to."""

    state_hash: str
    epoch: int
    seq: int
    step: int


# -------------------------------------------------------------------------------------------------------------- ops


class CommandInfo(Answer):
    """A command that the ITS or the hypervisor looked at."""

    slot: int
    name: str | None = Field(description="null for an unknown opcode")
    words: list[Hex64] = Field(min_length=4, max_length=4)
    verdict: Literal["executed", "error", "stalled", "refused"]
    error: str | None = None
    code: str | None = None
    reason: str | None = None


class Violation(Open):
    """The oracle objects: memory isolation did not hold."""

    oracle: str
    sentence: str
    bucket: str = Field(description="The stable id of this kind of violation.")


class Result(Open):
    """What every op's result has."""

    outcome: Literal["ok", "refused", "abort", "panic"]
    reason: str | None = Field(None, description="Why, if not `ok`; `GET /v1/arch` has a sentence for each.")
    violations: list[Violation] | None = None


class OpAnswer(Answer):
    """An op's result, and where the session stands after it."""

    outcome: Literal["ok", "refused", "abort", "panic"]
    reason: str | None = Field(None, description="Why, if not `ok`; `GET /v1/arch` has a sentence for each.")
    violations: list[Violation] | None = None
    seq: int
    step: int


class MmioReadAnswer(OpAnswer):
    """A read. A refused one still has the value that the host sees."""

    value: Hex64 | None = None


class MmioWriteAnswer(OpAnswer):
    """A write, with the commands that it made the ITS or the hypervisor look at."""

    commands: list[CommandInfo] | None = None


class LoadAnswer(OpAnswer):
    """Bytes of memory."""

    hex: str | None = None


class HvcAnswer(OpAnswer):
    """What the hypervisor returned."""

    x0: Hex64 | None = None
    x1: Hex64 | None = None
    errno: str | None = None


class MsiAnswer(OpAnswer):
    """Whether the translation ended at an existing redistributor."""

    delivered: bool | None = None


class AckAnswer(OpAnswer):
    """The LPI that was acknowledged, or 1023."""

    intid: int | None = None


class DriverAnswer(OpAnswer):
    """What the driver printed and answered."""

    log: list[str] | None = None
    result: Any = None


class BatchAnswer(Answer):
    """A result for each op that was executed."""

    results: list[Result]
    executed: int
    violations: list[Violation]
    seq: int
    step: int
    state_hash: str | None = None


# ---------------------------------------------------------------------------------------------------------- looking


class StateAnswer(Answer):
    """Decoded tables. Keys are decimal strings, those of `vpending` the address of the virtual pending table."""

    devices: dict[str, Any]
    collections: dict[str, Any]
    events: dict[str, Any]
    vpes: dict[str, Any]
    pending: dict[str, list[int]]
    vpending: dict[str, list[int]]


class Register(Open):
    """One register."""

    addr: Hex64
    width: int
    access: str
    value: Hex64
    fields: dict[str, Any]
    policy: str = Field(description="What the hypervisor does with the host's access in this phase.")


class Queues(Answer):
    """The command queue on both sides; offsets in bytes."""

    host: dict[str, Any] | None = Field(description="null before the switch-over")
    hw: dict[str, Any]


class PageRun(Open):
    """Pages in a row that are alike."""

    addr: Hex64
    pages: int
    owner: str | None
    state: str | None
    pins: int
    use: str | list[str] | None = Field(description="What the machine uses them for, if for anything.")


class Physical(Answer):
    """Bytes as they are in RAM."""

    hex: str


class Event(Answer):
    """One event."""

    seq: int
    step: int
    type: str
    data: dict[str, Any]


class Gap(Answer):
    """Events that are gone."""

    model_config = ConfigDict(populate_by_name=True)
    from_: int = Field(alias="from")
    to: int


class EventPage(Answer):
    """Events behind a cursor."""

    epoch: int
    events: list[Event]
    next: int = Field(description="The `after` of the next page.")
    head: int = Field(description="Number of the newest event.")
    gap: Gap | None = Field(None, description="Events behind the cursor that are no longer kept.")


class JournalPage(Answer):
    """Ops of the session since its creation or its last restore, in the form that `POST .../ops` takes."""

    ops: list[dict[str, Any]]
    next: int = Field(description="The `after` of the next page.")
    head: int = Field(description="Number of the newest op.")
    first: int = Field(description="Number of the first op of this page; more than `after` + 1 if older ones are gone.")
    snapshot: str | None = Field(description="What the journal starts from: a snapshot, or (null) the machine's start.")


# -------------------------------------------------------------------------------------------------------- scenarios


class ScenarioList(Open):
    """The named programs."""

    scenarios: list[dict[str, Any]]


class ScenarioRun(Open):
    """What became of a scenario. ``hardening``: the preset, or with knobs set beside it ``{"preset", "knobs"}``, those alone.

    ``isolated``: tried to its end, no violation. ``wedged``: isolation held, but the hypervisor stopped the machine, or honest
    traffic does not pass any more. ``error``: the profile lacks what the scenario is about, so that nothing was tried.
    """

    name: str
    hardening: str | dict[str, Any]
    verdict: Literal["isolated", "violated", "wedged", "error"]
    refusals: list[Any]
    violations: list[Violation]
    session: str


class MatrixAnswer(Open):
    """Scenarios against presets."""

    scenarios: list[str]
    presets: list[str]
    cells: dict[str, dict[str, str]]
