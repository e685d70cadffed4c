"""The reference page of the driver says everything that the driver can be asked and everything that it prints."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

import itsbox.host
from itsbox.host.calls import CALLS
from itsbox.hypervisor.knob_table import KNOBS
from itsbox.hypervisor.knobs import resolve

_PAGE: Final = (Path(__file__).parents[2] / "docs" / "reference" / "driver.md").read_text()
_SOURCES: Final = sorted(Path(*itsbox.host.__path__).glob("*.py"))
_LOG_LINES: Final = {
    line.strip().removesuffix("(own)").rstrip()
    for line in _PAGE.partition("## Log lines")[2].splitlines()
    if line.startswith("    ")
}


def _printed() -> set[str]:
    """Every line that the sources print, with % for what is filled in."""

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "%" for part in node.values)
        assert isinstance(node, ast.Constant), "a log line is a literal, so that it can be found"
        return str(node.value)

    return {
        text(call.args[0])
        for source in _SOURCES
        for call in ast.walk(ast.parse(source.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("port.print")
    }


def _rows() -> dict[str, str]:
    """The page's table rows of calls, by call."""
    rows: dict[str, str] = {}
    for line in _PAGE.splitlines():
        names = re.match(r"\| ((?:`\w+`(?:, )?)+) \|", line)
        if names:
            rows |= dict.fromkeys(re.findall(r"`(\w+)`", names[1]), line)
    return rows


@pytest.mark.parametrize("name", CALLS)
def test_every_call_has_a_row_with_its_arguments(name: str) -> None:
    """Required arguments stand as they are, optional ones in italics."""
    arguments = _rows()[name].split(" | ")[1]
    for arg in CALLS[name].args:
        assert (f"*`{arg.name}`*" in arguments) != arg.required
        assert f"`{arg.name}`" in arguments
    assert len(re.findall(r"`\w+`", arguments)) == len(CALLS[name].args)


def test_every_line_that_is_printed_is_listed_and_no_other() -> None:
    """The list of log lines is that of the sources."""
    assert _printed() == _LOG_LINES


def test_the_drivers_knobs_have_their_values_on_the_page() -> None:
    """Each knob that the driver reads, with each of its values that changes what it does."""
    table = _PAGE.partition("Which kernel the driver is")[2].partition("## Memory")[0]
    for name, knob in KNOBS.items():
        if knob.driver:
            assert f"`{name}`" in table
    assert set(KNOBS) == set(resolve("strict").knobs)
