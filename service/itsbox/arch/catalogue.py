"""Everything that ``arch`` declares, as plain data: for ``GET /v1/arch``, the reference pages, and whoever draws or fuzzes bits.

``catalogue()`` answers JSON-like dicts and lists, new ones at each call. Values that may exceed 53 bits (masks, offsets, reset
values) are ``"0x..."`` strings. Nothing here knows a register or a command by name: it reads the declarations.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from itsbox.arch.declarations import COMMANDS, REGISTERS, TABLES, bit_ranges
from itsbox.arch.hypercalls import HYPERCALLS
from itsbox.arch.its_errors import CommandError
from itsbox.arch.layout import Layout, Register
from itsbox.arch.reference_pages import pages

Row: TypeAlias = dict[str, Any]


def _layout_row(cls: type[Layout]) -> Row:
    return {
        "name": cls.NAME,
        "layout": cls.__name__,
        "since": cls.SINCE,
        "summary": cls.SUMMARY,
        "spec": cls.SPEC,
        "bytes": cls.SIZE,
        "words": [{"word": n, "width": width, "res0": hex(cls.RES0[n])} for n, width in enumerate(cls.WIDTHS)],
        "fields": [
            {
                "name": name,
                "arm": b.arm,
                "word": b.word,
                "hi": b.hi,
                "lo": b.lo,
                "shift": b.shift,
                "mask": hex(b.in_place),
                "max": hex(b.max),
                "access": None if b.access is None else str(b.access),
                "values": {str(value): text for value, text in b.values.items()},
                "doc": b.doc,
            }
            for name, b in cls.FIELDS.items()
        ],
        "bits": [{"word": word, "hi": hi, "lo": lo, "name": what} for word, hi, lo, what in bit_ranges(cls)],
    }


def _register_row(frame: str, cls: type[Register]) -> Row:
    return _layout_row(cls) | {
        "frame": frame,
        "offset": hex(cls.OFFSET),
        "width": cls.WIDTH,
        "access": str(cls.ACCESS),
        "reset": None if cls.RESET is None else hex(cls.RESET),
        "read_only": hex(cls.READ_ONLY),
        "first": cls.FIRST,
        "count": cls.COUNT,
        "stride": cls.STRIDE,
    }


def _error_row(error: CommandError) -> Row:
    return {
        "name": error.name,
        "code": f"0x{error.code:06x}",
        "source": error.source,
        "command": error.command or None,
        "cause": error.cause.name,
        "sentence": error.sentence,
        "architected": error.architected,
        "implementation_defined": error.implementation_defined,
    }


def catalogue() -> dict[str, list[Row]]:
    """Answer all declarations: keys ``registers``, ``commands``, ``tables``, ``errors``, ``hypercalls``."""
    return {
        "registers": [_register_row(frame, cls) for frame, group in REGISTERS.items() for cls in group],
        "commands": [_layout_row(cls) | {"opcode": f"0x{cls.MATCH:02x}"} for cls in COMMANDS],
        "tables": [_layout_row(cls) for cls in TABLES],
        "errors": [_error_row(error) for error in CommandError],
        "hypercalls": [
            {
                "name": call.name,
                "number": call.number,
                "function_id": None if call.function_id is None else hex(call.function_id),
                "args": list(call.args),
                "later_args": None if call.later_args is None else list(call.later_args),
                "early": call.early,
                "host_callable": call.host_callable,
                "doc": call.doc,
            }
            for call in HYPERCALLS
        ],
    }


def markdown_pages() -> dict[str, str]:
    """Answer the reference pages that are made from the declarations: file name under ``docs/reference/`` to text."""
    return pages()
