"""The declaration language: what it derives, and what it refuses at import."""

from __future__ import annotations

import copy
import linecache
import pickle
import traceback

import pytest
from hypothesis import given

from itsbox.arch.layout import Access, Layout, LayoutError, Register, bits, layout, register
from tests.arch.strategies import STEADY, values_of, words_of

ONES = (1 << 64) - 1


@layout(words=4, match=0x08, match_mask=0xFF, spec="a test", since="GICv4")
class Sample(Layout):
    """A sample of every kind of field.

    Only the first line is its summary.
    """

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    size: int = bits(1, 4, 0, arm="Size", doc="minus one")
    itt_addr: int = bits(2, 51, 8, shift=8, arm="ITT_addr")
    priority: int = bits(3, 23, 20, shift=4, arm="Priority")
    valid: int = bits(2, 63, arm="V")


@layout(words=(64, 32), spec="a test")
class Uneven(Layout):
    """Twelve bytes: a doubleword and a word."""

    address: int = bits(0, 63, 0, arm="A")
    doorbell: int = bits(1, 23, 0, arm="D")


@register(offset=0x100, width=64, access=Access.RW, count=8, reset=0, spec="a test", name="SAMPLE")
class SampleRegister(Register):
    """An array of registers with a read-only field."""

    kind: int = bits(0, 58, 56, arm="Type", access=Access.RO, values={1: "devices"})
    address: int = bits(0, 47, 12, shift=12, arm="PA")


def test_a_layout_encodes_each_field_at_its_place() -> None:
    """Fields land where the manual puts them, scaled fields lose their zero bits, the opcode is added."""
    sample = Sample(device_id=2, size=7, itt_addr=0x4010_0000, priority=0xA0, valid=1)

    assert sample.encode() == (0x2_0000_0008, 7, 0x8000_0000_4010_0000, 0xA0_0000)


def test_decode_takes_the_same_fields_back() -> None:
    """Decoding the encoded words gives an equal value with an equal hash."""
    sample = Sample(device_id=2, size=7, itt_addr=0x4010_0000, priority=0xA0, valid=1)
    again = Sample.decode(*sample.encode())

    assert (again, hash(again)) == (sample, hash(sample))


@STEADY
@given(value=values_of(Sample))
def test_decode_undoes_encode(value: Sample) -> None:
    """No value is changed by a trip through words."""
    assert Sample.decode(*value.encode()) == value


@STEADY
@given(words=words_of(Sample))
def test_encode_undoes_decode_but_for_reserved_bits(words: tuple[int, ...]) -> None:
    """Every bit that is neither reserved nor opcode survives a trip through the value."""
    again = Sample.decode(*words).encode()
    kept = tuple(w & ~r for w, r in zip(words, Sample.RES0, strict=True))

    assert again == (kept[0] & ~0xFF | 0x08, *kept[1:])


@STEADY
@given(value=values_of(Uneven))
def test_a_layout_may_have_words_of_different_width(value: Uneven) -> None:
    """A twelve byte entry packs to twelve bytes and comes back."""
    raw = Uneven.STRUCT.pack(*value.encode())

    assert (len(raw), Uneven.SIZE, Uneven.decode(*Uneven.STRUCT.unpack(raw))) == (12, 12, value)


def test_reserved_bits_are_what_no_field_and_no_opcode_uses() -> None:
    """RES0 is derived per word, within the width of the word."""
    assert Sample.RES0 == (
        0x0000_0000_FFFF_FF00,
        ONES & ~0x1F,
        0x7FF0_0000_0000_00FF,
        ONES & ~0x00F0_0000,
    )
    assert Uneven.RES0 == (0, 0xFF00_0000)


def test_encode_cuts_off_what_does_not_fit() -> None:
    """A value too large for its field, or with low bits that are zero by definition, touches no neighbour."""
    sample = Sample(device_id=-1, size=0x3F, itt_addr=ONES, priority=0xFFF, valid=2)

    assert sample.encode() == (0xFFFF_FFFF_0000_0008, 0x1F, 0x000F_FFFF_FFFF_FF00, 0x00F0_0000)


def test_the_declaration_describes_itself() -> None:
    """Names, citation, version, summary and places are there for the catalogue."""
    place = Sample.FIELDS["itt_addr"]

    assert (Sample.NAME, Sample.SPEC, Sample.SINCE, Sample.MATCH) == ("Sample", "a test", "GICv4", 8)
    assert Sample.SUMMARY == "A sample of every kind of field."
    assert list(Sample.FIELDS) == ["device_id", "size", "itt_addr", "priority", "valid"]
    assert (place.arm, place.range, place.mask, place.max) == ("ITT_addr", "51:8", (1 << 44) - 1, 0xF_FFFF_FFFF_FF00)
    assert Sample.FIELDS["valid"].range == "63"


def test_a_register_knows_its_places_and_its_read_only_bits() -> None:
    """Elements of an array follow Arm's formula; fields that stay read-only are collected."""
    assert list(SampleRegister.elements())[:2] == [(0, 0x100), (1, 0x108)]
    assert SampleRegister.element_name(2) == "SAMPLE2"
    assert SampleRegister.READ_ONLY == 7 << 56
    assert SampleRegister.decode(0x0100_0000_0000_F000).word() == 0x0100_0000_0000_F000


