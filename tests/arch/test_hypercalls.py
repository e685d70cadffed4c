"""The hypercalls: verbatim names, unique numbers, the band that closes when protected mode is finalised."""

from __future__ import annotations

import pytest

from itsbox.arch.hypercalls import BY_NAME, BY_NUMBER, HYPERCALLS, PROT_FINALIZE, Hypercall, find_hypercall
from itsbox.arch.smccc import to_register, vendor_hypercall

CALLABLE = [call for call in HYPERCALLS if call.host_callable]
INTERNAL = [call for call in HYPERCALLS if not call.host_callable]


def test_numbers_follow_one_another_from_hyp_init() -> None:
    """Number 0 is __kvm_hyp_init; there are no holes."""
    assert [call.number for call in CALLABLE] == list(range(len(CALLABLE)))
    assert CALLABLE[0].name == "__kvm_hyp_init"
    assert len(BY_NAME) == len(HYPERCALLS)


def test_the_early_band_ends_with_prot_finalize() -> None:
    """A call exists only before finalisation exactly when its number is not above that of the finalising call."""
    assert BY_NAME["__pkvm_prot_finalize"].number == PROT_FINALIZE
    assert [call.early for call in CALLABLE] == [number <= PROT_FINALIZE for number in range(len(CALLABLE))]


@pytest.mark.parametrize(
    "name",
    [
        "__pkvm_host_share_hyp",
        "__pkvm_host_unshare_hyp",
        "__pkvm_host_donate_guest",
        "__pkvm_init_its_emulation",
        "__pkvm_init_redist_emulation",
    ],
)
def test_what_a_deprivileged_host_needs_is_in_the_late_band(name: str) -> None:
    """These stay callable, by a hostile host too."""
    assert not BY_NAME[name].early
    assert BY_NAME[name].host_callable


@pytest.mark.parametrize("name", ["__pkvm_host_donate_hyp", "__pkvm_host_donate_hyp_mmio", "hyp_pin_shared_mem"])
def test_el2_s_own_functions_cannot_be_called(name: str) -> None:
    """They have a name for people and no number for the host."""
    assert (BY_NAME[name].number, BY_NAME[name].function_id) == (None, None)
    assert find_hypercall(name) is None


def test_its_emulation_gained_an_argument() -> None:
    """v2 and Android say how many pages of private state there are."""
    call = BY_NAME["__pkvm_init_its_emulation"]

    assert call.args == ("dev_addr", "priv_state", "shadow")
    assert call.later_args == ("dev_addr", "priv_state", "pages", "shadow")


@pytest.mark.parametrize("call", CALLABLE, ids=lambda c: c.name)
def test_a_call_is_found_by_name_and_by_identifier(call: Hypercall) -> None:
    """Both ways of asking name the same function."""
    assert call.function_id is not None
    assert find_hypercall(call.name) is find_hypercall(call.function_id) is call


@pytest.mark.parametrize(
    "function",
    [
        "no_such_call",
        "",
        0,
        len(CALLABLE),
        vendor_hypercall(len(CALLABLE)),
        0x8600_0000,
        to_register(-1),
        1 << 64,
    ],
)
def test_what_does_not_exist_is_not_found(function: str | int) -> None:
    """The host's mistake has an answer, not an exception."""
    assert find_hypercall(function) is None


@pytest.mark.parametrize("call", HYPERCALLS, ids=lambda c: c.name)
def test_every_call_is_documented_and_fits_the_registers(call: Hypercall) -> None:
    """At most six arguments, x1 to x6, and a sentence."""
    assert len(call.later_args or call.args) <= 6
    assert call.doc.endswith(".")


def test_numbers_lead_to_names() -> None:
    """The table by number holds exactly the calls that have one."""
    assert {n: c.name for n, c in BY_NUMBER.items()} == {c.number: c.name for c in CALLABLE}
    assert all(call.number is None for call in INTERNAL)
