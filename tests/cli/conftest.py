"""A real server on loopback for the commands that need one, and a shorthand for running the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings
from itsbox.cli import app
from itsbox.cli.output import Exit

KEY = "a-key-of-the-tests-alone"


class Shell:
    """Runs ``itsbox`` with the address of a service in the environment, as a person would have it."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.env = {"ITSBOX_URL": url, "ITSBOX_API_KEY": key}

    def run(self, *words: object, stdin: str | None = None) -> Result:
        """The result of one command."""
        return CliRunner().invoke(app, [str(word) for word in words], env=self.env, input=stdin)

    def json(self, *words: object, code: Exit = Exit.OK) -> Any:
        """The document of one command with ``--json``, which must end as told."""
        result = self.run(*words, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def session(self, *words: object) -> str:
        """Id of a new session."""
        result = self.run("session", "create", *words)
        assert result.exit_code == Exit.OK, result.output
        return result.stdout.strip()


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A command line beside a running service."""
    with BackgroundServer(Settings(port=0)) as server:
        yield Shell(server.url)


@pytest.fixture
def locked() -> Iterator[Shell]:
    """A service that asks for a key; the shell has none yet."""
    with BackgroundServer(Settings(port=0, api_keys=(KEY,))) as server:
        yield Shell(server.url)


@pytest.fixture
def nobody() -> Shell:
    """The address of a port where nobody listens."""
    return Shell("http://127.0.0.1:1")
