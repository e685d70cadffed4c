"""Sparse physical memory: pages that exist once touched, little-endian, no policy.

Three kinds of page are never copied until written: an absent page (all zero, or the fill pattern of a carve-out), a page
that a snapshot shares, and a page filled with one byte. ``writable`` holds exactly the pages that are this memory's own, so
a store is one dictionary look-up, a snapshot one shallow copy and a restore costs the pages written since.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import repeat
from struct import Struct
from typing import Final, TypeAlias

from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE

__all__ = ["CODECS", "Carveout", "Image", "PhysMem"]

_IN_PAGE: Final = PAGE_SIZE - 1
_ZERO: Final = bytes(PAGE_SIZE)
_UNIFORM: Final[dict[int, bytes]] = {0: _ZERO}
CODECS: Final = {1: Struct("<B"), 2: Struct("<H"), 4: Struct("<I"), 8: Struct("<Q")}

_Page: TypeAlias = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Carveout:
    """A range of RAM whose untouched pages read as a repeated 16-byte mark instead of zeros.

    base, end: page-aligned physical addresses; mark: 16 bytes.
    """

    base: int
    end: int
    mark: bytes

    def page(self) -> bytes:
        """A whole page of the mark."""
        return self.mark * (PAGE_SIZE // len(self.mark))


@dataclass(frozen=True, slots=True)
class Image:
    """The content of a memory at one moment; shared by snapshots and forks, never written."""

    pages: dict[int, _Page]


class PhysMem:
    """RAM of one machine.

    Invariant: ``pages`` has no page outside RAM and ``writable`` is a subset of it; no page outside ``writable`` is ever written
    in place.
    Owned by: the machine; forks share page contents, not this object.
    """

    __slots__ = ("_absent", "_base_image", "_digests", "base", "end", "pages", "refilled", "writable")

    def __init__(self, base: int, size: int, carveouts: tuple[Carveout, ...] = ()) -> None:
        self.base = base
        self.end = base + size
        self.pages: dict[int, _Page] = {}
        self.writable: dict[int, bytearray] = {}
        self.refilled: set[int] = set()
        self._absent = tuple((c.base >> PAGE_SHIFT, c.end >> PAGE_SHIFT, c.page()) for c in carveouts)
        self._base_image: Image | None = None
        self._digests: dict[int, tuple[_Page, bytes]] = {}

    # ---------------------------------------------------------------- pages

    def absent(self, pfn: int) -> bytes:
        """What an untouched page reads as."""
        for low, high, page in self._absent:
            if low <= pfn < high:
                return page
        return _ZERO

    def page(self, pfn: int) -> _Page:
        """The page's content for reading."""
        page = self.pages.get(pfn)
        return self.absent(pfn) if page is None else page

    def own(self, pfn: int) -> bytearray:
        """The page for writing, copied first if it is shared."""
        page = self.writable.get(pfn)
        if page is None:
            shared = self.pages.get(pfn)
            page = self.writable[pfn] = self.pages[pfn] = bytearray(self.absent(pfn) if shared is None else shared)
            self.refilled.discard(pfn)
        return page

    def contains(self, addr: int, length: int) -> bool:
        """Whether the whole range is RAM."""
        return self.base <= addr and addr + length <= self.end

    def new_pages(self, addr: int, length: int) -> int:
        """How many pages a store to the range would add to ``touched``; for caps."""
        low = max(addr, self.base) >> PAGE_SHIFT
        high = (min(addr + length, self.end) - 1) >> PAGE_SHIFT
        return sum(1 for pfn in range(low, high + 1) if pfn not in self.writable)

    @property
    def touched(self) -> int:
        """Pages that cost memory of their own (uniform fills share one page per byte value).

        Counts them one by one: ask ``len(pages)``, an upper bound, first.
        """
        uniform = {id(page) for page in _UNIFORM.values()}
        return sum(1 for page in self.pages.values() if id(page) not in uniform)

    # ---------------------------------------------------------------- access; the caller has checked ``contains``

    def read(self, addr: int, size: int) -> int:
        """An unsigned little-endian value of 1, 2, 4 or 8 bytes."""
        offset = addr & _IN_PAGE
        if offset + size <= PAGE_SIZE:
            page = self.pages.get(addr >> PAGE_SHIFT)
            if page is None:
                page = self.absent(addr >> PAGE_SHIFT)
            value: int = CODECS[size].unpack_from(page, offset)[0]
            return value
        return int.from_bytes(self.load(addr, size), "little")

    def write(self, addr: int, size: int, value: int) -> None:
        """Store an unsigned value that fits ``size`` bytes."""
        offset = addr & _IN_PAGE
        if offset + size <= PAGE_SIZE:
            page = self.writable.get(addr >> PAGE_SHIFT)
            if page is None:
                page = self.own(addr >> PAGE_SHIFT)
            CODECS[size].pack_into(page, offset, value)
        else:
            self.store(addr, value.to_bytes(size, "little"))

    def load(self, addr: int, length: int) -> bytes:
        """``length`` bytes."""
        offset = addr & _IN_PAGE
        if offset + length <= PAGE_SIZE:
            return bytes(self.page(addr >> PAGE_SHIFT)[offset : offset + length])
        parts = []
        while length:
            offset = addr & _IN_PAGE
            run = min(PAGE_SIZE - offset, length)
            parts.append(self.page(addr >> PAGE_SHIFT)[offset : offset + run])
            addr += run
            length -= run
        return b"".join(parts)

    def store(self, addr: int, data: bytes) -> None:
        """Store bytes."""
        offset = addr & _IN_PAGE
        if 0 < len(data) <= PAGE_SIZE - offset:
            page = self.writable.get(addr >> PAGE_SHIFT)
            if page is None:
                page = self.own(addr >> PAGE_SHIFT)
            page[offset : offset + len(data)] = data
            return
        done = 0
        while done < len(data):
            offset = (addr + done) & _IN_PAGE
            run = min(PAGE_SIZE - offset, len(data) - done)
            self.own((addr + done) >> PAGE_SHIFT)[offset : offset + run] = data[done : done + run]
            done += run

    def fill(self, addr: int, length: int, byte: int) -> None:
        """Fill with one byte; whole pages become a shared uniform page."""
        end = addr + length
        first, last = -(-addr >> PAGE_SHIFT), end >> PAGE_SHIFT  # the whole pages
        if first >= last:
            self.store(addr, bytes([byte]) * length)
            return
        if addr & _IN_PAGE:
            self.store(addr, bytes([byte]) * ((first << PAGE_SHIFT) - addr))
        if end & _IN_PAGE:
            self.store(last << PAGE_SHIFT, bytes([byte]) * (end & _IN_PAGE))
        uniform = _UNIFORM.get(byte)
        if uniform is None:
            uniform = _UNIFORM[byte] = bytes([byte]) * PAGE_SIZE
        pfns = range(first, last)
        self.pages.update(zip(pfns, repeat(uniform), strict=False))
        self.refilled.update(pfns)
        if self.writable:
            for pfn in self.writable.keys() & pfns:
                del self.writable[pfn]

    # ---------------------------------------------------------------- whole-memory operations

    def image(self) -> Image:
        """The content now; afterwards every page is shared and the next store to it copies."""
        if self._base_image is None or self.writable or self.refilled:
            self._base_image = Image(dict(self.pages))
            self.writable.clear()
            self.refilled.clear()
        return self._base_image

    def restore(self, image: Image) -> None:
        """Make the content that of ``image``; cheap when it is the image last taken or restored."""
        kept = image.pages
        if self._base_image is image and len(self.writable) + len(self.refilled) < len(kept):
            for changed in (self.writable, self.refilled):
                for pfn in changed:
                    if pfn in kept:
                        self.pages[pfn] = kept[pfn]
                    else:
                        self.pages.pop(pfn, None)
        else:
            self.pages = dict(kept)
            self._base_image = image
        self.writable.clear()
        self.refilled.clear()

    def digest(self) -> bytes:
        """A hash of the content: equal exactly when every byte of RAM is equal."""
        total = hashlib.sha256()
        for pfn in sorted(self.pages):
            page = self.pages[pfn]
            if pfn in self.writable:
                digest = _page_digest(page, self.absent(pfn))
            else:
                known = self._digests.get(pfn)
                if known is None or known[0] is not page:
                    known = self._digests[pfn] = (page, _page_digest(page, self.absent(pfn)))
                digest = known[1]
            if digest:
                total.update(pfn.to_bytes(8, "little") + digest)
        return total.digest()


def _page_digest(page: _Page, untouched: bytes) -> bytes:
    """Empty for a page that reads as if never touched: writing zeros to zeros changes nothing."""
    return b"" if page == untouched else hashlib.blake2b(page, digest_size=16).digest()
