"""itsbox serve, as a process of its own: its address, its end, and what it refuses to do."""

from __future__ import annotations

import os
import socket

import httpx
import pytest
from typer.testing import CliRunner

from itsbox.cli import app
from itsbox.cli.output import Exit
from itsbox.cli.process import ServiceProcess
from itsbox.replay.http_target import ServiceError

run = CliRunner().invoke


def test_it_prints_its_address_and_ends_when_told() -> None:
    """Requests are accepted once the address is printed; afterwards the process is gone."""
    with ServiceProcess() as service:
        assert httpx.get(f"{service.url}/healthz").status_code == httpx.codes.OK
        process = service.process

    assert process.poll() is not None


def test_settings_come_from_the_environment() -> None:
    """A cap, for instance, which the service then shows."""
    with ServiceProcess(ITSBOX_LIMITS__SESSIONS="7") as service:
        assert httpx.get(f"{service.url}/v1/limits").json()["sessions"] == 7


def test_a_service_that_cannot_start_says_why() -> None:
    """Its own words come through."""
    with pytest.raises(ServiceError, match="at least 1"), ServiceProcess(ITSBOX_LIMITS__SESSIONS="0"):
        pass


def test_other_machines_are_not_served_without_keys() -> None:
    """Binding an address that they can reach needs API keys."""
    result = run(app, ["serve", "--host", "0.0.0.0"])

    assert result.exit_code == Exit.USAGE
    assert result.stderr.startswith("itsbox: host: 0.0.0.0 can be reached from other machines")
    assert "ITSBOX_API_KEYS" in result.stderr


def test_a_port_that_is_taken_ends_with_3() -> None:
    """With the port that was asked for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        result = run(app, ["serve", "--port", port])

    assert result.exit_code == Exit.UNREACHABLE
    assert port in result.stderr


def test_a_port_that_is_none_is_wrong_usage() -> None:
    """Ports have 16 bits."""
    assert run(app, ["serve", "--port", "65536"]).exit_code == Exit.USAGE


def test_the_environment_of_the_tests_is_left_alone() -> None:
    """Settings of a child are the child's."""
    assert "ITSBOX_LIMITS__SESSIONS" not in os.environ
