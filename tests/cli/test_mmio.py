"""itsbox mmio: registers of a session's machine, by hand."""

from __future__ import annotations

import pytest

from itsbox.cli.output import Exit
from tests.cli.conftest import Shell

GITS_CTLR, GITS_TYPER, GITS_IIDR = "0x8080000", "0x8080008", "0x8080004"


def test_a_read_prints_the_value_alone(shell: Shell) -> None:
    """So that a script can use it; --json has the whole result."""
    session = shell.session("--hardening", "off")

    value = shell.run("mmio", "read", session, GITS_TYPER, "--size", 8).stdout.strip()
    whole = shell.json("mmio", "read", session, int(GITS_TYPER, 16), "--size", 8)

    assert int(value, 16) != 0
    assert whole["value"] == value
    assert whole["outcome"] == "ok"


def test_a_write_is_seen_by_the_next_read(shell: Shell) -> None:
    """GITS_CTLR.Enabled, for instance."""
    session = shell.session("--hardening", "off")

    assert shell.run("mmio", "write", session, GITS_CTLR, "0x1").stdout == "ok\n"
    assert int(shell.run("mmio", "read", session, GITS_CTLR).stdout, 16) & 1


def test_commands_that_a_write_set_off_are_listed(shell: Shell) -> None:
    """With what became of each."""
    session = shell.session("--hardening", "off", "--start", "host")
    state = shell.json("mmio", "read", session, "0x8080088", "--size", 8)["value"]

    result = shell.run("mmio", "write", session, "0x8080088", hex(int(state, 16) + 0x20))

    assert result.exit_code == Exit.OK
    assert "slot " in result.stdout


def test_a_refusal_is_an_answer(shell: Shell) -> None:
    """The hypervisor says no, with its reason; nothing went wrong."""
    session = shell.session("--hardening", "strict", "--start", "deprivileged")

    result = shell.run("mmio", "write", session, "0x8080100", "0x0", "--size", 8)

    assert result.exit_code == Exit.OK
    assert result.stdout.startswith("refused (")


@pytest.mark.parametrize("words", [("read", "no-such", "12"), ("read", "ID", "zwölf"), ("read", "ID", "-1"),
                                   ("read", "ID", "0", "--size", "3"), ("write", "ID", "0", "0x1ffffffff"),
                                   ("read", "ID", hex(1 << 64))])  # fmt: skip
def test_what_no_machine_takes_is_wrong_usage(shell: Shell, words: tuple[str, ...]) -> None:
    """A session that is not there, numbers that are none, a size that no bus has, a value that does not fit."""
    session = shell.session()

    result = shell.run("mmio", *(session if word == "ID" else word for word in words))

    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""
