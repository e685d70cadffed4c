"""Registers of a session by name, decoded: reading one is an access of the host, with all that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from itsbox_client import registers as regs
from itsbox_client.registers import GicrRegister, GitsRegister
from itsbox_client.results import WriteResult

if TYPE_CHECKING:
    from itsbox_client._async.session import AsyncSession

__all__ = ["AsyncGicr", "AsyncGits"]

G = TypeVar("G", bound=GitsRegister)
C = TypeVar("C", bound=GicrRegister)


class AsyncGits:
    """The registers of the ITS."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def read(self, register: type[G], n: int = 0) -> G:
        """Read a register (the ``n``-th, of an array). Raises UnexpectedOutcome if the host got no value."""
        addr = self._address(register, n)
        return register.from_value((await self._session.mmio_read(addr, register.SIZE)).value)

    async def write(self, value: GitsRegister, n: int = 0) -> WriteResult:
        """Write a register: the value's class says which."""
        return await self._session.mmio_write(self._address(type(value), n), value.SIZE, value.value)

    async def modify(self, register: type[GitsRegister], n: int = 0, **fields: Any) -> WriteResult:
        """Read a register, change some of its fields, write it back."""
        now = await self.read(register, n)
        return await self.write(now.replace(**fields), n)

    @property
    async def ctlr(self) -> regs.GITS_CTLR:
        """ITS control."""
        return await self.read(regs.GITS_CTLR)

    @property
    async def iidr(self) -> regs.GITS_IIDR:
        """Implementer identification."""
        return await self.read(regs.GITS_IIDR)

    @property
    async def typer(self) -> regs.GITS_TYPER:
        """What the ITS supports."""
        return await self.read(regs.GITS_TYPER)

    @property
    async def mpidr(self) -> regs.GITS_MPIDR:
        """The affinity group that shares the vPE table (GICv4.1)."""
        return await self.read(regs.GITS_MPIDR)

    @property
    async def statusr(self) -> regs.GITS_STATUSR:
        """Errors of accesses."""
        return await self.read(regs.GITS_STATUSR)

    @property
    async def umsir(self) -> regs.GITS_UMSIR:
        """The unmapped MSI that was captured."""
        return await self.read(regs.GITS_UMSIR)

    @property
    async def cbaser(self) -> regs.GITS_CBASER:
        """Where the command queue is, as the host sees it."""
        return await self.read(regs.GITS_CBASER)

    @property
    async def cwriter(self) -> regs.GITS_CWRITER:
        """Where the next command will be written."""
        return await self.read(regs.GITS_CWRITER)

    @property
    async def creadr(self) -> regs.GITS_CREADR:
        """Where the next command will be read."""
        return await self.read(regs.GITS_CREADR)

    @property
    async def pidr2(self) -> regs.GITS_PIDR2:
        """Architecture revision."""
        return await self.read(regs.GITS_PIDR2)

    async def baser(self, n: int) -> regs.GITS_BASER:
        """Where table ``n`` (0 to 7) is."""
        return await self.read(regs.GITS_BASER, n)

    def _address(self, register: type[GitsRegister], n: int) -> int:
        if not 0 <= n < register.COUNT:
            raise ValueError(f"{register.__name__} has {register.COUNT} instance(s), there is no number {n}")
        return self._session.map.its + register.OFFSET + n * register.SIZE


class AsyncGicr:
    """The registers of one redistributor."""

    def __init__(self, session: AsyncSession, cpu: int) -> None:
        self._session = session
        self._frame = session.map.gicr + cpu * session.map.gicr_stride

    async def read(self, register: type[C]) -> C:
        """Read a register. Raises UnexpectedOutcome if the host got no value."""
        result = await self._session.mmio_read(self._frame + register.OFFSET, register.SIZE)
        return register.from_value(result.value)

    async def write(self, value: GicrRegister) -> WriteResult:
        """Write a register: the value's class says which."""
        return await self._session.mmio_write(self._frame + value.OFFSET, value.SIZE, value.value)

    async def modify(self, register: type[GicrRegister], **fields: Any) -> WriteResult:
        """Read a register, change some of its fields, write it back."""
        now = await self.read(register)
        return await self.write(now.replace(**fields))

    @property
    async def ctlr(self) -> regs.GICR_CTLR:
        """Redistributor control."""
        return await self.read(regs.GICR_CTLR)

    @property
    async def iidr(self) -> regs.GICR_IIDR:
        """Implementer identification."""
        return await self.read(regs.GICR_IIDR)

    @property
    async def typer(self) -> regs.GICR_TYPER:
        """What the redistributor supports and which processor it serves."""
        return await self.read(regs.GICR_TYPER)

    @property
    async def propbaser(self) -> regs.GICR_PROPBASER:
        """Where the LPI configuration table is."""
        return await self.read(regs.GICR_PROPBASER)

    @property
    async def pendbaser(self) -> regs.GICR_PENDBASER:
        """Where the LPI pending table is."""
        return await self.read(regs.GICR_PENDBASER)

    @property
    async def syncr(self) -> regs.GICR_SYNCR:
        """Whether an invalidation is still under way."""
        return await self.read(regs.GICR_SYNCR)

    @property
    async def vpropbaser(self) -> regs.GICR_VPROPBASER:
        """GICv4.0: the virtual LPI configuration table of the resident vPE."""
        return await self.read(regs.GICR_VPROPBASER)

    @property
    async def vpendbaser(self) -> regs.GICR_VPENDBASER:
        """GICv4.0: the virtual LPI pending table of the resident vPE."""
        return await self.read(regs.GICR_VPENDBASER)
