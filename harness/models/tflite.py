"""Read .tflite files into plain data, from any source: whatever the bytes, a Model or one ModelError.

The file format is a flatbuffer with the schema of TensorFlow Lite (identifier "TFL3", version 3). Offsets
are checked by `harness.models.flatbuffer`, indices and shapes here, so that what is returned can be walked
without further checks: every tensor, buffer and subgraph index is in range (-1 only among an operator's
inputs and intermediates), no dimension is negative, and constant data is as large as its tensor.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import math
import re
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, printable
from harness.models import flatbuffer
from harness.models.flatbuffer import Damaged, Work, child, children, numbers, text
from harness.models.graph import BITS, Model, Operator, Quantization, Signature, Subgraph, Tensor

__all__ = [
    "Model",
    "ModelError",
    "Operator",
    "Quantization",
    "Signature",
    "Subgraph",
    "Tensor",
    "parse",
    "read",
]

SCHEMA_VERSION = 3

# TFLite's kernels count elements in a signed 32-bit integer, and take far fewer dimensions than numpy's 32.
_MOST_ELEMENTS = 2**31 - 1
_MOST_DIMENSIONS = 32

# An operator with its vectors takes over 30 bytes of file; it and an input or output weigh more once listed.
_UNITS_PER_ENTRY = 32

# What people hand over in place of a model: first bytes, what it is, what to do.
_MISTAKEN = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
    (b"<", "a web page or XML", "download the raw file"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, or convert the Keras model in it to .tflite"),
    (b"\x89HDF", "an HDF5 (Keras) model", "convert it to .tflite first"),
)

_TENSOR_TYPE_OPTIONS = {
    "in_data_type",
    "out_data_type",
    "out_type",
    "output_type",
    "idx_out_type",
    "quantized_bias_type",
}
_ENUM_OPTIONS = {
    "padding": "Padding",
    "fused_activation": "ActivationFunctionType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "kernel_type": "LSTMKernelType",
    "mode": "MirrorPadMode",
} | dict.fromkeys(_TENSOR_TYPE_OPTIONS, "TensorType")


class ModelError(HarnessError):
    """A file is no model that can be used; the message names the file and says what is wrong with it."""


class _Unfixed(Damaged):
    """A shape was left open when the model was converted."""


def read(path: str | Path) -> Model:
    """Read the model file at `path`; raises ModelError with the file's name for whatever is wrong with it."""
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file; give the path of a .tflite file")
    if not path.is_file():
        raise ModelError(f"{path}: not a regular file; give the path of a .tflite file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Model:
    """Parse the bytes of a model file; `name` is what messages call it. Raises ModelError."""
    if not data:
        raise ModelError(f"{name}: the file is empty; export or copy the model again")
    if data[4:8] != b"TFL3":
        for magic, what, remedy in _MISTAKEN:
            if data.startswith(magic):
                raise ModelError(f"{name}: this is {what}, not a TFLite model; {remedy}")
        raise ModelError(f"{name}: not a TFLite model (bytes 4 to 7 are not 'TFL3'); give a .tflite file")
    try:
        return _model(data, name)
    except _Unfixed as reason:
        raise ModelError(f"{name}: {reason}; convert the model with fixed shapes") from reason
    except Damaged as reason:
        raise ModelError(f"{name}: damaged TFLite model: {reason}; export or copy it again") from reason


@functools.cache
def _schema(name: str) -> type:
    found: type = getattr(importlib.import_module(f"ethosu.vela.tflite.{name}"), name)
    return found


@functools.cache
def _names(enum: str) -> dict[int, str]:
    """Map the values of a schema enumeration to their names."""
    return {value: name for name, value in vars(_schema(enum)).items() if not name.startswith("_")}


def _in_range(index: int, count: int, what: str) -> int:
    if not 0 <= index < count:
        raise Damaged(f"{what} {index} does not exist ({count} do)")
    return index


def _model(data: bytes, name: str) -> Model:
    work = Work(len(data))
    root = flatbuffer.root(_schema("Model"), data, work)
    if root.Version() != SCHEMA_VERSION:
        raise Damaged(f"schema version {root.Version()}; TFLite-Micro takes {SCHEMA_VERSION} alone")
    buffers = tuple(_span(b, len(data)) for b in children(root, "Buffers"))
    codes = tuple(_code(c) for c in children(root, "OperatorCodes"))
    graphs = root.SubgraphsLength()
    if not graphs:
        raise Damaged("it has no subgraph")
    subgraphs = tuple(
        _subgraph(graph, i, graphs, codes, buffers) for i, graph in enumerate(children(root, "Subgraphs"))
    )
    metadata = {}
    for entry in children(root, "Metadata"):
        start, length = buffers[_in_range(entry.Buffer(), len(buffers), "metadata buffer")]
        work.charge(length)
        metadata[text(entry.Name())] = data[start : start + length]
    return Model(
        name=name,
        data=data,
        sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        version=root.Version(),
        description=text(root.Description()),
        subgraphs=subgraphs,
        signatures=tuple(_signature(s, subgraphs) for s in children(root, "SignatureDefs")),
        metadata=metadata,
        buffers=buffers,
    )


def _span(buffer: Any, file_bytes: int) -> tuple[int, int]:
    """Return where the bytes of a buffer lie: in its vector, or after the flatbuffer in files over 2 GB."""
    offset, size = buffer.Offset(), buffer.Size()
    if offset > 1:
        if offset + size > file_bytes:
            raise Damaged(f"a buffer of {size} bytes at byte {offset} reaches past the end of the file")
        return offset, size
    if buffer.DataIsNone():
        return 0, 0
    start, length = buffer._tab.span(buffer._tab.Offset(4))
    return start, length


def _code(entry: Any) -> tuple[str, str | None, int]:
    """Return (builtin name, custom name or None, version) of an operator code.

    Files from before builtin codes outgrew a byte have the code in the deprecated field alone, later ones
    have 127 there; the larger one holds.
    """
    number = max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())
    builtin = _names("BuiltinOperator").get(number, f"BUILTIN_{number}")
    custom = text(entry.CustomCode()) if builtin == "CUSTOM" else None
    return builtin, custom, entry.Version()


