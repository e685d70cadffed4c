"""ITS command errors: published numbers, the pattern of the rest, and one error for every rung of every ladder."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import COMMANDS
from itsbox.arch.its_errors import ERRORS_BY_CODE, Cause, CommandError, command_error

ARCHITECTED = [error for error in CommandError if error.architected]
OPCODES = {c.NAME: opcode for opcode, c in COMMANDS.items()}

# Linux's constants (E_ITS_...), value by value.
LINUX = {
    "MOVI_UNMAPPED_INTERRUPT": 0x010107,
    "MOVI_UNMAPPED_COLLECTION": 0x010109,
    "INT_UNMAPPED_INTERRUPT": 0x010307,
    "CLEAR_UNMAPPED_INTERRUPT": 0x010507,
    "MAPD_DEVICE_OOR": 0x010801,
    "MAPD_ITTSIZE_OOR": 0x010802,
    "MAPC_PROCNUM_OOR": 0x010902,
    "MAPC_COLLECTION_OOR": 0x010903,
    "MAPTI_UNMAPPED_DEVICE": 0x010A04,
    "MAPTI_ID_OOR": 0x010A05,
    "MAPTI_PHYSICALID_OOR": 0x010A06,
    "INV_UNMAPPED_INTERRUPT": 0x010C07,
    "INVALL_UNMAPPED_COLLECTION": 0x010D09,
    "MOVALL_PROCNUM_OOR": 0x010E01,
    "DISCARD_UNMAPPED_INTERRUPT": 0x010F07,
}

_EVENT = [Cause.DEVICE_OOR, Cause.UNMAPPED_DEVICE, Cause.ID_OOR, Cause.UNMAPPED_INTERRUPT]
_COLLECTION = [Cause.COLLECTION_OOR, Cause.UNMAPPED_COLLECTION]
_VPE = [Cause.VCPU_OOR, Cause.VCPU_INVALID]
_TRANSLATED = [*_EVENT, *_COLLECTION, *_VPE, Cause.PROCNUM_OOR]
_MAPPED = [Cause.DEVICE_OOR, Cause.UNMAPPED_DEVICE, Cause.ID_OOR, Cause.PHYSICALID_OOR]

# Every way in which a command's checks can end (IHI 0069H.b, ITS commands, each command's validity conditions).
LADDERS: dict[str, list[Cause]] = {
    "MAPD": [Cause.DEVICE_OOR, Cause.ITTSIZE_OOR],
    "MAPC": [Cause.COLLECTION_OOR, Cause.PROCNUM_OOR],
    "MAPTI": [*_MAPPED, Cause.COLLECTION_OOR],
    "MAPI": [*_MAPPED, Cause.COLLECTION_OOR],
    "MOVI": [*_EVENT, Cause.ITE_INVALID, *_COLLECTION, Cause.PROCNUM_OOR],
    "DISCARD": _TRANSLATED,
    "INT": _TRANSLATED,
    "CLEAR": _TRANSLATED,
    "INV": _TRANSLATED,
    "INVALL": [*_COLLECTION, Cause.PROCNUM_OOR],
    "SYNC": [Cause.PROCNUM_OOR],
    "MOVALL": [Cause.PROCNUM_OOR],
    "VMAPP": [Cause.VCPU_OOR, Cause.VPTSIZE_OOR, Cause.PROCNUM_OOR, Cause.PHYSICALID_OOR],
    "VMAPTI": [*_MAPPED, *_VPE, Cause.VIRTUALID_OOR],
    "VMAPI": [*_MAPPED, *_VPE, Cause.VIRTUALID_OOR],
    "VMOVI": [*_EVENT, *_VPE, Cause.ID_IS_PHYSICAL, Cause.ITEVCPU_INVALID, Cause.CMDVCPU_INVALID, Cause.PHYSICALID_OOR],
    "VMOVP": [*_VPE, Cause.PROCNUM_OOR, Cause.PHYSICALID_OOR],
    "VSYNC": _VPE,
    "VINVALL": _VPE,
    "INVDB": _VPE,
    "VSGI": _VPE,
}


@pytest.mark.parametrize("name", LINUX)
def test_an_error_has_linux_number(name: str) -> None:
    """Where Linux names an error, ours has the same name and number."""
    error = CommandError[name]

    assert (error.code, "L" in error.source) == (LINUX[name], True)


def test_no_other_error_claims_linux_as_its_source() -> None:
    """The source tag L is given to exactly the constants that Linux has."""
    assert {error.name for error in CommandError if "L" in error.source} == set(LINUX)


@pytest.mark.parametrize("error", ARCHITECTED, ids=lambda e: e.name)
def test_a_code_follows_the_pattern(error: CommandError) -> None:
    """0x01, the opcode (0x05 for CLEAR), the class of the cause."""
    command_byte = 0x05 if error.command == "CLEAR" else OPCODES[error.command]
    # Two numbers that do not follow it are published like this: Linux's and GIC-600's.
    irregular = {CommandError.MOVALL_PROCNUM_OOR: 0x01, CommandError.CLEAR_PHYSICALID_OOR: 0x26}

    assert error.code == 0x010000 | command_byte << 8 | irregular.get(error, error.cause.ee)


def test_codes_are_unique() -> None:
    """A code names one error."""
    assert len(ERRORS_BY_CODE) == len(CommandError)
    assert ERRORS_BY_CODE[0x010801] is CommandError.MAPD_DEVICE_OOR


def test_what_the_architecture_has_no_code_for_is_told_apart() -> None:
    """Unknown opcodes and missing memory have no architected code, command or class."""
    own = [error for error in CommandError if not error.architected]

    assert own == [CommandError.UNKNOWN_COMMAND, CommandError.MEMORY_FAULT]
    assert [(e.code < 0x010000, e.command, e.source) for e in own] == [(True, "", "own")] * 2
    assert CommandError.UNKNOWN_COMMAND.code == 0


def test_every_error_explains_itself() -> None:
    """Each has a sentence and a known source."""
    for error in CommandError:
        assert error.sentence.endswith(".")
        assert set(error.source.split()) <= {"L", "T", "N", "P", "own"}


def test_every_command_has_its_ladder() -> None:
    """The table above covers all commands."""
    assert set(LADDERS) == set(OPCODES)


@pytest.mark.parametrize("command, cause", [(c, cause) for c, causes in LADDERS.items() for cause in causes])
def test_every_rung_of_a_ladder_has_an_error(command: str, cause: Cause) -> None:
    """Whatever a command's checks find, there is an error of that command for it, in an architected class."""
    error = command_error(command, cause)

    assert error.command == command
    assert not error.implementation_defined or cause is Cause.PROCNUM_OOR


