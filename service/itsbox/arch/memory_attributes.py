"""Cacheability and shareability encodings of GITS_CBASER, GITS_BASER and the redistributors' base registers.

Source: IHI 0069H.b, GITS_CBASER and GICR_PROPBASER. Field positions differ by register, the encodings do not.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

INNER_CACHE: Final = MappingProxyType(
    {
        0: "Device-nGnRnE",
        1: "Normal, non-cacheable",
        2: "Normal, read-allocate, write-through",
        3: "Normal, read-allocate, write-back",
        4: "Normal, write-allocate, write-through",
        5: "Normal, write-allocate, write-back",
        6: "Normal, read- and write-allocate, write-through",
        7: "Normal, read- and write-allocate, write-back",
    }
)

OUTER_CACHE: Final = MappingProxyType({**INNER_CACHE, 0: "as InnerCache"})

SHAREABILITY: Final = MappingProxyType(
    {
        0: "non-shareable",
        1: "inner shareable",
        2: "outer shareable",
        3: "reserved, treated as 0",
    }
)

NON_CACHEABLE: Final = 1
READ_WRITE_ALLOCATE_WRITE_BACK: Final = 7
NON_SHAREABLE: Final = 0
INNER_SHAREABLE: Final = 1
