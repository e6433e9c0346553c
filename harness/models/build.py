"""Build .tflite files in code: tensors, operators and subgraphs in, bytes through the format's schema out.

The same calls give the same bytes on every machine: nothing in a file depends on time, paths, hashing order
or randomness.

    graph = Builder(description="one convolution")
    main = graph.subgraph("main")
    x = main.input("x", (1, 8, 8, 3), "int8", Scale(0.5, 0))
    w = main.constant("w", weights, Scale((0.1,) * 4, (0,) * 4, axis=0))
    y = main.output("y", (1, 8, 8, 4), "int8", Scale(0.25, -128))
    main.operator("CONV_2D", [x, w], [y], padding="SAME", stride_h=1, stride_w=1)
    data = graph.finish()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness import tflite_schema

if TYPE_CHECKING:
    import flatbuffers
    import numpy as np

Option = int | float | bool | str | Sequence[int]

# Operators whose options table is not named after them.
_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "L2_NORMALIZATION": "L2NormOptions",
}
_BUFFER_ALIGNMENT = 16  # force_align in the schema: kernels read weights where they lie
_SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Scale:
    """Quantisation: real = scale * (q - zero_point), one pair a tensor or one for each index of `axis`."""

    scale: float | Sequence[float]
    zero_point: int | Sequence[int] = 0
    axis: int = 0

    @property
    def scales(self) -> list[float]:
        return [self.scale] if isinstance(self.scale, (int, float)) else [float(s) for s in self.scale]

    @property
    def zero_points(self) -> list[int]:
        return [self.zero_point] if isinstance(self.zero_point, int) else [int(z) for z in self.zero_point]


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: str
    scale: Scale | None
    buffer: int
    variable: bool


@dataclass(frozen=True)
class _Operator:
    code: str
    custom_code: str | None
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Option]
    custom_options: bytes
    version: int
    intermediates: tuple[int, ...] = ()


@dataclass
class Subgraph:
    """One subgraph under construction; its methods return tensor indices."""

    name: str
    _buffers: list[bytes]
    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        type: str,
        scale: Scale | None = None,
        *,
        variable: bool = False,
    ) -> int:
        """Add an activation tensor (or with `variable` one whose value outlives an invoke)."""
        self.tensors.append(_Tensor(name, tuple(shape), type, scale, 0, variable))
        return len(self.tensors) - 1

    def input(self, name: str, shape: Sequence[int], type: str, scale: Scale | None = None) -> int:
        """Add an input of the subgraph."""
        self.inputs.append(self.tensor(name, shape, type, scale))
        return self.inputs[-1]

    def output(self, name: str, shape: Sequence[int], type: str, scale: Scale | None = None) -> int:
        """Add an output of the subgraph."""
        self.outputs.append(self.tensor(name, shape, type, scale))
        return self.outputs[-1]

    def constant(self, name: str, values: np.ndarray, scale: Scale | None = None) -> int:
        """Add a constant tensor with the shape, type and values of an array."""
        self._buffers.append(values.astype(values.dtype.newbyteorder("<")).tobytes())
        buffer = len(self._buffers) - 1
        self.tensors.append(_Tensor(name, values.shape, values.dtype.name, scale, buffer, False))
        return len(self.tensors) - 1

    def operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], *, version: int = 1, **options: Option
    ) -> None:
        """Add a builtin operator, named and with its options as the schema names them, in snake_case.

        `fused_activation` stands for the schema's fused_activation_function; it and `padding` take words.
        An input of -1 is an optional input that is left out. `intermediates` are tensors that carry the
        quantisation of what an LSTM computes inside.
        """
        inside = options.pop("intermediates", ())
        if not isinstance(inside, Sequence) or isinstance(inside, str):
            raise ValueError(f"intermediates are tensor indices, not {inside!r}")
        operator = _Operator(code, None, tuple(inputs), tuple(outputs), options, b"", version, tuple(inside))
        self.operators.append(operator)

    def custom(self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes = b"") -> None:
        """Add a custom operator with its options as raw bytes."""
        self.operators.append(_Operator("CUSTOM", code, tuple(inputs), tuple(outputs), {}, options, 1))


class Builder:
    """A model under construction."""

    def __init__(self, description: str = "") -> None:
        self.description = description
        self.metadata: dict[str, bytes] = {}
        self.subgraphs: list[Subgraph] = []
        self._buffers: list[bytes] = [b""]  # buffer 0 is by convention empty: tensors without data use it

    def subgraph(self, name: str) -> Subgraph:
        """Start a subgraph; the first one is what an invoke runs."""
        self.subgraphs.append(Subgraph(name, self._buffers))
        return self.subgraphs[-1]

    def finish(self) -> bytes:
        """Return the bytes of the model."""
        import flatbuffers

        out = flatbuffers.Builder(1024 + sum(len(b) + 32 for b in self._buffers))
        buffers = [*self._buffers, *self.metadata.values()]
        written = [_buffer(out, data) for data in buffers]
        codes: list[tuple[str, str | None, int]] = []
        subgraphs = [_subgraph(out, subgraph, codes) for subgraph in self.subgraphs]
        operator_codes = [_operator_code(out, *code) for code in codes]
        metadata = [
            _table(out, "Metadata", {"name": out.CreateString(name), "buffer": len(self._buffers) + i})
            for i, name in enumerate(self.metadata)
        ]
        fields: dict[str, Any] = {
            "version": _SCHEMA_VERSION,
            "operator_codes": _offsets(out, operator_codes),
            "subgraphs": _offsets(out, subgraphs),
            "description": out.CreateString(self.description),
            "buffers": _offsets(out, written),
        }
        if metadata:
            fields["metadata"] = _offsets(out, metadata)
        out.Finish(_table(out, "Model", fields), file_identifier=b"TFL3")
        return bytes(out.Output())


def _table(out: flatbuffers.Builder, name: str, fields: dict[str, Any]) -> int:
    """Write one table; strings, vectors and tables inside it are given by their offset."""
    known = tflite_schema.table(name)
    out.StartObject(1 + max((field.slot for field in known.values()), default=-1))
    for key, value in fields.items():
        field = known[key]
        if field.is_scalar:
            getattr(out, f"Prepend{field.kind.capitalize()}Slot")(field.slot, value, field.default)
        else:
            out.PrependUOffsetTRelativeSlot(field.slot, value, 0)
    return int(out.EndObject())


def _offsets(out: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    out.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        out.PrependUOffsetTRelative(offset)
    return int(out.EndVector())


def _numbers(out: flatbuffers.Builder, values: Sequence[int | float], dtype: str) -> int:
    import numpy as np

    return int(out.CreateNumpyVector(np.asarray(values, dtype=dtype)))


def _buffer(out: flatbuffers.Builder, data: bytes) -> int:
    if not data:
        return _table(out, "Buffer", {})
    out.StartVector(1, len(data), _BUFFER_ALIGNMENT)
    out.head -= len(data)
    out.Bytes[out.head : out.head + len(data)] = data
    return _table(out, "Buffer", {"data": out.EndVector()})


def _subgraph(out: flatbuffers.Builder, graph: Subgraph, codes: list[tuple[str, str | None, int]]) -> int:
    tensors = [_tensor(out, tensor) for tensor in graph.tensors]
    operators = [_operator(out, operator, codes) for operator in graph.operators]
    return _table(
        out,
        "SubGraph",
        {
            "tensors": _offsets(out, tensors),
            "inputs": _numbers(out, graph.inputs, "<i4"),
            "outputs": _numbers(out, graph.outputs, "<i4"),
            "operators": _offsets(out, operators),
            "name": out.CreateString(graph.name),
        },
    )


def _tensor(out: flatbuffers.Builder, tensor: _Tensor) -> int:
    fields: dict[str, Any] = {
        "shape": _numbers(out, tensor.shape, "<i4"),
        "type": tflite_schema.number("TensorType", tensor.type.upper()),
        "buffer": tensor.buffer,
        "name": out.CreateString(tensor.name),
        "is_variable": tensor.variable,
    }
    if tensor.scale is not None:
        fields["quantization"] = _table(
            out,
            "QuantizationParameters",
            {
                "scale": _numbers(out, tensor.scale.scales, "<f4"),
                "zero_point": _numbers(out, tensor.scale.zero_points, "<i8"),
                "quantized_dimension": tensor.scale.axis,
            },
        )
    return _table(out, "Tensor", fields)


def _operator(out: flatbuffers.Builder, operator: _Operator, codes: list[tuple[str, str | None, int]]) -> int:
    code = (operator.code, operator.custom_code, operator.version)
    if code not in codes:
        codes.append(code)
    fields: dict[str, Any] = {
        "opcode_index": codes.index(code),
        "inputs": _numbers(out, operator.inputs, "<i4"),
        "outputs": _numbers(out, operator.outputs, "<i4"),
    }
    if operator.intermediates:
        fields["intermediates"] = _numbers(out, operator.intermediates, "<i4")
    if operator.custom_options:
        fields["custom_options"] = out.CreateByteVector(operator.custom_options)
    table = _options_table(operator.code)
    if table is not None:
        fields["builtin_options_type"] = tflite_schema.number("BuiltinOptions", table)
        options = dict(_option(out, table, *item) for item in operator.options.items())
        fields["builtin_options"] = _table(out, table, options)
    elif operator.options:
        raise ValueError(f"the schema has no options for {operator.code}")
    return _table(out, "Operator", fields)


def _options_table(code: str) -> str | None:
    """Return the name of an operator's options table (SPACE_TO_DEPTH: SpaceToDepthOptions), if it has one."""
    if code in _OPTIONS:
        return _OPTIONS[code]
    plain = f"{code.replace('_', '')}options".lower()
    return next((name for name in tflite_schema.names("BuiltinOptions") if name.lower() == plain), None)


def _option(out: flatbuffers.Builder, table: str, key: str, value: Option) -> tuple[str, Any]:
    if key not in tflite_schema.table(table):
        raise ValueError(f"the schema's {table} has no field '{key}'")
    if isinstance(value, str):
        enumeration = tflite_schema.ENUMERATED.get(key)
        return key, tflite_schema.number(enumeration, value) if enumeration else out.CreateString(value)
    if isinstance(value, (int, float)):
        return key, value
    return key, _numbers(out, value, "<i4")


def _operator_code(out: flatbuffers.Builder, code: str, custom_code: str | None, version: int) -> int:
    number = tflite_schema.number("BuiltinOperator", code)
    fields: dict[str, Any] = {
        # Readers from before the field grew to 32 bits look at the 8-bit one; its 127 means "see the other".
        "deprecated_builtin_code": min(number, 127),
        "builtin_code": number,
        "version": version,
    }
    if custom_code is not None:
        fields["custom_code"] = out.CreateString(custom_code)
    return _table(out, "OperatorCode", fields)
