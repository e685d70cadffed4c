"""The dashboard's built files, served from the package under a policy that lets a page load nothing from elsewhere.

Each file is a route of its own: a catch-all would swallow the 404 and 405 of every other path.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request, Response

__all__ = ["static_routes"]

_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_TEXT: Final = ("text/", "application/javascript", "application/json")


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _serve(data: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def static_file(request: Request) -> Response:
        return Response(data, media_type=media_type, headers=_HEADERS)

    return static_file


def static_routes(folder: Traversable | None = None) -> APIRouter:
    """Routes for the built dashboard, or none if this package was made without it. Not part of the API's contract."""
    router = APIRouter()
    folder = files("itsbox") / "static" if folder is None else folder
    if not folder.is_dir():
        return router
    for name, entry in _walk(folder):
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        handler = _serve(entry.read_bytes(), media_type)
        for path in (f"/{name}", "/") if name == "index.html" else (f"/{name}",):
            router.add_route(path, handler, methods=["GET", "HEAD"], include_in_schema=False)
    return router
