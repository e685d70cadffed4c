"""Settings from the environment: ``ITSBOX_HOST``, ``ITSBOX_LIMITS__SESSIONS``, and so on. Safe without any."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from itsbox.sessions.limits import Limits

__all__ = ["Settings", "is_loopback"]

#: Shorter keys could be guessed.
_KEY_MIN: Final = 16
#: Host names that always mean this machine.
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]", "::1")


def is_loopback(host: str) -> bool:
    """Whether binding this address keeps other machines out."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """Where the service listens, whom it answers, and its caps.

    Lists are comma-separated. Binding an address that other machines can reach needs API keys: without one, anybody on the
    network could fill this process.
    """

    model_config = SettingsConfigDict(env_prefix="ITSBOX_", env_nested_delimiter="__", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8321, ge=0, le=65535)
    api_keys: Annotated[tuple[str, ...], NoDecode] = ()
    """Keys that a client may send as ``Authorization: Bearer``. None: everybody on loopback may do everything."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names beside the loopback ones that a Host header may have, without port."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages, beside the service's own, that may send requests and open streams."""
    limits: Limits = Limits()
    receive_timeout_s: float = Field(default=20.0, gt=0)
    """Seconds that a request, head and body, may take to arrive."""
    keep_alive_s: int = Field(default=5, ge=1)
    fast_path: bool = True
    """Answer single ops without passing through the framework; the answers are the same bytes."""

    @field_validator("api_keys", "allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("limits", mode="before")
    @classmethod
    def _caps(cls, value: Any) -> Any:
        if isinstance(value, dict):
            unknown = set(value) - set(Limits().as_json())
            if unknown:
                raise ValueError(f"no such cap: {', '.join(sorted(unknown))}")
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if any(len(key) < _KEY_MIN for key in self.api_keys):
            raise ValueError(f"api_keys: a key needs at least {_KEY_MIN} characters")
        if not is_loopback(self.host) and not self.api_keys:
            raise ValueError(f"host: {self.host} can be reached from other machines; set ITSBOX_API_KEYS to bind it")
        if any(value < 1 for value in self.limits.as_json().values()):
            raise ValueError("limits: every cap must be at least 1")
        return self
