"""Scratch buffers that ESP-NN's kernels ask for on an ESP32-S3, on top of TFLite-Micro's own.

Its vector kernels work on padded, aligned copies of input and filter. The sizes are those of ESP-NN of April
2026 (esp_nn_get_conv_scratch_size_esp32s3 and its like), asked for by esp-tflite-micro of August 2026.
"""

from __future__ import annotations

from harness.models.cost import whole
from harness.models.operator_memory import Kernels, Node
from harness.models.window import Window, window_of

# A depthwise convolution whose working set is larger is done in strips of as many rows as its filter has.
_TILED_ABOVE_S8 = 40 * 1024
_TILED_ABOVE_S16 = 48 * 1024


def _prepare(node: Node) -> None:
    """Ask for what ESP-NN's kernel wants beyond the reference kernel; raises LookupError as that does."""
    ask = _ASK.get(node.operator.code)
    if ask is not None and node.need(0).type == "int8":
        ask(node)


def _conv(node: Node) -> None:
    channels, filters = node.need(0).shape[3], node.output().shape[3]
    window = window_of(node)
    if window.filter == (1, 1) and not window.padded and window.stride == (1, 1):
        node.scratch(_pointwise(window, channels, filters))
    else:
        node.scratch(_windowed(window, channels, filters))


def _pointwise(window: Window, channels: int, filters: int) -> int:
    """Channels are padded to 8; the input is copied if that changes it."""
    padded = whole(channels, 8)
    size = padded * filters + 64
    if channels % 8:
        size += window.input_area * padded
    if window.input_area >= 8:
        size += 2 * 8 * padded
    return size


def _windowed(window: Window, channels: int, filters: int) -> int:
    row, taps = window.filter[1] * channels, window.filter_area * channels
    if row < 16 <= taps:
        return 4 * filters + 16 + filters * whole(taps, 16) + 16 + whole(taps, 16) + 64
    size = (window.filter_area * whole(channels, 16) + whole(row, 16) * window.filter[0] + 4) * filters + 64
    if window.padded:
        size += window.grown((2 * window.padding[0], 2 * window.padding[1])) * channels
    beyond = tuple(max(0, b) for b in window.beyond())
    if any(beyond):
        size += window.grown((beyond[0], beyond[1])) * channels
    return size


def _depthwise(node: Node) -> None:
    channels = node.need(0).shape[3]
    multiplier = node.operator.number("depth_multiplier")
    window = window_of(node)
    taps = window.filter_area * channels * multiplier
    words = 2 * (taps + window.input_area * channels) + 32
    if multiplier == 1 and channels % 8 == 0:
        node.scratch(_multiple_of_8(window, channels, taps, words))
    elif multiplier == 1 and channels > 3:
        node.scratch(_padded_to_8(window, channels))
    else:
        node.scratch(words if multiplier % 4 == 0 else 32)


def _multiple_of_8(window: Window, channels: int, taps: int, words: int) -> int:
    if window.filter != (3, 3):
        if words - 32 <= _TILED_ABOVE_S16:
            return words
        return 2 * taps + 2 * window.input[1] * window.filter[0] * channels + 32
    if channels % 16 == 0:
        grow = (2 * window.padding[0], 2 * window.padding[1]) if window.padded else window.beyond()
        if not any(grow):
            return taps + 16
        at_once = window.grown(grow) * channels
        strip = (window.input[1] + grow[1]) * window.filter[0] * channels
        return taps + (at_once if at_once <= _TILED_ABOVE_S8 else strip) + 16
    if channels < 12:
        return words
    padded = whole(channels, 16)
    height, width = (2 * p + max(0, b) for p, b in zip(window.padding, window.beyond(), strict=True))
    return padded * (9 + window.grown((height, width)) + window.output_area) + 64


def _padded_to_8(window: Window, channels: int) -> int:
    padded = whole(channels, 8)
    before_input = whole(2 * window.filter_area * padded, 16)
    before_output = whole(before_input + 2 * window.input_area * padded, 16)
    before_bias = whole(before_output + window.output_area * padded, 16)
    return before_bias + 3 * 4 * padded + 16


def _softmax(node: Node) -> None:
    if node.output().type == "int8":
        node.scratch(4 * node.need(0).shape[1])


_ASK = {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "SOFTMAX": _softmax}

ESP32S3 = Kernels("ESP-NN", {"CONV_2D": 60, "DEPTHWISE_CONV_2D": 60, "SOFTMAX": 64}, _prepare)
