"""Which types TFLite-Micro's kernels take: what an operator refuses when it is prepared or run.

The lists are what TFLite-Micro's Python wheel answers for each operator and type; a build may have less
(int8 variants of kernels alone), none has more. Operators that are not listed take any type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.models.graph import Model, Operator, Subgraph, Tensor

_TAKE = {
    "int8 float32": """
        ADD_N ARG_MAX ARG_MIN BATCH_TO_SPACE_ND CUMSUM DEPTH_TO_SPACE DIV ELU EMBEDDING_LOOKUP GATHER
        GATHER_ND HARD_SWISH L2_NORMALIZATION LOG_SOFTMAX MIRROR_PAD PRELU REDUCE_MAX REDUCE_MIN
        RESIZE_BILINEAR SPACE_TO_BATCH_ND SPACE_TO_DEPTH SVDF
    """,
    "int8 int16 float32": """
        ABS AVERAGE_POOL_2D BATCH_MATMUL EXPAND_DIMS LEAKY_RELU LOGISTIC MAX_POOL_2D MEAN RELU RELU6
        RESIZE_NEAREST_NEIGHBOR RSQRT SELECT_V2 SOFTMAX SUM TANH TRANSPOSE TRANSPOSE_CONV
        UNIDIRECTIONAL_SEQUENCE_LSTM
    """,
    "float32": """
        CEIL COS EXP FLOOR FLOOR_DIV FLOOR_MOD L2_POOL_2D LOG NEG ROUND SIN SQRT SQUARE
    """,
    "int8 int16 int32 float32": """
        ADD DYNAMIC_UPDATE_SLICE MUL PAD PADV2 SPLIT SPLIT_V SQUARED_DIFFERENCE SUB UNPACK
    """,
    "int8 int32 int64 float32": """
        GREATER_EQUAL LESS LESS_EQUAL ZEROS_LIKE
    """,
    "int8 int16 int32 int64 float32": """
        GREATER MAXIMUM MINIMUM PACK
    """,
    "bool": """
        LOGICAL_NOT REDUCE_ALL
    """,
    "int8 int32 int64 bool float32": """
        EQUAL NOT_EQUAL
    """,
    "int8 int16 int32 bool float32": """
        SLICE STRIDED_SLICE
    """,
    "int8 int16 int32 int64 bool float32": """
        CONCATENATION
    """,
    "int8 int16 uint8": """
        DEQUANTIZE
    """,
    "int8 int16 int32 uint8 float32": """
        QUANTIZE
    """,
    "int8 int32 float32": """
        FILL
    """,
}
_TYPES = {
    operator: tuple(types.split()) for types, operators in _TAKE.items() for operator in operators.split()
}

# Activations with the weights that go with them.
_WEIGHTED = {
    "CONV_2D": (("int8", "int8"), ("int8", "int4"), ("int16", "int8"), ("float32", "float32")),
    "DEPTHWISE_CONV_2D": (("int8", "int8"), ("int8", "int4"), ("int16", "int8"), ("float32", "float32")),
    "FULLY_CONNECTED": (("int8", "int8"), ("int8", "int4"), ("int16", "int8"), ("float32", "float32")),
    "TRANSPOSE_CONV": (("int8", "int8"), ("int16", "int8"), ("float32", "float32")),
    "BATCH_MATMUL": (("int8", "int8"), ("int16", "int16"), ("float32", "float32")),
}

# Where the data is that an operator works on, for those that have it not first.
_DATA = {"TRANSPOSE_CONV": 2, "SPLIT": 1, "FILL": 1, "SELECT_V2": 1, "EMBEDDING_LOOKUP": 1}


@dataclass(frozen=True, slots=True)
class BadType:
    """An operator whose types its kernel does not take; `wanted` says which it does.

    `hybrid` where activations and weights are each fine, but not together: float activations with
    integer weights, as dynamic-range quantization leaves them.
    """

    subgraph: int
    index: int
    operator: str
    found: str
    wanted: tuple[str, ...]
    hybrid: bool


@dataclass(frozen=True, slots=True)
class Dynamic:
    """An output without a size: TFLite-Micro plans memory once, before it knows any data."""

    subgraph: int
    index: int
    operator: str
    tensor: str


def bad_types(model: Model) -> Iterator[BadType]:
    """Yield the operators of `model` with types that TFLite-Micro's kernels refuse, in order."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            bad = _weighted(graph, operator) if operator.code in _WEIGHTED else _plain(graph, operator)
            if bad:
                yield bad


def dynamic(model: Model) -> Iterator[Dynamic]:
    """Yield the operators of `model` with an output that has a dimension of 0 (unless it is a scalar's)."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            for i in operator.outputs:
                tensor = graph.tensors[i]
                if 0 in tensor.shape and tensor.shape != (0,):
                    yield Dynamic(graph.index, operator.index, operator.label, tensor.name)


def _weighted(graph: Subgraph, operator: Operator) -> BadType | None:
    data, weights = _input(graph, operator, _DATA.get(operator.code, 0)), _input(graph, operator, 1)
    pairs = _WEIGHTED[operator.code]
    if data is None or weights is None or (data.type, weights.type) in pairs:
        return None
    hybrid = data.type != weights.type and "float32" in (data.type, weights.type)
    found = f"{data.type} with {weights.type} weights"
    wanted = tuple(f"{a} with {w} weights" for a, w in pairs)
    return BadType(graph.index, operator.index, operator.label, found, wanted, hybrid)


def _plain(graph: Subgraph, operator: Operator) -> BadType | None:
    data = _input(graph, operator, _DATA.get(operator.code, 0))
    wanted = _TYPES.get(operator.code)
    if data is None or wanted is None or data.type in wanted:
        return None
    return BadType(graph.index, operator.index, operator.label, data.type, wanted, hybrid=False)


def _input(graph: Subgraph, operator: Operator, place: int) -> Tensor | None:
    if place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    return graph.tensors[operator.inputs[place]]
