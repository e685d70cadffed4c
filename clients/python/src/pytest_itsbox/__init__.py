"""The pytest plugin of itsbox: a machine for each test, and a failure wherever memory isolation did not hold.

Fixtures: ``its_server`` (a running service: the one of ``--its-url``, or one of our own), ``its_client`` (its client) and
``its_session`` (a machine, restored from the same snapshot for every test that asks for the same one). The marker
``@pytest.mark.its(profile=..., hardening=...)`` says which machine; it takes what ``client.sessions.create`` takes.

A test fails if the oracle objects to anything that it did to its machine. The report then names the bucket and holds a
program that reproduces the violation, and with ``--its-repro-dir`` the program is written there.
``@pytest.mark.its(violations="allow")`` is for tests of machines that are meant to be broken.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from itsbox_client import Client, Session
    from pytest_itsbox.machines import Loan, MachinePool
    from pytest_itsbox.server import Server

_LOANS: pytest.StashKey[list[Loan]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("itsbox", "simulated Arm machines")
    group.addoption("--its-url", metavar="URL", help="use the itsbox service at URL instead of starting one")
    group.addoption("--its-api-key", metavar="KEY", help="API key for that service (default: ITSBOX_API_KEY)")
    group.addoption("--its-repro-dir", metavar="DIR", type=Path, help="write the reproducer of each violation to DIR")


def pytest_configure(config: pytest.Config) -> None:
    """Name our marker, so that --strict-markers knows it."""
    config.addinivalue_line(
        "markers",
        "its(profile, hardening, ..., violations='fail'): the machine that its_session is; violations='allow' for machines "
        "that are meant to be broken",
    )


@pytest.fixture(scope="session")
def its_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running itsbox service: the one of ``--its-url``, or one started on a free loopback port and ended with the run."""
    from pytest_itsbox.server import Server, start

    url: str | None = request.config.getoption("--its-url")
    if url:
        yield Server(url, None)
        return
    with start(tmp_path_factory.mktemp("itsbox") / "server.log") as server:
        yield server


@pytest.fixture(scope="session")
def its_client(request: pytest.FixtureRequest, its_server: Server) -> Iterator[Client]:
    """A client of ``its_server``."""
    from itsbox_client import Client

    with Client(its_server.url, api_key=request.config.getoption("--its-api-key")) as client:
        yield client


@pytest.fixture(scope="session")
def _its_machines(its_client: Client) -> Iterator[MachinePool]:
    """One machine of each kind that tests ask for, and its snapshot."""
    from pytest_itsbox.machines import MachinePool

    with MachinePool(its_client) as pool:
        yield pool


@pytest.fixture
def its_session(request: pytest.FixtureRequest, _its_machines: MachinePool) -> Iterator[Session]:
    """A machine as the test's ``its`` marker describes it, restored from a snapshot, in a session of its own."""
    from pytest_itsbox.machines import machine_of

    options, allowed = machine_of(request.node)
    with _its_machines.lend(options, allow_violations=allowed) as loan:
        request.node.stash.setdefault(_LOANS, []).append(loan)
        yield loan.session
        _judge(request.node)  # what other fixtures did to the machine after the test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After a test, fail it if the oracle objected to anything; if it failed anyway, add what the oracle said."""
    try:
        result = yield
    except BaseException:
        _report(item)  # the test's own failure is the one to see
        raise
    _judge(item)
    return result


def _judge(item: pytest.Item) -> None:
    """Fail if there are violations that were not reported yet."""
    told = _report(item)
    if told:
        pytest.fail("\n".join(["memory isolation did not hold:", *told]), pytrace=False)


def _report(item: pytest.Item) -> list[str]:
    """Attach what the oracle objected to since the last time; one line for each that the test may not cause."""
    from pytest_itsbox.reproducer import attach

    told: list[str] = []
    for loan in item.stash.get(_LOANS, []):
        for finding in loan.new_findings():
            attach(item, loan, finding)
            if not loan.allow_violations:
                told.append(str(finding.violation))
    return told
