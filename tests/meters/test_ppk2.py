"""The Power Profiler Kit II through the untouched ppk2-api, with a virtual kit on a pseudo-terminal."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ppk2_api.ppk2_api import PPK2_API

from harness.emulator.listening import listen
from harness.emulator.ppk2 import ADC_MULT, KitFaults, Modifiers, VirtualPpk2
from harness.errors import HarnessError
from harness.meters.energy import Energy, NoEnergy, of_run
from harness.meters.meter import Meter, parse
from harness.meters.ppk2_samples import Converter
from harness.meters.recorder import Recorder
from tests.meters.circuits import Board, Playing, Pulse

ODD = Modifiers(
    R=(1003.35, 101.6, 10.3, 0.95, 0.0427),
    GS=(2.1, 13.2, 1.02, 1.2, 0.7),
    GI=(1.01, 0.99, 1.002, 0.97, 1.01),
    O=(112.8, 78.4, 64.2, 88.1, 73.9),
    S=(6.6e-8, 6.5e-8, 6.4e-8, 2e-6, 3e-5),
    I=(-7.2e-8, -3.8e-7, -2.4e-6, -2.1e-5, -1.3e-4),
    UG=(1.0, 1.0, 1.003, 1.0, 1.01),
)
"""A calibration in which no coefficient is a neutral one, of the size of those that users have posted."""


@contextlib.contextmanager
def kit(
    board: Board, calibration: Modifiers = ODD, faults: KitFaults | None = None
) -> Iterator[tuple[str, VirtualPpk2]]:
    with VirtualPpk2(listen("pty"), board, calibration, faults or KitFaults()) as made:
        yield f"ppk2:{made.endpoint.url}", made


def at(name: str, options: str = "source=3.3,input=3") -> Meter:
    return parse(f"{name},{options}").open()


def constant(amperes: float):  # type: ignore[no-untyped-def]
    return lambda times: np.full(len(times), amperes)


def measured(name: str, board: Board, pulses: list[Pulse]) -> Energy:
    with Recorder(at(name), 3) as recorder:
        recorder.rest()
        board.invoke(pulses)
        recorder.rest()
        recording = recorder.end()
    return of_run(recording, [pulse.seconds for pulse in pulses], 0)


@given(
    raw=st.lists(st.tuples(st.integers(0, 0x3FFF), st.integers(0, 5), st.integers(1, 9)), min_size=1),
    cuts=st.lists(st.integers(1, 7), min_size=1),
)
def test_currents_are_those_of_ppk2_api_however_the_stream_is_cut(
    raw: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    """Its `get_samples`, one sample at a time, is the judge, with the running averages after a switch."""
    words = [adc + min(i, 5) | range_ << 14 for adc, range_, times in raw for i in range(times)]
    words = [word & 0x1FFFF for word in words]
    judge = PPK2_API.__new__(PPK2_API)
    judge.ser = None
    _prepare(judge)
    theirs, _ = judge.get_samples(np.array(words, "<u4").tobytes())
    converter = Converter(judge.modifiers, judge.adc_mult, 3.3)
    ours: list[float] = []
    rest = np.array(words, np.uint32)
    while len(rest):
        cut = cuts[len(ours) % len(cuts)]
        ours += converter.amperes(rest[:cut]).tolist()
        rest = rest[cut:]
    assert np.array(ours) * 1e6 == pytest.approx(np.array(theirs), rel=1e-4, abs=1e-3)


def _prepare(api: PPK2_API) -> None:
    """Give ppk2-api, which opens a port as it is made, its own fields and a calibration."""
    import serial

    real = serial.Serial
    serial.Serial = lambda *a, **k: type("Closed", (), {"close": lambda self: None})()  # type: ignore[assignment, misc]
    try:
        api.__init__("none")  # type: ignore[misc]
    finally:
        serial.Serial = real  # type: ignore[misc]
    api._parse_metadata(ODD.text(3300, 2))
    api.current_vdd = 3300


@given(
    amperes=st.floats(1e-6, 0.5),
    range_=st.integers(0, 4),
)
def test_the_virtual_kit_converts_as_ppk2_api_converts_back(amperes: float, range_: int) -> None:
    adc = ODD.adc(np.array([amperes]), np.array([range_]), 3.3)[0]
    api = PPK2_API.__new__(PPK2_API)
    api.ser = None
    _prepare(api)
    if 0 <= adc <= 0x3FFF:
        step = 4 * ADC_MULT / ODD.R[range_] * 1.1
        assert api.get_adc_result(range_, int(adc) * 4) == pytest.approx(amperes, abs=step)


def test_the_integral_is_found_over_the_wire_at_100_000_samples_a_second() -> None:
    board = Board(100_000, constant(0.020), ripple=0.02)
    with kit(board) as (name, made):
        energy = measured(name, board, [Pulse(0.0153, 0.080) for _ in range(60)])
        assert made.supplied
        assert (made.mode, made.vdd_mv) == (2, 3300)
    assert np.median(energy.gross_uj) == pytest.approx(3.3 * 0.080 * 0.0153 * 1e6, rel=0.005)
    assert np.median(energy.net_uj) == pytest.approx(3.3 * 0.060 * 0.0153 * 1e6, rel=0.005)
    assert energy.left_out == 0


@pytest.mark.parametrize(("rest_a", "invoke_a"), [(30e-6, 0.003), (2e-3, 0.070), (20e-6, 0.110)])
def test_switches_of_range_cost_nothing(rest_a: float, invoke_a: float) -> None:
    board = Board(100_000, constant(rest_a), ripple=0.02)
    with kit(board) as (name, _):
        energy = measured(name, board, [Pulse(0.0153, invoke_a) for _ in range(40)])
    assert np.median(energy.gross_uj) == pytest.approx(3.3 * invoke_a * 0.0153 * 1e6, rel=0.005)


@pytest.mark.parametrize("skew_ppm", [-200.0, 200.0])
def test_a_kit_whose_clock_is_off_finds_it_too_with_samples_lost(skew_ppm: float) -> None:
    """Gaps of 7 samples show in the counter; 64 and 640, whole turns of it, only by the clock."""
    board = Board(100_000, constant(0.020), ripple=0.02)
    lost = [(135_000 + 9_001 * i, 7) for i in range(8)] + [(150_000, 64), (175_000, 640)]
    with kit(board, faults=KitFaults(lost=sorted(lost), skew_ppm=skew_ppm)) as (name, _):
        energy = measured(name, board, [Pulse(0.0153, 0.080) for _ in range(60)])
    assert np.median(energy.gross_uj) == pytest.approx(3.3 * 0.080 * 0.0153 * 1e6, rel=0.005)
    # The two invokes in which whole turns were lost, and those in which that is noticed, a second later.
    assert energy.left_out <= 4


def test_as_ampere_meter_it_is_told_the_voltage_of_the_supply() -> None:
    board = Board(100_000, constant(0.020))
    with kit(board) as (name, made):
        meter = at(name, "volts=5")
        meter.close()
        assert (made.mode, made.vdd_mv) == (1, 5000)
    assert meter.facts.supply_v == 5


def test_an_unplugged_kit_costs_the_energy_and_says_so() -> None:
    board = Board(100_000, constant(0.020))
    with kit(board, faults=KitFaults(unplugged_at=150_000)) as (name, _), Recorder(at(name), 3) as recorder:
        recorder.rest()
        recorder.rest()
        recording = recorder.end()
    with pytest.raises(NoEnergy, match="the PPK2 has gone"):
        of_run(recording, [0.01], 0)


def test_a_kit_that_another_program_left_measuring_is_taken_over() -> None:
    board = Board(100_000, constant(0.020))
    with kit(board) as (name, made):
        made._carry_out(b"\x06")
        at(name).close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("input=3", "has to know the board's supply"),
        ("source=3.3,volts=3.3", "has to know the board's supply"),
        ("source=0.5", "works from 0.8 to 5.0 V, not at 0.5 V"),
        ("source=warm", "wanted is a supply in volts"),
        ("sorce=3.3", "did you mean 'source'"),
        ("source=3.3,input=x", "wanted is a number, or none"),
    ],
)
def test_what_is_wrong_with_its_options_is_said_before_it_is_opened(options: str, says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        at("ppk2:/dev/nowhere", options)


def test_a_port_that_is_no_kit_is_named() -> None:
    endpoint = listen("pty")
    with pytest.raises(HarnessError, match="what answers there is no PPK2"):
        at(f"ppk2:{endpoint.url}")
    endpoint.close()


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(HarnessError, match="/dev/nowhere: the PPK2 cannot be opened"):
        at("ppk2:/dev/nowhere")


def test_a_damaged_calibration_is_refused() -> None:
    board = Board(100_000, constant(0.020))
    damaged = Modifiers(GS=(float("nan"),) * 5)
    with kit(board, damaged) as (name, _), pytest.raises(HarnessError, match="calibration is damaged: GS is"):
        at(name)


def test_what_is_kept_grows_with_invokes_and_not_with_samples() -> None:
    """The sums of 40 million samples are hardly larger than those of 4 million."""
    sizes = []
    tracemalloc.start()
    for samples in (4_000_000, 40_000_000):
        meter = Playing(Board(10_000_000, constant(0.020)), block=200_000)
        with Recorder(meter, 3) as recorder:
            recorder.rest()
            recorder._await_samples(samples)
            recording = recorder.end()  # no block is on its way any more
            sizes.append(tracemalloc.get_traced_memory()[0])
            assert recording.samples >= samples
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 1_000_000
