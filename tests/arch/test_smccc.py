"""Function identifiers and what comes back in x0 and x1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.smccc import (
    Errno,
    FunctionId,
    Smccc,
    errno_of,
    from_register,
    to_register,
    vendor_hypercall,
    vendor_hypercall_number,
)
from tests.arch.strategies import STEADY


def test_a_vendor_hypercall_is_fast_64_bit_and_the_hypervisor_s_own() -> None:
    """0xC6000000 plus the number."""
    assert vendor_hypercall(5) == 0xC600_0005
    assert FunctionId.decode(0xC600_0005) == FunctionId(number=5, sve=0, owner=6, smc64=1, fast=1)


@STEADY
@given(number=st.integers(0, 0xFFFF))
def test_a_number_survives_its_identifier(number: int) -> None:
    """All sixteen bits of it."""
    assert vendor_hypercall_number(vendor_hypercall(number)) == number


@pytest.mark.parametrize("function", [0, 5, 0x8600_0005, 0xC500_0005, 0xC601_0005, 0x1_C600_0005, -1])
def test_other_identifiers_are_not_vendor_hypercalls(function: int) -> None:
    """32-bit calls, other owners, hint bits, and what is no 32-bit number at all."""
    assert vendor_hypercall_number(function) is None


@STEADY
@given(value=st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_signed_result_survives_its_register(value: int) -> None:
    """Two's complement in 64 bits."""
    assert from_register(to_register(value)) == value


def test_results_have_their_register_values() -> None:
    """SUCCESS is 0; NOT_SUPPORTED is all ones."""
    assert to_register(Smccc.SUCCESS) == 0
    assert to_register(Smccc.NOT_SUPPORTED) == 0xFFFF_FFFF_FFFF_FFFF


def test_errors_have_the_kernel_s_numbers() -> None:
    """Values of the kernel's errno-base.h and errno.h."""
    assert {e.name: int(e) for e in Errno} == {
        "EPERM": 1,
        "EIO": 5,
        "ENXIO": 6,
        "EAGAIN": 11,
        "ENOMEM": 12,
        "EFAULT": 14,
        "EBUSY": 16,
        "EEXIST": 17,
        "ENODEV": 19,
        "EINVAL": 22,
        "ENOSPC": 28,
        "EOPNOTSUPP": 95,
    }


@pytest.mark.parametrize("errno", list(Errno), ids=lambda e: e.name)
def test_an_error_is_named_again_from_x1(errno: Errno) -> None:
    """A handler returns it negated."""
    assert errno_of(to_register(-errno)) is errno


@pytest.mark.parametrize("x1", [0, 1, 22, to_register(-3), 1 << 63])
def test_other_results_are_no_error(x1: int) -> None:
    """Success, positive results, and numbers that nobody here uses."""
    assert errno_of(x1) is None
