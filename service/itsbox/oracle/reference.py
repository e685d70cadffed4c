"""``docs/reference/oracle.md``: the DMA table and every rule, from their declarations."""

from __future__ import annotations

from typing import Final

from itsbox.memory.interconnect import Initiator
from itsbox.oracle.dma_table import TABLE, Row
from itsbox.oracle.rules import RULES

__all__ = ["markdown"]

_HOST: Final = {True: "host memory will do", False: "the hypervisor's, for this use", None: "host memory while PTA = 0"}
_WHO: Final = {Initiator.ITS: "ITS", Initiator.GICR: "redistributor"}
_MESSAGE: Final = (
    "| `rd_base` | a message | nobody | ITS | 4 | 64 KB | RDbase of MAPC, SYNC, MOVALL, VMAPP, VMOVP with PTA = 1 |"
    " the frame of a redistributor |"
)


def _who(initiators: frozenset[int]) -> str:
    return ", ".join(_WHO[initiator] for initiator in sorted(initiators)) or "nobody"


def _bytes(row: Row) -> str:
    parts = "".join(f", or {size} at {offset}" for offset, size in row.parts)
    return row.unit.text + parts + ("" if row.most is None else f" to {row.most.text}")


def _alignment(row: Row) -> str:
    return f"{row.unit.text} from the start of the table" if row.tabled else row.unit.text


def markdown() -> str:
    """The page."""
    lines = [
        "# The oracle: DMA table and rules",
        "",
        "<!-- generated from service/itsbox/oracle/dma_table.py and rules.py -->",
        "",
        "## Who may own what hardware touches",
        "",
        "Memory of the hypervisor or of a guest that is not the ITS's own for that use is out of bounds in every phase, and so",
        "are the registers of the GIC. Who reads, who writes and how many bytes holds in every phase as well. Host memory is",
        "never a violation while the host is trusted, which under `off` is always: alignment and the last column hold after the",
        "switch-over.",
        "",
        "| reason | what | read by | written by | bytes of an access | alignment | put there by | must be |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| `{why}` | {row.noun} | {_who(row.readers)} | {_who(row.writers)} | {_bytes(row)} | {_alignment(row)} |"
            f" {row.source} | {_HOST[row.host]} |"
            for why, row in TABLE.items()
        ),
        _MESSAGE,
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
