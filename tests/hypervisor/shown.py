"""Marks the test that shows the effect of a knob (and of a defect's number), so that a test can see that none is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["shows"]

F = TypeVar("F", bound=Callable[..., object])


def shows(knob: str, *defects: int) -> Callable[[F], F]:
    """This test shows what the values of ``knob`` do, and the defects of the RFC with these numbers."""
    return lambda test: test