def test_an_array_may_start_at_another_element() -> None:
    """GICD_IROUTER<n> begins with n = 32: the element number is Arm's, not ours."""

    @register(offset=0x6000, width=64, access=Access.RW, first=32, count=4, spec="a test")
    class Routes(Register):
        """An array whose numbering starts at 32."""

    assert list(Routes.elements()) == [(32, 0x6100), (33, 0x6108), (34, 0x6110), (35, 0x6118)]


def test_replace_changes_some_fields_only() -> None:
    """A copy is made; a name that is no field is refused."""
    sample = Sample(device_id=2, size=7, itt_addr=0, priority=0, valid=1)

    assert sample.replace(size=3) == Sample(device_id=2, size=3, itt_addr=0, priority=0, valid=1)
    with pytest.raises(TypeError, match="itt"):
        sample.replace(itt=0)


def test_values_can_be_copied_and_pickled() -> None:
    """Snapshots and traces may hold decoded values."""
    sample = Sample(device_id=2, size=7, itt_addr=0x100, priority=0x10, valid=1)

    assert copy.deepcopy(sample) == sample
    assert pickle.loads(pickle.dumps(sample)) == sample


def test_a_traceback_shows_the_compiled_code() -> None:
    """The generated source is known to linecache, so an error inside it can be read."""
    with pytest.raises(TypeError) as caught:
        Sample.decode("zero", 0, 0, 0)  # type: ignore[arg-type]

    assert "device_id" in "".join(traceback.format_exception(caught.value))
    assert any("def encode(s)" in line for line in linecache.getlines(f"<layout {__name__}.Sample>"))


def test_the_wrong_number_of_words_is_an_error() -> None:
    """A layout of four words does not decode three."""
    with pytest.raises(TypeError):
        Sample.decode(0, 0, 0)


def test_a_field_over_another_is_an_import_error_that_names_both() -> None:
    """Two fields that want the same bit cannot be declared."""
    with pytest.raises(LayoutError, match=r"Bad\.second \[12:8\] overlaps first in word 0"):

        @layout(words=1, spec="a test")
        class Bad(Layout):
            """Overlapping fields."""

            first: int = bits(0, 8, 0, arm="First")
            second: int = bits(0, 12, 8, arm="Second")


def test_a_field_over_the_opcode_is_an_import_error() -> None:
    """The opcode's bits belong to no field."""
    with pytest.raises(LayoutError, match=r"Bad\.device_id \[31:4\] overlaps the opcode"):

        @layout(words=1, match=1, match_mask=0xFF, spec="a test")
        class Bad(Layout):
            """A field in the opcode."""

            device_id: int = bits(0, 31, 4, arm="DeviceID")


@pytest.mark.parametrize(
    "place",
    [(1, 3, 0), (0, 64, 0), (0, 3, 4), (0, 3, -1), (-1, 3, 0)],
    ids=["no such word", "beyond the word", "hi below lo", "below bit 0", "negative word"],
)
def test_a_field_outside_its_word_is_an_import_error(place: tuple[int, int, int]) -> None:
    """A field must lie in a word that exists, the high bit above the low one."""
    with pytest.raises(LayoutError, match="outside"):

        @layout(words=1, spec="a test")
        class Bad(Layout):
            """A field in the wrong place."""

            wide: int = bits(*place, arm="Wide")


def test_a_field_without_a_place_is_an_import_error() -> None:
    """Every annotated attribute of a layout is declared with bits()."""
    with pytest.raises(LayoutError, match=r"Bad\.stray has no place"):

        @layout(words=1, spec="a test")
        class Bad(Layout):
            """An attribute that is no field."""

            stray: int


def test_an_opcode_outside_its_mask_is_an_import_error() -> None:
    """The constant bits must be among the bits that are declared constant."""
    with pytest.raises(LayoutError, match="outside its mask"):
        layout(words=1, match=0x100, match_mask=0xFF, spec="a test")


def test_a_word_of_an_odd_width_is_an_import_error() -> None:
    """Words are 8, 32 or 64 bits."""
    with pytest.raises(LayoutError, match="not supported"):

        @layout(words=(64, 24), spec="a test")
        class Bad(Layout):
            """A word of 24 bits."""


def test_a_misaligned_register_is_an_import_error() -> None:
    """A 64-bit register does not lie at 0x104."""
    with pytest.raises(LayoutError, match="0x104 is not aligned"):

        @register(offset=0x104, width=64, access=Access.RW, spec="a test")
        class Bad(Register):
            """A register that no bus can reach in one access."""


def test_an_undecorated_layout_says_so() -> None:
    """Forgetting the decorator is noticed at the first use."""

    class Bare(Layout):
        __slots__ = ()

    with pytest.raises(NotImplementedError, match="Bare is not decorated"):
        Bare.decode(0)
    with pytest.raises(NotImplementedError, match="Bare is not decorated"):
        Bare().encode()
