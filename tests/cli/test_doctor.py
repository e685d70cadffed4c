"""itsbox doctor: what is here, what is missing, and what that means for the exit code."""

from __future__ import annotations

import socket
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from itsbox.cli import doctor
from itsbox.cli.output import Exit
from tests.cli.conftest import KEY, Shell


def states(shell: Shell, code: Exit = Exit.OK) -> dict[str, tuple[str, str]]:
    """State and detail of each finding."""
    return {f["what"]: (f["state"], f["detail"]) for f in shell.json("doctor", code=code)["findings"]}


def test_all_is_well_beside_a_running_service(shell: Shell) -> None:
    """For people and for programs."""
    found = states(shell)

    assert {found[what][0] for what in ("python", "packages", "bundled files", "settings", "service")} == {"ok"}
    assert shell.url in found["service"][1]
    assert "python" in shell.run("doctor").stdout


def test_a_service_that_must_be_there_and_is_not_ends_with_3(nobody: Shell) -> None:
    """Everything else is told all the same."""
    found = states(nobody, Exit.UNREACHABLE)

    assert found["service"][0] == "away"
    assert found["python"][0] == "ok"


def test_without_an_address_no_service_is_needed(nobody: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may be at the default address, or none."""
    monkeypatch.setattr(doctor, "DEFAULT_URL", nobody.url)
    del nobody.env["ITSBOX_URL"]

    assert states(nobody)["service"][0] == "ok"


def test_a_wrong_key_is_a_failed_check(locked: Shell) -> None:
    """The service is there; what is wrong is on this side."""
    assert states(locked, Exit.DIFFERENCE)["service"][0] == "fail"
    locked.env["ITSBOX_API_KEY"] = KEY
    assert states(locked)["service"][0] == "ok"


def test_wrong_settings_are_named(shell: Shell) -> None:
    """As ``itsbox serve`` would name them."""
    shell.env["ITSBOX_PORT"] = "many"
    try:
        state, detail = states(shell, Exit.DIFFERENCE)["settings"]
    finally:
        del shell.env["ITSBOX_PORT"]

    assert state == "fail"
    assert "port" in detail


def test_a_port_that_is_taken_is_a_warning(shell: Shell) -> None:
    """Perhaps the service itself has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        shell.env["ITSBOX_PORT"] = str(taken.getsockname()[1])
        found = states(shell)
        shell.env["ITSBOX_PORT"] = "0"
        free = states(shell)
        del shell.env["ITSBOX_PORT"]

    assert found["port"][0] == "warn"
    assert free["port"][0] == "ok"


def test_programs_that_are_missing_are_warnings(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package to install is named; a program that does not run is no program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    broken = tmp_path / "chromium"
    broken.write_text("no script at all")
    broken.chmod(0o755)

    found = states(shell)

    assert found["qemu"][0] == "warn"
    assert "qemu-system-arm" in found["qemu"][1]
    assert found["chromium"][0] == "warn"
    assert "does not run" in found["chromium"][1]


def test_packages_that_are_missing_or_old_fail(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named; what belongs to an extra is not asked for."""
    needed = ["httpx>=9999", "no-such-package-of-itsbox>=1", "typer>=0.1", 'also-missing; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda _: needed)

    state, detail = states(shell, Exit.DIFFERENCE)["packages"]

    assert state == "fail"
    assert "older than 9999" in detail
    assert "no-such-package-of-itsbox is not installed" in detail
    assert "also-missing" not in detail
    assert "typer" not in detail


def test_an_itsbox_that_is_not_installed_says_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its sources, it knows no requirements."""

    def unknown(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)

    assert states(shell)["packages"][0] == "warn"


@pytest.mark.parametrize("version,release", [("1.2.3", (1, 2, 3)), ("2.0rc1", (2, 0)), ("weird", ())])
def test_versions_are_compared_by_number(version: str, release: tuple[int, ...]) -> None:
    """So that 0.10 is newer than 0.9."""
    assert doctor._release(version) == release
