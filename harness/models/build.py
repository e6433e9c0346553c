"""Build .tflite files in code: tensors, operators and subgraphs in, bytes through the flatbuffers schema out.

The schema's own Python classes come with the Vela wheel (`ethosu.vela.tflite`). The same calls give the
same bytes on every machine: nothing in a file depends on time, paths, hashing order or randomness.

    graph = Builder(description="one convolution")
    main = graph.subgraph("main")
    x = main.input("x", (1, 8, 8, 3), "int8", Scale(0.5, 0))
    w = main.constant("w", weights, Scale((0.1,) * 4, (0,) * 4, axis=0))
    y = main.output("y", (1, 8, 8, 4), "int8", Scale(0.25, -128))
    main.operator("CONV_2D", [x, w], [y], padding="SAME", stride_h=1, stride_w=1)
    data = graph.finish()
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
# Options whose words come from an enumeration of the schema.
_ENUMERATIONS = {"padding": "Padding", "fused_activation": "ActivationFunctionType"}
_FIELDS = {"fused_activation": "fused_activation_function"}
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
            _table(out, "Metadata", {"Name": out.CreateString(name), "Buffer": len(self._buffers) + i})
            for i, name in enumerate(self.metadata)
        ]
        fields: dict[str, Any] = {
            "Version": _SCHEMA_VERSION,
            "OperatorCodes": _offsets(out, operator_codes),
            "Subgraphs": _offsets(out, subgraphs),
            "Description": out.CreateString(self.description),
            "Buffers": _offsets(out, written),
        }
        if metadata:
            fields["Metadata"] = _offsets(out, metadata)
        out.Finish(_table(out, "Model", fields), file_identifier=b"TFL3")
        return bytes(out.Output())


def _schema(name: str) -> Any:
    return importlib.import_module(f"ethosu.vela.tflite.{name}")


def _enumeration(name: str, word: str) -> int:
    value = getattr(getattr(_schema(name), name), word, None)
    if value is None:
        raise ValueError(f"the schema's {name} has no '{word}'")
    return int(value)


def _table(out: flatbuffers.Builder, name: str, fields: dict[str, Any]) -> int:
    """Write one table; fields are named as in the generated classes, nested objects given by offset."""
    module = _schema(name)
    getattr(module, f"{name}Start")(out)
    for key, value in fields.items():
        getattr(module, f"{name}Add{key}")(out, value)
    return int(getattr(module, f"{name}End")(out))


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
    return _table(out, "Buffer", {"Data": out.EndVector()})


def _subgraph(out: flatbuffers.Builder, graph: Subgraph, codes: list[tuple[str, str | None, int]]) -> int:
    tensors = [_tensor(out, tensor) for tensor in graph.tensors]
    operators = [_operator(out, operator, codes) for operator in graph.operators]
    return _table(
        out,
        "SubGraph",
        {
            "Tensors": _offsets(out, tensors),
            "Inputs": _numbers(out, graph.inputs, "<i4"),
            "Outputs": _numbers(out, graph.outputs, "<i4"),
            "Operators": _offsets(out, operators),
            "Name": out.CreateString(graph.name),
        },
    )


def _tensor(out: flatbuffers.Builder, tensor: _Tensor) -> int:
    fields: dict[str, Any] = {
        "Shape": _numbers(out, tensor.shape, "<i4"),
        "Type": _enumeration("TensorType", tensor.type.upper()),
        "Buffer": tensor.buffer,
        "Name": out.CreateString(tensor.name),
        "IsVariable": tensor.variable,
    }
    if tensor.scale is not None:
        fields["Quantization"] = _table(
            out,
            "QuantizationParameters",
            {
                "Scale": _numbers(out, tensor.scale.scales, "<f4"),
                "ZeroPoint": _numbers(out, tensor.scale.zero_points, "<i8"),
                "QuantizedDimension": tensor.scale.axis,
            },
        )
    return _table(out, "Tensor", fields)


def _operator(out: flatbuffers.Builder, operator: _Operator, codes: list[tuple[str, str | None, int]]) -> int:
    code = (operator.code, operator.custom_code, operator.version)
    if code not in codes:
        codes.append(code)
    fields: dict[str, Any] = {
        "OpcodeIndex": codes.index(code),
        "Inputs": _numbers(out, operator.inputs, "<i4"),
        "Outputs": _numbers(out, operator.outputs, "<i4"),
    }
    if operator.intermediates:
        fields["Intermediates"] = _numbers(out, operator.intermediates, "<i4")
    if operator.custom_options:
        fields["CustomOptions"] = out.CreateByteVector(operator.custom_options)
    table = _options_table(operator.code)
    if table is not None:
        fields["BuiltinOptionsType"] = _enumeration("BuiltinOptions", table)
        options = dict(_option(out, table, *item) for item in operator.options.items())
        fields["BuiltinOptions"] = _table(out, table, options)
    elif operator.options:
        raise ValueError(f"the schema has no options for {operator.code}")
    return _table(out, "Operator", fields)


def _options_table(code: str) -> str | None:
    """Return the name of an operator's options table (SPACE_TO_DEPTH: SpaceToDepthOptions), if it has one."""
    if code in _OPTIONS:
        return _OPTIONS[code]
    plain = f"{code.replace('_', '')}options".lower()
    return next(
        (name for name in vars(_schema("BuiltinOptions").BuiltinOptions) if name.lower() == plain), None
    )


def _option(out: flatbuffers.Builder, table: str, key: str, value: Option) -> tuple[str, Any]:
    plain = f"{table}add{_FIELDS.get(key, key).replace('_', '')}".lower()
    adder = next((name for name in vars(_schema(table)) if name.lower() == plain), None)
    if adder is None:
        raise ValueError(f"the schema's {table} has no field '{key}'")
    name = adder.removeprefix(f"{table}Add")
    if isinstance(value, str):
        enumeration = _ENUMERATIONS.get(key)
        return name, _enumeration(enumeration, value) if enumeration else out.CreateString(value)
    if isinstance(value, (int, float)):
        return name, value
    return name, _numbers(out, value, "<i4")


def _operator_code(out: flatbuffers.Builder, code: str, custom_code: str | None, version: int) -> int:
    number = _enumeration("BuiltinOperator", code)
    fields: dict[str, Any] = {
        # Readers from before the field grew to 32 bits look at the 8-bit one; its 127 means "see the other".
        "DeprecatedBuiltinCode": min(number, 127),
        "BuiltinCode": number,
        "Version": version,
    }
    if custom_code is not None:
        fields["CustomCode"] = out.CreateString(custom_code)
    return _table(out, "OperatorCode", fields)
