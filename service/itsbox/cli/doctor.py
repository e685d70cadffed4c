"""``itsbox doctor``: whether all that itsbox and its tests need is here, and whether the service is."""

from __future__ import annotations

import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from itsbox.cli.output import Exit, Json, print_json, stdout
from itsbox.cli.remote import DEFAULT_URL, Key, Remote, RemoteError
from itsbox.cli.show import plain

__all__ = ["Finding", "register"]

NEEDS_PYTHON: Final = (3, 11)
PROBE_S: Final = 5.0
OK, WARN, FAIL, AWAY = "ok", "warn", "fail", "away"
_STYLES: Final = {OK: "green", WARN: "yellow", FAIL: "bold red", AWAY: "bold red"}


class Finding(NamedTuple):
    """What was found about one thing: ok; warn (something optional is missing); fail; away (the service cannot be reached)."""

    what: str
    state: str
    detail: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="ITSBOX_URL", help="A service that must be there; without it, one may be."),
    ] = None,
    api_key: Key = None,
    *,
    as_json: Json = False,
) -> None:
    """Look at Python, packages, settings, port, QEMU, Chromium and the service, and say what is missing.

    Exit 1 if something that is needed is not as it must be, 3 if only the service of --url cannot be reached.
    """
    findings = [*_python(), *_packages(), *_bundled(), *_settings(), *_programs(), *_service(url, api_key)]
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        wide = max(len(finding.what) for finding in findings)
        for finding in findings:
            stdout.print(f"[{_STYLES[finding.state]}]{finding.state:<5}[/]", f"{finding.what:<{wide}}", end="  ")
            stdout.print(plain(finding.detail), markup=False)
    states = {finding.state for finding in findings}
    raise typer.Exit(Exit.DIFFERENCE if FAIL in states else Exit.UNREACHABLE if AWAY in states else Exit.OK)


def _python() -> Iterator[Finding]:
    good = sys.version_info[:2] >= NEEDS_PYTHON
    yield Finding("python", OK if good else FAIL, f"{platform.python_version()} (3.11 or newer is needed)")


def _packages() -> Iterator[Finding]:
    """The distribution's own requirements against what is installed; extras are for development."""
    try:
        needed = metadata.requires("itsbox") or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", WARN, "itsbox runs from its sources; its requirements are not known")
        return
    wrong, count = [], 0
    for requirement in needed:
        if "extra ==" in requirement:
            continue
        count += 1
        found = re.match(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?(?:>=(?P<least>[\w.]+))?", requirement)
        if found is None:
            wrong.append(f"{requirement} cannot be read")
            continue
        name, least = found["name"], found["least"]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if least and _release(version) < _release(least):
            wrong.append(f"{name} {version} is older than {least}")
    yield Finding("packages", FAIL if wrong else OK, "; ".join(wrong) or f"{count} of {count} as required")


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without a pre-release's tail."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _bundled() -> Iterator[Finding]:
    """What the wheel carries beside code."""
    import itsbox

    root = Path(itsbox.__file__).parent
    missing = [name for name in ("static/index.html", "replay/recordings") if not (root / name).exists()]
    found = f"missing: {', '.join(missing)}" if missing else "dashboard and recordings are there"
    yield Finding("bundled files", FAIL if missing else OK, found)


def _settings() -> Iterator[Finding]:
    """The environment's settings, and whether ``itsbox serve`` could bind what they name."""
    from pydantic import ValidationError

    from itsbox.api.problems import in_words
    from itsbox.api.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        yield Finding("settings", FAIL, in_words(error))
        return
    where = f"{settings.host} port {settings.port}"
    keys = f"{len(settings.api_keys)} API keys" if settings.api_keys else "no API keys: loopback only"
    yield Finding("settings", OK, f"{where}, {keys}")
    if settings.port == 0:
        yield Finding("port", OK, "any free one")
        return
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        yield Finding(
            "port", WARN, f"{where} cannot be bound: {error.strerror}; `itsbox serve --port 0` takes a free one"
        )
    else:
        yield Finding("port", OK, f"{where} is free")


_PROGRAMS: Final = (
    ("qemu", ("qemu-system-aarch64",), "Debian package qemu-system-arm; `itsbox differential` needs it"),
    (
        "chromium",
        ("chromium", "chromium-browser", "google-chrome"),
        "Debian package chromium; the dashboard's tests need it",
    ),
)


def _programs() -> Iterator[Finding]:
    for what, names, purpose in _PROGRAMS:
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            yield Finding(what, WARN, f"not installed ({purpose})")
            continue
        try:
            said = subprocess.run(  # noqa: S603 - a program of the system, asked for its version
                [path, "--version"], capture_output=True, text=True, timeout=PROBE_S * 4, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            yield Finding(what, WARN, f"{path} does not run: {error}")
        else:
            yield Finding(what, OK, (said.stdout.splitlines() or [path])[0].strip())


def _service(url: str | None, api_key: str | None) -> Iterator[Finding]:
    """The service that was named must be there, be ready, and take the key; one at the default address may be."""
    asked = url or DEFAULT_URL
    looks: tuple[tuple[str, Callable[[Any], str]], ...] = (
        ("/readyz", lambda _: "ready"),
        ("/version", lambda answer: f"version {answer['version']}"),
        ("/v1/limits", lambda answer: f"up to {answer['sessions']} sessions"),
    )
    said = []
    with Remote(asked, api_key, PROBE_S) as service:
        try:
            said += [tell(service.call("GET", path)) for path, tell in looks]
        except RemoteError as error:
            if url is None and not error.status:
                yield Finding("service", OK, f"none at {asked} (`itsbox serve` starts one)")
            else:
                yield Finding("service", AWAY if error.code is Exit.UNREACHABLE else FAIL, str(error))
        except (KeyError, TypeError):
            yield Finding("service", FAIL, f"{asked} answers, but not as itsbox does")
        else:
            yield Finding("service", OK, f"{asked}: {', '.join(said)}")
