"""What holds for the package as a whole: its two halves agree, and its walls stand."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import itsbox_client
from itsbox_client import AsyncClient, AsyncSession, Client, Session

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "clients" / "python"
PACKAGE = CLIENT / "src" / "itsbox_client"
PLUGIN = CLIENT / "src" / "pytest_itsbox"


def _imports(path: Path) -> set[str]:
    """Top-level names of what a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_blocking_half_is_what_the_generator_makes() -> None:
    """The committed ``_sync`` is exactly what ``_async`` translates to."""
    generator = CLIENT / "tools" / "generate_sync.py"
    done = subprocess.run([sys.executable, str(generator), "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library, home", [("httpx", "_http.py"), ("websockets", "_websocket.py")])
def test_each_network_library_has_one_home(library: str, home: str) -> None:
    """To change the HTTP library is to change one file."""
    users = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if library in _imports(path)}

    assert users == {home}


def test_the_client_needs_nothing_of_the_server() -> None:
    """Only the part of the plugin that starts a server names the server's package, and does not import it at all."""
    users = [path.name for path in [*PACKAGE.rglob("*.py"), *PLUGIN.rglob("*.py")] if "itsbox" in _imports(path)]

    assert users == []


def test_the_core_does_no_io() -> None:
    """Protocol modules know no network, no clock, no event loop."""
    allowed = {"_http.py", "_websocket.py", "_async", "_sync"}
    core = [path for path in PACKAGE.rglob("*.py") if not allowed & set(path.relative_to(PACKAGE).parts)]
    forbidden = {"asyncio", "time", "socket", "threading", "random", "uuid", "httpx", "websockets", "pytest", "os"}

    assert {path.name: found for path in core if (found := _imports(path) & forbidden)} == {}
    assert len(core) > 10


def test_it_depends_on_two_libraries() -> None:
    """What a user's environment must take in."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]

    assert sorted(name.split(">")[0] for name in project["dependencies"]) == ["httpx", "websockets"]


def test_it_is_typed() -> None:
    """The marker of PEP 561 is there, and what is public exists."""
    assert (PACKAGE / "py.typed").exists()
    assert (PLUGIN / "py.typed").exists()
    assert [name for name in itsbox_client.__all__ if not hasattr(itsbox_client, name)] == []


@pytest.mark.parametrize("blocking, awaited", [(Client, AsyncClient), (Session, AsyncSession)])
def test_both_halves_have_the_same_methods_with_the_same_arguments(blocking: type, awaited: type) -> None:
    """What one can do, so can the other, called the same way."""

    def face(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    awaited_face = face(awaited)
    if "aclose" in awaited_face:
        awaited_face["close"] = awaited_face.pop("aclose")
    assert face(blocking) == awaited_face


def test_every_call_takes_a_request_timeout() -> None:
    """No request can wait without the caller having a say."""
    without = [
        f"{kind.__name__}.{name}"
        for kind in (AsyncClient, AsyncSession)
        for name, member in vars(kind).items()
        if inspect.iscoroutinefunction(member)
        and not name.startswith("_")
        and name != "aclose"
        and "request_timeout" not in inspect.signature(member).parameters
    ]

    assert without == []


def test_everything_public_is_documented() -> None:
    """Each public class and method says what it does."""
    missing = [
        f"{path.name}:{node.name}"
        for path in [*PACKAGE.rglob("*.py"), *PLUGIN.rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and node.name not in {"read", "build"}  # local functions
        and ast.get_docstring(node) is None
    ]

    assert missing == []