def _subgraph(
    graph: Any,
    index: int,
    graphs: int,
    codes: tuple[tuple[str, str | None, int], ...],
    buffers: tuple[tuple[int, int], ...],
) -> Subgraph:
    tensors = tuple(_tensor(t, i, buffers) for i, t in enumerate(children(graph, "Tensors")))
    operators = tuple(
        _operator(o, i, codes, len(tensors), graphs) for i, o in enumerate(children(graph, "Operators"))
    )
    inputs = _tensor_indices(graph, "Inputs", len(tensors), f"subgraph {index}: input tensor")
    outputs = _tensor_indices(graph, "Outputs", len(tensors), f"subgraph {index}: output tensor")
    for i in inputs + outputs:
        quantization = tensors[i].quantization
        scales = len(quantization.scales) if quantization else 0
        flatbuffer.charge(graph, _UNITS_PER_ENTRY + len(tensors[i].name) + 4 * scales)
    return Subgraph(index, text(graph.Name()), tensors, operators, inputs, outputs)


def _signature(entry: Any, subgraphs: tuple[Subgraph, ...]) -> Signature:
    key = text(entry.SignatureKey())
    graph = _in_range(entry.SubgraphIndex(), len(subgraphs), f"signature {key[:80]!r}: subgraph")
    count = len(subgraphs[graph].tensors)

    def named(field: str) -> dict[str, int]:
        return {
            text(t.Name()): _in_range(t.TensorIndex(), count, f"signature {key[:80]!r}: tensor")
            for t in children(entry, field)
        }

    return Signature(key, graph, named("Inputs"), named("Outputs"))


def _tensor_indices(owner: Any, field: str, count: int, what: str, lowest: int = 0) -> tuple[int, ...]:
    indices: tuple[int, ...] = numbers(owner, field)
    for i in indices:
        if i != -1 or lowest != -1:
            _in_range(i, count, what)
    return indices


def _tensor(tensor: Any, index: int, buffers: tuple[tuple[int, int], ...]) -> Tensor:
    name = text(tensor.Name())
    where = f"tensor {index} {name[:80]!r}"
    kind = _names("TensorType").get(tensor.Type(), "").lower()
    if kind not in BITS:
        raise Damaged(f"{where} has the unknown type {tensor.Type()}")
    shape = numbers(tensor, "Shape")
    _check_shape(shape, where)
    buffer = _in_range(tensor.Buffer(), len(buffers), f"{where}: buffer")
    found = Tensor(
        index=index,
        name=name,
        shape=shape,
        type=kind,
        buffer=buffer,
        constant=buffers[buffer][1] > 0,
        variable=tensor.IsVariable(),
        quantization=_quantization(child(tensor.Quantization(), tensor), shape, where),
    )
    # A sparse tensor's buffer holds its non-zero values alone.
    if found.constant and tensor.Sparsity() is None and buffers[buffer][1] < found.bytes:
        raise Damaged(f"{where} needs {found.bytes} bytes of data, its buffer has {buffers[buffer][1]}")
    return found


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) > _MOST_DIMENSIONS:
        raise Damaged(f"{where} has {len(shape)} dimensions, more than {_MOST_DIMENSIONS}")
    elements = 1
    for size in shape:
        if size < 0:
            raise _Unfixed(f"{where} has the dimension {size}")
        elements *= size
        if elements > _MOST_ELEMENTS:
            raise Damaged(f"{where} has more than {_MOST_ELEMENTS} elements")


