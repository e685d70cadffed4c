"""A service that keeps the wire contract's promises about requests, without a machine behind it.

It answers over ``httpx.MockTransport``: what a test says comes first, then sessions in memory whose ops do nothing but count.
It honours Idempotency-Key and can lose an answer after doing the work, which no real service does on demand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx

Responder = Callable[[httpx.Request], httpx.Response]

_MAP = {
    "gicd": "0x8000000",
    "its": "0x8080000",
    "translater": "0x8090040",
    "gicr": "0x80a0000",
    "gicr_stride": "0x20000",
    "ram": "0x40000000",
    "ram_bytes": "0x10000000",
    "hyp": "0x4ff00000",
    "hyp_bytes": "0x100000",
    "guest": "0x4fe00000",
    "guest_bytes": "0x100000",
}


def problem(status: int, kind: str, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    """An answer in problem+json."""
    body = {"type": f"https://itsbox.invalid/problems/{kind}", "title": kind, "status": status, **members}
    return httpx.Response(
        status, content=json.dumps(body), headers={"content-type": "application/problem+json", **(headers or {})}
    )


class FakeService:
    """Sessions that count the ops they were given."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        #: Each is used for one request, before anything else; None lets the request through.
        self.script: list[Responder | None] = []
        #: How many answers to lose after the work was done.
        self.lose = 0
        self.applied: dict[str, list[dict[str, Any]]] = {}
        self._answers: dict[tuple[str, str], httpx.Response] = {}
        self._ids = (f"s{n}" for n in itertools.count(1))
        self.metadata: dict[str, dict[str, str]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, as ``httpx.MockTransport`` asks."""
        self.requests.append(request)
        scripted = self.script.pop(0) if self.script else None
        if scripted is not None:
            return scripted(request)
        key = request.headers.get("idempotency-key")
        known = self._answers.get((request.url.path, key)) if key else None
        answer = known or self._work(request)
        if key:
            self._answers[request.url.path, key] = answer
        if self.lose:
            self.lose -= 1
            raise httpx.ReadError("connection reset", request=request)
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    def _work(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.strip("/").split("/")
        body = json.loads(request.content) if request.content else {}
        match request.method, parts:
            case "POST", ["v1", "sessions"]:
                made = next(self._ids)
                self.applied[made] = []
                self.metadata[made] = body.get("metadata", {})
                return httpx.Response(201, json=self.session(made))
            case "GET", ["v1", "sessions"]:
                return self._page(request)
            case "GET", ["v1", "sessions", id] if id in self.applied:
                return httpx.Response(200, json=self.session(id))
            case "DELETE", ["v1", "sessions", id]:
                self.applied.pop(id, None)
                return httpx.Response(204)
            case "POST", ["v1", "sessions", id, "ops"] if id in self.applied:
                return self._batch(id, body)
            case "POST", ["v1", "sessions", id, *route] if id in self.applied:
                self.applied[id].append({"route": "/".join(route), **body})
                count = len(self.applied[id])
                answer = {"outcome": "ok", "value": "0xffffffffffffffff", "seq": count, "step": count}
                return httpx.Response(200, json=answer)
        return problem(404, "session-not-found", ended="idle for 900 s")

    def session(self, id: str) -> dict[str, Any]:
        """A session's JSON."""
        return {
            "id": id,
            "profile": "virt-gicv3",
            "cpus": 4,
            "ram_mib": 256,
            "start": "bare",
            "quirks": {},
            "phase": "trusted",
            "state": "running",
            "hardening": {"preset": "strict", "knobs": {}},
            "map": _MAP,
            "epoch": 1,
            "seq": 0,
            "step": 0,
            "state_hash": "00",
            "metadata": self.metadata.get(id, {}),
            "created_at": "2026-11-22T12:00:00Z",
            "expires_at": "2026-11-22T12:15:00Z",
        }

    def _page(self, request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        wanted = {key[len("metadata.") :]: value for key, value in params.items() if key.startswith("metadata.")}
        ids = [sid for sid in self.applied if wanted.items() <= self.metadata[sid].items()]
        start = ids.index(params["cursor"]) + 1 if "cursor" in params else 0
        limit = int(params.get("limit", 2))
        page = ids[start : start + limit]
        cursor = page[-1] if start + limit < len(ids) else None
        return httpx.Response(200, json={"sessions": [self.session(sid) for sid in page], "next": cursor})

    def _batch(self, id: str, body: dict[str, Any]) -> httpx.Response:
        for index, op in enumerate(body["ops"]):
            if "op" not in op:
                errors = [{"loc": ["body", "ops", index], "msg": "no op"}]
                return problem(422, "invalid-request", errors=errors, index=index)
        self.applied[id] += body["ops"]
        results = [{"outcome": "ok", "value": hex(n)} for n in range(len(body["ops"]))]
        answer = {"results": results, "executed": len(results), "violations": [], "seq": 9, "step": len(results)}
        return httpx.Response(200, json=answer | ({"state_hash": "ab"} if body.get("hash") else {}))
