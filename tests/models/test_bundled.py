"""The bundled models: the same bytes everywhere, and worth running."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.models import bundled, reference, tflite
from harness.models.resolve import resolve

SHA256 = {
    "person_mbv2_035_96_int8": "f41d29678ab81dce6a739afe0251676697619b1538a8ab088b73fb5e30e8f2dc",
    "cifar10_mbv2_035_32_int8": "e5164d47bc4ecad4790d5120f7f0d26ad15029d8c0cbc85b12b2a5766c30191a",
    "mnist_mbv2_035_32_int8": "6314ad60bf1547fdee25130f84fc4bed6c046a37f371f37fee9290b19b63e2fb",
}
SHAPES = {
    "person_mbv2_035_96_int8": ((1, 96, 96, 3), (1, 2)),
    "cifar10_mbv2_035_32_int8": ((1, 32, 32, 3), (1, 10)),
    "mnist_mbv2_035_32_int8": ((1, 32, 32, 1), (1, 10)),
}


@pytest.mark.parametrize("name", bundled.names())
def test_a_bundled_model_has_the_same_bytes_on_every_machine(name: str) -> None:
    bundled.build.cache_clear()
    assert hashlib.sha256(bundled.build(name)).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", bundled.names())
def test_a_bundled_model_has_the_shapes_of_its_card_and_says_that_nobody_trained_it(name: str) -> None:
    model = resolve(name)
    main = model.subgraphs[0]
    found = tuple((main.tensors[i].shape, main.tensors[i].type) for i in (*main.inputs, *main.outputs))
    assert found == tuple((shape, "int8") for shape in SHAPES[name])
    assert "not trained" in model.description
    assert b"not trained" in model.metadata["harness"]
    assert {o.code for o in main.operators} >= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "SOFTMAX"}


@pytest.mark.parametrize("name", bundled.names())
def test_the_answer_of_a_bundled_model_depends_on_its_input(name: str) -> None:
    shape = SHAPES[name][0]
    noise = [np.random.default_rng(s).integers(-128, 128, shape, dtype=np.int8) for s in (1, 2)]
    ramp = np.broadcast_to(np.linspace(-128, 127, shape[1])[None, :, None, None], shape).astype(np.int8)
    answers = [reference.run(bundled.build(name), [x])[0] for x in (*noise, ramp)]
    assert all(np.abs(a.astype(int) - b).max() > 8 for a, b in itertools.pairwise(answers))


@pytest.mark.parametrize("name", bundled.names())
def test_every_activation_of_a_bundled_model_uses_a_fair_part_of_int8(name: str) -> None:
    graph = tflite.parse(bundled.build(name), name).subgraphs[0]
    x = np.random.default_rng(5).integers(-128, 128, SHAPES[name][0], dtype=np.int8)
    for tensor, values in _activations(bundled.build(name), x).items():
        if graph.tensors[tensor].elements > 1000:
            assert int(values.max()) - int(values.min()) >= 90, graph.tensors[tensor].name
            assert np.mean(np.abs(values.astype(int)) >= 127) < 0.35, graph.tensors[tensor].name


def _activations(model: bytes, x: np.ndarray) -> dict[int, np.ndarray]:
    try:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    graph = tflite.parse(model, "model").subgraphs[0]
    return {o: interpreter.get_tensor(o) for op in graph.operators for o in op.outputs}


def test_a_wrong_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(HarnessError, match="did you mean 'cifar10_mbv2_035_32_int8'"):
        resolve("cifar10_mbv2_35_int8")


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(HarnessError, match=r"nowhere/model\.tflite: no such file"):
        resolve("nowhere/model.tflite")
