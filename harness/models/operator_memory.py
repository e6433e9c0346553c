"""What each operator of TFLite-Micro keeps in the arena on a 32-bit target.

An operator costs arena in four ways: a structure with its options from the file, a structure of its own
from init on, further persistent memory that prepare asks for (quantization parameters of each channel,
tables, copies of a shape it changes), and scratch buffers that live for the time of its run.

Sizes are those of TFLite-Micro's reference kernels of August 2026 with 4-byte pointers and enumerations and
doubles aligned to 8 bytes (Xtensa, 32-bit Arm Linux): the structures TfLite*Params, OpData* and the calls to
AllocatePersistentBuffer and RequestScratchBufferInArena in tensorflow/lite/micro/kernels and signal/micro.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.models.graph import Model, Operator, Subgraph, Tensor
from harness.models.lifetimes import ELEMENT_BYTES, tensor_bytes

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_STATE: dict[str, int] = _TABLES["state"]
ACCOUNTED = frozenset(_STATE) | frozenset(_TABLES["nothing"].split())

_EVAL_TENSOR = 12
_CIRCULAR_BUFFER = 24
_INT16_TABLE = 2 * 513
_QUANTIZED = ("int8", "int16")
_MOST_BUFFERS = 1 << 16


@dataclass
class Requests:
    """What an operator asked for, in order, while it was initialised or prepared."""

    persistent: list[int] = field(default_factory=list)
    scratch: list[int] = field(default_factory=list)


@dataclass
class Variables:
    """The resource variables of a model: which have memory, and which tensors are handles of which."""

    names: dict[tuple[str, str], int] = field(default_factory=dict)
    allocated: set[int] = field(default_factory=set)
    handles: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """An operator in its subgraph, and what it may ask for memory."""

    model: Model
    graph: Subgraph
    operator: Operator
    variables: Variables
    asked: Requests

    def input(self, place: int) -> Tensor | None:
        """Return the tensor at input `place`, None if it is absent."""
        if place >= len(self.operator.inputs) or self.operator.inputs[place] < 0:
            return None
        return self.graph.tensors[self.operator.inputs[place]]

    def need(self, place: int) -> Tensor:
        """Return the tensor at input `place`; raises LookupError if it is absent."""
        tensor = self.input(place)
        if tensor is None:
            raise LookupError(f"input {place}")
        return tensor

    def output(self, place: int = 0) -> Tensor:
        return self.graph.tensors[self.operator.outputs[place]]

    def flag(self, option: str) -> bool:
        return bool(self.operator.options.get(option, False))

    def keep(self, size: int, times: int = 1) -> None:
        """Ask for persistent memory; raises LookupError for amounts that no kernel could mean."""
        if size < 0 or times > _MOST_BUFFERS:
            raise LookupError("size")
        self.asked.persistent += [size] * times

    def scratch(self, size: int) -> None:
        """Ask for a scratch buffer."""
        if size < 0:
            raise LookupError("size")
        self.asked.scratch.append(size)

    def keep_shape(self, tensor: Tensor) -> None:
        """Keep a copy of a shape, which an operator needs to change it."""
        self.keep(4 * (1 + len(tensor.shape)))

    @property
    def custom(self) -> dict[str, int]:
        """The custom options as numbers by name; raises LookupError if they are no flexbuffer map."""
        from flatbuffers import flexbuffers

        try:
            found = flexbuffers.GetRoot(self.operator.custom_options).AsMap
            pairs = [(found.Keys[i].AsKey, found.Values[i]) for i in range(len(found))]
            return {str(key): value.AsInt for key, value in pairs if value.IsInt or value.IsBool}
        except Exception as error:  # the reader of flexbuffers raises whatever damaged bytes lead it to
            raise LookupError("custom options") from error


@dataclass(frozen=True)
class Kernels:
    """Optimised kernels, by what they keep that the reference kernels do not.

    `state` replaces the size of the structure that init allocates, `prepare` asks for more once an operator
    is prepared, `instead` asks for everything in the place of the reference kernel.
    """

    name: str
    state: Mapping[str, int]
    prepare: Callable[[Node], None]
    instead: Mapping[str, Callable[[Node], None]] = field(default_factory=dict)


REFERENCE = Kernels("TFLite-Micro's reference kernels", {}, lambda node: None)


def options_structure(operator: Operator) -> tuple[int, int] | None:
    """Return (bytes, alignment) of the structure of an operator's options, None if it has none."""
    found = _TABLES["options"].get(operator.label)
    return tuple(found) if found else None


def init(node: Node, kernels: Kernels) -> None:
    """Ask for what the operator allocates when it is initialised.

    Raises LookupError if the operator lacks an input or option that the amount depends on, or is not
    accounted for.
    """
    label = node.operator.label
    if label not in ACCOUNTED:
        raise LookupError(label)
    if label in _STATE:
        node.keep(kernels.state.get(label, _STATE[label]))
    if label in _INIT:
        _INIT[label](node)


