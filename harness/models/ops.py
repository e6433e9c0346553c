"""Which operators TFLite-Micro has. The lists are what its Python wheel answers when asked for each one.

`tests/models/test_ops.py` asks the wheel again and fails if it and these lists differ. A firmware may
register fewer; no build of TFLite-Micro has a builtin operator that is not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import printable
from harness.models.graph import Model, Operator

# The custom operator that stands for a subgraph compiled for an Arm Ethos-U NPU.
ETHOS_U = "ethos-u"

_BUILTIN_NAMES = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D
DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR
FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC
LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE
READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH
TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
BUILTIN = frozenset(_BUILTIN_NAMES.split())

_CUSTOM_NAMES = """
CIRCULAR_BUFFER SignalDelay SignalEnergy SignalFftAutoScale SignalFilterBank SignalFilterBankLog
SignalFilterBankSpectralSubtraction SignalFilterBankSquareRoot SignalFramer SignalIrfft SignalOverlapAdd
SignalPCAN SignalRfft SignalStacker SignalWindow TFLM_DECODE TFLite_Detection_PostProcess
"""
CUSTOM = frozenset(_CUSTOM_NAMES.split())


@dataclass(frozen=True)
class Unsupported:
    """An operator that cannot run, and its first place in the model."""

    operator: str
    subgraph: int
    index: int
    count: int


def is_supported(operator: Operator, npu: bool) -> bool:
    """Whether TFLite-Micro has `operator`; `npu` says whether there is an Ethos-U beside it."""
    if operator.code != "CUSTOM":
        return operator.code in BUILTIN
    return operator.custom_code in CUSTOM or (npu and operator.custom_code == ETHOS_U)


def unsupported(model: Model, npu: bool = False) -> list[Unsupported]:
    """Return the operators of `model` that TFLite-Micro lacks, one entry a name, in order of appearance."""
    found: dict[str, Unsupported] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if not is_supported(operator, npu):
                first = found.get(operator.label)
                found[operator.label] = Unsupported(
                    operator.label,
                    first.subgraph if first else graph.index,
                    first.index if first else operator.index,
                    first.count + 1 if first else 1,
                )
    return list(found.values())


def describe(lacking: Iterable[Unsupported]) -> str:
    """Name the operators of `lacking` and where each first stands, for a message."""
    return ", ".join(
        f"{printable(o.operator)} (operator {o.index} of subgraph {o.subgraph})" for o in lacking
    )
