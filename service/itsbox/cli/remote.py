"""A running service, as the commands that need one talk to it: one address, one key, errors as exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Self, TypeAlias
from urllib.parse import quote

import httpx
import typer

from itsbox.cli.output import Exit, fail
from itsbox.cli.show import plain

__all__ = [
    "DEFAULT_URL",
    "Key",
    "Query",
    "Remote",
    "RemoteError",
    "Session",
    "Url",
    "problem_text",
    "remote",
    "session_path",
]

DEFAULT_URL: Final = "http://127.0.0.1:8321"
TIMEOUT_S: Final = 60.0
Query: TypeAlias = Iterable[tuple[str, str]]
#: Statuses that say that the service cannot serve now, whatever is asked.
_BUSY: Final = frozenset({429})

Url = Annotated[str, typer.Option("--url", envvar="ITSBOX_URL", help="Address of the service.")]
Key = Annotated[
    str | None,
    typer.Option("--api-key", envvar="ITSBOX_API_KEY", help="Bearer key, when the service asks for one."),
]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of a session.")]


class RemoteError(Exception):
    """The service did not do what was asked. ``code``: how the command ends; ``status``: HTTP status, 0 if none came."""

    def __init__(self, code: Exit, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Remote:
    """A client of the service at ``url``; use it in a ``with`` block. Every method raises RemoteError."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = httpx.Client(timeout=timeout_s, headers=self.headers, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, path: str, body: Any = None, query: Query = ()) -> Any:
        """The JSON of an answer; None for an answer without a body."""
        what = f"{method} {self.url}{path}"
        try:
            response = self.http.request(method, f"{self.url}{path}", json=body, params=tuple(query) or None)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise RemoteError(Exit.USAGE, f"{self.url!r} is no address of a service: {error}") from error
        except httpx.HTTPError as error:
            raise RemoteError(Exit.UNREACHABLE, f"{what}: {error}") from error
        if not response.is_success:
            raise refusal(response.status_code, response.text, f"{method} {path}")
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise RemoteError(Exit.UNREACHABLE, f"{what} answered no JSON: not an itsbox service?") from error


def session_path(session: str) -> str:
    """A session's path below the service's address."""
    return f"/v1/sessions/{quote(session, safe='')}"


def refusal(status: int, text: str, what: str) -> RemoteError:
    """The error for an answer that is no success: wrong usage if the client is to blame, unreachable if the service is."""
    ours = status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _BUSY
    return RemoteError(Exit.USAGE if ours else Exit.UNREACHABLE, f"{what}: {problem_text(status, text)}", status)


def problem_text(status: int, text: str) -> str:
    """An RFC 9457 problem as a sentence; any other body as it is, cut short."""
    import json

    try:
        problem = json.loads(text)
        said = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        said = text[:300]
    return plain(f"{status} {said}".strip())


@contextmanager
def remote(url: str, api_key: str | None, timeout_s: float = TIMEOUT_S) -> Iterator[Remote]:
    """The service for the length of a ``with`` block; an error ends the command with its code and a line on stderr."""
    try:
        with Remote(url, api_key, timeout_s) as service:
            yield service
    except RemoteError as error:
        fail(error.code, str(error))
