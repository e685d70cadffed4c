from __future__ import annotations

import pytest
from pydantic import ValidationError

from itsbox.api.settings import Settings, is_loopback


def test_the_defaults_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, no keys, no foreign hosts or origins, the caps of the design."""
    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8321)
    assert (settings.api_keys, settings.allowed_hosts, settings.allowed_origins) == ((), (), ())
    limits = settings.limits.as_json()
    assert limits["sessions"] == 256
    assert limits["session_memory_bytes"] == 64 << 20
    assert (limits["ops_per_request"], limits["request_bytes"]) == (4096, 4 << 20)
    assert (limits["events_kept"], limits["subscribers_per_session"], limits["idle_timeout_s"]) == (100_000, 16, 900)


def test_the_environment_sets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are separated by commas, caps are nested."""
    for name, value in {
        "ITSBOX_HOST": "0.0.0.0",
        "ITSBOX_PORT": "9000",
        "ITSBOX_API_KEYS": "first-key-0123456789, second-key-0123456789",
        "ITSBOX_ALLOWED_HOSTS": "box.example",
        "ITSBOX_LIMITS__SESSIONS": "7",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    assert (settings.host, settings.port, settings.limits.sessions) == ("0.0.0.0", 9000, 7)
    assert settings.api_keys == ("first-key-0123456789", "second-key-0123456789")
    assert settings.allowed_hosts == ("box.example",)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.example"])
def test_other_addresses_need_a_key(host: str) -> None:
    """Nobody binds the network by mistake."""
    with pytest.raises(ValidationError, match="ITSBOX_API_KEYS"):
        Settings(host=host)

    assert Settings(host=host, api_keys=("0123456789abcdef",)).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    """Whatever means this machine only."""
    assert is_loopback(host)
    assert Settings(host=host).api_keys == ()


def test_short_keys_and_unknown_caps_are_refused() -> None:
    """A key that could be guessed, a cap that does not exist, a cap of nothing."""
    with pytest.raises(ValidationError, match="at least 16"):
        Settings(api_keys=("short",))
    with pytest.raises(ValidationError, match="no such cap"):
        Settings(limits={"session": 5})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="at least 1"):
        Settings(limits={"sessions": 0})  # type: ignore[arg-type]
