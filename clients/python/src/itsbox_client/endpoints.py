"""Every route of the service, once: what is sent and what the answer means. Ops are in ``ops``; nothing here does I/O.

A ``Call`` is data; the drivers in ``_async`` and ``_sync`` carry it out. The routes are those of the wire contract
(``openapi/openapi.json``), the names are the contract's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from itsbox_client.models import Hardening, Restored, ScenarioRun, SessionInfo, Snapshot, Violation
from itsbox_client.ops import Op
from itsbox_client.results import BatchResult, OpResult
from itsbox_client.wire import hex64, numbers, query

__all__ = ["Call", "JournalPage", "SessionPage"]

T = TypeVar("T")
R = TypeVar("R", bound=OpResult)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to read its answer (JSON, or None for 204)."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: object = None


class SessionPage(NamedTuple):
    """A page of the session list; ``cursor`` leads to the next, None ends it."""

    sessions: tuple[SessionInfo, ...]
    cursor: str | None


class JournalPage(NamedTuple):
    """A page of a session's ops, as it began at ``snapshot`` or (None) at its start.

    ``first`` is the number of the first op here, ``next`` the ``after`` of the next page, ``head`` the number of the newest op.
    """

    ops: tuple[Mapping[str, Any], ...]
    first: int
    next: int
    head: int
    snapshot: str | None


def _nothing(_: Any) -> None:
    return None


def _given(**members: Any) -> dict[str, Any]:
    """Only the members that were given."""
    return {name: value for name, value in members.items() if value is not None}


def _session(id: str, tail: str = "") -> str:
    return f"/v1/sessions/{quote(id, safe='')}" + (f"/{tail}" if tail else "")


# ---------------------------------------------------------------------------------------------------- service


def service(path: str) -> Call[dict[str, Any]]:
    """What the service tells about itself: health, version, limits, declarations."""
    return Call("GET", path, dict)


# --------------------------------------------------------------------------------------------------- sessions


def create_session(
    *,
    profile: str | None,
    cpus: int | None,
    ram_mib: int | None,
    hardening: Hardening | None,
    start: str | None,
    error_policy: str | None,
    quirks: Mapping[str, Any] | None,
    oracle: str | None,
    metadata: Mapping[str, str] | None,
    idle_timeout_s: int | None,
) -> Call[SessionInfo]:
    """Make a machine; whatever is None is the service's default."""
    body = _given(
        profile=profile,
        cpus=cpus,
        ram_mib=ram_mib,
        hardening=hardening,
        start=start,
        error_policy=error_policy,
        quirks=quirks,
        oracle=oracle,
        metadata=metadata,
        idle_timeout_s=idle_timeout_s,
    )
    return Call("POST", "/v1/sessions", SessionInfo.from_wire, body=body)


def list_sessions(
    state: str | None, metadata: Mapping[str, str], limit: int | None, cursor: str | None
) -> Call[SessionPage]:
    """One page of the session list."""
    wanted = {f"metadata.{key}": value for key, value in metadata.items()}

    def read(answer: Any) -> SessionPage:
        return SessionPage(tuple(SessionInfo.from_wire(item) for item in answer["sessions"]), answer["next"])

    params = query({"state": state, "limit": limit, "cursor": cursor}) | wanted
    return Call("GET", "/v1/sessions", read, params=params)


def get_session(id: str) -> Call[SessionInfo]:
    """A session as it is now."""
    return Call("GET", _session(id), SessionInfo.from_wire)


def patch_session(id: str, metadata: Mapping[str, str] | None, idle_timeout_s: int | None) -> Call[SessionInfo]:
    """Change what may be changed of a session."""
    body = _given(metadata=metadata, idle_timeout_s=idle_timeout_s)
    return Call("PATCH", _session(id), SessionInfo.from_wire, body=body)


def delete_session(id: str) -> Call[None]:
    """End a session; ending it twice is no error."""
    return Call("DELETE", _session(id), _nothing)


# -------------------------------------------------------------------------------------------------------- ops


def single(id: str, op: Op[R]) -> Call[R]:
    """One op through its own route."""
    return Call("POST", _session(id, op.route), op.read, body=op.body)


def batch(id: str, ops: Iterable[Op[Any]], stop_on: Iterable[str], *, hash: bool) -> Call[BatchResult]:
    """Many ops in one request, all or nothing as to validation."""
    sent = tuple(ops)
    body = _given(ops=[dict(op.wire) for op in sent], stop_on=list(stop_on) or None, hash=hash or None)

    def read(answer: Any) -> BatchResult:
        # A batch that stopped early answers fewer results than it was asked ops.
        results = tuple(op.read(result) for op, result in zip(sent, answer["results"], strict=False))
        return BatchResult(
            results=results,
            executed=answer["executed"],
            violations=tuple(Violation.from_wire(item) for item in answer["violations"]),
            seq=answer["seq"],
            step=answer["step"],
            state_hash=answer.get("state_hash"),
        )

    return Call("POST", _session(id, "ops"), read, body=body)


# ---------------------------------------------------------------------------------------------------- looking


def state(id: str) -> Call[dict[str, Any]]:
    """The decoded tables; keys that are numbers become ints."""
    return Call("GET", _session(id, "state"), _int_keys)


