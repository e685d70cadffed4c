"""Every rule of the oracle: what must hold, and where that is said. A rule's name is part of its violations' buckets."""

from __future__ import annotations

from typing import Final

from itsbox.oracle.violations import Rule

_SOURCE: Final = "docs/explanation/dma-surface.md 7, "

# ---------------------------------------------------------------- the DMA check

FOREIGN_WRITE: Final = Rule(
    "DMA",
    "foreign-write",
    "The ITS and the redistributors never write memory of the hypervisor or of a guest that is not the ITS's own for that use.",
    "docs/explanation/dma-surface.md, owner column",
)
FOREIGN_READ: Final = Rule(
    "DMA",
    "foreign-read",
    "The ITS and the redistributors never read tables from memory of the hypervisor or of a guest that is not the ITS's own.",
    "docs/explanation/dma-surface.md, owner column",
)
FOREIGN_COMMAND: Final = Rule(
    "DMA",
    "foreign-command",
    "The ITS never takes memory of the hypervisor or of a guest for commands, except the hypervisor's own queue for it.",
    "docs/explanation/dma-surface.md 1, GITS_CBASER",
)
WRONG_USE: Final = Rule(
    "DMA",
    "wrong-use",
    "Memory that the hypervisor holds for one use of the ITS is never touched for another.",
    "docs/explanation/dma-surface.md 7, H14",
)
HOST_ENTRY: Final = Rule(
    "DMA",
    "host-entry",
    "After deprivilege nothing that decides what the ITS does next is fetched from memory that the host can write.",
    "docs/explanation/dma-surface.md 1 and 2",
)
DEVICE_FRAME: Final = Rule(
    "DMA",
    "device-frame",
    "Queues, tables and entries lie in memory; registers of the GIC are never taken for them.",
    "docs/explanation/dma-surface.md, owner column",
)
WRONG_INITIATOR: Final = Rule(
    "DMA",
    "wrong-initiator",
    "Queue, device, collection and translation tables are the ITS's, pending and configuration tables the redistributors'.",
    "docs/explanation/dma-surface.md 1 and 3",
)
WRONG_KIND: Final = Rule(
    "DMA",
    "wrong-kind",
    "What hardware only reads (the queue, level-1 entries, configuration) it never writes.",
    "docs/explanation/dma-surface.md 1 to 3, access column",
)
WRONG_SIZE: Final = Rule(
    "DMA",
    "wrong-size",
    "An access is one command, one entry, or a piece of a pending or configuration table that is not longer than the table.",
    "docs/explanation/dma-surface.md 1 to 3, bytes column",
)
MISALIGNED: Final = Rule(
    "DMA",
    "misaligned",
    "After deprivilege a command or entry begins at a multiple of its size, counted from the start of its table.",
    "docs/explanation/dma-surface.md 1 and 2; 7, H7",
)
OUTSIDE_TABLE: Final = Rule(
    "DMA",
    "outside-table",
    "After deprivilege a translation entry lies inside a translation table that an executed MAPD named.",
    "docs/explanation/dma-surface.md 2, MAPD and MAPTI; 4, A3 and A5",
)
MESSAGE: Final = Rule(
    "DMA",
    "message",
    "Bus messages of the ITS go to the frames of redistributors and to nothing else.",
    "docs/explanation/dma-surface.md 2, MAPC RDbase",
)
DEPUTY: Final = Rule(
    "DMA",
    "deputy",
    "The hypervisor never reads or writes a guest's memory, nor writes the host's unshared memory, on behalf of the host.",
    "docs/explanation/dma-surface.md 4, A15",
)

# ---------------------------------------------------------------- the invariants

H1: Final = Rule(
    "H1", "hardware-writes", "Memory that hardware may write is the host's, or the hypervisor's own for that use; never a "
    "guest's, never the hypervisor's data.", _SOURCE + "H1",
)  # fmt: skip
H2: Final = Rule(
    "H2", "one-snapshot", "A command or level-1 entry is read once and used as it was read: what is checked is what is done.",
    _SOURCE + "H2; docs/explanation/dma-surface.md 4, A13",
)  # fmt: skip
H3: Final = Rule(
    "H3", "out-of-reach", "The hardware's queue, level-1 tables and the level-2 pages of devices and vPEs stay out of the "
    "host's reach.", _SOURCE + "H3",
)  # fmt: skip
H4: Final = Rule(
    "H4", "registers-kept", "GITS_CBASER and GITS_BASER<n> go on naming what the hypervisor took at the switch-over.",
    _SOURCE + "H4",
)  # fmt: skip
H5: Final = Rule(
    "H5", "pins-counted", "A page has exactly as many pins as there are records of it.", _SOURCE + "H5",
)  # fmt: skip
H6: Final = Rule(
    "H6", "range-recorded", "The recorded range of a translation table covers all that the ITS may write: 2^(Size+1) entries.",
    _SOURCE + "H6",
)  # fmt: skip
H7: Final = Rule(
    "H7", "level-1", "Level-1 entries lie inside level 1; level-2 pages are aligned and belong to one entry.", _SOURCE + "H7",
)  # fmt: skip
H8: Final = Rule(
    "H8", "host-creadr", "The host sees GITS_CREADR move only over commands that were looked at, and never past GITS_CWRITER.",
    _SOURCE + "H8",
)  # fmt: skip
H9: Final = Rule(
    "H9", "nothing-left", "What is refused changes nothing: no page, no register, no pending command.", _SOURCE + "H9",
)  # fmt: skip
H10: Final = Rule(
    "H10", "bounded", "The hypervisor waits for hardware a bounded number of times.",
    _SOURCE + "H10; docs/explanation/dma-surface.md 4, A17",
)  # fmt: skip
H11: Final = Rule(
    "H11", "lpi-tables", "While EnableLPIs is set, the configuration and pending tables are the host's memory, and pinned where "
    "the hypervisor guards the redistributors.", _SOURCE + "H11",
)  # fmt: skip
H12: Final = Rule(
    "H12", "propbaser-agrees", "Redistributors that share a configuration table name the same one.", _SOURCE + "H12",
)  # fmt: skip
H13: Final = Rule(
    "H13", "vpe-recorded", "Each vPE that hardware has mapped is in the hypervisor's records.", _SOURCE + "H13",
)  # fmt: skip
H14: Final = Rule(
    "H14", "one-use", "A page that the hypervisor holds for the ITS is not also a translation or virtual pending table.",
    _SOURCE + "H14",
)  # fmt: skip
H15: Final = Rule(
    "H15", "half-writes", "A write to half of a register leaves a legal value, or the one before.", _SOURCE + "H15",
)  # fmt: skip
H16: Final = Rule(
    "H16", "translation-ends", "The translation of a device's write passes no entry that the host can edit.", _SOURCE + "H16",
)  # fmt: skip

RULES: Final = (
    FOREIGN_WRITE, FOREIGN_READ, FOREIGN_COMMAND, WRONG_USE, HOST_ENTRY, DEVICE_FRAME, WRONG_INITIATOR, WRONG_KIND,
    WRONG_SIZE, MISALIGNED, OUTSIDE_TABLE, MESSAGE, DEPUTY,
    H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11, H12, H13, H14, H15, H16,
)  # fmt: skip
