# Generated from _async/registers.py by tools/generate_sync.py: edit that one.
"""Registers of a session by name, decoded: reading one is an access of the host, with all that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from itsbox_client import registers as regs
from itsbox_client.registers import GicrRegister, GitsRegister
from itsbox_client.results import WriteResult

if TYPE_CHECKING:
    from itsbox_client._sync.session import Session

__all__ = ["Gicr", "Gits"]

G = TypeVar("G", bound=GitsRegister)
C = TypeVar("C", bound=GicrRegister)


class Gits:
    """The registers of the ITS."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read(self, register: type[G], n: int = 0) -> G:
        """Read a register (the ``n``-th, of an array). Raises UnexpectedOutcome if the host got no value."""
        addr = self._address(register, n)
        return register.from_value((self._session.mmio_read(addr, register.SIZE)).value)

    def write(self, value: GitsRegister, n: int = 0) -> WriteResult:
        """Write a register: the value's class says which."""
        return self._session.mmio_write(self._address(type(value), n), value.SIZE, value.value)

    def modify(self, register: type[GitsRegister], n: int = 0, **fields: Any) -> WriteResult:
        """Read a register, change some of its fields, write it back."""
        now = self.read(register, n)
        return self.write(now.replace(**fields), n)

    @property
    def ctlr(self) -> regs.GITS_CTLR:
        """ITS control."""
        return self.read(regs.GITS_CTLR)

    @property
    def iidr(self) -> regs.GITS_IIDR:
        """Implementer identification."""
        return self.read(regs.GITS_IIDR)

    @property
    def typer(self) -> regs.GITS_TYPER:
        """What the ITS supports."""
        return self.read(regs.GITS_TYPER)

    @property
    def mpidr(self) -> regs.GITS_MPIDR:
        """The affinity group that shares the vPE table (GICv4.1)."""
        return self.read(regs.GITS_MPIDR)

    @property
    def statusr(self) -> regs.GITS_STATUSR:
        """Errors of accesses."""
        return self.read(regs.GITS_STATUSR)

    @property
    def umsir(self) -> regs.GITS_UMSIR:
        """The unmapped MSI that was captured."""
        return self.read(regs.GITS_UMSIR)

    @property
    def cbaser(self) -> regs.GITS_CBASER:
        """Where the command queue is, as the host sees it."""
        return self.read(regs.GITS_CBASER)

    @property
    def cwriter(self) -> regs.GITS_CWRITER:
        """Where the next command will be written."""
        return self.read(regs.GITS_CWRITER)

    @property
    def creadr(self) -> regs.GITS_CREADR:
        """Where the next command will be read."""
        return self.read(regs.GITS_CREADR)

    @property
    def pidr2(self) -> regs.GITS_PIDR2:
        """Architecture revision."""
        return self.read(regs.GITS_PIDR2)

    def baser(self, n: int) -> regs.GITS_BASER:
        """Where table ``n`` (0 to 7) is."""
        return self.read(regs.GITS_BASER, n)

    def _address(self, register: type[GitsRegister], n: int) -> int:
        if not 0 <= n < register.COUNT:
            raise ValueError(f"{register.__name__} has {register.COUNT} instance(s), there is no number {n}")
        return self._session.map.its + register.OFFSET + n * register.SIZE


class Gicr:
    """The registers of one redistributor."""

    def __init__(self, session: Session, cpu: int) -> None:
        self._session = session
        self._frame = session.map.gicr + cpu * session.map.gicr_stride

    def read(self, register: type[C]) -> C:
        """Read a register. Raises UnexpectedOutcome if the host got no value."""
        result = self._session.mmio_read(self._frame + register.OFFSET, register.SIZE)
        return register.from_value(result.value)

    def write(self, value: GicrRegister) -> WriteResult:
        """Write a register: the value's class says which."""
        return self._session.mmio_write(self._frame + value.OFFSET, value.SIZE, value.value)

    def modify(self, register: type[GicrRegister], **fields: Any) -> WriteResult:
        """Read a register, change some of its fields, write it back."""
        now = self.read(register)
        return self.write(now.replace(**fields))

    @property
    def ctlr(self) -> regs.GICR_CTLR:
        """Redistributor control."""
        return self.read(regs.GICR_CTLR)

    @property
    def iidr(self) -> regs.GICR_IIDR:
        """Implementer identification."""
        return self.read(regs.GICR_IIDR)

    @property
    def typer(self) -> regs.GICR_TYPER:
        """What the redistributor supports and which processor it serves."""
        return self.read(regs.GICR_TYPER)

    @property
    def propbaser(self) -> regs.GICR_PROPBASER:
        """Where the LPI configuration table is."""
        return self.read(regs.GICR_PROPBASER)

    @property
    def pendbaser(self) -> regs.GICR_PENDBASER:
        """Where the LPI pending table is."""
        return self.read(regs.GICR_PENDBASER)

    @property
    def syncr(self) -> regs.GICR_SYNCR:
        """Whether an invalidation is still under way."""
        return self.read(regs.GICR_SYNCR)

    @property
    def vpropbaser(self) -> regs.GICR_VPROPBASER:
        """GICv4.0: the virtual LPI configuration table of the resident vPE."""
        return self.read(regs.GICR_VPROPBASER)

    @property
    def vpendbaser(self) -> regs.GICR_VPENDBASER:
        """GICv4.0: the virtual LPI pending table of the resident vPE."""
        return self.read(regs.GICR_VPENDBASER)
