"""Quantities with units: parsed exactly, and refused with the kind of unit that is wanted."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.boards import units
from harness.boards.units import UnitError

KINDS = [units.SIZE, units.ADDRESS, units.FREQUENCY, units.TIME, units.BAUD]


@pytest.mark.parametrize(
    ("parse", "text", "number"),
    [
        (units.size, "8 MiB", 8 * 1024 * 1024),
        (units.size, "8MiB", 8 * 1024 * 1024),
        (units.size, "1.5 KiB", 1536),
        (units.size, "60 MB", 60_000_000),
        (units.size, "0x1000", 4096),
        (units.size, 1135736, 1135736),
        (units.address, "0x3A00_0000", 0x3A000000),
        (units.address, "4 MiB", 0x400000),
        (units.address, 0, 0),
        (units.frequency, "240 MHz", 240_000_000),
        (units.frequency, "0.4 GHz", 400_000_000),
        (units.frequency, 400e6, 400_000_000),
        (units.time, "100 ms", 0.1),
        (units.time, 2, 2.0),
        (units.baud, "921_600 Bd", 921600),
        (units.baud, "921.6 kBd", 921600),
    ],
)
def test_a_quantity_becomes_a_plain_number_of_the_si_unit(parse, text, number):
    assert parse(text) == number


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.size, "240 MHz", "'240 MHz' is a frequency; a size is wanted, such as \"8 MiB\""),
        (units.frequency, "8 MiB", "'8 MiB' is a size; a frequency is wanted, such as \"240 MHz\""),
        (units.address, "100 ms", "'100 ms' is a time; an address is wanted, such as \"0x400000\""),
        (units.baud, "9600 Hz", "'9600 Hz' is a frequency; a line speed is wanted, such as \"921600 Bd\""),
        (units.frequency, "240 Mhz", "'Mhz' is no unit of a frequency; did you mean 'MHz'?"),
        (units.frequency, "240 mhz", "'mhz' is no unit of a frequency; did you mean 'MHz'?"),
        (units.size, "8 Mi", "'Mi' is no unit of a size; did you mean 'MiB'?"),
        (units.time, "1 fortnight", "'fortnight' is no unit of a time; known: ms, ns, s, us"),
        (units.frequency, "240", "'240' has no unit; a frequency is wanted"),
        (units.frequency, "0x10", "is not a number with a unit; a frequency is wanted"),
        (units.size, "about 8 MiB", "is not a number with a unit; a size is wanted"),
        (units.size, "٣ MiB", "is not a number with a unit"),
        (units.size, "-8 MiB", "'-8 MiB' is negative"),
        (units.size, "0.3 B", "is not a whole number of bytes"),
        (units.size, True, "True is not a size"),
        (units.size, ["8 MiB"], "this is not a size"),
        (units.size, float("inf"), "inf is not a number with a unit"),
        (units.size, "1e999 GiB", "is too large for a size"),
        (units.address, "0x1_0000_0000_0000_0000", "is too large for an address"),
    ],
)
def test_a_wrong_quantity_is_refused_with_the_kind_that_is_wanted(parse, value, message):
    with pytest.raises(UnitError) as caught:
        parse(value)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(number=st.integers(0, 2**64 - 1))
def test_what_is_written_reads_back_as_the_same_number(kind, number):
    assert units.parse(units.write(number, kind), kind) == number


@given(seconds=st.integers(1, 10**9).map(lambda n: n / 10**9))
def test_a_time_is_written_so_that_it_reads_back(seconds):
    assert units.time(units.write(seconds, units.TIME)) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(
    value=st.one_of(
        st.text(),
        st.from_regex(r"\A[-+]?[0-9._]{1,6} ?(e[0-9]{1,4})? ?[a-zA-Z]{0,4}\Z"),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.lists(st.text(), max_size=1),
    )
)
@example(value="1e99999999999 MiB")
def test_anything_at_all_is_either_a_bounded_quantity_or_a_unit_error(kind, value):
    try:
        quantity = units.parse(value, kind)
    except UnitError:
        return
    assert 0 <= quantity < 2**64