def prepare(node: Node, kernels: Kernels) -> None:
    """Ask for what the operator allocates when it is prepared; raises as `init` does."""
    ask = kernels.instead.get(node.operator.label) or _PREPARE.get(node.operator.label)
    if ask is not None:
        ask(node)
    kernels.prepare(node)


def _per_channel(node: Node, channels: int) -> None:
    """Multiplier and shift for each output channel."""
    node.keep(4 * channels, times=2)


def _unpacked_filter(node: Node, filter: Tensor) -> None:
    if filter.type == "int4":
        node.scratch(filter.elements)


def _conv(node: Node) -> None:
    filter = node.need(1)
    _per_channel(node, filter.shape[0])
    _unpacked_filter(node, filter)


def _depthwise_conv(node: Node) -> None:
    filter = node.need(1)
    _per_channel(node, filter.shape[3])
    _unpacked_filter(node, filter)


def _fully_connected(node: Node) -> None:
    filter = node.need(1)
    _unpacked_filter(node, filter)
    channels = len(filter.quantization.scales) if filter.quantization else 1
    if channels > 1 and node.need(0).type != "float32":
        _per_channel(node, channels)


def _transpose_conv(node: Node) -> None:
    """The sums of a quantized transposed convolution do not fit its output, so they get a buffer."""
    _per_channel(node, node.need(1).shape[0])
    type, bias = node.need(2).type, node.input(3)
    if type == "int8":
        node.scratch(4 * node.output().elements)
    if type == "int16":
        node.scratch(8 * node.output().elements)
        if bias is not None and bias.type == "int16":
            node.scratch(8 * bias.elements)


def _batch_matmul(node: Node) -> None:
    """An operand in the wrong order for the multiplication is kept transposed."""
    if node.need(0).type in _QUANTIZED:
        node.keep(28)
    turned = [node.need(0)] if node.flag("adj_x") else []
    turned += [] if node.flag("adj_y") else [node.need(1)]
    for operand in turned:
        node.keep(_EVAL_TENSOR)
        node.keep_shape(operand)
        node.keep(tensor_bytes(operand))
    node.keep_shape(node.output())


def _add_n(node: Node) -> None:
    if node.output().type == "int8":
        node.keep(40)
    node.scratch(4 * len(node.operator.inputs))


def _embedding_lookup(node: Node) -> None:
    node.keep_shape(node.output())
    node.keep(8)


def _mirror_pad(node: Node) -> None:
    node.scratch(4 * len(node.need(0).shape))
    node.scratch(4 * len(node.need(0).shape))


def _reduce(node: Node) -> None:
    node.scratch(4 * len(node.need(0).shape))
    node.scratch(4 * node.need(1).elements)


def _mean_or_sum(node: Node) -> None:
    if node.need(0).type in _QUANTIZED:
        node.scratch(4 * node.output().elements)
    _reduce(node)


def _softmax(node: Node) -> None:
    if node.need(0).type == "int16":
        node.keep(_INT16_TABLE, times=2)


def _if_int8(size: int) -> Callable[[Node], None]:
    def ask(node: Node) -> None:
        if node.need(0).type == "int8":
            node.keep(size)

    return ask


