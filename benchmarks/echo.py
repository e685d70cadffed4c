"""The limit for a single op: a bare ASGI echo on the service's own uvicorn settings. ``python -m benchmarks.echo``."""

from __future__ import annotations

from typing import Any

from itsbox.api.server import bind, server_config, url_of
from itsbox.api.settings import Settings
from itsbox.cli.serve import SERVING

ANSWER = b'{"outcome":"ok","value":"0x1f0001efb1","seq":0,"step":1}'
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())],
}


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body to its end, answer as many bytes as the service would."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send({"type": "http.response.body", "body": ANSWER})


def main() -> None:
    """Serve on a free loopback port and print the address as the service does."""
    import uvicorn  # noqa: PLC0415

    settings = Settings(port=0)
    listener = bind(settings)
    print(f"{SERVING}{url_of(listener)}", flush=True)
    uvicorn.Server(server_config(echo, settings)).run(sockets=[listener])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
