"""The only module that knows httpx: one request out, one answer in, and our own exceptions for what goes wrong between.

Everything else of the client is written against ``Answer``, so that another HTTP library is a change of this file alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import httpx

from itsbox_client.problems import RequestTimeout, TransportError

__all__ = ["Answer", "AsyncHttp", "AsyncTransport", "Http", "Transport"]

#: What a caller may put in place of the network (tests do).
Transport: TypeAlias = httpx.BaseTransport
AsyncTransport: TypeAlias = httpx.AsyncBaseTransport


class Answer(NamedTuple):
    """An answer of the service; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        """From httpx's own."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return cls(response.status_code, headers, response.content)


@contextmanager
def _translated() -> Iterator[None]:
    """What httpx raises, as what this client raises."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise RequestTimeout(f"no answer in time ({type(error).__name__})") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise TransportError(str(error) or type(error).__name__) from error


class Http:
    """Requests that block."""

    def __init__(self, base_url: str, headers: Mapping[str, str], transport: Transport | None = None) -> None:
        self._client = httpx.Client(base_url=base_url, headers=dict(headers), transport=transport)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        content: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        """One request. Raises TransportError, or RequestTimeout after ``timeout`` seconds without progress."""
        with _translated():
            response = self._client.request(
                method, path, params=dict(params), content=content, headers=dict(headers), timeout=timeout
            )
            return Answer.of(response)

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts."""
        time.sleep(seconds)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncHttp:
    """Requests that are awaited."""

    def __init__(self, base_url: str, headers: Mapping[str, str], transport: AsyncTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, headers=dict(headers), transport=transport)

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        content: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer:
        """One request. Raises TransportError, or RequestTimeout after ``timeout`` seconds without progress."""
        with _translated():
            response = await self._client.request(
                method, path, params=dict(params), content=content, headers=dict(headers), timeout=timeout
            )
            return Answer.of(response)

    async def sleep(self, seconds: float) -> None:
        """Wait between two attempts."""
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
