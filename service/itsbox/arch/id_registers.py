"""The identification registers at the end of every GIC frame: PIDR4 to CIDR3, the same twelve in GITS, GICR and GICD.

Source: IHI 0069H.b, "Identification registers". The values are those of Arm's own implementations.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.layout import Access, Register, bits, layout, register

_SPEC: Final = "IHI 0069H.b, Identification registers"


# fmt: off

@layout(words=(32,), spec=_SPEC)
class PIDR0(Register):
    """Peripheral ID 0: low byte of the part number."""

    part_0: int = bits(0, 7, 0, arm="PART_0")


@layout(words=(32,), spec=_SPEC)
class PIDR1(Register):
    """Peripheral ID 1."""

    part_1: int = bits(0, 3, 0, arm="PART_1")
    des_0:  int = bits(0, 7, 4, arm="DES_0", doc="JEP106 identification code, bits [3:0]")


@layout(words=(32,), spec=_SPEC)
class PIDR2(Register):
    """Peripheral ID 2: the architecture revision, the only identification that Linux checks."""

    des_1:    int = bits(0, 2, 0, arm="DES_1", doc="JEP106 identification code, bits [6:4]")
    jedec:    int = bits(0, 3,    arm="JEDEC")
    arch_rev: int = bits(0, 7, 4, arm="ArchRev", values={3: "GICv3", 4: "GICv4"})


@layout(words=(32,), spec=_SPEC)
class PIDR3(Register):
    """Peripheral ID 3."""

    cmod:   int = bits(0, 3, 0, arm="CMOD")
    revand: int = bits(0, 7, 4, arm="REVAND")


@layout(words=(32,), spec=_SPEC)
class PIDR4(Register):
    """Peripheral ID 4."""

    des_2: int = bits(0, 3, 0, arm="DES_2", doc="JEP106 continuation code")
    size:  int = bits(0, 7, 4, arm="SIZE", doc="log2 of the 4 KB pages of the frame")


@layout(words=(32,), spec=_SPEC)
class PIDR5(Register):
    """Peripheral ID 5: reserved."""


@layout(words=(32,), spec=_SPEC)
class PIDR6(Register):
    """Peripheral ID 6: reserved."""


@layout(words=(32,), spec=_SPEC)
class PIDR7(Register):
    """Peripheral ID 7: reserved."""


@layout(words=(32,), spec=_SPEC)
class CIDR0(Register):
    """Component ID 0."""

    prmbl_0: int = bits(0, 7, 0, arm="PRMBL_0")


@layout(words=(32,), spec=_SPEC)
class CIDR1(Register):
    """Component ID 1."""

    prmbl_1:    int = bits(0, 3, 0, arm="PRMBL_1")
    comp_class: int = bits(0, 7, 4, arm="CLASS")


@layout(words=(32,), spec=_SPEC)
class CIDR2(Register):
    """Component ID 2."""

    prmbl_2: int = bits(0, 7, 0, arm="PRMBL_2")


@layout(words=(32,), spec=_SPEC)
class CIDR3(Register):
    """Component ID 3."""

    prmbl_3: int = bits(0, 7, 0, arm="PRMBL_3")

# fmt: on


# PIDR0 differs by frame; PIDR2 by architecture version, so its value is the machine profile's.
_BLOCK: Final[tuple[tuple[type[Register], int, int | None], ...]] = (
    (PIDR4, 0xFFD0, 0x44),
    (PIDR5, 0xFFD4, 0),
    (PIDR6, 0xFFD8, 0),
    (PIDR7, 0xFFDC, 0),
    (PIDR0, 0xFFE0, None),
    (PIDR1, 0xFFE4, 0xB4),
    (PIDR2, 0xFFE8, None),
    (PIDR3, 0xFFEC, 0),
    (CIDR0, 0xFFF0, 0x0D),
    (CIDR1, 0xFFF4, 0xF0),
    (CIDR2, 0xFFF8, 0x05),
    (CIDR3, 0xFFFC, 0xB1),
)


def identification(prefix: str, part_0: int, module: str) -> tuple[type[Register], ...]:
    """Declare the twelve registers of one frame, in the order of their offsets: PIDR4 to 7, PIDR0 to 3, CIDR0 to 3.

    Args:
        prefix: ``GITS``, ``GICR`` or ``GICD``.
        part_0: what tells the frames apart.
        module: name of the declaring module, for tracebacks and pickling.
    """
    made = []
    for base, offset, reset in _BLOCK:
        row: type[Register] = type(
            f"{prefix}_{base.__name__}", (base,), {"__doc__": base.__doc__, "__module__": module}
        )
        value = part_0 if base is PIDR0 else reset
        made.append(register(offset=offset, width=32, access=Access.RO, reset=value, spec=_SPEC)(row))
    return tuple(made)
