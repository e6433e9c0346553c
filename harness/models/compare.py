"""How far two sets of output tensors are apart, in units of the last place (ULP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    import numpy as np


def max_ulp(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> int:
    """Return the largest difference between corresponding elements, 0 where all are the same.

    Integers differ by their difference; floats by the number of representable values between them, so
    that -0.0 equals 0.0, a NaN equals any NaN, and a NaN is as far from a number as the type can tell.
    Raises HarnessError where count, shapes or types differ: those are not the same model's outputs.
    """
    if len(outputs) != len(reference):
        raise HarnessError(
            f"cannot compare outputs: {len(outputs)} tensor(s) against {len(reference)} of the reference"
        )
    return max(
        (_tensor_ulp(i, a, b) for i, (a, b) in enumerate(zip(outputs, reference, strict=True))), default=0
    )


def _tensor_ulp(index: int, a: np.ndarray, b: np.ndarray) -> int:
    import numpy as np

    if a.shape != b.shape or a.dtype != b.dtype:
        raise HarnessError(
            f"cannot compare output {index}: {a.dtype} {list(a.shape)} against "
            f"{b.dtype} {list(b.shape)} of the reference"
        )
    if a.size == 0:
        return 0
    if a.dtype.kind != "f":
        # Python integers where 64-bit differences could wrap round.
        exact = np.int64 if a.dtype.itemsize < 8 else object
        return int(np.abs(a.astype(exact) - b.astype(exact)).max())
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    distance = np.abs(_ordinals(a) - _ordinals(b))
    distance[nan_a & nan_b] = 0
    distance[nan_a ^ nan_b] = 1 << (8 * a.dtype.itemsize)
    return int(distance.max())


def _ordinals(values: np.ndarray) -> np.ndarray:
    """Number the values of a float type in order, as Python integers: neighbours differ by 1, zeros are 0."""
    import numpy as np

    bits = values.dtype.itemsize * 8
    patterns = values.view(f"u{values.dtype.itemsize}").astype(object if bits == 64 else np.int64)
    sign = 1 << (bits - 1)
    return np.where(patterns >= sign, sign - patterns, patterns).astype(object)