def _svdf(node: Node) -> None:
    batch, filters = node.need(0).shape[0], node.need(1).shape[0]
    node.scratch(4 * batch * filters)
    if node.need(0).type == "int8":
        node.scratch(4 * batch * (filters // node.operator.number("rank")))


def _lstm(node: Node) -> None:
    """One buffer for each of the four gates."""
    batch = node.need(0).shape[1 if node.flag("time_major") else 0]
    state, cell = node.need(18), node.need(19)
    for _ in range(4):
        node.scratch(batch * state.shape[1] * ELEMENT_BYTES[cell.type])


def _var_handle(node: Node) -> None:
    """Name a variable; its handle, an index, lies in the operator's own state rather than in the head."""
    options, variables = node.operator.options, node.variables
    name = (str(options.get("container", "")), str(options.get("shared_name", "")))
    number = variables.names.setdefault(name, len(variables.names))
    variables.handles[node.graph.index, node.operator.outputs[0]] = number


def _assign_variable(node: Node) -> None:
    """The first assignment in a subgraph that names the variable itself gives it memory."""
    number = node.variables.handles.get((node.graph.index, node.operator.inputs[0]))
    if number is not None and number not in node.variables.allocated:
        node.variables.allocated.add(number)
        node.keep(tensor_bytes(node.need(1)))


_DECODERS = {0: 36, 1: 32, 2: 40}  # lookup table, Huffman, pruning: the type is the first ancillary byte
_PRUNED = 2


def _decode(node: Node) -> None:
    """Each output has a decoder, and a pruned one a copy of its zero points if some are not 0."""
    node.keep(4 * len(node.operator.outputs))
    for i in range(len(node.operator.outputs)):
        ancillary = node.model.constant(node.need(2 * i + 1))
        if not ancillary or ancillary[0] not in _DECODERS:
            raise LookupError("decoder")
        node.keep(_DECODERS[ancillary[0]])
        scale = node.output(i).quantization
        if ancillary[0] == _PRUNED and scale and len(scale.scales) > 1 and any(scale.zero_points):
            node.keep(len(scale.scales))


def _detection_postprocess(node: Node) -> None:
    boxes, scores = node.need(0).shape[1], node.need(1).shape
    most, classes = node.custom["max_detections"], node.custom["num_classes"]
    node.scratch(boxes)
    node.scratch(4 * 4 * boxes)
    node.scratch(4 * scores[1] * scores[2])
    for of_boxes in (1, 1, most, most, 1, most, max(classes, most), min(boxes, most)):
        node.scratch(4 * of_boxes * boxes)


def _ethos_u(node: Node) -> None:
    """A 64-bit base address and a 32-bit size for each tensor of the NPU subgraph."""
    tensors = len(node.operator.inputs) + len(node.operator.outputs)
    node.scratch(8 * tensors)
    node.scratch(4 * tensors)


def _rows(tensor: Tensor, inner: int) -> int:
    """Return how many rows of values a tensor has, its last `inner` dimensions being one row."""
    return math.prod(tensor.shape[:-inner])


def _circular(capacity: int) -> int:
    return _CIRCULAR_BUFFER + 4 * capacity


def _delay(node: Node) -> None:
    rows, frame = _rows(node.need(0), 1), node.need(0).shape[-1]
    node.keep(4 * rows, times=2)
    node.keep(_circular(frame + node.custom["delay_length"]), times=rows)


def _framer(node: Node) -> None:
    rows, frame, step = _rows(node.need(0), 1), node.custom["frame_size"], node.custom["frame_step"]
    node.keep(4 * rows, times=2)
    node.keep(_circular(-(-frame // step) * step), times=rows)


def _overlap_add(node: Node) -> None:
    rows, frame = _rows(node.need(0), 2), node.need(0).shape[-1]
    node.keep(4 * rows)
    node.keep(frame * ELEMENT_BYTES[node.need(0).type], times=rows)


def _stacker(node: Node) -> None:
    frames = node.custom["stacker_left_context"] + node.custom["stacker_right_context"] + 1
    node.keep(_circular(node.custom["num_channels"] * frames))


def _fft_state(length: int, type: str) -> int:
    """Return the bytes of the kiss_fft state for real transforms of `length` values."""
    half, complex = length // 2, 2 * ELEMENT_BYTES[type]
    return 12 + (264 + complex * half) + complex * (half * 3 // 2)


def _rfft_init(node: Node) -> None:
    node.keep(_fft_state(node.custom["fft_length"], node.need(0).type))


def _rfft(node: Node) -> None:
    node.scratch(node.custom["fft_length"] * ELEMENT_BYTES[node.need(0).type])


def _irfft_init(node: Node) -> None:
    type = node.need(0).type
    node.keep(_fft_state(node.custom["fft_length"], type) + (8 if type == "float32" else 0))


_INIT: dict[str, Callable[[Node], None]] = {
    "SignalFilterBank": lambda node: node.keep(8 * (node.custom["num_channels"] + 1)),
    "SignalFilterBankSpectralSubtraction": lambda node: node.keep(4 * node.custom["num_channels"]),
    "SignalIrfft": _irfft_init,
    "SignalRfft": _rfft_init,
    "SignalStacker": _stacker,
}

_PREPARE: dict[str, Callable[[Node], None]] = {
    "ADD_N": _add_n,
    "ASSIGN_VARIABLE": _assign_variable,
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv,
    "CUMSUM": _if_int8(36),
    "DEPTHWISE_CONV_2D": _depthwise_conv,
    "DEPTH_TO_SPACE": lambda node: node.keep_shape(node.output()),
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": lambda node: node.keep_shape(node.output()),
    "GATHER_ND": lambda node: node.keep_shape(node.output()),
    "L2_POOL_2D": lambda node: node.keep_shape(node.output()),
    "LOG_SOFTMAX": _if_int8(28),
    "MEAN": _mean_or_sum,
    "MIRROR_PAD": _mirror_pad,
    "REDUCE_ALL": _reduce,
    "REDUCE_MAX": _reduce,
    "REDUCE_MIN": _reduce,
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": lambda node: node.keep_shape(node.output()),
    "SUM": _mean_or_sum,
    "SVDF": _svdf,
    "SignalDelay": _delay,
    "SignalFramer": _framer,
    "SignalOverlapAdd": _overlap_add,
    "SignalRfft": _rfft,
    "TFLM_DECODE": _decode,
    "TFLite_Detection_PostProcess": _detection_postprocess,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "VAR_HANDLE": _var_handle,
    "ethos-u": _ethos_u,
}
