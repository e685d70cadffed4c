"""Layouts of the registers that hold something per SPI, PPI or SGI: the same in the distributor and in the SGI frame.

Source: IHI 0069H.b, GICD_ISENABLER<n> and its like. The frames derive their registers from these and give them offsets.
"""

from __future__ import annotations

from itsbox.arch.layout import Register, bits, layout


@layout(words=(32,), spec="IHI 0069H.b, GICD_ISENABLER<n>")
class BitPerInterrupt(Register):
    """One bit per interrupt: bit x of register n is interrupt 32n + x."""

    interrupts: int = bits(0, 31, 0, arm="<bit x>", doc="bit x of register n is interrupt 32n + x")


# fmt: off

@layout(words=(32,), spec="IHI 0069H.b, GICD_IPRIORITYR<n>")
class PriorityPerInterrupt(Register):
    """Four priorities, one byte each: byte x of register n is interrupt 4n + x."""

    priority_0: int = bits(0,  7,  0, arm="Priority_offset_0B")
    priority_1: int = bits(0, 15,  8, arm="Priority_offset_1B")
    priority_2: int = bits(0, 23, 16, arm="Priority_offset_2B")
    priority_3: int = bits(0, 31, 24, arm="Priority_offset_3B")

# fmt: on


@layout(words=(32,), spec="IHI 0069H.b, GICD_ICFGR<n>")
class ConfigPerInterrupt(Register):
    """Sixteen configurations of two bits: the upper bit is 1 for an edge-triggered interrupt, the lower one is RES0."""

    int_config: int = bits(0, 31, 0, arm="Int_config<x>", doc="bits [2x+1:2x] of register n are interrupt 16n + x")
