"""What CMSIS-NN's kernels keep in the arena on a Cortex-M55 with MVE, instead of the reference kernels.

Its convolutions lay out their inputs in buffers, its fully connected layers keep sums of their weights. Sizes
are those of CMSIS-NN of July 2026 (arm_*_get_buffer_size_mve) and of TFLite-Micro's kernels of August 2026
that ask for them (micro/kernels/cmsis_nn), built for speed (KERNELS_OPTIMIZED_FOR_SPEED, TFLite-Micro's
default) by a compiler other than Arm's own. int16 convolutions and poolings are not accounted for.
"""

from __future__ import annotations

from harness.models.cost import whole
from harness.models.graph import Tensor
from harness.models.lifetimes import ELEMENT_BYTES
from harness.models.operator_memory import REFERENCE, Kernels, Node, Requests, prepare
from harness.models.window import Window, window_of

_LANE = 16  # int8 values in a vector register
_BUFFERS = 4  # that an im2col convolution fills at a time
_DEPTHWISE_CHANNELS = 124  # CH_IN_BLOCK_MVE
_REVERSED_ABOVE = 16  # REVERSE_TCOL_EFFICIENT_THRESHOLD


def _convolution(node: Node) -> None:
    _reference(node)
    if _is_int8(node):
        image, filter = node.need(0), node.need(1)
        _scratch(node, _convolution_bytes(window_of(node), image.shape[3], filter.shape[3]))


def _convolution_bytes(window: Window, channels: int, filter_channels: int) -> int:
    """Return arm_convolve_wrapper_s8_get_buffer_size_mve; groups have filters of fewer channels."""
    whole_depth = channels == filter_channels
    plain = not window.padded and window.dilation == (1, 1)
    if whole_depth and plain and window.filter == (1, 1):
        return 0
    in_a_row = window.input[0] == 1 and window.filter[0] == 1 and window.dilation[1] == 1
    if whole_depth and in_a_row and window.stride[1] * channels % 4 == 0:
        return _one_by_n(window, channels)
    return _im2col(window, channels)


def _im2col(window: Window, channels: int) -> int:
    return _BUFFERS * whole(channels * window.filter_area, _LANE)


