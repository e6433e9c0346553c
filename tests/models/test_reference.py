"""The desktop runtime in its child process, and the runtime of the devices against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.models import bundled, reference, tensors, tflite
from harness.models.build import Builder, Scale
from harness.models.outputs import max_ulp
from harness.models.reference import ReferenceError
from harness.models.resolve import resolve
from tests.models.wheel import Asked, Wheel

INT8 = [
    "ad01_int8",
    "kws_ref_model",
    "person_detect",
    "pfld_meter_int8",
    "pretrainedResnet_quant",
    "vww_96_int8",
]


@pytest.fixture(scope="module")
def wheel() -> Iterator[Wheel]:
    with Wheel() as child:
        yield child


def on_device_runtime(wheel: Wheel, model: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    return wheel.ask(Asked(model, inputs, arena=4_000_000)).outputs


@pytest.mark.interop
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 10))])
@pytest.mark.parametrize("name", INT8)
def test_real_models_give_the_same_outputs_on_both_runtimes(
    wheel: Wheel, name: str, seed: int, shared: Path
) -> None:
    model = tflite.read(shared / "models" / f"{name}.tflite")
    inputs = tensors.load([f"random:{seed}"], model)
    assert max_ulp(on_device_runtime(wheel, model.data, inputs), reference.run(model.data, inputs)) == 0


@pytest.mark.parametrize("name", bundled.names())
def test_bundled_models_give_the_same_outputs_on_both_runtimes(wheel: Wheel, name: str) -> None:
    model = resolve(name)
    inputs = tensors.load([], model)
    assert max_ulp(on_device_runtime(wheel, model.data, inputs), reference.run(model.data, inputs)) == 0


def two_way(kind: str) -> tflite.Model:
    """Two inputs, two outputs, an addition and a 3x3 convolution in float32 or with 16-bit activations."""
    scale = None if kind == "float32" else Scale(2**-12)
    bits = np.random.default_rng(1)
    graph = Builder()
    main = graph.subgraph("main")
    a, b = (main.input(name, (1, 6, 5, 4), kind, scale) for name in "ab")
    added, convolved = (main.output(f"{name}{a}", (1, 6, 5, 4), kind, scale) for name in "yz")
    if kind == "float32":
        w = main.constant("w", bits.uniform(-1, 1, (4, 3, 3, 4)).astype(np.float32))
        bias = main.constant("bias", bits.uniform(-1, 1, 4).astype(np.float32))
    else:
        w = main.constant(
            "w", bits.integers(-127, 128, (4, 3, 3, 4), dtype=np.int8), Scale((2**-9,) * 4, (0,) * 4)
        )
        bias = main.constant("bias", bits.integers(-(2**20), 2**20, 4), Scale((2**-21,) * 4, (0,) * 4))
    main.operator("ADD", [a, b], [added], fused_activation="NONE", pot_scale_int16=False)
    main.operator("CONV_2D", [added, w, bias], [convolved], padding="SAME", stride_h=1, stride_w=1)
    return tflite.parse(graph.finish(), kind)


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_several_inputs_and_outputs_of_other_types_agree_too(wheel: Wheel, kind: str) -> None:
    model = two_way(kind)
    inputs = tensors.load(["random:4"], model)
    outputs = reference.run(model.data, inputs)
    assert [(o.shape, o.dtype.name) for o in outputs] == [((1, 6, 5, 4), kind)] * 2
    assert len(np.unique(outputs[1])) > 50
    assert max_ulp(on_device_runtime(wheel, model.data, inputs), outputs) == 0


@pytest.mark.interop
def test_mending_changes_nothing_but_the_axis_of_one_dimensional_tensors(shared: Path) -> None:
    model = tflite.read(shared / "models" / "person_detect.tflite")
    mended = reference.mended(model.data)
    changed = [i for i, (a, b) in enumerate(zip(model.data, mended, strict=True)) if a != b]
    depthwise = sum(o.code == "DEPTHWISE_CONV_2D" for o in model.subgraphs[0].operators)
    assert len(changed) == depthwise
    assert {model.data[i] for i in changed} == {3}
    assert {mended[i] for i in changed} == {0}


def test_a_model_that_needs_no_mending_stays_as_it_is() -> None:
    model = bundled.build("mnist_mbv2_035_32_int8")
    assert reference.mended(model) == model


@pytest.mark.interop
def test_an_operator_that_the_runtime_lacks_is_named(shared: Path) -> None:
    model = tflite.read(shared / "models" / "person_detect_vela.tflite")
    with pytest.raises(ReferenceError, match="ethos-u"):
        reference.run(model.data, tensors.load([], model))


def test_a_wrong_input_is_refused_by_the_runtime_in_one_line() -> None:
    with pytest.raises(ReferenceError, match="refuses the model") as error:
        reference.run(bundled.build("mnist_mbv2_035_32_int8"), [np.zeros((1, 2), np.int8)])
    assert "\n" not in str(error.value)


def test_closing_ends_the_child_at_once() -> None:
    model = resolve("person_mbv2_035_96_int8")
    started = reference.start(model.data, tensors.load([], model))
    process = started._process
    assert process.poll() is None
    started.close()
    assert process.returncode is not None


def test_a_crash_of_the_runtime_is_told_and_survived() -> None:
    model = resolve("person_mbv2_035_96_int8")
    with reference.start(model.data, tensors.load([], model)) as started:
        started._process.kill()
        with pytest.raises(ReferenceError, match="crashed on the model"):
            started.result()


def test_a_run_that_takes_too_long_is_ended() -> None:
    model = resolve("person_mbv2_035_96_int8")
    with reference.start(model.data, tensors.load([], model)) as started:
        with pytest.raises(ReferenceError, match=r"did not finish the model within 0\.001 s"):
            started.result(timeout_s=0.001)
        assert started._process.returncode is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_an_interrupt_of_the_caller_leaves_no_child() -> None:
    script = (
        "from harness.models import bundled, reference, tensors\n"
        "from harness.models.resolve import resolve\n"
        "m = resolve('person_mbv2_035_96_int8')\n"
        "with reference.start(m.data, tensors.load([], m)) as r:\n"
        "    print(r._process.pid, flush=True)\n"
        "    import time; time.sleep(30)\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert caller.stdout is not None
    child = int(caller.stdout.readline())
    os.killpg(caller.pid, signal.SIGINT)
    caller.wait(10)
    caller.stdout.close()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
