"""The service as users get it: a wheel, installed into an environment of its own."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Installed(NamedTuple):
    """The wheel, and the environment that it (and nothing of this checkout) was installed into."""

    wheel: Path
    prefix: Path

    def bin(self, name: str) -> Path:
        """A command of that environment."""
        return self.prefix / "bin" / name


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel and install it with its dependencies; once, however many processes run the tests."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # a worker of pytest-xdist: its siblings' folders are beside its own
        shared = shared.parent
    place = shared / "installed"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            _install(place)
            (place / "done").touch()
    (wheel,) = (place / "dist").glob("itsbox-*.whl")
    return Installed(wheel, place / "venv")


def _context(place: Path) -> Path:
    """A folder with what .dockerignore lets into a build and nothing else: what the wheel must be buildable from."""
    context = place / "context"
    context.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        source = ROOT / line.removeprefix("!")
        if not line.startswith("!"):
            continue
        if source.is_dir():
            shutil.copytree(source, context / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, context)
    return context


def _install(place: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place / "dist")]
    subprocess.run([*pip, *build, str(_context(place))], check=True)
    (wheel,) = (place / "dist").glob("itsbox-*.whl")
    venv.create(place / "venv", with_pip=True)
    subprocess.run(
        [
            str(place / "venv" / "bin" / "python"), *pip[1:],
            "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel),
        ],
        check=True,
    )  # fmt: skip
