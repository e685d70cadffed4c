"""A service that misbehaves on demand: it speaks the wire contract and does what a test tells it to.

The dashboard is tested against the real service; what a real service does only on a bad day (dying in the middle of a frame,
ten megabytes at once, history that is gone, a session that ends) is played here, each at a chosen moment.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["CSP", "ScriptedService"]

STATIC: Final = Path(__file__).parents[3] / "service" / "itsbox" / "static"
CSP: Final = "default-src 'self'; connect-src 'self' ws:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_FRAME: Final = 200
_MAP: Final = {
    "gicd": "0x8000000", "its": "0x8080000", "translater": "0x8090040", "gicr": "0x80a0000", "gicr_stride": "0x20000",
    "ram": "0x40000000", "ram_bytes": "0x10000000", "hyp": "0x4ff00000", "hyp_bytes": "0x100000",
    "guest": "0x4fe00000", "guest_bytes": "0x100000",
}  # fmt: skip


def session(sid: str, **changes: Any) -> dict[str, Any]:
    """A session resource as the service shows one."""
    return {
        "id": sid, "profile": "virt-gicv3", "cpus": 4, "ram_mib": 256, "phase": "deprivileged", "state": "running",
        "hardening": {"preset": "strict", "knobs": {}}, "start": "deprivileged", "error_policy": "ignore", "quirks": {},
        "oracle": "on", "map": _MAP, "epoch": 1, "seq": 0, "step": 0, "state_hash": "5f" * 32, "metadata": {},
        "created_at": "2026-08-07T16:43:00Z", "expires_at": "2099-01-01T00:00:00Z",
    } | changes  # fmt: skip


def _queue(base: str, read: int, write: int) -> dict[str, Any]:
    words = ["0x1000000008", "0x1", "0x8000000041000000", "0x0"]
    entries = [{"slot": n, "name": "MAPD", "words": words} for n in range(max(0, read - 4), write + 2)]
    return {"base": base, "size": 65536, "creadr": read * 32, "cwriter": write * 32, "stalled": False,
            "consumed": read * 32, "entries": entries}  # fmt: skip


class ScriptedService:
    """One uvicorn server in a thread. ``sessions`` and ``events`` may be changed by the test at any time."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        #: events up to this seq are gone
        self.floor: dict[str, int] = {}
        self.frame = _FRAME
        #: ids that answer 404 with this sentence
        self.ended: dict[str, str] = {}
        self.streams = 0
        self._stopping = False
        self._sockets: set[WebSocket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    # ---------------------------------------------------------------- life

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, port: int = 0) -> None:
        """Listen; a restarted service takes its old port."""
        self._stopping = False
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        server = self._server = uvicorn.Server(config)
        ready = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            ready.set()
            await server.serve(sockets=[listener])

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Be gone, with every connection."""
        assert self._server is not None
        assert self._thread is not None
        self._stopping = True
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()

    def drop_streams(self, code: int = 1006) -> None:
        """End each stream with a close code."""
        assert self._loop is not None

        async def close() -> None:
            for each in tuple(self._sockets):
                await each.close(code if code != 1006 else 1011)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=10)

    def add(self, sid: str, kind: str, count: int = 1, **data: Any) -> None:
        """Append events of one type."""
        known = self.events.setdefault(sid, [])
        start = known[-1]["seq"] + 1 if known else 1
        known.extend({"seq": seq, "step": seq, "type": kind, "data": data} for seq in range(start, start + count))
        self.sessions[sid]["seq"] = self.sessions[sid]["step"] = known[-1]["seq"]

    # ---------------------------------------------------------------- the wire

    def _app(self) -> Starlette:
        one = "/v1/sessions/{sid}"
        return Starlette(
            routes=[
                Route("/v1/sessions", self._list),
                Route(one, self._one),
                Route(f"{one}/events", self._pull),
                WebSocketRoute(f"{one}/stream", self._stream),
                Route(f"{one}/{{view:path}}", self._look),
                Route("/v1/{catalogue}", self._catalogue),
                Route("/{path:path}", self._static),
            ]
        )

    def _gone(self, sid: str) -> Response:
        detail = self.ended.get(sid, f"there is no session {sid}")
        problem = {"type": "/problems/session-not-found", "title": "No such session", "status": 404, "detail": detail}
        return JSONResponse(problem, 404, media_type="application/problem+json")

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"sessions": list(self.sessions.values()), "next": None})

    async def _one(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        return JSONResponse(self.sessions[sid]) if sid in self.sessions else self._gone(sid)

    async def _pull(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        after, limit = int(request.query_params.get("after", 0)), int(request.query_params.get("limit", 1000))
        wanted = set(filter(None, request.query_params.get("types", "").split(",")))
        known = self.events.get(sid, [])
        found = [e for e in known if e["seq"] > after and (not wanted or e["type"] in wanted)][:limit]
        head = known[-1]["seq"] if known else 0
        return JSONResponse({"epoch": 1, "events": found, "next": found[-1]["seq"] if found else head, "head": head})

    async def _stream(self, ws: WebSocket) -> None:
        sid = ws.path_params["sid"]
        if sid not in self.sessions:
            await ws.close(4404)
            return
        await ws.accept()
        self.streams += 1
        self._sockets.add(ws)
        after = int(ws.query_params.get("after", 0))
        try:
            floor = self.floor.get(sid, 0)
            if after < floor:
                await ws.send_text(json.dumps({"epoch": 1, "gap": {"from": after + 1, "to": floor}}))
                after = floor
            while sid in self.sessions and not self._stopping:
                known = self.events.get(sid, [])
                start = max(0, after - (known[0]["seq"] - 1)) if known else 0
                batch = known[start : start + self.frame]
                if batch:
                    await ws.send_text(json.dumps({"epoch": self.sessions[sid]["epoch"], "events": batch}))
                    after = batch[-1]["seq"]
                else:
                    await asyncio.sleep(0.02)
            await ws.close(1012 if self._stopping else 4404)
        except (WebSocketDisconnect, RuntimeError):
            return  # the other side, or the test, has ended it
        finally:
            self._sockets.discard(ws)

    async def _look(self, request: Request) -> Response:
        view, sid = request.path_params["view"], request.path_params["sid"]
        if sid not in self.sessions:
            return self._gone(sid)
        answers: dict[str, Any] = {
            "queues": {"host": _queue("0x42000000", 40, 44), "hw": _queue("0x41000000", 40, 42)},
            "registers": {
                "GITS_CTLR": {"addr": "0x8080000", "width": 32, "access": "RW", "value": "0x1",
                              "fields": {"enabled": 1, "quiescent": 0}, "policy": "emulated"},
            },
            "pages": {
                "runs": [
                    {"addr": "0x40000000", "pages": 65024, "owner": "host", "state": "OWNED", "pins": 0, "use": None},
                    {"addr": "0x4fe00000", "pages": 256, "owner": "guest", "state": "OWNED", "pins": 0, "use": "guest"},
                    {"addr": "0x4ff00000", "pages": 256, "owner": "hyp", "state": "OWNED", "pins": 0, "use": "hyp"},
                ]
            },
        }  # fmt: skip
        if view.startswith("tables/"):
            return JSONResponse({"kind": view, "valid": True, "level1": [], "level2": []})
        if view in answers:
            return JSONResponse(answers[view])
        return JSONResponse({"title": "Not here", "status": 404, "detail": view}, 404)

    async def _catalogue(self, request: Request) -> Response:
        return JSONResponse({})

    async def _static(self, request: Request) -> Response:
        path = STATIC / (request.path_params["path"] or "index.html")
        if not path.is_file():
            return Response("not here", 404)
        return FileResponse(path, headers={"Content-Security-Policy": CSP})
