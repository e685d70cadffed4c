"""itsbox session: machines made, found, shown and ended from the command line."""

from __future__ import annotations

import httpx
import pytest

from itsbox.cli.output import Exit
from tests.cli.conftest import KEY, Shell


def test_a_session_lives_from_create_to_kill(shell: Shell) -> None:
    """The id is all that create prints, so that a script can keep it."""
    made = shell.session("--profile", "virt-gicv4", "--start", "host", "--metadata", "job=life", "--cpus", 2)

    shown = shell.json("session", "show", made)
    assert (shown["id"], shown["profile"], shown["metadata"], shown["violations"]) == (
        made, "virt-gicv4", {"job": "life"}, [],
    )  # fmt: skip
    assert made in shell.run("session", "ls").stdout

    assert shell.run("session", "kill", made).stdout == f"ended {made}\n"
    assert shell.run("session", "show", made).exit_code == Exit.USAGE
    assert shell.run("session", "kill", made).exit_code == Exit.OK  # there is none any more, as asked


def test_hardening_is_a_preset_with_knobs(shell: Shell) -> None:
    """As are quirks of the machine."""
    made = shell.json(
        "session", "create", "--hardening", "rfc-v1", "--knob", "itt_alignment=required", "--quirk", "coherent=false"
    )  # fmt: skip

    assert made["hardening"]["preset"] == "rfc-v1"
    assert made["hardening"]["knobs"]["itt_alignment"] == "required"


@pytest.mark.parametrize(
    "words",
    [("--profile", "vax"), ("--hardening", "none"), ("--knob", "no_such=1"), ("--knob", "lonely"), ("--cpus", "many")],
)
def test_what_cannot_be_made_is_wrong_usage(shell: Shell, words: tuple[str, ...]) -> None:
    """With the words of the service, or of this program, on standard error."""
    result = shell.run("session", "create", *words)

    assert result.exit_code == Exit.USAGE
    assert words[0].strip("-") in result.stderr
    assert result.stdout == ""


def test_sessions_are_found_by_state_and_metadata(shell: Shell) -> None:
    """Over as many pages as it takes."""
    mine = [shell.session("--metadata", "job=many", "--metadata", f"n={n}") for n in range(3)]

    found = shell.json("session", "ls", "--metadata", "job=many", "--state", "running")["sessions"]
    assert [session["id"] for session in found] == mine
    (one,) = shell.json("session", "ls", "--metadata", "job=many", "--metadata", "n=1")["sessions"]
    assert one["id"] == mine[1]
    assert shell.json("session", "ls", "--state", "crashed")["sessions"] == []
    assert shell.run("session", "ls", "--state", "asleep").exit_code == Exit.USAGE


def test_a_long_list_comes_in_pages(shell: Shell) -> None:
    """A page holds 200."""
    body = {"metadata": {"job": "pages"}}
    with httpx.Client(base_url=shell.url) as client:
        made = [client.post("/v1/sessions", json=body).json()["id"] for _ in range(201)]

    found = shell.json("session", "ls", "--metadata", "job=pages")["sessions"]

    assert [session["id"] for session in found] == made
    shell.run("session", "kill", *made)


def test_hostile_metadata_does_not_reach_the_terminal(shell: Shell) -> None:
    """Escape sequences, markup and line ends are shown, not obeyed."""
    made = shell.session("--metadata", "job=\x1b[2J[bold]evil[/]\nid")

    listed = shell.run("session", "ls", "--metadata", "job=\x1b[2J[bold]evil[/]\nid").stdout
    shown = shell.run("session", "show", made).stdout

    for text in (listed, shown):
        assert "\x1b" not in text
        assert "\\x1b[2J[bold]evil[/]\\nid" in text
    assert len(listed.splitlines()) == 2


def test_a_table_is_not_cut_in_a_pipe(shell: Shell) -> None:
    """However long a line is."""
    long = "x" * 500
    shell.session("--metadata", f"job={long}")

    assert f"job={long}" in shell.run("session", "ls").stdout


def test_a_session_with_violations_ends_show_with_1(shell: Shell) -> None:
    """What the oracle saw is listed."""
    played = shell.json("scenarios", "run", "A3", "--hardening", "off", "--url", shell.url, code=Exit.DIFFERENCE)

    result = shell.run("session", "show", played["session"])

    assert result.exit_code == Exit.DIFFERENCE
    assert "violations  2" in result.stdout
    assert "the hypervisor's memory" in result.stdout


def test_kill_wants_names_or_all(shell: Shell) -> None:
    """Not neither and not both."""
    made = shell.session()

    assert shell.run("session", "kill").exit_code == Exit.USAGE
    assert shell.run("session", "kill", made, "--all").exit_code == Exit.USAGE
    assert made in shell.json("session", "kill", "--all")["ended"]
    assert shell.json("session", "ls")["sessions"] == []


def test_a_service_with_keys_wants_one(locked: Shell) -> None:
    """From the environment or as an option; it is never printed."""
    refused = locked.run("session", "ls")
    assert refused.exit_code == Exit.USAGE
    assert "401" in refused.stderr

    assert locked.run("session", "ls", "--api-key", KEY).exit_code == Exit.OK
    locked.env["ITSBOX_API_KEY"] = KEY
    assert locked.run("session", "ls").exit_code == Exit.OK
    assert KEY not in locked.run("session", "ls", "--help").output


def test_an_unreachable_service_ends_with_3(nobody: Shell) -> None:
    """And something that is no address is wrong usage."""
    result = nobody.run("session", "ls", "--json")

    assert result.exit_code == Exit.UNREACHABLE
    assert nobody.url in result.stderr
    assert result.stdout == ""
    assert nobody.run("session", "ls", "--url", "gopher://here").exit_code == Exit.USAGE
