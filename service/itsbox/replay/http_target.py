"""A machine hosted by a running service, over HTTP batches (the wire contract, "Ops")."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from itsbox.ops import Ack, Clean, Fill, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.compare import Answer, AnsweredCommand
from itsbox.replay.target import MachineWish

__all__ = ["HttpTarget", "ServiceError", "op_json"]

TIMEOUT_S = 60.0


class ServiceError(RuntimeError):
    """The service cannot be reached, or answered with a problem; the message says which."""


class HttpTarget:
    """One session of a service at ``url``; made on entering, deleted on leaving the ``with`` block.

    Raises ServiceError from every method when the service does not answer as agreed.
    """

    def __init__(self, url: str, wish: MachineWish, *, api_key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.url = url.rstrip("/")
        self.client = httpx.Client(timeout=TIMEOUT_S, headers=headers, trust_env=False)
        self.wish = wish
        self.session: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.session = self._call("POST", "/v1/sessions", {**self.wish._asdict(), "metadata": {"job": "replay"}})
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.session and kind is None:
                self._call("DELETE", self.path)
        finally:
            self.client.close()

    @property
    def path(self) -> str:
        """The session's path below the service's address."""
        return f"/v1/sessions/{self.session['id']}"

    def apply(self, ops: Sequence[Op]) -> list[Answer]:
        """Apply the ops as one batch."""
        if not ops:
            return []
        answer = self._call("POST", f"{self.path}/ops", {"ops": [op_json(op) for op in ops]})
        results = answer["results"]
        if len(results) != len(ops):
            raise ServiceError(f"{len(ops)} ops sent, {len(results)} results came back")
        return [_answer(result) for result in results]

    def state(self) -> dict[str, Any]:
        """The decoded tables."""
        return self.look("state")

    def drive(self, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the built-in host driver to do something; its result, with what it printed."""
        answer = self._call("POST", f"{self.path}/ops", {"ops": [{"op": "driver", "call": call, "args": arguments}]})
        result: dict[str, Any] = answer["results"][0]
        return result

    def look(self, view: str) -> dict[str, Any]:
        """One of the session's views, such as ``diagnosis``."""
        return self._call("GET", f"{self.path}/{view}")

    def head(self) -> int:
        """How many events the session has produced: the ``seq`` of the last one."""
        return int(self._call("GET", self.path)["seq"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self.client.request(method, f"{self.url}{path}", json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(f"{method} {self.url}{path}: {error}") from error
        if response.is_error:
            raise ServiceError(f"{method} {path} answered {response.status_code}: {response.text[:500]}")
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            answer = response.json()
        except ValueError as error:
            raise ServiceError(f"{method} {path} answered no JSON: {response.text[:200]!r}") from error
        if not isinstance(answer, dict):
            raise ServiceError(f"{method} {path} answered a {type(answer).__name__}, not an object")
        return answer


def op_json(op: Op) -> dict[str, Any]:
    """The wire form of an op; 64-bit values as strings."""
    match op:
        case MmioRead(addr, size):
            return {"op": "mmio_read", "addr": hex(addr), "size": size}
        case MmioWrite(addr, size, value):
            return {"op": "mmio_write", "addr": hex(addr), "size": size, "value": hex(value)}
        case Load(addr, length):
            return {"op": "load", "addr": hex(addr), "length": length}
        case Store(addr, data):
            return {"op": "store", "addr": hex(addr), "hex": data.hex()}
        case Fill(addr, length, byte):
            return {"op": "fill", "addr": hex(addr), "length": length, "byte": byte}
        case Msi(device_id, event_id):
            return {"op": "msi", "device_id": device_id, "event_id": event_id}
        case Ack(cpu):
            return {"op": "ack", "cpu": cpu}
        case Clean(addr, length):
            return {"op": "clean", "addr": hex(addr), "length": length}
        case _:
            raise ServiceError(f"{type(op).__name__} is no op of a trace")


def _answer(result: dict[str, Any]) -> Answer:
    outcome = result["outcome"]
    if "reason" in result and outcome != "ok":
        outcome = f"{outcome} ({result['reason']})"
    value = result.get("value")
    return Answer(
        outcome,
        value=None if value is None else int(value, 16),
        commands=tuple(AnsweredCommand(c["slot"], c["name"], c["verdict"]) for c in result.get("commands") or ()),
        delivered=result.get("delivered"),
        intid=result.get("intid"),
        data=bytes.fromhex(result.get("hex") or ""),
    )
