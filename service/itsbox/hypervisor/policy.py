"""What becomes of an access to a guarded ITS that no emulated register stands for: forward it, or refuse it.

The series forwards everything it does not know (``pkvm_handle_forward_req``); ``strict`` lets through what the architecture
gives to software and nothing else (docs/explanation/dma-surface.md 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from itsbox.arch.its_registers import (
    GITS_PARTIDR,
    GITS_SGIR,
    GITS_STATUSR,
    TRANSLATION_FRAME,
    VSGI_FRAME,
    is_implementation_defined,
    register_at,
)
from itsbox.arch.layout import Access
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itsbox.arch.register_map import Place

__all__ = ["forward_width", "permitted"]

_FORWARDED_SIZES: Final = {"word_double": (4, 8), "all": (1, 2, 4, 8)}
#: Registers of the control frame without an address or an effect on others, which software may write.
_WRITABLE: Final = (GITS_STATUSR,)


def forward_width(knobs: Mapping[str, str], size: int) -> Reason | None:
    """Whether the forwarding handler carries out an access of ``size`` bytes."""
    return None if size in _FORWARDED_SIZES[knobs["forward_width"]] else Reason.ACCESS_WIDTH


def permitted(knobs: Mapping[str, str], offset: int, size: int, *, write: bool) -> Reason | None:
    """Why an access at ``offset`` from the ITS's base is not forwarded, or None."""
    narrow = forward_width(knobs, size)
    if narrow is not None:
        return narrow
    if offset >= TRANSLATION_FRAME:
        return _SGIR[knobs["read_only_registers"]](offset)
    place = register_at(offset)
    if place is None:
        unknown = Reason.IMPDEF_REGISTER if is_implementation_defined(offset) else Reason.REGISTER_RESERVED
        return unknown if knobs["impdef_registers"] == "raz_wi" else None
    if knobs["access_width"] == "halves" and not _fits(place, size):
        return Reason.ACCESS_WIDTH
    if write and knobs["read_only_registers"] == "refused" and not _is_writable(place):
        return Reason.REGISTER_READ_ONLY
    return None


def _fits(place: Place, size: int) -> bool:
    """The whole register, or an aligned half of a 64-bit one."""
    return (size == place.register.SIZE and place.byte == 0) or (
        size == 4 and place.register.SIZE == 8 and place.byte in (0, 4)
    )


def _is_writable(place: Place) -> bool:
    """Not a read-only register, and not one whose guard is what keeps it safe: GITS_PARTIDR stays as it is."""
    register = place.register
    return register in _WRITABLE or (register.ACCESS is not Access.RO and register is not GITS_PARTIDR)


def _refuse_sgir(offset: int) -> Reason | None:
    """GITS_TRANSLATER is the host's to write, with DeviceID 0; GITS_SGIR reaches any vPE, which ``traps`` looks up."""
    in_register = GITS_SGIR.OFFSET <= offset < GITS_SGIR.OFFSET + GITS_SGIR.SIZE
    if in_register:
        return Reason.SGI_WRITE
    return Reason.REGISTER_RESERVED if offset >= VSGI_FRAME else None


_SGIR: Final[dict[str, Callable[[int], Reason | None]]] = {
    "forwarded": lambda offset: None,
    "refused": _refuse_sgir,
}