def _int_keys(value: Any) -> Any:
    """Decoded tables are keyed by numbers, which JSON can only write as strings."""
    if isinstance(value, dict):
        return {int(k, 0) if k[:1].isdecimal() else k: _int_keys(v) for k, v in value.items()}
    return numbers(value)


def view(id: str, what: str, **params: str | int | None) -> Call[dict[str, Any]]:
    """A view of the machine as the service shows it, numbers as ints."""

    def read(answer: Any) -> dict[str, Any]:
        return dict(numbers(answer))

    return Call("GET", _session(id, what), read, params=query(params))


def pages(id: str, addr: int | None, length: int | None) -> Call[list[dict[str, Any]]]:
    """Owner, state, pins and use of pages."""

    def read(answer: Any) -> list[dict[str, Any]]:
        return [dict(run) for run in numbers(answer)]

    where = {"addr": None if addr is None else hex64(addr), "length": length}
    return Call("GET", _session(id, "pages"), read, params=query(where))


def physical(id: str, addr: int, length: int) -> Call[bytes]:
    """Bytes as they are in RAM, past stage 2."""

    def read(answer: Any) -> bytes:
        return bytes.fromhex(answer["hex"])

    return Call("GET", _session(id, "physical"), read, params=query({"addr": hex64(addr), "length": length}))


def violations(id: str) -> Call[tuple[Violation, ...]]:
    """Every violation of the session so far."""

    def read(answer: Any) -> tuple[Violation, ...]:
        return tuple(Violation.from_wire(item) for item in answer)

    return Call("GET", _session(id, "violations"), read)


def event_page(id: str, after: int, types: Iterable[str] | None, limit: int | None = None) -> Call[dict[str, Any]]:
    """A page of the events behind ``after``, as it stands on the wire: ``StreamPosition.take`` reads it."""
    return Call("GET", _session(id, "events"), dict, params=query({"after": after, "types": types, "limit": limit}))


def journal_page(id: str, after: int) -> Call[JournalPage]:
    """A page of the ops that the service has kept of a session."""

    def read(answer: Any) -> JournalPage:
        return JournalPage(tuple(answer["ops"]), answer["first"], answer["next"], answer["head"], answer["snapshot"])

    return Call("GET", _session(id, "journal"), read, params=query({"after": after}))


# -------------------------------------------------------------------------------------------------- snapshots


def create_snapshot(id: str) -> Call[Snapshot]:
    """Keep the machine as it is."""
    return Call("POST", _session(id, "snapshots"), Snapshot.from_wire)


def list_snapshots(id: str) -> Call[tuple[Snapshot, ...]]:
    """The snapshots that the session keeps."""

    def read(answer: Any) -> tuple[Snapshot, ...]:
        return tuple(Snapshot.from_wire(item) for item in answer["snapshots"])

    return Call("GET", _session(id, "snapshots"), read)


def get_snapshot(id: str, snapshot: str) -> Call[Snapshot]:
    """One snapshot."""
    return Call("GET", _session(id, f"snapshots/{quote(snapshot, safe='')}"), Snapshot.from_wire)


def delete_snapshot(id: str, snapshot: str) -> Call[None]:
    """Keep a snapshot no longer."""
    return Call("DELETE", _session(id, f"snapshots/{quote(snapshot, safe='')}"), _nothing)


def restore(id: str, snapshot: str) -> Call[Restored]:
    """Make the machine what it was."""

    def read(answer: Any) -> Restored:
        return Restored(answer["state_hash"], answer["epoch"])

    return Call("POST", _session(id, "restore"), read, body={"snapshot": snapshot})


def fork(id: str, count: int, snapshot: str | None) -> Call[tuple[SessionInfo, ...]]:
    """New sessions whose machines are equal to this one, or to a snapshot of it."""

    def read(answer: Any) -> tuple[SessionInfo, ...]:
        return tuple(SessionInfo.from_wire(item) for item in answer["sessions"])

    return Call("POST", _session(id, "fork"), read, body=_given(count=count, snapshot=snapshot))


# -------------------------------------------------------------------------------------------------- scenarios


def list_scenarios() -> Call[list[dict[str, Any]]]:
    """The named scenarios."""

    def read(answer: Any) -> list[dict[str, Any]]:
        return [dict(item) for item in answer["scenarios"]]

    return Call("GET", "/v1/scenarios", read)


def run_scenario(name: str, hardening: Hardening | None, profile: str | None) -> Call[ScenarioRun]:
    """Run one to its end on a machine of its own."""
    body = _given(hardening=hardening, profile=profile)
    return Call("POST", f"/v1/scenarios/{quote(name, safe='')}/run", ScenarioRun.from_wire, body=body)


def scenario_matrix(scenarios: Iterable[str] | None, presets: Iterable[str] | None) -> Call[dict[str, dict[str, str]]]:
    """Verdicts by scenario and preset."""

    def read(answer: Any) -> dict[str, dict[str, str]]:
        return {scenario: dict(row) for scenario, row in answer["cells"].items()}

    return Call("GET", "/v1/scenarios/matrix", read, params=query({"scenarios": scenarios, "presets": presets}))
