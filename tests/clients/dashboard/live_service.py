"""The real service in a process of its own, and the few calls that tests make to prepare a machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

import httpx

__all__ = ["LiveService"]

ROOT: Final = Path(__file__).parents[3]
_SERVE: Final = """
import socket, sys, uvicorn
from itsbox.api.app import create_app
from itsbox.api.settings import Settings
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(create_app(Settings()), log_level="error")).run(sockets=[listener])
"""


class LiveService:
    """``with LiveService() as service:``; ``service.url`` is where the dashboard is. A restarted one takes its old port."""

    def __init__(self, port: int = 0, **env: str) -> None:
        self._port = port
        self._env = {**os.environ, "PYTHONPATH": str(ROOT / "service"), **env}
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(self._port)], env=self._env, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        self.port = int(port)
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=60)
        for _ in range(300):
            try:
                if self.http.get("/healthz", timeout=2).status_code == 200:
                    return self
            except httpx.TransportError:
                pass  # it is still starting
            time.sleep(0.1)
        self.__exit__()
        raise AssertionError("the service did not start")

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        assert self._process.stdout is not None
        self._process.stdout.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; anything but 2xx fails the test."""
        answer = self.http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def create(self, **body: Any) -> dict[str, Any]:
        """A new session."""
        made: dict[str, Any] = self.call("POST", "/v1/sessions", body)
        return made

    def ops(self, sid: str, *ops: dict[str, Any]) -> dict[str, Any]:
        """A batch."""
        answer: dict[str, Any] = self.call("POST", f"/v1/sessions/{sid}/ops", {"ops": list(ops)})
        return answer

    def drive(self, sid: str, call: str, **args: Any) -> dict[str, Any]:
        """A call of the built-in driver."""
        answer: dict[str, Any] = self.call("POST", f"/v1/sessions/{sid}/driver/{call}", args)
        return answer

    def kill(self, sid: str) -> None:
        """End a session."""
        self.call("DELETE", f"/v1/sessions/{sid}")