def _quantization(parameters: Any, shape: tuple[int, ...], where: str) -> Quantization | None:
    if parameters is None or not (scales := numbers(parameters, "Scale")):
        return None
    if not all(math.isfinite(s) for s in scales):
        raise Damaged(f"{where} has a quantization scale that is not a finite number")
    zero_points = numbers(parameters, "ZeroPoint") or (0,)
    if len(zero_points) == 1:
        zero_points *= len(scales)
    if len(zero_points) != len(scales):
        raise Damaged(f"{where} has {len(scales)} quantization scales but {len(zero_points)} zero points")
    # Converters have written the axis of the filter on its one-dimensional bias too.
    axis = min(max(parameters.QuantizedDimension(), 0), max(len(shape) - 1, 0))
    return Quantization(scales, zero_points, axis)


def _operator(
    operator: Any, index: int, codes: tuple[tuple[str, str | None, int], ...], tensors: int, graphs: int
) -> Operator:
    code, custom, version = codes[_in_range(operator.OpcodeIndex(), len(codes), f"operator {index}: code")]
    flatbuffer.charge(operator, _UNITS_PER_ENTRY + len(custom or ""))
    where = f"operator {index} ({printable((custom or code)[:80])})"
    options = _options(operator, "BuiltinOptions", where) | _options(operator, "BuiltinOptions2", where)
    for name, value in options.items():
        if name.endswith("subgraph_index"):
            _in_range(value, graphs, f"{where}: {name.replace('_', ' ')}")
    return Operator(
        index=index,
        code=code,
        custom_code=custom,
        version=version,
        inputs=_tensor_indices(operator, "Inputs", tensors, f"{where}: input tensor", lowest=-1),
        outputs=_tensor_indices(operator, "Outputs", tensors, f"{where}: output tensor"),
        intermediates=_tensor_indices(
            operator, "Intermediates", tensors, f"{where}: intermediate tensor", lowest=-1
        ),
        options=options,
        custom_options=bytes(numbers(operator, "CustomOptions")),
    )


def _options(operator: Any, union: str, where: str) -> dict[str, Any]:
    """Return the options in the union field `union` of an operator; {} if it has none."""
    kind = getattr(operator, union + "Type")()
    table = getattr(operator, union)()
    if kind == 0 or table is None:
        return {}
    schema = _names(union).get(kind)
    if schema is None:
        raise Damaged(f"{where} has options of the unknown kind {kind}")
    found = flatbuffer.at(_schema(schema), table.Bytes, table.Pos, operator._tab._work)
    options = {}
    for name, field, is_vector in _option_fields(schema):
        if is_vector:
            options[name] = numbers(found, field)
            continue
        value = getattr(found, field)()
        if isinstance(value, bytes):
            value = text(value)
        if name in _ENUM_OPTIONS:
            known = _names(_ENUM_OPTIONS[name])
            if value not in known:
                raise Damaged(f"{where} has the unknown {name.replace('_', ' ')} {value}")
            value = known[value].lower() if name in _TENSOR_TYPE_OPTIONS else known[value]
        options[name] = value
    return options


@functools.cache
def _option_fields(schema: str) -> tuple[tuple[str, str, bool], ...]:
    """Return (option name, accessor, whether a vector of numbers) of the options table `schema`.

    Nested tables, which only some StableHLO operators have, are left out.
    """
    accessors = {
        name: len(inspect.signature(member).parameters) - 1
        for name, member in vars(_schema(schema)).items()
        if inspect.isfunction(member) and name != "Init"
    }
    fields = []
    for name, arguments in accessors.items():
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().replace("activation_function", "activation")
        if arguments == 1 and name + "AsNumpy" in accessors:
            fields.append((snake, name, True))
        elif arguments == 0 and not name.endswith(("AsNumpy", "IsNone", "Length")):
            fields.append((snake, name, False))
    return tuple(fields)
