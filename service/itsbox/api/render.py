"""Answers as JSON bytes: one function for each thing that more than one route answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from starlette.responses import Response

from itsbox import ops
from itsbox.hardware.profile import MemoryMap
from itsbox.machine.wire import outcome_json
from itsbox.ops import Op, Outcome
from itsbox.oracle.violations import Violation
from itsbox.sessions.port import SnapshotRecord
from itsbox.sessions.runs import Result, Run
from itsbox.sessions.session import Session
from itsbox.sessions.times import timestamp

__all__ = ["json_response", "op_bytes", "op_json", "result_json", "run_json", "session_json", "snapshot_json"]


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer of plain data."""
    return Response(orjson.dumps(value), status, headers, "application/json")


def result_json(result: Result) -> dict[str, Any]:
    """One op's result."""
    outcome, violations = result
    shown = outcome_json(outcome)
    if violations:
        shown["violations"] = [violation.wire() for violation in violations]
    return shown


def op_bytes(answer: tuple[Outcome, Sequence[Violation], int, int]) -> bytes:
    """The answer of a single-op route: the result, ``seq`` and ``step``."""
    outcome, violations, seq, step = answer
    shown = result_json((outcome, violations))
    shown["seq"], shown["step"] = seq, step
    return orjson.dumps(shown)


def run_json(run: Run, state_hash: str | None) -> dict[str, Any]:
    """The answer of a batch."""
    shown = {
        "results": [result_json(result) for result in run.results],
        "executed": len(run.results),
        "violations": [violation.wire() for _, found in run.results for violation in found],
        "seq": run.seq,
        "step": run.step,
    }
    return shown if state_hash is None else {**shown, "state_hash": state_hash}


def session_json(session: Session, seq: int | None = None) -> dict[str, Any]:
    """A session as the wire shows it; ``seq`` stands in for the newest event's number."""
    machine = session.machine
    config, where = machine.config, machine.map
    return {
        "id": session.id,
        "profile": config.profile.name,
        "cpus": config.cpus,
        "ram_mib": config.ram_mib,
        "phase": machine.phase,
        "state": session.state,
        "hardening": {"preset": config.hardening.preset, "knobs": dict(config.hardening.knobs)},
        "start": config.start,
        "error_policy": config.error_policy,
        "quirks": dict(config.quirks),
        "oracle": config.oracle,
        "map": _map_json(where),
        "epoch": session.epoch,
        "seq": session.seq if seq is None else seq,
        "step": machine.step,
        "state_hash": session.state_hash(),
        "violations": len(machine.violations),
        "subscribers": len(session.feed.subscribers),
        "metadata": session.metadata,
        "idle_timeout_s": session.idle_timeout_s,
        "created_at": timestamp(session.stamp.created),
        "expires_at": timestamp(session.expires_at),
    }


def _map_json(where: MemoryMap) -> dict[str, Any]:
    """The map; what not every machine has is left out where it is not."""
    shown: dict[str, Any] = {name: hex(getattr(where, name)) for name in _MAP}
    if where.sgir is not None:
        shown["sgir"] = hex(where.sgir)
    if len(where.its_nodes) > 1:
        shown["its_nodes"] = [hex(base) for base in where.its_nodes]
    return shown


_MAP = (
    "gicd", "its", "translater", "gicr", "gicr_stride", "ram", "ram_bytes", "hyp", "hyp_bytes", "guest", "guest_bytes",
)  # fmt: skip


def snapshot_json(record: SnapshotRecord) -> dict[str, Any]:
    """A snapshot as the wire shows it."""
    return {
        "id": record.id,
        "state_hash": record.state_hash,
        "seq": record.seq,
        "step": record.step,
        "created_at": timestamp(record.taken_at),
    }


def op_json(op: Op) -> dict[str, Any]:
    """An op as ``POST .../ops`` takes it."""
    return _OP_JSON[type(op)](op)


_OP_JSON: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    ops.MmioRead: lambda o: {"op": "mmio_read", "addr": hex(o.addr), "size": o.size},
    ops.MmioWrite: lambda o: {"op": "mmio_write", "addr": hex(o.addr), "size": o.size, "value": hex(o.value)},
    ops.Load: lambda o: {"op": "load", "addr": hex(o.addr), "length": o.length},
    ops.Store: lambda o: {"op": "store", "addr": hex(o.addr), "hex": o.data.hex()},
    ops.Fill: lambda o: {"op": "fill", "addr": hex(o.addr), "length": o.length, "byte": o.byte},
    ops.Hvc: lambda o: {"op": "hvc", "function": o.function, "args": [hex(arg) for arg in o.args]},
    ops.Msi: lambda o: {"op": "msi", "device_id": o.device_id, "event_id": o.event_id},
    ops.Ack: lambda o: {"op": "ack", "cpu": o.cpu},
    ops.Clean: lambda o: {"op": "clean", "addr": hex(o.addr), "length": o.length},
    ops.Drive: lambda o: {"op": "driver", "call": o.call, "args": o.args},
}
