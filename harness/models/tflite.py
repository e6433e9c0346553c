"""Read .tflite files into plain data, from any source: whatever the bytes, a Model or one ModelError.

The file format is a flatbuffer with the schema of TensorFlow Lite (identifier "TFL3", version 3). Offsets
are checked by `harness.models.flatbuffer`, indices and shapes here, so that what is returned can be walked
without further checks: every tensor, buffer and subgraph index is in range (-1 only among an operator's
inputs and intermediates), no dimension is negative, and constant data is as large as its tensor.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from harness import tflite_schema
from harness.errors import HarnessError, printable
from harness.models import flatbuffer
from harness.models.flatbuffer import Damaged, ReadBudget, Table
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


def _in_range(index: int, count: int, what: str) -> int:
    if not 0 <= index < count:
        raise Damaged(f"{what} {index} does not exist ({count} do)")
    return index


def _model(data: bytes, name: str) -> Model:
    work = ReadBudget(len(data))
    root = flatbuffer.root("Model", data, work)
    version = root.number("version")
    if version != SCHEMA_VERSION:
        raise Damaged(f"schema version {version}; TFLite-Micro takes {SCHEMA_VERSION} alone")
    buffers = tuple(_span(b, len(data)) for b in root.tables("buffers"))
    codes = tuple(_code(c) for c in root.tables("operator_codes"))
    _, graphs = root.span("subgraphs")
    if not graphs:
        raise Damaged("it has no subgraph")
    subgraphs = tuple(
        _subgraph(graph, i, graphs, codes, buffers) for i, graph in enumerate(root.tables("subgraphs"))
    )
    metadata = {}
    for entry in root.tables("metadata"):
        start, length = buffers[_in_range(entry.number("buffer"), len(buffers), "metadata buffer")]
        work.charge(length)
        metadata[entry.text("name")] = data[start : start + length]
    return Model(
        name=name,
        data=data,
        sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        version=version,
        description=root.text("description"),
        subgraphs=subgraphs,
        signatures=tuple(_signature(s, subgraphs) for s in root.tables("signature_defs")),
        metadata=metadata,
        buffers=buffers,
    )


def _span(buffer: Table, file_bytes: int) -> tuple[int, int]:
    """Return where the bytes of a buffer lie: in its vector, or after the flatbuffer in files over 2 GB."""
    offset, size = buffer.number("offset"), buffer.number("size")
    if offset > 1:
        if offset + size > file_bytes:
            raise Damaged(f"a buffer of {size} bytes at byte {offset} reaches past the end of the file")
        return offset, size
    return buffer.span("data")


def _code(entry: Table) -> tuple[str, str | None, int]:
    """Return (builtin name, custom name or None, version) of an operator code.

    Files from before builtin codes outgrew a byte have the code in the deprecated field alone, later ones
    have 127 there; the larger one holds.
    """
    number = max(entry.number("builtin_code"), entry.number("deprecated_builtin_code"))
    builtin = _name("BuiltinOperator", number) or f"BUILTIN_{number}"
    custom = entry.text("custom_code") if builtin == "CUSTOM" else None
    return builtin, custom, entry.number("version")


def _name(enumeration: str, number: int) -> str | None:
    """Return the name of a value of a schema enumeration, None if the schema has no such value."""
    names = tflite_schema.names(enumeration)
    return names[number] if 0 <= number < len(names) else None


def _subgraph(
    graph: Table,
    index: int,
    graphs: int,
    codes: tuple[tuple[str, str | None, int], ...],
    buffers: tuple[tuple[int, int], ...],
) -> Subgraph:
    tensors = tuple(_tensor(t, i, buffers) for i, t in enumerate(graph.tables("tensors")))
    operators = tuple(
        _operator(o, i, codes, len(tensors), graphs) for i, o in enumerate(graph.tables("operators"))
    )
    inputs = _tensor_indices(graph, "inputs", len(tensors), f"subgraph {index}: input tensor")
    outputs = _tensor_indices(graph, "outputs", len(tensors), f"subgraph {index}: output tensor")
    for i in inputs + outputs:
        quantization = tensors[i].quantization
        scales = len(quantization.scales) if quantization else 0
        graph.charge(_UNITS_PER_ENTRY + len(tensors[i].name) + 4 * scales)
    return Subgraph(index, graph.text("name"), tensors, operators, inputs, outputs)


def _signature(entry: Table, subgraphs: tuple[Subgraph, ...]) -> Signature:
    key = entry.text("signature_key")
    graph = _in_range(entry.number("subgraph_index"), len(subgraphs), f"signature {key[:80]!r}: subgraph")
    count = len(subgraphs[graph].tensors)

    def named(field: str) -> dict[str, int]:
        return {
            t.text("name"): _in_range(t.number("tensor_index"), count, f"signature {key[:80]!r}: tensor")
            for t in entry.tables(field)
        }

    return Signature(key, graph, named("inputs"), named("outputs"))


def _tensor_indices(owner: Table, field: str, count: int, what: str, lowest: int = 0) -> tuple[int, ...]:
    indices = owner.integers(field)
    for i in indices:
        if i != -1 or lowest != -1:
            _in_range(i, count, what)
    return indices


def _tensor(tensor: Table, index: int, buffers: tuple[tuple[int, int], ...]) -> Tensor:
    name = tensor.text("name")
    where = f"tensor {index} {name[:80]!r}"
    number = tensor.number("type")
    kind = (_name("TensorType", number) or "").lower()
    if kind not in BITS:
        raise Damaged(f"{where} has the unknown type {number}")
    shape = tensor.integers("shape")
    _check_shape(shape, where)
    buffer = _in_range(tensor.number("buffer"), len(buffers), f"{where}: buffer")
    found = Tensor(
        index=index,
        name=name,
        shape=shape,
        type=kind,
        buffer=buffer,
        constant=buffers[buffer][1] > 0,
        variable=bool(tensor.scalar("is_variable")),
        quantization=_quantization(tensor.table("quantization"), shape, where),
    )
    # A sparse tensor's buffer holds its non-zero values alone.
    if found.constant and tensor.where("sparsity") is None and buffers[buffer][1] < found.bytes:
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


def _quantization(parameters: Table | None, shape: tuple[int, ...], where: str) -> Quantization | None:
    if parameters is None or not (scales := parameters.numbers("scale")):
        return None
    if not all(math.isfinite(s) for s in scales):
        raise Damaged(f"{where} has a quantization scale that is not a finite number")
    zero_points = parameters.integers("zero_point") or (0,)
    if len(zero_points) == 1:
        zero_points *= len(scales)
    if len(zero_points) != len(scales):
        raise Damaged(f"{where} has {len(scales)} quantization scales but {len(zero_points)} zero points")
    # Converters have written the axis of the filter on its one-dimensional bias too.
    axis = min(max(parameters.number("quantized_dimension"), 0), max(len(shape) - 1, 0))
    return Quantization(scales, zero_points, axis)


def _operator(
    operator: Table, index: int, codes: tuple[tuple[str, str | None, int], ...], tensors: int, graphs: int
) -> Operator:
    code, custom, version = codes[
        _in_range(operator.number("opcode_index"), len(codes), f"operator {index}: code")
    ]
    operator.charge(_UNITS_PER_ENTRY + len(custom or ""))
    where = f"operator {index} ({printable((custom or code)[:80])})"
    options = {
        **_options(operator, "builtin_options", "BuiltinOptions", where),
        **_options(operator, "builtin_options2", "BuiltinOptions2", where),
    }
    for name, value in options.items():
        if name.endswith("subgraph_index"):
            _in_range(value, graphs, f"{where}: {name.replace('_', ' ')}")
    return Operator(
        index=index,
        code=code,
        custom_code=custom,
        version=version,
        inputs=_tensor_indices(operator, "inputs", tensors, f"{where}: input tensor", lowest=-1),
        outputs=_tensor_indices(operator, "outputs", tensors, f"{where}: output tensor"),
        intermediates=_tensor_indices(
            operator, "intermediates", tensors, f"{where}: intermediate tensor", lowest=-1
        ),
        options=options,
        custom_options=operator.bytes("custom_options"),
    )


def _options(operator: Table, field: str, union: str, where: str) -> dict[str, Any]:
    """Return the options in a field of an operator, a table of one of the kinds of `union`; {} without."""
    kind = operator.number(f"{field}_type")
    if kind == 0 or operator.where(field) is None:
        return {}
    name = _name(union, kind)
    if name is None:
        raise Damaged(f"{where} has options of the unknown kind {kind}")
    found = operator.table(field, name)
    assert found is not None
    return {key: _option(found, key, known, where) for key, known in tflite_schema.table(name).items()}


def _option(options: Table, name: str, field: tflite_schema.Field, where: str) -> Any:
    if field.is_vector:
        return options.numbers(name)
    if field.kind == "string":
        return options.text(name) if options.where(name) is not None else None
    value = options.scalar(name)
    enumeration = tflite_schema.ENUMERATED.get(name)
    if enumeration is None:
        return value
    word = _name(enumeration, int(value))
    if word is None:
        raise Damaged(f"{where} has the unknown {name.replace('_', ' ')} {value}")
    return word.lower() if enumeration == "TensorType" else word
