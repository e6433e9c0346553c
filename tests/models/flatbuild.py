"""Write small .tflite files through the schema's generated classes: any operator, type or number of graphs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers

Options = Mapping[str, int | bool | float]


@dataclass
class T:
    """A tensor: constant where it has data."""

    shape: Sequence[int] = (1, 4)
    type: str = "INT8"
    data: bytes = b""
    name: str = "t"
    variable: bool = False
    scales: Sequence[float] = ()
    zero_points: Sequence[int] = ()
    axis: int = 0


@dataclass
class Op:
    """An operator: `code` is a builtin name, a builtin number, or a custom name; `options` e.g. ("Pool2DOptions", {})."""

    code: str | int
    inputs: Sequence[int] = (0,)
    outputs: Sequence[int] = (1,)
    options: tuple[str, Options] | None = None
    intermediates: Sequence[int] = ()


@dataclass
class G:
    """A subgraph."""

    tensors: Sequence[T] = ()
    operators: Sequence[Op] = ()
    inputs: Sequence[int] = (0,)
    outputs: Sequence[int] = (1,)
    name: str = "main"


@dataclass
class M:
    """A model; `external` puts constant data after the flatbuffer, as in files over 2 GB."""

    graphs: Sequence[G]
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    signatures: Sequence[tuple[str, int, Mapping[str, int], Mapping[str, int]]] = ()
    version: int = 3
    description: str = "built by a test"
    external: bool = False


def _schema(name: str) -> Any:
    return importlib.import_module(f"ethosu.vela.tflite.{name}")


def _code(op: Op) -> tuple[int, str | None]:
    builtin = vars(_schema("BuiltinOperator").BuiltinOperator)
    if isinstance(op.code, int):
        return op.code, None
    return (builtin[op.code], None) if op.code in builtin else (builtin["CUSTOM"], op.code)


class _Writer:
    def __init__(self) -> None:
        self.b = flatbuffers.Builder(1024)

    def ints(self, values: Sequence[int]) -> int:
        self.b.StartVector(4, len(values), 4)
        for v in reversed(values):
            self.b.PrependInt32(v)
        return int(self.b.EndVector())

    def refs(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for o in reversed(offsets):
            self.b.PrependUOffsetTRelative(o)
        return int(self.b.EndVector())

    def table(self, schema: str, **fields: Any) -> int:
        module = _schema(schema)
        module.Start(self.b)
        for name, value in fields.items():
            if value is not None:
                getattr(module, "Add" + name)(self.b, value)
        return int(module.End(self.b))

    def tensor(self, t: T, buffer: int) -> int:
        b = self.b
        quantization = None
        if t.scales:
            b.StartVector(4, len(t.scales), 4)
            for s in reversed(t.scales):
                b.PrependFloat32(s)
            scales = b.EndVector()
            b.StartVector(8, len(t.zero_points), 8)
            for z in reversed(t.zero_points):
                b.PrependInt64(z)
            zero_points = b.EndVector()
            quantization = self.table(
                "QuantizationParameters", Scale=scales, ZeroPoint=zero_points, QuantizedDimension=t.axis
            )
        shape, name = self.ints(t.shape), b.CreateString(t.name)
        kind = getattr(_schema("TensorType").TensorType, t.type)
        return self.table(
            "Tensor",
            Shape=shape,
            Type=kind,
            Buffer=buffer,
            Name=name,
            Quantization=quantization,
            IsVariable=t.variable,
        )

    def operator(self, op: Op, opcode: int) -> int:
        kind = options = None
        union = "BuiltinOptions"
        if op.options:
            schema, values = op.options
            if not hasattr(_schema(union).BuiltinOptions, schema):
                union = "BuiltinOptions2"
            kind = getattr(getattr(_schema(union), union), schema)
            options = self.table(schema, **values)
        inputs, outputs = self.ints(op.inputs), self.ints(op.outputs)
        intermediates = self.ints(op.intermediates) if op.intermediates else None
        return self.table(
            "Operator",
            OpcodeIndex=opcode,
            Inputs=inputs,
            Outputs=outputs,
            Intermediates=intermediates,
            **{union + "Type": kind, union: options},
        )


def build(model: M) -> bytes:
    """Return the file of `model`; every constant tensor has a buffer of its own, buffer 0 is empty."""
    w = _Writer()
    b = w.b
    contents = [b""]
    codes: list[tuple[int, str | None]] = []
    graphs = []
    for g in model.graphs:
        tensors = []
        for t in g.tensors:
            tensors.append(w.tensor(t, len(contents) if t.data else 0))
            if t.data:
                contents.append(t.data)
        operators = []
        for op in g.operators:
            code = _code(op)
            if code not in codes:
                codes.append(code)
            operators.append(w.operator(op, codes.index(code)))
        parts = {
            "Tensors": w.refs(tensors),
            "Operators": w.refs(operators),
            "Inputs": w.ints(g.inputs),
            "Outputs": w.ints(g.outputs),
            "Name": b.CreateString(g.name),
        }
        graphs.append(w.table("SubGraph", **parts))
    metadata = []
    for key, value in model.metadata.items():
        metadata.append(w.table("Metadata", Name=b.CreateString(key), Buffer=len(contents)))
        contents.append(value)
    signatures = []
    for key, graph, inputs, outputs in model.signatures:
        maps = [
            w.refs([w.table("TensorMap", Name=b.CreateString(n), TensorIndex=i) for n, i in named.items()])
            for named in (inputs, outputs)
        ]
        text = b.CreateString(key)
        signatures.append(
            w.table("SignatureDef", Inputs=maps[0], Outputs=maps[1], SignatureKey=text, SubgraphIndex=graph)
        )
    # The place of data after the flatbuffer is known only once its length is: two passes, the same length.
    flat = _finish(w, model, codes, graphs, metadata, signatures, contents)
    return flat


def _finish(
    w: _Writer,
    model: M,
    codes: Sequence[tuple[int, str | None]],
    graphs: Sequence[int],
    metadata: Sequence[int],
    signatures: Sequence[int],
    contents: Sequence[bytes],
) -> bytes:
    b = w.b
    buffers = []
    marks = []
    for content in contents:
        if content and model.external:
            # Found again by their value below: a place that no real field has.
            mark = 0x7E57_0000_0000_0000 + len(marks)
            marks.append((mark, content))
            buffers.append(w.table("Buffer", Offset=mark, Size=len(content)))
        else:
            data = b.CreateByteVector(content) if content else None
            buffers.append(w.table("Buffer", Data=data))
    opcodes = []
    for number, custom in codes:
        text = b.CreateString(custom) if custom else None
        opcodes.append(
            w.table(
                "OperatorCode",
                DeprecatedBuiltinCode=min(number, 127),
                BuiltinCode=number,
                CustomCode=text,
                Version=1,
            )
        )
    parts = {
        "OperatorCodes": w.refs(opcodes),
        "Subgraphs": w.refs(graphs),
        "Description": b.CreateString(model.description),
        "Buffers": w.refs(buffers),
        "Metadata": w.refs(metadata) if metadata else None,
        "SignatureDefs": w.refs(signatures) if signatures else None,
    }
    b.Finish(w.table("Model", Version=model.version, **parts), file_identifier=b"TFL3")
    flat = bytearray(b.Output())
    for mark, content in marks:
        at = flat.index(mark.to_bytes(8, "little"))
        flat[at : at + 8] = len(flat).to_bytes(8, "little")
        flat += content
    return bytes(flat)
