"""The invariants H1 to H16: what must hold between any two ops, one function each (``invariants_*``), listed here.

A function takes the ``Scene`` after an op and yields what is wrong; it looks at what the op touched and at nothing else, so an
op pays for what it did. H1 always applies: there is something to protect under every preset. The others bind a hypervisor,
so they apply once the host is deprivileged and to what the hypervisor has taken on: it cannot break its word about a queue,
a table or a redistributor that it never took. What such a hole leads to, the DMA check and H1 see when it is used.

Source: docs/explanation/dma-surface.md 7. Sentences are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from itsbox.oracle.invariants_memory import h1, h11, h12, h14
from itsbox.oracle.invariants_queue import h2, h8, h9, h10
from itsbox.oracle.invariants_records import h5, h6, h13
from itsbox.oracle.invariants_tables import h3, h4, h7, h15, h16
from itsbox.oracle.rules import H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11, H12, H13, H14, H15, H16
from itsbox.oracle.scene import Broken, Scene
from itsbox.oracle.touched import Part
from itsbox.oracle.violations import Rule

__all__ = ["INVARIANTS", "Invariant", "concerned"]


class Invariant(NamedTuple):
    """A rule, the function that finds what breaks it, and the parts of ``Touched`` without which nothing can (``Part``)."""

    rule: Rule
    broken: Callable[[Scene], Iterator[Broken]]
    parts: int


INVARIANTS: Final = (
    Invariant(H1, h1, Part.EXTENTS | Part.OWNERS),
    Invariant(H2, h2, Part.SWAPPED | Part.QUEUE),
    Invariant(H3, h3, Part.OWNERS | Part.L1),
    Invariant(H4, h4, Part.NODES),
    Invariant(H5, h5, Part.PAGES),
    Invariant(H6, h6, Part.EXTENTS),
    Invariant(H7, h7, Part.L1),
    Invariant(H8, h8, Part.QUEUE),
    Invariant(H9, h9, Part.PAGES),
    Invariant(H10, h10, Part.QUEUE),
    Invariant(H11, h11, Part.REDISTRIBUTORS | Part.OWNERS),
    Invariant(H12, h12, Part.REDISTRIBUTORS),
    Invariant(H13, h13, Part.EXTENTS),
    Invariant(H14, h14, Part.EXTENTS),
    Invariant(H15, h15, Part.NODES),
    Invariant(H16, h16, Part.WALKS),
)


@cache
def concerned(parts: int) -> tuple[Callable[[Scene], Iterator[Broken]], ...]:
    """The invariants that an op can break which touched these parts, in their order."""
    return tuple(row.broken for row in INVARIANTS if row.parts & parts)
