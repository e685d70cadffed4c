"""The wheel holds everything: installed alone it serves the dashboard, and the container's command starts it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Installed
from tests.packaging.test_container import _last_stage

KEY = "a-key-of-sixteen-characters"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _get(url: str, key: str | None = None) -> tuple[int, str, str]:
    """Status, content type and body of a GET."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.headers["content-type"], answer.read().decode()


@contextmanager
def _running(command: list[str], environment: dict[str, str], url: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, until it answers /healthz; killed on leaving if it is still there."""
    process = subprocess.Popen(
        command,
        env={"PATH": os.defpath, **environment},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError(f"{command} ended with {process.returncode}:\n{process.communicate()[0]}")
            try:
                _get(f"{url}/healthz")
                break
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_the_wheel_holds_every_file_of_the_package(installed: Installed) -> None:
    """What git has below service/itsbox is in the wheel, the dashboard's built files included, and nothing else is."""
    listed = subprocess.run(
        ["git", "ls-files", "--", "service/itsbox"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {name.removeprefix("service/") for name in listed.stdout.splitlines()}
    held = {name for name in zipfile.ZipFile(installed.wheel).namelist() if ".dist-info/" not in name}

    assert "itsbox/static/index.html" in wanted
    assert "itsbox/py.typed" in wanted
    assert wanted <= held, sorted(wanted - held)
    assert {name.split("/")[0] for name in held} == {"itsbox"}


def test_the_installed_wheel_serves_the_dashboard(installed: Installed, tmp_path: Path) -> None:
    """Without the checkout: /healthz answers, / is the page, and what the page loads is there with its own type."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(installed.bin("itsbox")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, {"HOME": str(tmp_path)}, url, tmp_path):
        assert _get(f"{url}/healthz")[0] == 200
        status, kind, page = _get(f"{url}/")
        assets = re.findall(r"""(?:src|href)="\.?/?([^"]+\.(?:js|css))\"""", page)

        assert (status, kind.split(";")[0]) == (200, "text/html")
        assert {name.rsplit(".", 1)[1] for name in assets} == {"js", "css"}
        for name in assets:
            status, kind, body = _get(f"{url}/{name}")
            assert status == 200
            assert ("javascript" if name.endswith("js") else "css") in kind
            assert len(body) > 500
        assert json.loads(_get(f"{url}/openapi.json")[2])["openapi"].startswith("3.1")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX users")
def test_the_containers_command_works_outside_it(installed: Installed, tmp_path: Path) -> None:
    """ENTRYPOINT and CMD with the image's environment start the service; the health check passes; SIGTERM ends it cleanly.

    The image's address is replaced by loopback, its port by a free one, and /opt/itsbox by where the wheel was installed. The
    working directory cannot be written to, as in a read-only container.
    """
    stage = _last_stage()
    named = dict(stage)
    environment = {"ITSBOX_API_KEYS": KEY}
    for word, rest in stage:
        if word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    port = _free_port()
    environment |= {"ITSBOX_HOST": "127.0.0.1", "ITSBOX_PORT": str(port)}
    locked = tmp_path / "root"
    locked.mkdir(mode=0o555)

    def here(arguments: str) -> list[str]:
        return [word.replace("/opt/itsbox", str(installed.prefix)) for word in json.loads(arguments)]

    url = f"http://127.0.0.1:{port}"
    with _running(here(named["ENTRYPOINT"]) + here(named["CMD"]), environment, url, locked) as process:
        check = here(named["HEALTHCHECK"].split("CMD", 1)[1])
        healthy = subprocess.run(check, env=environment, cwd=locked, capture_output=True, text=True, check=False)
        assert healthy.returncode == 0, healthy.stderr
        assert _get(f"{url}/v1/limits", KEY)[0] == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _get(f"{url}/v1/limits")

        process.send_signal(signal.SIGTERM)
        # After it has drained, the server ends by the signal that it was sent, as shells and supervisors expect.
        assert process.wait(20) in {0, -signal.SIGTERM}
        assert "Traceback" not in process.communicate()[0]
        gone = subprocess.run(check, env=environment, cwd=locked, capture_output=True, check=False)
        assert gone.returncode != 0
    assert list(locked.iterdir()) == []


def test_nothing_answers_beyond_loopback_without_a_key(installed: Installed, tmp_path: Path) -> None:
    """The image's own address without ITSBOX_API_KEYS: the service says why and does not start."""
    done = subprocess.run(
        [str(installed.bin("itsbox")), "serve"],
        env={"PATH": os.defpath, "HOME": str(tmp_path), "ITSBOX_HOST": "0.0.0.0", "ITSBOX_PORT": str(_free_port())},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert "ITSBOX_API_KEYS" in done.stdout + done.stderr
