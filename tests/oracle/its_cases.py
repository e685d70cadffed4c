"""Two ITSs behind stage 2, for cases of the specification."""

from __future__ import annotations

from collections.abc import Mapping

from itsbox.arch.its_registers import GITS_CTLR
from itsbox.oracle.abstract import Abstract, AbstractIts, AbstractPage, Regions
from itsbox.oracle.spec import Facts

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
BASES = (0x0808_0000, 0x080C_0000)
FACTS = Facts(REGIONS, BASES, 12, 15, False, vsgi=(0, 0x0A00_0000), cpus=1, rd_bases=range(2))
ALONE, SHARED, PINNED = AbstractPage("host"), AbstractPage("host", "hyp"), AbstractPage("host", "hyp", 1)
HYP, GUEST, WITH_GUEST = AbstractPage("hyp"), AbstractPage("guest"), AbstractPage("host", "guest")
ON, OFF, BUSY = (GITS_CTLR.decode(0).replace(enabled=e, quiescent=q).word() for e, q in ((1, 0), (0, 1), (0, 0)))
DEVICE, VPE, WIDE = (0x4800_0000, 4), (0x4801_0000, 13, 0), (0x4900_0000, 15)
ITS = AbstractIts(0x4100_0000, 0x1_0000, 0x40, {7: DEVICE}, {2: VPE}, {(1, 0): (0x48008, 1)}, host_cwriter=0x40)
OTHER = AbstractIts(0x4110_0000, 0x2000, 0x20, {5: (0x4800_2000, 4)}, host_cwriter=0x20)


def state_with(
    its: AbstractIts = ITS, *, ctlr: int | None = ON, pages: Mapping[int, AbstractPage] | None = None
) -> Abstract:
    """Two ITSs behind stage 2; the second has a device, a vPE and a level-2 page, and two commands behind it."""
    held = dict.fromkeys((0x48000, 0x48002, *range(0x48010, 0x48020)), PINNED)
    registers = {(0, "CTLR"): ON, (0, "CREADR"): 0x20, (0, "CWRITER"): 0x20}
    registers |= {(1, "CREADR"): 0x41, (1, "CWRITER"): 0x40, (1, "BASER2"): 0}
    if ctlr is not None:
        registers[1, "CTLR"] = ctlr
    return Abstract(
        "deprivileged", {0x48008: HYP, **held, **(pages or {})}, {0: OTHER, 1: its}, registers, {},
        finalised=frozenset({0}), tracked=dict.fromkeys(held, 1),
    )  # fmt: skip
