"""``docs/reference/oracle.md``: the DMA table and every rule, from their declarations."""

from __future__ import annotations

from typing import Final

from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.rules import RULES

__all__ = ["markdown"]

_HOST: Final = {True: "host memory will do", False: "the hypervisor's, for this use", None: "host memory while PTA = 0"}


def markdown() -> str:
    """The page."""
    lines = [
        "# The oracle: DMA table and rules",
        "",
        "<!-- generated from service/itsbox/oracle/dma_table.py and rules.py -->",
        "",
        "## Who may own what hardware touches",
        "",
        "Memory of the hypervisor or of a guest that is not the ITS's own for that use is out of bounds in every phase. Host",
        "memory is never a violation while the host is trusted, which under `off` is always. After the switch-over:",
        "",
        "| reason | what | bytes | alignment | put there by | must be |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{why}` | {row.noun} | {row.size} | {row.alignment} | {row.source} | {_HOST[row.host]} |"
            for why, row in TABLE.items()
        ),
        "| `rd_base` | a message | 4 | 64 KB | MAPC, SYNC, VMAPP with PTA = 1 | the frame of a redistributor |",
        "",
        "## Rules",
        "",
        "`oracle` and `rule` are what a violation carries; the rule's name is part of its bucket.",
        "",
        "| oracle | rule | what must hold | source |",
        "| --- | --- | --- | --- |",
        *(f"| {rule.oracle} | `{rule.name}` | {rule.sentence} | {rule.citation} |" for rule in RULES),
    ]
    return "\n".join(lines) + "\n"
