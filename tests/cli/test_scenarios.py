"""itsbox scenarios: stories played here or by a service, with the same verdicts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from itsbox.cli.output import Exit
from itsbox.cli.scenarios import _preset_names, _scenario_names
from itsbox.cli.story import looks
from itsbox.host.scenarios import SCENARIOS
from tests.cli.conftest import Shell

MATRIX = Path(__file__).parents[2] / "docs" / "matrix.md"


def test_the_story_tells_why_what_and_what_came_of_it(nobody: Shell) -> None:
    """No service is needed: each step is explained, memory is shown before and after, the verdict stands last."""
    result = nobody.run("scenarios", "run", "A3", "--hardening", "off")

    assert result.exit_code == Exit.DIFFERENCE
    assert "A3: A device table entry is edited in memory" in result.stdout
    assert "MAPTI: the ITS writes an interrupt translation entry" in result.stdout
    assert re.search(
        r"before +69747362 .*\n.*after +57850000 01000000 ff030000 616765a5\n +\^{8} \^{8} \^{8}\n", result.stdout
    )
    assert "Violation DMA at step 11: The ITS writes" in result.stdout
    assert result.stdout.splitlines()[-1] == "Verdict: violated (memory isolation did not hold)"


def test_an_attack_that_is_stopped_ends_with_0(nobody: Shell) -> None:
    """The refusals are named."""
    result = nobody.run("scenarios", "run", "A3")

    assert result.exit_code == Exit.OK
    assert "Verdict: isolated" in result.stdout
    assert "unchanged" in result.stdout or "Refused by the hypervisor" in result.stdout


def test_a_wedge_is_no_success(nobody: Shell) -> None:
    """Isolation held, but nobody's traffic passes."""
    played = nobody.json("scenarios", "run", "hang", "--hardening", "rfc-v1", code=Exit.DIFFERENCE)

    assert played["verdict"] == "wedged"
    assert played["violations"] == []


@pytest.mark.parametrize("name,hardening", [("A3", "off"), ("A2", "strict"), ("forged-vte", "v2")])
def test_a_service_plays_the_same(shell: Shell, name: str, hardening: str) -> None:
    """Step for step; its machine stays as a session."""
    words = ("scenarios", "run", name, "--hardening", hardening)
    code = shell.run(*words).exit_code
    here = shell.json(*words, code=Exit(code))
    there = shell.json(*words, "--url", shell.url, code=Exit(code))

    session = there.pop("session")
    assert here == there
    assert session in shell.run("session", "ls").stdout
    assert "Session: " in shell.run(*words, "--url", shell.url).stdout


def test_knobs_and_profiles_are_taken(nobody: Shell) -> None:
    """A preset with one thing changed, on another machine than the scenario's own."""
    words = ("scenarios", "run", "A4", "--hardening", "strict")
    assert nobody.json(*words, "--profile", "virt-gicv4")["verdict"] == "isolated"

    weak = nobody.run(*words, "--knob", "mapd_check=off")
    assert weak.exit_code == Exit.DIFFERENCE
    assert "Played under strict with mapd_check=off." in weak.stdout

    result = nobody.run(*words, "--knob", "no_such=1")
    assert result.exit_code == Exit.USAGE
    assert "no_such" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "A99"),
        ("run", "A3", "--hardening", "none"),
        ("run", "A3", "--profile", "vax"),
        ("matrix", "--scenarios", "A3,A99"),
        ("matrix", "--presets", "none"),
        ("matrix", "--presets", "off", "--patches"),
        ("run",),
    ],
)
def test_what_does_not_exist_is_wrong_usage(nobody: Shell, words: tuple[str, ...]) -> None:
    """Nothing is played."""
    result = nobody.run("scenarios", *words)

    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""


def test_an_unreachable_service_ends_with_3(nobody: Shell) -> None:
    """When one was asked for."""
    for words in (("run", "A3"), ("matrix", "--scenarios", "A3"), ("ls",)):
        assert nobody.run("scenarios", *words, "--url", nobody.url).exit_code == Exit.UNREACHABLE


def test_the_list_has_every_scenario(shell: Shell) -> None:
    """Here and there the same."""
    here = shell.json("scenarios", "ls")

    assert [row["name"] for row in here["scenarios"]] == [*SCENARIOS]
    assert shell.json("scenarios", "ls", "--url", shell.url) == here
    listed = shell.run("scenarios", "ls").stdout.splitlines()
    assert len(listed) == len(SCENARIOS) + 1


def test_the_matrix_is_the_documents(shell: Shell) -> None:
    """A few rows, patch by patch, as docs/matrix.md has them; and whole presets as the service answers."""
    marks = {"violated": "**V**", "wedged": "w", "isolated": "·"}
    document = {
        row.split("`")[1]: row for row in MATRIX.read_text(encoding="utf-8").splitlines() if row.startswith("| `")
    }

    patches = shell.json("scenarios", "matrix", "--scenarios", "A2,A4", "--patches")
    for name, cells in patches["cells"].items():
        shown = [cell.strip() for cell in document[name].split("|")[2 : 2 + len(cells)]]
        assert [marks[verdict] for verdict in cells.values()] == shown

    words = ("scenarios", "matrix", "--scenarios", "A2,hang", "--presets", "off,rfc-v1,strict")
    assert shell.json(*words) == shell.json(*words, "--url", shell.url)
    lines = shell.run(*words).stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["SCENARIO", "off", "rfc-v1", "strict"], ["A2", "V", "w", "."], ["hang", ".", "w", "."],
    ]  # fmt: skip


def test_names_are_completed() -> None:
    """What a shell asks for when Tab is pressed."""
    assert _scenario_names("forged-v") == ["forged-vte"]
    assert _preset_names("rfc-v1@1")[:2] == ["rfc-v1@1", "rfc-v1@10"]


def test_looks_are_collected_by_address() -> None:
    """In the order in which they were first seen; steps that are no looks do not count."""
    steps = [
        {"text": "", "op": "look", "result": "0x10: aa"},
        {"text": "", "op": "Load(addr=0x10)", "result": "bb"},
        {"text": "", "op": "look", "result": "0x20: cc"},
        {"text": "", "op": "look", "result": "0x10: dd"},
    ]

    assert looks(steps) == [("0x10", ["aa", "dd"]), ("0x20", ["cc"])]
