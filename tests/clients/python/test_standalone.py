"""The client as its users get it: installed alone, without the service's package, driving a live server."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from pytest_itsbox.server import Server

ROOT = Path(__file__).parents[3]

SCRIPT = """
import asyncio
import importlib.util

import itsbox_client
from itsbox_client import AsyncClient, Client, Event

assert importlib.util.find_spec("itsbox") is None, "the service's package is here"
assert "site-packages" in itsbox_client.__file__, itsbox_client.__file__

with Client() as client, client.sessions.create(hardening="off", start="host") as session:
    assert session.gits.ctlr.enabled
    mapped = session.its.mapd(device_id=1, size=3, itt_addr=0x4800_0000)
    assert mapped.executed
    snapshot = session.snapshot()
    with session.batch() as batch:
        promised = batch.its.int(device_id=1, event_id=0)
    assert promised.result().verdict == "error"
    assert session.restore(snapshot).state_hash == snapshot.state_hash
    events = [item for item in session.events(types=["command.executed"], idle_timeout=3)]
    assert events and all(isinstance(item, Event) for item in events)

    async def main() -> int:
        async with AsyncClient() as client:
            joined = await client.sessions.connect(session.id)
            assert (await joined.gits.ctlr).enabled
            return len([item async for item in joined.events(types=["command.executed"], follow_live=False)])

    assert asyncio.run(main()) == len(events)
print("driven")
"""

TYPED = """
from itsbox_client import Client, CommandResult, Pending

with Client() as client, client.sessions.create() as session:
    reveal_type(session.gits.ctlr.enabled)
    reveal_type(session.its.mapd(device_id=1))
    reveal_type(session.mmio_read(0, 4).value)
    with session.batch() as batch:
        reveal_type(batch.its.sync(rd_base=0))
        reveal_type(batch.ack(0).result().intid)
    session.its.mapd(device="one")
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the client's wheel and what it depends on; made once, however many processes run the tests."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # a worker of pytest-xdist: its siblings' folders are beside its own
        shared = shared.parent
    place = shared / "client-alone"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            _install(place)
            (place / "done").touch()
    return place


def _install(place: Path) -> None:
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place / "dist")]
    subprocess.run([sys.executable, *pip, *build, str(ROOT / "clients" / "python")], check=True)
    (wheel,) = (place / "dist").glob("*.whl")
    venv.create(place / "venv", with_pip=True)
    install = ["install", "--constraint", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run([str(place / "venv" / "bin" / "python"), *pip, *install], check=True)


def test_it_drives_a_live_server_without_the_services_package(alone: Path, live: Server, tmp_path: Path) -> None:
    """Sessions, commands, a batch, a snapshot and events, blocking and awaited, from an environment of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [str(alone / "venv" / "bin" / "python"), "-W", "error", str(script)],
        env={"PATH": os.defpath, "ITSBOX_URL": live.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stdout) == (0, "driven\n"), done.stderr


def test_it_brings_little_along(alone: Path) -> None:
    """httpx, websockets and what httpx needs: no pydantic, no framework, no pytest."""
    listed = subprocess.run(
        [str(alone / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line.split("==")[0].split(" @")[0].lower().replace("_", "-") for line in listed.stdout.splitlines()}

    assert found >= {"itsbox-client", "httpx", "websockets"}
    assert found <= {
        "itsbox-client", "httpx", "websockets",
        "anyio", "certifi", "h11", "httpcore", "idna", "sniffio", "typing-extensions",
        "pip", "setuptools", "wheel",
    }  # fmt: skip


def test_its_types_reach_its_users(alone: Path, tmp_path: Path) -> None:
    """A type checker sees the installed package's types, in both halves and within batches, and finds a wrong argument."""
    script = tmp_path / "typed.py"
    script.write_text(TYPED)
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file", os.devnull,
            "--python-executable", str(alone / "venv" / "bin" / "python"), str(script),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    said = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if ": " in line]

    assert said[:5] == [
        'note: Revealed type is "bool"',
        'note: Revealed type is "itsbox_client.results.CommandResult"',
        'note: Revealed type is "int"',
        'note: Revealed type is "itsbox_client.plan.Pending[itsbox_client.results.CommandResult]"',
        'note: Revealed type is "int"',
    ]
    assert any('Unexpected keyword argument "device"' in line for line in said[5:])


def test_the_wheel_holds_what_it_should(alone: Path) -> None:
    """The marker of PEP 561, both halves, the plugin and its entry point; nothing of the service, no tools."""
    (wheel,) = (alone / "dist").glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))

    assert "itsbox_client/py.typed" in names
    assert {"itsbox_client/_sync/session.py", "pytest_itsbox/__init__.py"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"itsbox_client", "pytest_itsbox"}
    assert "itsbox = pytest_itsbox" in archive.read(entry_points).decode()
