"""The built files that are committed are what the sources give, and name no host but their own."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "service" / "itsbox" / "static"
DASHBOARD = ROOT / "clients" / "dashboard"
NODE = shutil.which("npm")

needs_node = pytest.mark.skipif(NODE is None and not os.environ.get("CI"), reason="needs Node.js and npm")


def npm(folder: Path, *words: str) -> str:
    """What npm prints; a failure fails the test with it."""
    done = subprocess.run(
        ["npm", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env={**os.environ, "CI": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, somewhere else, with their packages installed from the lock file."""
    root = tmp_path_factory.mktemp("clone")
    skip = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "clients" / "dashboard", root / "clients" / "dashboard", ignore=skip)
    shutil.copytree(ROOT / "clients" / "typescript", root / "clients" / "typescript", ignore=skip)
    shutil.copytree(ROOT / "openapi", root / "openapi")
    npm(root / "clients" / "dashboard", "ci", "--no-audit", "--no-fund")
    return root


@pytest.mark.node
@needs_node
def test_a_rebuild_gives_the_committed_bytes(copy: Path) -> None:
    """``npm ci && npm run build`` in a clean copy gives the files of ``service/itsbox/static``, byte for byte."""
    npm(copy / "clients" / "dashboard", "run", "build")

    built = copy / "service" / "itsbox" / "static"
    names = sorted(str(path.relative_to(built)) for path in built.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())
    same, different, broken = filecmp.cmpfiles(built, STATIC, names, shallow=False)
    assert (different, broken) == ([], [])
    assert sorted(same) == names


@pytest.mark.node
@needs_node
def test_the_types_are_those_of_the_openapi_file(copy: Path) -> None:
    """``npm run types`` leaves ``schema.d.ts`` as it is."""
    npm(copy / "clients" / "dashboard", "run", "types")

    schema = Path("clients", "typescript", "src", "schema.d.ts")
    assert (copy / schema).read_text() == (ROOT / schema).read_text()


@pytest.mark.node
@needs_node
def test_the_logic_passes_its_own_tests(copy: Path) -> None:
    """vitest: stream, buffer, folds, ring and map geometry, filters, copies."""
    assert "passed" in npm(copy / "clients" / "dashboard", "test")


def test_the_lock_file_names_no_download_address() -> None:
    """Whoever installs uses the registry that is set up there: the lock file has versions and hashes only."""
    lock = (DASHBOARD / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert [name for name, entry in packages.items() if name and not entry.get("integrity")] == []
    assert not re.search(r"registry\.|npmjs|yarnpkg", lock)


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() -> None:
    """index.html holds no script or style of its own; no built file names another host to load from."""
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\bon\w+=|style=", page)
    for source in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert source.startswith("./")
    for path in (STATIC / "assets").iterdir():
        hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text()))
        assert hosts <= {"www.w3.org", "127.0.0.1", "localhost"}, f"{path.name}: {hosts}"
        assert "eval(" not in path.read_text()


def test_file_names_are_stable() -> None:
    """No hash in a name: a rebuild changes files, not their names, and the service lists them once."""
    assert sorted(path.name for path in (STATIC / "assets").iterdir()) == [
        "dashboard.css",
        "dashboard.js",
        "stream-worker.js",
    ]
