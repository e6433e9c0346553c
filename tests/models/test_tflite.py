"""The reader: what it makes of good files, and the one line it has for each kind of bad one."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.models import tflite
from harness.models.build import Builder, Scale
from tests.models.bases import edited, everything

DATA = everything()


def refusal(data: bytes) -> str:
    with pytest.raises(tflite.ModelError) as caught:
        tflite.parse(data, "some.tflite")
    message = str(caught.value)
    assert message.startswith("some.tflite: ")
    assert "\n" not in message
    return message


def test_tensors_operators_and_options_read_as_they_were_written() -> None:
    model = tflite.parse(DATA, "m")
    main, setup = model.subgraphs
    assert (model.version, model.description, main.name, setup.name) == (
        3,
        "a bit of everything",
        "main",
        "setup",
    )
    conv = main.operators[1]
    assert (conv.code, conv.label, conv.version, conv.custom_code) == ("CONV_2D", "CONV_2D", 3, None)
    assert conv.options["padding"] == "SAME"
    assert conv.options["stride_h"] == 2
    assert conv.options["fused_activation"] == "RELU6"
    assert conv.options["dilation_w_factor"] == 1, "the schema's default where the file has none"
    x, kernel, bias = (main.tensors[i] for i in conv.inputs)
    assert (x.name, x.shape, x.type, x.constant, x.bytes) == ("x", (1, 8, 8, 3), "int8", False, 192)
    assert x.quantization == tflite.Quantization((0.5,), (-1,), 0)
    assert kernel.quantization is not None
    assert kernel.quantization.zero_points == (0, 0, 0, 0)
    np.testing.assert_allclose(kernel.quantization.scales, (0.1, 0.2, 0.3, 0.4), rtol=1e-6)
    assert bytes(model.constant(bias) or b"") == np.arange(4, dtype="<i4").tobytes()
    assert model.constant(x) is None
    svdf = next(o for o in main.operators if o.code == "SVDF")
    assert svdf.inputs[3] == -1
    assert main.tensors[svdf.inputs[4]].variable
    custom = main.operators[-1]
    assert (custom.code, custom.custom_code, custom.label) == ("CUSTOM", "Odd", "Odd")
    assert next(o for o in main.operators if o.code == "RESHAPE").options["new_shape"] == (1, 64)
    assert next(o for o in main.operators if o.code == "VAR_HANDLE").options["shared_name"] == "count"
    assert model.metadata == {"note": b"hello"}


def test_a_scalar_has_one_element_and_two_int4_share_a_byte() -> None:
    out = Builder()
    main = out.subgraph("main")
    main.input("scalar", (), "float32")
    main.output("packed", (3,), "int4", Scale(1.0))
    main.operator("QUANTIZE", [0], [1])
    scalar, packed = tflite.parse(out.finish(), "m").subgraphs[0].tensors
    assert (scalar.elements, scalar.bytes) == (1, 4)
    assert (packed.elements, packed.bytes) == (3, 2)


def test_data_after_the_flatbuffer_is_found_by_its_offset() -> None:
    mark = 0x7E57_0000_0000_0000  # found again below: where the data goes is known once the rest is written

    def move_out(tree: Any) -> None:
        for i, buffer in enumerate(tree.buffers):
            if buffer.data is not None and len(buffer.data):
                buffer.offset, buffer.size, buffer.data = mark + i, len(buffer.data), None

    inside = tflite.parse(DATA, "inside")
    flat = bytearray(edited(DATA, move_out))
    start, payload = len(flat), b""
    for i in range(len(inside.buffers)):
        if content := bytes(inside.buffer(i)):
            at = flat.index(struct.pack("<Q", mark + i))
            flat[at : at + 8] = struct.pack("<Q", start + len(payload))
            payload += content
    outside = tflite.parse(bytes(flat + payload), "outside")
    contents = [
        [bytes(m.constant(t) or b"") for g in m.subgraphs for t in g.tensors] for m in (inside, outside)
    ]
    assert contents[0] == contents[1]
    assert outside.metadata == inside.metadata
    assert "reaches past the end" in refusal(bytes(flat + payload[:-1]))


def test_signatures_name_their_tensors() -> None:
    def sign(tree: Any) -> None:
        schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
        entry, argument = schema.SignatureDefT(), schema.TensorMapT()
        argument.name, argument.tensorIndex = b"picture", 0
        entry.signatureKey, entry.subgraphIndex = b"serving_default", 0
        entry.inputs, entry.outputs = [argument], []
        tree.signatureDefs = [entry]

    (signature,) = tflite.parse(edited(DATA, sign), "m").signatures
    assert signature == tflite.Signature("serving_default", 0, {"picture": 0}, {})


def test_one_zero_point_serves_all_scales() -> None:
    def shorten(tree: Any) -> None:
        tree.subgraphs[0].tensors[3].quantization.zeroPoint = [7]

    quantization = tflite.parse(edited(DATA, shorten), "m").subgraphs[0].tensors[3].quantization
    assert quantization is not None
    assert quantization.zero_points == (7, 7, 7, 7)


def test_an_axis_that_a_bias_does_not_have_becomes_its_last() -> None:
    def move(tree: Any) -> None:
        tree.subgraphs[0].tensors[4].quantization.quantizedDimension = 3

    quantization = tflite.parse(edited(DATA, move), "m").subgraphs[0].tensors[4].quantization
    assert quantization is not None
    assert quantization.axis == 0


def test_names_that_are_not_utf8_are_replaced() -> None:
    def spoil(tree: Any) -> None:
        tree.subgraphs[0].tensors[0].name = "x"
        tree.description = "MARK"

    data = edited(DATA, spoil).replace(b"MARK", b"\xff\xfeOK")
    assert tflite.parse(data, "m").description == "\ufffd\ufffdOK"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"\0" * 4, "not a TFLite model"),
        (np.random.default_rng(1).bytes(5000), "not a TFLite model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04" + bytes(99), "ZIP"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x08\0\0\0TFL3", "outside the file"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "outside the file"),
        (DATA[: len(DATA) // 2], "damaged"),
        (DATA[:-1], "damaged"),
        (DATA[:9], "damaged"),
    ],
)
def test_what_is_no_model_is_named_for_what_it_is(data: bytes, says: str) -> None:
    assert says in refusal(data)


def set_version(tree: Any) -> None:
    tree.version = 2


def drop_subgraphs(tree: Any) -> None:
    tree.subgraphs = []


def point_operator_nowhere(tree: Any) -> None:
    tree.subgraphs[0].operators[1].opcodeIndex = 99


def point_input_nowhere(tree: Any) -> None:
    tree.subgraphs[0].operators[1].inputs = [0, 99]


def point_output_at_nothing(tree: Any) -> None:
    tree.subgraphs[0].operators[1].outputs = [-1]


def point_graph_input_nowhere(tree: Any) -> None:
    tree.subgraphs[0].inputs = [-1]


def point_tensor_at_no_buffer(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].buffer = 1000


def point_call_nowhere(tree: Any) -> None:
    tree.subgraphs[0].operators[0].builtinOptions.initSubgraphIndex = 2


def give_negative_shape(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].shape = [1, -1]


def give_overflowing_shape(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].shape = [65536, 65536]


def give_many_dimensions(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].shape = [1] * 33


def grow_constant(tree: Any) -> None:
    tree.subgraphs[0].tensors[3].shape = [5, 3, 3, 3]


def give_infinite_scale(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].quantization.scale = [float("inf")]


def give_too_few_zero_points(tree: Any) -> None:
    tree.subgraphs[0].tensors[3].quantization.zeroPoint = [0, 0]


def give_unknown_type(tree: Any) -> None:
    tree.subgraphs[0].tensors[0].type = 77


def give_unknown_padding(tree: Any) -> None:
    tree.subgraphs[0].operators[1].builtinOptions.padding = 9


def point_metadata_nowhere(tree: Any) -> None:
    tree.metadata[0].buffer = 1000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_version, "schema version 2"),
        (drop_subgraphs, "no subgraph"),
        (point_operator_nowhere, "operator 1: code 99 does not exist"),
        (point_input_nowhere, "operator 1 (CONV_2D): input tensor 99 does not exist"),
        (point_output_at_nothing, "operator 1 (CONV_2D): output tensor -1 does not exist"),
        (point_graph_input_nowhere, "subgraph 0: input tensor -1 does not exist"),
        (point_tensor_at_no_buffer, "tensor 0 'x': buffer 1000 does not exist"),
        (point_call_nowhere, "operator 0 (CALL_ONCE): init subgraph index 2 does not exist"),
        (give_negative_shape, "tensor 0 'x' has the dimension -1; convert the model with fixed shapes"),
        (give_overflowing_shape, "tensor 0 'x' has more than 2147483647 elements"),
        (give_many_dimensions, "tensor 0 'x' has 33 dimensions"),
        (grow_constant, "tensor 3 'kernel' needs 135 bytes of data, its buffer has 108"),
        (give_infinite_scale, "not a finite number"),
        (give_too_few_zero_points, "4 quantization scales but 2 zero points"),
        (give_unknown_type, "unknown type 77"),
        (give_unknown_padding, "operator 1 (CONV_2D) has the unknown padding 9"),
        (point_metadata_nowhere, "metadata buffer 1000 does not exist"),
    ],
)
def test_a_damaged_field_is_named_with_its_place(change: Any, says: str) -> None:
    assert says in refusal(edited(DATA, change))


def test_a_label_from_the_file_cannot_break_the_line_of_a_message() -> None:
    def spoil(tree: Any) -> None:
        tree.operatorCodes[-1].customCode = b"Odd\n\x1b[2J"
        tree.subgraphs[0].operators[-1].inputs = [99]

    assert "operator 6 (Odd\\n\\x1b[2J): input tensor 99 does not exist" in refusal(edited(DATA, spoil))


def test_a_builtin_from_a_newer_schema_is_kept_by_number() -> None:
    def renumber(tree: Any) -> None:
        tree.operatorCodes[1].builtinCode = 300
        tree.operatorCodes[1].deprecatedBuiltinCode = 127
        tree.subgraphs[0].operators[1].builtinOptions = None
        tree.subgraphs[0].operators[1].builtinOptionsType = 0

    assert tflite.parse(edited(DATA, renumber), "m").subgraphs[0].operators[1].label == "BUILTIN_300"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nowhere\.tflite: no such file"):
        tflite.read(tmp_path / "nowhere.tflite")
    with pytest.raises(HarnessError, match="not a regular file"):
        tflite.read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_without_a_writer_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HarnessError, match="not a regular file"):
        tflite.read(tmp_path / "pipe")


@pytest.mark.interop
def test_real_models_hash_to_what_their_list_says(shared: Path) -> None:
    listed = (shared / "models" / "MODELS.md").read_text()
    files = sorted((shared / "models").glob("*.tflite"))
    assert files
    for file in files:
        assert tflite.read(file).sha256 in listed
