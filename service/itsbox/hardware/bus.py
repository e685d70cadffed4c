"""The physical address map: which device answers an address (QEMU's ``virt`` map).

This is what the wires see, whoever drives them: the host in phase trusted, or the hypervisor on behalf of the host later.
RAM is not here (``memory.interconnect``); an address that is neither is RAZ/WI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from itsbox.arch.its_registers import GITS_SGIR, GITS_TRANSLATER, VSGI_FRAME
from itsbox.arch.words import low_half

if TYPE_CHECKING:
    from itsbox.hardware.distributor import Distributor
    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hardware.redistributor import Redistributor

__all__ = ["FRAME", "Bus", "Window"]

_FRAME_SHIFT: Final = 16
FRAME: Final = 1 << _FRAME_SHIFT  # every GIC frame is 64 KB
_TRANSLATER: Final = GITS_TRANSLATER.OFFSET - FRAME
_SGIR: Final = GITS_SGIR.OFFSET - VSGI_FRAME

_Write: TypeAlias = Callable[[int, int, int], None]


class Window(NamedTuple):
    """A device: its frames [base, end), its name, and its two ports taking offsets from ``base``."""

    base: int
    end: int
    name: str
    read: Callable[[int, int], int]
    write: Callable[[int, int, int], None]


class Bus:
    """Decodes MMIO. Windows may not overlap: that is an error at construction, naming both.

    Invariant: windows are whole frames; ``_places`` says for each of those which window it belongs to.
    Owned by: the machine; the hypervisor holds it as its mapping of the devices.
    """

    __slots__ = ("_places", "its", "windows")

    def __init__(
        self, where: MemoryMap, gicd: Distributor, its: list[Its], redistributors: list[Redistributor]
    ) -> None:
        windows = [Window(where.gicd, where.gicd + FRAME, "gicd", gicd.read, gicd.write)]
        for n, node in enumerate(its):
            name = "its" if n == 0 else f"its{n}"
            windows += _its_windows(node, name)
            if node.typer.vsgi:
                windows.append(_sgi_window(node, name, where))
        for gicr in redistributors:
            base = where.gicr + gicr.cpu * where.gicr_stride
            write = _with_sgir(gicr.write, its, base, where)
            windows.append(Window(base, base + where.gicr_stride, f"gicr{gicr.cpu}", gicr.read, write))
        self.windows = sorted(windows, key=lambda window: window.base)
        for low, high in zip(self.windows, self.windows[1:], strict=False):
            if low.end > high.base:
                msg = f"{low.name} overlaps {high.name} at {high.base:#x}"
                raise ValueError(msg)
        self._places = {
            frame: n
            for n, window in enumerate(self.windows)
            for frame in range(window.base >> _FRAME_SHIFT, window.end >> _FRAME_SHIFT)
        }
        self.its = its

    def window(self, addr: int) -> Window | None:
        """The device frame that answers ``addr``."""
        n = self._places.get(addr >> _FRAME_SHIFT)
        return None if n is None else self.windows[n]

    def read(self, addr: int, size: int) -> int:
        """Read 1, 2, 4 or 8 bytes; 0 where nothing answers. A misaligned access arrives in pieces."""
        if addr & (size - 1):
            return sum(self.read(at, part) << 8 * (at - addr) for at, part in _pieces(addr, size))
        n = self._places.get(addr >> _FRAME_SHIFT)
        if n is None:
            return 0
        base, _, _, read, _ = self.windows[n]
        return read(addr - base, size)

    def write(self, addr: int, size: int, value: int) -> None:
        """Write 1, 2, 4 or 8 bytes; ignored where nothing answers. A misaligned access arrives in pieces, low address first."""
        if addr & (size - 1):
            for at, part in _pieces(addr, size):
                self.write(at, part, value >> 8 * (at - addr) & (1 << 8 * part) - 1)
            return
        n = self._places.get(addr >> _FRAME_SHIFT)
        if n is not None:
            base, _, _, _, write = self.windows[n]
            write(addr - base, size, value)


def _pieces(addr: int, size: int) -> Iterator[tuple[int, int]]:
    """The naturally aligned accesses, as large as they can be, into which QEMU's bus cuts a misaligned one."""
    end = addr + size
    while addr < end:
        part = min(addr & -addr, 1 << (end - addr).bit_length() - 1)
        yield addr, part
        addr += part


def _its_windows(its: Its, name: str) -> list[Window]:
    """The control frame and the translation frame of an ITS. A CPU's write to GITS_TRANSLATER carries DeviceID 0."""

    def translater(offset: int, size: int, value: int) -> None:
        # 16 and 32 bits work; a 64-bit write arrives as two of 32 bits, and only the low one is GITS_TRANSLATER.
        if offset == _TRANSLATER and size in (2, 4, 8):
            its.translate(0, low_half(value))

    return [
        Window(its.base, its.base + FRAME, name, its.read, its.write),
        Window(its.base + FRAME, its.base + 2 * FRAME, f"{name}.translation", lambda _o, _s: 0, translater),
    ]


def _sgi_window(its: Its, name: str, where: MemoryMap) -> Window:
    """The virtual SGI frame: behind the translation frame, but for ITS 0, behind which redistributors begin."""
    base = its.base + VSGI_FRAME if where.sgir is None or its.number else where.sgir - _SGIR

    def sgir(offset: int, size: int, value: int) -> None:
        if offset == _SGIR and size == GITS_SGIR.SIZE:
            its.send_sgi(value)

    return Window(base, base + FRAME, f"{name}.sgi", lambda _o, _s: 0, sgir)


def _with_sgir(write: _Write, its: list[Its], base: int, where: MemoryMap) -> _Write:
    """A redistributor's port that also takes GITS_SGIR at its architected offset from ITS 0.

    Drivers look for it there (Linux: 128 KB behind GITS_CTLR). In this map that is the IMPLEMENTATION DEFINED window of the
    first redistributor's RD_base, where nothing else answers (decision record).
    """
    at = its[0].base + GITS_SGIR.OFFSET - base
    if where.sgir is None or not 0 <= at < FRAME:
        return write

    def port(offset: int, size: int, value: int) -> None:
        if offset == at and size == GITS_SGIR.SIZE:
            its[0].send_sgi(value)
        else:
            write(offset, size, value)

    return port
