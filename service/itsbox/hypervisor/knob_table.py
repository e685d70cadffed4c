"""What a knob is, and the one table of all of them; its rows are in ``knob_rows_control`` and ``knob_rows_memory``.

A knob is one documented behaviour, nothing more: the code has one strategy for each value and never asks for a preset's name.

Sources, as the rows cite them: "RFC n" is patch n of ``[RFC PATCH 00/14] KVM: ITS hardening for pKVM`` (10 March 2026);
"v2 n" is patch n of the series of 7 August 2026; "Android" is its backport to the Android 6.12 kernel; "own" is this
project's rule, argued in docs/decisions/.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["DEFECTS", "GROUPS", "KNOBS", "Knob", "knob"]


class Knob(NamedTuple):
    """One knob.

    values: each value and what it does. source: where the values come from. consequence: what follows from the weak ones.
    defects: numbers of the known defects (``DEFECTS``) that a value stands for. driver: the host driver reads it.
    """

    name: str
    group: str
    doc: str
    values: dict[str, str]
    source: str
    consequence: str
    defects: tuple[int, ...]
    driver: bool


GROUPS: Final = {
    "presence": "What is there at all",
    "takeover": "The switch-over: pages and values that change hands",
    "queue": "The command queue",
    "commands": "Which commands are looked at, and how",
    "itt": "Interrupt translation tables and the pages behind them",
    "tables": "Device, collection and vPE tables",
    "registers": "Registers of the ITS",
    "redistributors": "Redistributors",
    "driver": "The host driver that belongs to the version",
}

KNOBS: Final[dict[str, Knob]] = {}

# Values that are no Python names, and how a row writes them.
_SPELLINGS: Final = {"_256": "256", "greater": ">", "not_less": ">="}


def knob(
    name: str,
    group: str,
    doc: str,
    *,
    source: str,
    consequence: str,
    defects: tuple[int, ...] = (),
    driver: bool = False,
    **values: str,
) -> None:
    """Declare a knob: each remaining keyword is a value and what it does."""
    spelled = {_SPELLINGS.get(value, value): meaning for value, meaning in values.items()}
    KNOBS[name] = Knob(name, group, doc, spelled, source, consequence, defects, driver)


DEFECTS: Final[dict[int, str]] = {
    1: "The ITT alignment test is inverted: page-aligned ITTs are rejected, unaligned accepted.",
    2: "The level-1 table is indexed by the raw id, with no bound.",
    3: "Address masks are combined as OR of complements and clear nothing.",
    4: "The bound of GITS_CWRITER is > instead of >= the queue's size.",
    5: "On a wrap the first segment is parsed twice and the second never.",
    6: "The size of a virtual pending table mixes bytes and pages.",
    7: "A shift constant is used as an address mask.",
    8: "MAPD with V=0 releases the pages that the command names.",
    9: "No reference count for two devices that share an ITT page.",
    10: "2^(Size+1) in 32 bits, and Size not compared with GITS_TYPER.ID_bits.",
    11: "Commands are in the hardware queue before they are checked; no way back, no progress shown.",
    12: "An error return of the set-up keeps a lock; a partial set-up is not undone.",
    13: "A 32-bit access runs a 64-bit handler; the one of GITS_CTLR covers GITS_IIDR.",
    14: "Level-2 pages of the collection table stay writable by the host.",
    15: "Virtual commands are forwarded unchecked.",
    16: "The tracking array is one page.",
    17: "An error path maps a page twice and bounds a loop by the size of a pointer.",
    18: "No cache maintenance.",
    19: "The write offset starts at 0 instead of where the hardware is.",
    20: "Host memory is read more than once between check and use.",
    21: "IMPLEMENTATION DEFINED registers are forwarded.",
    22: "A level-2 page that the host adds is not looked at before other commands reach it.",
}
