"""What a kernel sees of its input, element by element."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.emulator.npu.windows import fill_padded, fold, padded, padded_shape, windows
from harness.models.npu.operations import Kernel, Upscale

PADDING, ZERO_POINT = 99, 5


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Kernel, tuple[int, int]]:
    """A kernel and how many outputs it has, with padding that leaves something of the input."""
    outputs = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    size, stride, dilation = ([draw(st.integers(1, most)) for _ in range(2)] for most in (4, 3, 2))
    reach = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    room = [(o - 1) * s + r - 1 for o, s, r in zip(outputs, stride, reach, strict=True)]
    before = [draw(st.integers(0, min(r, 2))) for r in room]
    after = [draw(st.integers(0, min(r - b, 2))) for r, b in zip(room, before, strict=True)]
    upscale = draw(st.sampled_from(Upscale))
    return Kernel(*size, *stride, *dilation, *before, *after, False, upscale), outputs


def _image(kernel: Kernel, outputs: tuple[int, int], values: np.ndarray) -> np.ndarray:
    """The padded, upscaled image, one element after the other."""
    height, width = padded_shape(kernel, outputs)
    image = np.full((height, width, values.shape[2]), PADDING)
    for y in range(height - kernel.top - kernel.bottom):
        for x in range(width - kernel.left - kernel.right):
            place = image[y + kernel.top, x + kernel.left]
            if kernel.upscale is Upscale.NONE:
                place[...] = values[y, x]
            elif kernel.upscale is Upscale.NEAREST or (y % 2 == 0 and x % 2 == 0):
                place[...] = values[y // 2, x // 2]
    return image


def _values(kernel: Kernel, outputs: tuple[int, int], seed: int) -> np.ndarray:
    height, width = padded_shape(kernel, outputs)
    inside = (height - kernel.top - kernel.bottom, width - kernel.left - kernel.right)
    if kernel.upscale is not Upscale.NONE:
        inside = (-(-inside[0] // 2), -(-inside[1] // 2))
    return np.random.default_rng(seed).integers(-50, 50, (*inside, 3)).astype(np.int16)


@given(kernels(), st.integers(0, 2**32 - 1))
def test_inputs_are_padded_and_upscaled_as_defined(case: tuple[Kernel, tuple[int, int]], seed: int) -> None:
    kernel, outputs = case
    values = _values(kernel, outputs, seed)
    wanted = _image(kernel, outputs, values)
    assert np.array_equal(padded(values, kernel, outputs, PADDING), wanted)
    less = np.empty(wanted.shape, np.float32)
    fill_padded(less, values, kernel, ZERO_POINT, 0)
    assert np.array_equal(less, np.where(wanted == PADDING, 0, wanted - ZERO_POINT))


@given(kernels(), st.integers(0, 2**32 - 1), st.sampled_from([np.add, np.maximum]))
def test_windows_are_combined_as_defined(
    case: tuple[Kernel, tuple[int, int]], seed: int, join: np.ufunc
) -> None:
    kernel, outputs = case
    image = _image(kernel, outputs, _values(kernel, outputs, seed))
    found, views = fold(image, kernel, outputs, join), windows(image, kernel, outputs)
    for y, x in np.ndindex(outputs):
        rows = [y * kernel.stride_y + k * kernel.dilation_y for k in range(kernel.height)]
        columns = [x * kernel.stride_x + k * kernel.dilation_x for k in range(kernel.width)]
        window = image[np.ix_(rows, columns)]
        assert np.array_equal(views[y, x], window)
        assert np.array_equal(found[y, x], join.reduce(window, axis=(0, 1)))
