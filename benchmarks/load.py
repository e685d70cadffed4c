"""Load for one HTTP route: ``wrk`` where it is installed, else sixteen keep-alive connections of this process."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["requests_per_second"]

CONNECTIONS: Final = 16


def requests_per_second(url: str, body: bytes, seconds: float) -> float:
    """How many such POSTs a second are answered with 200. Raises RuntimeError when one is answered otherwise."""
    wrk = shutil.which("wrk")
    if wrk is None or seconds < 1:
        return asyncio.run(_own(url, body, seconds))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(
            f"wrk.method = 'POST'\nwrk.body = '{body.decode()}'\nwrk.headers['Content-Type'] = 'application/json'\n"
        )
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "-s", str(script), url]
        told = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout
    if "Non-2xx" in told or not (found := re.search(r"Requests/sec:\s+([\d.]+)", told)):
        raise RuntimeError(told)
    return float(found[1])


async def _own(url: str, body: bytes, seconds: float) -> float:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"]
    request = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    started = time.perf_counter()
    until = started + seconds

    async def one() -> int:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        done = 0
        while time.perf_counter() < until:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode(errors="replace"))
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            done += 1
        writer.close()
        await writer.wait_closed()
        return done

    done = sum(await asyncio.gather(*(one() for _ in range(CONNECTIONS))))
    return done / (time.perf_counter() - started)