def _one_by_n(window: Window, channels: int) -> int:
    """Return arm_convolve_1_x_n_s8_get_buffer_size_mve: the padded ends of a single row."""
    (_, width), (_, made), (_, taps), (_, stride), (_, left) = (
        window.input,
        window.output,
        window.filter,
        window.stride,
        window.padding,
    )
    total = (made - 1) * stride + taps - width
    uneven = total % 2 if total >= 0 else -(-total % 2)  # C's remainder has the sign of what is divided
    right = left + uneven
    at_right = max(1, int((right + stride - 1) / stride)) if right else 0
    at_left = max(1, (left + stride - 1) // stride) if left else 0
    if at_right + at_left + max(made - at_right - at_left, 0) != made:
        return _im2col(window, channels)
    before = left * channels
    behind = at_right * channels if uneven else before
    return max(taps * channels + before, (taps - 1) * channels + behind)


def _depthwise(node: Node) -> None:
    if node.need(0).type == "int8" and node.need(1).type == "int4":
        raise LookupError("int4 weights")
    _reference(node)
    if not _is_int8(node):
        return
    image, made, window = node.need(0), node.output(), window_of(node)
    channels, filters = image.shape[3], made.shape[3]
    if channels == 1 and filters > 1:
        _scratch(node, _convolution_bytes(window, 1, 1) + filters * window.filter_area)
    elif channels == filters and image.shape[0] == 1 and window.dilation == (1, 1):
        _scratch(node, _BUFFERS * _DEPTHWISE_CHANNELS * window.filter_area)


def _fully_connected(node: Node) -> None:
    _reference(node)
    if node.need(0).type == "int16":
        raise LookupError("int16")
    if not _is_int8(node):
        return
    filter, made = node.need(1), node.output()
    if filter.type == "int4":
        return
    depth, outputs = filter.shape[-1], made.shape[-1]
    if len(made.shape) > 2 and depth % 4 == 0:
        if not (filter.quantization and len(filter.quantization.scales) > 1):
            node.scratch(2 * 4 * outputs)
        return
    bias = node.input(2)
    if filter.constant and (bias is None or bias.constant):
        node.keep(4 * outputs)
    else:
        node.scratch(4 * outputs)


def _average_pool(node: Node) -> None:
    _reference(node)
    if node.need(0).type == "int16":
        raise LookupError("int16")


def _svdf(node: Node) -> None:
    _reference(node)
    if node.need(0).type == "int8":
        node.keep(4 * node.need(1).shape[0])


def _batch_matmul(node: Node) -> None:
    """Return what the reference kernel asks for, but the sums of weights are made anew in each run."""
    asked = Requests()
    _reference(Node(node.model, node.graph, node.operator, node.variables, asked))
    quantized = node.need(0).type in ("int8", "int16")
    # The record of the quantization comes last here, and first in the reference kernel.
    kept = asked.persistent[1:] + asked.persistent[:1] if quantized else asked.persistent
    for size in kept:
        node.keep(size)
    if node.need(0).type == "int8":
        node.scratch(4 * node.output().shape[-1])


def _transposed(node: Node) -> None:
    """A convolution of a spread input when that is efficient, with the filter turned round."""
    if node.need(2).type != "int8":
        _reference(node)
        return
    filters, high, wide, channels = node.need(1).shape
    made, image = node.output().shape, node.need(2).shape
    strides = (node.operator.number("stride_h"), node.operator.number("stride_w"))
    node.keep(4 * filters, times=2)
    if max(strides) <= 2 and channels > _REVERSED_ABOVE:
        node.scratch(_BUFFERS * whole(channels * high * wide, _LANE))
        node.scratch(channels * high * wide * filters)
    else:
        across = ((image[2] - 1) * strides[1] + max(wide, strides[0])) * made[3]
        node.scratch(4 * across * max(high, strides[0]))
        node.scratch(0)


def _lstm(node: Node) -> None:
    """Sums of the weights of the four gates, for data and for state; three buffers instead of four."""
    batch, state, cell = node.need(0).shape[1 if node.flag("time_major") else 0], node.need(18), node.need(19)
    sums = {"int8": 4, "int16": 8}.get(node.need(0).type)
    if sums is None:
        _reference(node)
        return
    hidden = state.shape[1]
    node.keep(sums * hidden, times=8)
    for _ in range(3):
        node.scratch(batch * hidden * ELEMENT_BYTES[cell.type])


def _reference(node: Node) -> None:
    prepare(node, REFERENCE)


def _is_int8(node: Node) -> bool:
    """Say whether CMSIS-NN does an operator; raises LookupError for int16, which it does in another way."""
    data: Tensor = node.need(0)
    if data.type == "int16":
        raise LookupError("int16")
    return data.type == "int8"


def _scratch(node: Node, size: int) -> None:
    if size:
        node.scratch(size)


CORTEX_M55 = Kernels(
    "CMSIS-NN",
    {
        "AVERAGE_POOL_2D": 36,
        "BATCH_MATMUL": 36,
        "CONV_2D": 60,
        "DEPTHWISE_CONV_2D": 60,
        "FULLY_CONNECTED": 72,
        "MAX_POOL_2D": 36,
        "SOFTMAX": 64,
        "SVDF": 40,
        "TRANSPOSE_CONV": 76,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": 912,
    },
    lambda node: None,
    {
        "AVERAGE_POOL_2D": _average_pool,
        "BATCH_MATMUL": _batch_matmul,
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _depthwise,
        "FULLY_CONNECTED": _fully_connected,
        "SVDF": _svdf,
        "TRANSPOSE_CONV": _transposed,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    },
)
