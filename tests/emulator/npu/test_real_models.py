"""Real and bundled models, compiled by the real Vela, against the reference kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.emulator.npu.runner import Interpreter
from harness.models import bundled, tflite
from harness.models.npu import cycles
from harness.models.npu.accelerator import U55_64, U55_256, named
from harness.models.npu.faults import NpuFault
from harness.models.npu.jobs import Job
from tests.bench.test_real_models import MODELS as REAL
from tests.emulator.npu import velafiles
from tests.emulator.npu.velafiles import Desktop, Settings

EVERYWHERE = [
    Settings(macs, "regor", optimise, memory)
    for macs in (32, 64, 128, 256)
    for optimise in ("Performance", "Size")
    for memory in ("board", "sram_only", "dedicated")
]
# The memories of Vela's settings in the worker.
# Beside Vela's own cycles they have to be counted as the core it compiles with by default does: 16 bytes a
# cycle and port, and not the 8 of the architecture.
_VELAS_AXI_BYTES = 16
_FLASH = cycles.Timing(_VELAS_AXI_BYTES * 0.015625, 64, 64, 32)
_SRAM = cycles.Timing(_VELAS_AXI_BYTES, 16, 16, 32)


@cache
def _sources(shared: Path) -> dict[str, bytes]:
    real = {name: (shared / "models" / f"{name}.tflite").read_bytes() for name in REAL}
    return real | {name: bundled.build(name) for name in bundled.names()}


def _agrees(source: bytes, compiled: bytes, inputs: int) -> bool:
    desktop = Desktop(source)
    interpreter = Interpreter(compiled)
    rng = np.random.default_rng(0)
    for _ in range(inputs):
        arrays = desktop.random_inputs(rng)
        for index, tensor in enumerate(interpreter.inputs):
            interpreter.set_input(index, arrays[tensor.name])
        interpreter.invoke()
        wanted = desktop.run(arrays)
        if not all(
            np.array_equal(interpreter.output(index).ravel(), wanted[tensor.name].ravel())
            for index, tensor in enumerate(interpreter.outputs)
        ):
            return False
    return True


def _ratio(compiled: velafiles.Result, memories: cycles.Memories) -> float:
    assert compiled.data is not None
    steps = [step for step in Interpreter(compiled.data).steps if isinstance(step, Job)]
    estimated = sum(
        cycles.total(cycles.estimate(step.operations, named(step.configuration.accelerator), memories))
        for step in steps
    )
    return estimated / compiled.cycles


@pytest.mark.interop
def test_real_models_are_bit_exact_for_the_board(shared: Path) -> None:
    sources = {name: _sources(shared)[name] for name in REAL}
    for name, result in velafiles.compile_all(sources, Settings()).items():
        assert result.data is not None
        assert _agrees(sources[name], result.data, inputs=2), name


def test_a_bundled_model_is_bit_exact_for_256_macs() -> None:
    source = bundled.build("cifar10_mbv2_035_32_int8")
    assert _agrees(source, velafiles.compile_one(source, Settings(256)), inputs=2)


@pytest.mark.interop
def test_a_compiled_model_runs_on_the_npu_it_is_for_and_no_other(shared: Path) -> None:
    model = tflite.read(shared / "models" / "person_detect_vela.tflite")
    source = (shared / "models" / "person_detect.tflite").read_bytes()
    assert _agrees(source, model.data, inputs=2)
    Interpreter(model, U55_256)
    with pytest.raises(NpuFault, match="is for ethos-u55-256, this NPU is an ethos-u55-64: compile"):
        Interpreter(model, U55_64)


@pytest.mark.interop
def test_cycles_from_the_stream_are_near_velas_own(shared: Path) -> None:
    sources = {name: _sources(shared)[name] for name in REAL}
    ratios = [
        _ratio(r, cycles.Memories(_FLASH, _SRAM)) for r in velafiles.compile_all(sources, Settings()).values()
    ]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)
    assert max(ratios) < 1.2
    assert min(ratios) > 0.8


@pytest.mark.soak
@pytest.mark.interop
@pytest.mark.parametrize("settings", EVERYWHERE, ids=str)
def test_every_model_is_bit_exact_for_every_npu_optimisation_and_memory_mode(
    shared: Path, settings: Settings
) -> None:
    sources = _sources(shared)
    for name, result in velafiles.compile_all(sources, settings).items():
        assert result.data is not None, (name, result.log)
        assert _agrees(sources[name], result.data, inputs=20), name


@pytest.mark.soak
@pytest.mark.interop
def test_the_ratio_of_cycles_to_velas_keeps_its_median_and_spread(shared: Path) -> None:
    ratios: list[float] = []
    for settings in EVERYWHERE:
        if settings.memory == "dedicated":
            continue
        constants = _SRAM if settings.memory == "sram_only" else _FLASH
        for result in velafiles.compile_all(_sources(shared), settings).values():
            ratios.append(_ratio(result, cycles.Memories(constants, _SRAM)))
    low, median, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    print(f"{len(ratios)} files: median {median:.3f}, 5 % to 95 %: {low:.3f} to {high:.3f}")
    print(f"all within {min(ratios):.3f} to {max(ratios):.3f}")
    assert median == pytest.approx(1.0, abs=0.03)
    assert low > 0.85
    assert high < 1.45
