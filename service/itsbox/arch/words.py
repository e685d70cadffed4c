"""Halves of 64-bit registers: what a 32-bit access to one of them reads and writes (IHI 0069H.b, register access)."""

from __future__ import annotations

from typing import Final

__all__ = ["high_half", "low_half", "with_high_half", "with_low_half"]

_HALF: Final = 0xFFFF_FFFF


def low_half(value: int) -> int:
    """Bits 31:0."""
    return value & _HALF


def high_half(value: int) -> int:
    """Bits 63:32."""
    return value >> 32 & _HALF


def with_low_half(value: int, half: int) -> int:
    """``value`` with bits 31:0 replaced."""
    return value & ~_HALF | half & _HALF


def with_high_half(value: int, half: int) -> int:
    """``value`` with bits 63:32 replaced."""
    return value & _HALF | (half & _HALF) << 32
