"""Defects of other software: a driver's mistake must end no worse than an attack."""

from __future__ import annotations

import pytest

from tests.host.play import played, rules


def test_a_queue_one_page_too_long_runs_the_neighbours_memory() -> None:
    """Under ``off`` the ITS takes the guest's first page for commands; behind ``strict`` the size stays what it was."""
    assert rules(played("zephyr-queue-size", "off")) == {("DMA", "foreign-command")}
    assert "cbaser_changed" in played("zephyr-queue-size", "strict").refusals


@pytest.mark.parametrize("preset", ["rfc-v1", "v2"])
def test_a_table_across_a_page_border_is_held_by_half(preset: str) -> None:
    """The series counts pages from the table's bytes and forgets where in its page the table begins."""
    assert ("H6", "range-recorded") in rules(played("zephyr-itt-size", preset))


def test_strict_counts_the_pages_that_are_touched() -> None:
    """``strict`` sees the guest's page at the end of the table."""
    assert "itt_not_host_owned" in played("zephyr-itt-size", "strict").refusals
