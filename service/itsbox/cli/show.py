"""Text for people: tables that a pipe does not cut, values that cannot take the terminal over, ops and results as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.text import Text

from itsbox.cli.output import Exit, fail, stdout

__all__ = ["number", "op_line", "pairs", "plain", "print_facts", "print_table", "result_lines", "violation_lines"]


def plain(value: object) -> str:
    """A value as one line of printable characters: metadata and driver logs are anybody's text, escape sequences included."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, as wide as its content: rich's own would cut lines that a script reads whole."""
    lines = [[Text(header, style="bold") for header in headers]]
    lines += [[cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        text = Text()
        for n, (cell, width) in enumerate(zip(line, widths, strict=True)):
            text.append_text(cell).append("" if n == len(line) - 1 else " " * (width - cell.cell_len + 2))
        text.rstrip()
        stdout.print(text)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    rows = [(name, plain(value)) for name, value in facts]
    wide = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        stdout.print(f"{name:<{wide}}  {value}".rstrip(), markup=False)


def number(text: str) -> int:
    """Parser of an argument: decimal, or with a prefix such as 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number (such as 42 or 0x2a)") from None
    if not 0 <= value < 1 << 64:
        raise typer.BadParameter(f"{text} does not fit 64 bits")
    return value


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` words of a repeated option. Leaves with wrong usage for a word without ``=``."""
    found = {}
    for word in values:
        name, equals, value = word.partition("=")
        if not (name and equals):
            fail(Exit.USAGE, f"{option} {word!r}: give it as NAME=VALUE")
        found[name] = value
    return found


def op_line(op: dict[str, Any]) -> str:
    """An op in its wire form as a line."""
    fields = (f"{name}={_short(name, value)}" for name, value in op.items() if name != "op")
    return plain(f"{op['op']} {' '.join(fields)}".strip())


#: What is counted, and read in decimal everywhere: 1023 is no interrupt, 8192 the first LPI.
_DECIMAL = frozenset({"intid", "cpu", "size"})


def _short(name: str, value: Any) -> str:
    shown_in_hex = isinstance(value, int) and value > 9 and not isinstance(value, bool) and name not in _DECIMAL
    text = hex(value) if shown_in_hex else str(value)
    return text if len(text) <= 80 else f"{text[:64]}... ({len(text)} characters)"


_OWN_LINES = frozenset({"outcome", "reason", "commands", "violations", "log"})


def result_lines(result: dict[str, Any]) -> list[str]:
    """An op's result: the outcome with what came of it, then its commands, log lines and violations."""
    head = result["outcome"] + (f" ({result['reason']})" if result.get("reason") else "")
    rest = [f"{k}={_short(k, v)}" for k, v in result.items() if k not in _OWN_LINES and k not in ("seq", "step")]
    lines = [" ".join([head, *rest])]
    lines += [f"  {_command(command)}" for command in result.get("commands") or ()]
    lines += [f"  | {line}" for line in result.get("log") or ()]
    lines += [f"  {line}" for line in violation_lines(result.get("violations") or ())]
    return [plain(line) for line in lines]


def _command(command: dict[str, Any]) -> str:
    why = command.get("error") or command.get("reason")
    said = f"slot {command['slot']}: {command['name'] or 'unknown opcode'} {command['verdict']}"
    return f"{said} ({why})" if why else said


def violation_lines(violations: Iterable[dict[str, Any]]) -> list[str]:
    """Violations, one a line."""
    return [plain(f"violation {v['oracle']}: {v['sentence']} [{v['bucket']}]") for v in violations]
