"""Convolution and depthwise convolution: products summed in floating point, exactly.

An input element less its zero point is an integer of at most 8 + 1 or 16 + 1 bits, a weight one of 9, so a
product and every partial sum of products is an integer, of a magnitude of at most M, the sum of the
magnitudes of a channel's weights times that of the largest input. Floating point adds and multiplies
integers exactly, in any order and fused or not, as long as all results are integers that it can hold:
float32 holds every one up to 2**24, float64 up to 2**53. So float32 is used if M < 2**24. Otherwise
float64 is: with weights of a magnitude of at most 255 and inputs of at most 2**17, M < 2**53 as long as a
channel has fewer than 2**28 weights, and `Limits` admits no more than 2**24.

What follows the sums (bias, scaling, activation) is integer arithmetic. It is done some rows of the output
at a time, so that the working memory stays within the processor's caches whatever the size of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.emulator.npu.activation import Finish
from harness.emulator.npu.feature_maps import Mapped
from harness.emulator.npu.memory import NpuMemory
from harness.emulator.npu.rounding import Scaler
from harness.emulator.npu.scratch import Scratch
from harness.emulator.npu.windows import fill_padded, padded_shape, windows
from harness.models.npu.accelerator import Accelerator
from harness.models.npu.faults import NotModelled, NpuFault
from harness.models.npu.operations import BlockOperation, FeatureMap
from harness.models.npu.weights import WeightCache, scale_records, volume_of

_FLOAT32_EXACT = 1 << 24
# Bytes of patches, and of accumulators, to work on at a time.
_PIECE_BYTES = 1 << 18


def largest_input(fm: FeatureMap) -> int:
    """Bound the magnitude of an input less its zero point."""
    low, high = fm.limits
    return max(abs(low - fm.zero_point), abs(high - fm.zero_point))


@dataclass(frozen=True)
class _Constants:
    """Decoded weights and scale records: a matrix (taps, channels), and scaling with its bias."""

    stream: bytes
    records: bytes
    matrix: NDArray[Any]
    scaler: Scaler


class Convolution:
    """A convolution bound to its memory.

    Weights and scale records that lie where they can change, in the arena, are compared with those of the
    last run; what was made of them is kept while they stay.
    """

    def __init__(
        self,
        op: BlockOperation,
        memory: NpuMemory,
        accelerator: Accelerator,
        weights: WeightCache,
        scratch: Scratch,
    ) -> None:
        if op.ifm.bits == 32:
            raise NpuFault("convolution of 32-bit inputs", registers=op.precision)
        if op.output.global_scale:
            raise NotModelled("convolution with one scale for all channels", registers=op.precision)
        assert op.weights is not None
        assert op.scales is not None
        self._op, self._accelerator, self._weights, self._scratch = op, accelerator, weights, scratch
        self._depthwise = op.operation.kind == "DEPTHWISE"
        self._stream = memory.span(op.weights.region, op.weights.start, op.weights.length)
        self._records = memory.span(op.scales.region, op.scales.start, op.scales.length)
        self._fixed = not (self._stream.flags.writeable or self._records.flags.writeable)
        self._constants: _Constants | None = None
        self._ifm, self._ofm = Mapped(memory, op.ifm), Mapped(memory, op.ofm, writing=True)
        self._finish = Finish(op.output.activation, op.ofm, memory, accelerator)
        kernel = op.kernel
        self._pointwise = not self._depthwise and (
            kernel.height == kernel.width == kernel.stride_y == kernel.stride_x == 1
        )
        self._image_shape = (*padded_shape(kernel, self._outputs), op.ifm.depth)

    @property
    def _outputs(self) -> tuple[int, int]:
        return self._op.ofm.height, self._op.ofm.width

    def run(self) -> None:
        """Read the input, compute, write the output."""
        op = self._op
        constants = self._constants = self._current()
        dtype = constants.matrix.dtype
        image = self._scratch.take("image", self._image_shape, dtype)
        fill_padded(image, self._ifm.read(), op.kernel, op.ifm.zero_point, 0)
        height, width = self._outputs
        out = np.empty(op.ofm.shape, op.ofm.type)
        row_bytes = width * max(8 * op.ofm.depth, self._patch_elements * dtype.itemsize)
        step = max(1, _PIECE_BYTES // row_bytes)
        views = image if self._pointwise else windows(image, op.kernel, self._outputs)
        for top in range(0, height, step):
            rows = min(step, height - top)
            sums = self._scratch.take("sums", (rows * width, op.ofm.depth), dtype)
            if self._depthwise:
                self._sum_taps(views[top : top + rows], constants.matrix, sums.reshape(rows, width, -1))
            else:
                np.matmul(self._patches(views[top : top + rows]), constants.matrix, out=sums)
            values = self._scratch.take("values", sums.shape, np.int64)
            np.copyto(values, sums, casting="unsafe")
            elements = self._finish(constants.scaler.shifted(values))
            out[top : top + rows] = elements.reshape(rows, width, -1)
        self._ofm.write(out)

    @property
    def _patch_elements(self) -> int:
        kernel = self._op.kernel
        if self._depthwise or self._pointwise:
            return self._op.ifm.depth
        return kernel.height * kernel.width * self._op.ifm.depth

    def _patches(self, views: NDArray[Any]) -> NDArray[Any]:
        """Return what the kernel covers at each position as the rows of a matrix."""
        if self._pointwise:
            return views.reshape(-1, views.shape[-1])
        patches = self._scratch.take("patches", views.shape, views.dtype)
        patches[...] = views
        return patches.reshape(views.shape[0] * views.shape[1], -1)

    def _sum_taps(self, views: NDArray[Any], matrix: NDArray[Any], sums: NDArray[Any]) -> None:
        """Sum products channel by channel, one position of the kernel after the other."""
        term = self._scratch.take("term", sums.shape, sums.dtype)
        target = sums
        for tap, (y, x) in enumerate(np.ndindex(views.shape[2:4])):
            np.multiply(views[:, :, y, x], matrix[tap], out=target)
            if tap:
                sums += term
            target = term

    def _current(self) -> _Constants:
        """Return the decoded weights and scale records, decoded again if those in memory have changed."""
        last = self._constants
        if last is not None and (self._fixed or self._as_in(last)):
            return last
        op = self._op
        stream, records = self._stream.tobytes(), self._records.tobytes()
        volume = self._weights.volume(stream, volume_of(op), self._accelerator)
        matrix = volume.reshape(volume.shape[0], -1)
        bias, scale, shift = scale_records(self._records, op.ofm.depth)
        bound = int(np.abs(matrix).sum(axis=1, dtype=np.int64).max()) * largest_input(op.ifm)
        dtype = np.float32 if bound < _FLOAT32_EXACT else np.float64
        largest = bound + int(np.abs(bias).max())
        return _Constants(
            stream,
            records,
            np.ascontiguousarray(matrix.T, dtype),
            Scaler(scale, shift, op.output.rounding, bias=bias, largest=largest),
        )

    def _as_in(self, last: _Constants) -> bool:
        pairs = ((self._stream, last.stream), (self._records, last.records))
        return all(np.array_equal(now, np.frombuffer(then, np.uint8)) for now, then in pairs)
