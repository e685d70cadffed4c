"""Every bound of the service, named once: what ``GET /v1/limits`` shows and what a refusal names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

__all__ = ["MIB", "Limits"]

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps and clocks. A field's name is the ``cap`` that a 413 or 429 names.

    Defaults are those of the wire contract, "Service"; each is a setting.
    """

    sessions: int = 256
    """Sessions that exist at once, crashed ones included."""
    session_memory_bytes: int = 64 * MIB
    """Memory that a session's machine and snapshots may keep; pages that two of them share count once."""
    ops_per_request: int = 4096
    """Ops in one batch, JSON or packed, and in one frame of the lane."""
    commands_per_request: int = 262_144
    """ITS commands that the ops of one request may make the ITS or the hypervisor look at together; each is listed."""
    request_bytes: int = 4 * MIB
    """Bytes of one request body or of one WebSocket message from the client."""
    answer_bytes: int = 16 * MIB
    """Bytes that the loads of one request may read together."""
    state_steps: int = 1_200_000
    """Table entries, empty pages of tables and pending interrupts that one ``GET .../state`` looks at."""
    events_kept: int = 100_000
    """Events of a session that can still be read; older ones become a gap."""
    subscribers_per_session: int = 16
    """Event streams (WebSocket and SSE) attached to one session at once."""
    snapshots_per_session: int = 64
    """Snapshots that a session keeps."""
    journal_ops_kept: int = 100_000
    """Ops of a session's journal that can still be read."""
    journal_bytes_kept: int = 16 * MIB
    """Bytes that stores in a session's journal may take together."""
    idempotency_keys: int = 10_000
    """Answers kept for requests with an Idempotency-Key."""
    idempotency_bytes: int = 64 * MIB
    """Bytes of all kept answers together."""
    connections: int = 1024
    """Connections that the server holds open at once."""
    scenario_runs: int = 2
    """Scenarios that are played at once; others wait for their turn."""
    scenarios_waiting: int = 64
    """Scenarios, cells of a matrix included, that wait for their turn at once."""
    idle_timeout_s: int = 900
    """Seconds without a request or an attached stream after which a session ends, unless it asks otherwise."""
    idle_timeout_max_s: int = 86_400
    """The longest idle timeout that a session may ask for."""
    lifetime_s: int = 86_400
    """Seconds after its creation at which a session ends, used or not."""

    def as_json(self) -> dict[str, int]:
        """The caps by name, as ``GET /v1/limits`` answers them."""
        return asdict(self)
