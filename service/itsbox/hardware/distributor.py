"""The distributor, as far as a booting Linux and an ITS driver read it: identity, control, per-SPI registers, routing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.dist_registers import (
    GICD_CTLR,
    GICD_IIDR,
    GICD_IROUTER,
    GICD_PIDR4,
    GICD_TYPER,
    GICD_TYPER2,
)
from itsbox.hardware.irq_bank import IrqBank
from itsbox.hardware.rows import Rows

if TYPE_CHECKING:
    from itsbox.hardware.profile import Profile

__all__ = ["Distributor"]

#: One security state (DS) with affinity routing (ARE); neither can be changed.
_FIXED: Final = GICD_CTLR.decode(0x50)


class Distributor:
    """GICD. One security state: DS and ARE read as one, whatever is written.

    Invariant: ``route`` holds one word per SPI of GICD_TYPER.ITLinesNumber.
    Owned by: the machine.
    """

    __slots__ = ("_route_kept", "bank", "ctlr", "profile", "route")

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        words = GICD_TYPER.decode(profile.gicd_typer).it_lines_number + 1
        self.bank = IrqBank(words, first=1)
        self.route = [0] * (32 * words)
        self._route_kept: tuple[int, ...] | None = None
        self.ctlr = 0
        self.set_ctlr(0)

    def read(self, offset: int, size: int) -> int:
        """Read ``size`` bytes at ``offset``; 0 where nothing answers."""
        value = self.bank.read(offset, size)
        return _ROWS.read(self, offset, size) if value is None else value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; ignored where nothing answers."""
        _ROWS.write(self, offset, size, value)
        self.bank.write(offset, size, value)

    def set_ctlr(self, value: int) -> None:
        """Write GICD_CTLR: only the group enables can change."""
        written = GICD_CTLR.decode(value)
        self.ctlr = _FIXED.replace(enable_grp0=written.enable_grp0, enable_grp1_ns=written.enable_grp1_ns).word()

    def get_route(self, n: int) -> int:
        """GICD_IROUTER<n>; zero beyond the last SPI."""
        return self.route[n] if n < len(self.route) else 0

    def set_route(self, n: int, value: int) -> None:
        """Write GICD_IROUTER<n>; ignored beyond the last SPI."""
        if n < len(self.route):
            self.route[n] = value
            self._route_kept = None

    def state(self) -> tuple[Any, ...]:
        """Everything, as plain data."""
        if self._route_kept is None:
            self._route_kept = tuple(self.route)
        return (self.ctlr, self._route_kept, self.bank.state())

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        self.ctlr, route, bank = state
        if route is not self._route_kept:
            self.route = list(route)
            self._route_kept = route
        self.bank.set_state(bank)


_PART: Final = 0x92
_ROWS: Final[Rows[Distributor]] = Rows()


def _route_row(n: int, offset: int) -> None:
    _ROWS.row64(offset, lambda gicd: gicd.get_route(n), lambda gicd, value: gicd.set_route(n, value))


_ROWS.row32(GICD_CTLR.OFFSET, lambda gicd: gicd.ctlr, Distributor.set_ctlr)
_ROWS.row32(GICD_TYPER.OFFSET, lambda gicd: gicd.profile.gicd_typer)
_ROWS.row32(GICD_IIDR.OFFSET, lambda gicd: gicd.profile.gicd_iidr)
_ROWS.row32(GICD_TYPER2.OFFSET, lambda gicd: gicd.profile.gicd_typer2)
for _n, _offset in GICD_IROUTER.elements():
    _route_row(_n, _offset)


def _id_row(n: int) -> None:
    _ROWS.row32(GICD_PIDR4.OFFSET + 4 * n, lambda gicd: gicd.profile.frame_id(n, _PART))


for _n in range(12):
    _id_row(_n)
