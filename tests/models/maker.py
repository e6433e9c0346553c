"""Write .tflite files from plain calls, so that a test can say in a line what its model is made of."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers


def _schema(name: str) -> Any:
    return importlib.import_module(f"ethosu.vela.tflite.{name}")


def _enum(enum: str, name: str) -> int:
    return getattr(getattr(_schema(enum), enum), name)


@dataclass
class _Tensor:
    shape: tuple[int, ...]
    type: str
    buffer: int
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    variable: bool
    name: str


@dataclass
class _Operator:
    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    kind: str | None
    custom_options: bytes | None
    intermediates: tuple[int, ...]


@dataclass
class Graph:
    """One subgraph under construction; tensors are named by the index that `tensor` returns."""

    maker: Maker
    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def tensor(
        self,
        shape: Sequence[int],
        type: str = "INT8",
        data: bytes | None = None,
        *,
        scales: Sequence[float] | None = None,
        zero_points: Sequence[int] | None = None,
        axis: int = 0,
        variable: bool = False,
        name: str = "",
    ) -> int:
        """Add a tensor; quantized types get the scale 0.5 and zero point 0 unless told. Returns its index."""
        if scales is None:
            scales = (0.5,) if type in ("INT4", "INT8", "INT16") else ()
        if zero_points is None:
            zero_points = (0,) * len(scales)
        buffer = 0 if data is None else self.maker.buffer(data)
        name = name or f"t{len(self.tensors)}"
        self.tensors.append(
            _Tensor(tuple(shape), type, buffer, tuple(scales), tuple(zero_points), axis, variable, name)
        )
        return len(self.tensors) - 1

    def op(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kind: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        custom_options: bytes | None = None,
        intermediates: Sequence[int] = (),
    ) -> None:
        """Add an operator; `kind` is its options table without "Options", `code` a custom name if unknown."""
        self.operators.append(
            _Operator(
                code, tuple(inputs), tuple(outputs), options or {}, kind, custom_options, tuple(intermediates)
            )
        )


class Maker:
    """A model under construction: `graph()` adds subgraphs, `bytes()` returns the file."""

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.buffers: list[bytes] = [b""]
        self.metadata: dict[str, int] = {}

    def graph(self) -> Graph:
        self.graphs.append(Graph(self))
        return self.graphs[-1]

    def buffer(self, data: bytes) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1

    def add_metadata(self, name: str, data: bytes) -> None:
        self.metadata[name] = self.buffer(data)

    def bytes(self) -> bytes:
        return _Writer(self).bytes()


class _Writer:
    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.b = flatbuffers.Builder(1024)
        self.codes: list[str] = []

    def table(self, module: str, **fields: Any) -> int:
        schema = _schema(module)
        getattr(schema, module + "Start")(self.b)
        for name, value in fields.items():
            getattr(schema, f"{module}Add{name}")(self.b, value)
        return getattr(schema, module + "End")(self.b)

    def offsets(self, tables: Sequence[int]) -> int:
        self.b.StartVector(4, len(tables), 4)
        for offset in reversed(tables):
            self.b.PrependUOffsetTRelative(offset)
        return self.b.EndVector()

    def ints(self, values: Sequence[int], long: bool = False) -> int:
        self.b.StartVector(8 if long else 4, len(values), 8 if long else 4)
        for value in reversed(values):
            (self.b.PrependInt64 if long else self.b.PrependInt32)(value)
        return self.b.EndVector()

    def floats(self, values: Sequence[float]) -> int:
        self.b.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.b.PrependFloat32(value)
        return self.b.EndVector()

    def blob(self, data: bytes) -> int:
        self.b.StartVector(1, len(data), 16)
        self.b.head -= len(data)
        self.b.Bytes[self.b.head : self.b.head + len(data)] = data
        return self.b.EndVector()

    def tensor(self, t: _Tensor) -> int:
        quantization = None
        if t.scales:
            scale = self.floats(t.scales)
            given = {"Scale": scale, "QuantizedDimension": t.axis}
            if t.zero_points:
                given["ZeroPoint"] = self.ints(t.zero_points, long=True)
            quantization = self.table("QuantizationParameters", **given)
        name = self.b.CreateString(t.name)
        fields = {
            "Shape": self.ints(t.shape),
            "Type": _enum("TensorType", t.type),
            "Buffer": t.buffer,
            "Name": name,
            "IsVariable": t.variable,
        }
        if quantization is not None:
            fields["Quantization"] = quantization
        return self.table("Tensor", **fields)

    def operator(self, o: _Operator) -> int:
        if o.code not in self.codes:
            self.codes.append(o.code)
        fields: dict[str, Any] = {"Inputs": self.ints(o.inputs), "Outputs": self.ints(o.outputs)}
        if o.intermediates:
            fields["Intermediates"] = self.ints(o.intermediates)
        if o.custom_options is not None:
            fields["CustomOptions"] = self.blob(o.custom_options)
        if o.kind:
            given = {}
            for name, value in o.options.items():
                if isinstance(value, str):
                    value = self.b.CreateString(value)
                elif isinstance(value, tuple):
                    value = self.ints(value)
                given[name] = value
            fields["BuiltinOptions"] = self.table(o.kind + "Options", **given)
            fields["BuiltinOptionsType"] = _enum("BuiltinOptions", o.kind + "Options")
        return self.table("Operator", OpcodeIndex=self.codes.index(o.code), **fields)

    def graph(self, g: Graph) -> int:
        tensors = self.offsets([self.tensor(t) for t in g.tensors])
        operators = self.offsets([self.operator(o) for o in g.operators])
        name = self.b.CreateString("g")
        return self.table(
            "SubGraph",
            Tensors=tensors,
            Inputs=self.ints(g.inputs),
            Outputs=self.ints(g.outputs),
            Operators=operators,
            Name=name,
        )

    def code(self, code: str) -> int:
        known = vars(_schema("BuiltinOperator").BuiltinOperator)
        number = known.get(code, known["CUSTOM"])
        fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": 1}
        if code not in known:
            fields["CustomCode"] = self.b.CreateString(code)
        return self.table("OperatorCode", **fields)

    def bytes(self) -> bytes:
        graphs = self.offsets([self.graph(g) for g in self.maker.graphs])
        codes = self.offsets([self.code(c) for c in self.codes])
        buffers = self.offsets(
            [self.table("Buffer", **({"Data": self.blob(d)} if d else {})) for d in self.maker.buffers]
        )
        metadata = self.offsets(
            [
                self.table("Metadata", Name=self.b.CreateString(n), Buffer=i)
                for n, i in self.maker.metadata.items()
            ]
        )
        fields = {"Version": 3, "OperatorCodes": codes, "Subgraphs": graphs, "Buffers": buffers}
        if self.maker.metadata:
            fields["Metadata"] = metadata
        self.b.Finish(self.table("Model", **fields), b"TFL3")
        return bytes(self.b.Output())
