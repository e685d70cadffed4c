"""A played scenario as a story: what was done and why, the memory before and after, the verdict."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from rich.text import Text

from itsbox.cli.output import stdout
from itsbox.cli.show import plain

__all__ = ["MARKS", "STYLES", "Look", "looks", "print_story"]

MARKS: Final = {"violated": "V", "wedged": "w", "isolated": ".", "error": "E"}
STYLES: Final = {"violated": "bold red", "wedged": "yellow", "isolated": "green", "error": "bold magenta"}
MEANINGS: Final = {
    "violated": "memory isolation did not hold",
    "wedged": "isolation held, but the machine was stopped, or honest traffic does not pass any more",
    "isolated": "tried to its end, no violation",
    "error": "nothing was tried: this machine lacks what the scenario is about",
}
SHOWN: Final = 6  # steps with one explanation that are printed; --json has all
HIDDEN_OP: Final = "look"  # the word that the wire has for a look past stage 2

Look = tuple[str, list[str]]
"""An address and what stood there, look by look."""


def print_story(played: dict[str, Any], scenario: dict[str, Any]) -> None:
    """Print it for people."""
    stdout.print(f"{scenario['name']}: {scenario['title']}", style="bold", markup=False)
    stdout.print(f"  {scenario['story']} ({scenario['source']})", markup=False)
    stdout.print(f"Played under {plain(_named(played['hardening']))}.\n", markup=False)
    steps: list[dict[str, Any]] = played["steps"]
    for number, (text, group) in enumerate(groupby(steps, key=lambda step: str(step["text"])), 1):
        stdout.print(f"{number:>3}. {plain(text) or '(no word about it)'}", markup=False)
        _print_ops([*group])
    _print_memory(looks(steps))
    _print_verdict(played)


def _named(hardening: str | dict[str, Any]) -> str:
    """A preset, and what was changed in it."""
    if isinstance(hardening, str):
        return hardening
    changed = ", ".join(f"{knob}={value}" for knob, value in hardening["knobs"].items())
    return f"{hardening['preset']} with {changed}"


def _print_ops(steps: list[dict[str, Any]]) -> None:
    for step in steps[:SHOWN]:
        said = step["result"] if step["op"] == HIDDEN_OP else f"{_cut(step['op'])} -> {step['result']}"
        refused = str(step["result"]).startswith(("refused", "abort", "panic"))
        stdout.print(f"       {plain(said)}", style="yellow" if refused else "dim", markup=False)
    if len(steps) > SHOWN:
        stdout.print(f"       ... and {len(steps) - SHOWN} more (--json lists all)", style="dim", markup=False)


def _cut(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def looks(steps: list[dict[str, Any]]) -> list[Look]:
    """What was seen past stage 2, by address, in the order of the first look."""
    found: dict[str, list[str]] = {}
    for step in steps:
        if step["op"] == HIDDEN_OP:
            addr, _, data = str(step["result"]).partition(": ")
            found.setdefault(addr, []).append(data)
    return [*found.items()]


def _print_memory(seen: list[Look]) -> None:
    """Before and after; changed bytes stand out and are named, also without colours."""
    if not seen:
        return
    stdout.print("\nMemory, past stage 2:")
    for addr, contents in seen:
        before, after = contents[0], contents[-1]
        if len(contents) == 1:
            stdout.print(f"  {addr}  seen    {before}", markup=False)
            continue
        stdout.print(f"  {addr}  before  {before}", markup=False)
        stdout.print(Text(f"  {addr}  after   ").append(_marked(before, after)))
        if before == after:
            stdout.print(f"  {'':{len(addr)}}          unchanged", style="green")
        else:
            stdout.print(f"  {'':{len(addr)}}          {_carets(before, after)}".rstrip(), style="red")


def _changes(before: str, after: str) -> list[bool]:
    """For each character of a dump, whether its byte is another than before; a blank between words is not."""
    old = [before[n : n + 1] != after[n : n + 1] for n in range(len(after))]
    marks, n = [False] * len(after), 0
    while n < len(after):
        if after[n] == " ":
            n += 1
            continue
        marks[n : n + 2] = [any(old[n : n + 2])] * len(after[n : n + 2])
        n += 2
    return marks


def _marked(before: str, after: str) -> Text:
    text = Text(after)
    for n, changed in enumerate(_changes(before, after)):
        if changed:
            text.stylize("bold red", n, n + 1)
    return text


def _carets(before: str, after: str) -> str:
    return "".join("^" if changed else " " for changed in _changes(before, after))


def _print_verdict(played: dict[str, Any]) -> None:
    verdict = played["verdict"]
    stdout.print()
    if played["refusals"]:
        stdout.print(f"Refused by the hypervisor: {', '.join(map(plain, played['refusals']))}", markup=False)
    for violation in played["violations"]:
        said = f"Violation {violation['oracle']} at step {violation['step']}: {violation['sentence']} [{violation['bucket']}]"
        stdout.print(plain(said), style="red", markup=False)
    if played["detail"]:
        stdout.print(plain(played["detail"]), markup=False)
    if "session" in played:
        stdout.print(f"Session: {plain(played['session'])}", markup=False)
    stdout.print(f"Verdict: {verdict} ({MEANINGS[verdict]})", style=STYLES[verdict], markup=False)