def test_an_entry_with_an_unmapped_collection_cannot_be_used() -> None:
    """INT, CLEAR, INV and DISCARD have ITE_INVALID where MOVI and INVALL have UNMAPPED_COLLECTION."""
    got = {c: command_error(c, Cause.UNMAPPED_COLLECTION).name for c in ("INT", "DISCARD", "MOVI", "INVALL")}

    assert got == {
        "INT": "INT_ITE_INVALID",
        "DISCARD": "DISCARD_ITE_INVALID",
        "MOVI": "MOVI_UNMAPPED_COLLECTION",
        "INVALL": "INVALL_UNMAPPED_COLLECTION",
    }


def test_any_command_can_meet_missing_memory() -> None:
    """The fault does not depend on the command."""
    assert {command_error(c, Cause.MEMORY_FAULT) for c in OPCODES} == {CommandError.MEMORY_FAULT}


def test_an_impossible_error_is_a_key_error() -> None:
    """MAPD cannot fail for a collection: asking is a defect of the caller."""
    with pytest.raises(KeyError):
        command_error("MAPD", Cause.COLLECTION_OOR)


def test_gic_600_classes_are_implementation_defined() -> None:
    """From class 0x20 on."""
    assert CommandError.INT_TGT_OOR.implementation_defined
    assert not CommandError.INT_ITE_INVALID.implementation_defined
