"""Whether a device's outputs are those of the reference, and how far they are apart.

How near is near enough goes by what an output is:

- quantized values: one step, a rounding at a tie, as kernels of other chips have it;
- whole numbers without a scale: equal;
- floats: a part of the largest value, as other chips fuse and order their sums otherwise; ten times as much
  if values are fed back;
- many quantized values behind an LSTM, which feeds its steps back: the root mean square, as a part of their
  standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from harness.errors import HarnessError, printable
from harness.models.graph import Model, Operator, Subgraph
from harness.models.reference import has_state

if TYPE_CHECKING:
    import numpy as np

STEPS = 1
"""A rounding at a tie, by which quantized kernels of other chips may be off."""

_PLAIN = 1e-6
_FED_BACK = 1e-5
_SPREAD = 0.15
# Fewer values are too few for a spread to mean something.
_MANY = 64
_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_FEEDING_BACK = (_LSTM, "SVDF", "WHILE")
_SAME_VALUES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")

Verdict = Literal["exact", "within_tolerance", "differs"]


@dataclass(frozen=True)
class OutputComparison:
    """How outputs compare: `rule` is by what they were judged, `worst` names the output that is furthest off.

    `max_ulp` is the largest difference in units of the last place, for integers in steps.
    """

    verdict: Verdict
    max_ulp: int
    rule: str
    worst: str | None


def compare(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], model: Model) -> OutputComparison:
    """Hold the outputs of a device against the reference's, both in the order of `model`, which made them.

    Raises HarnessError if count, shapes or types differ: those are not the same model's outputs.
    """
    ulp = max_ulp(outputs, reference)
    main = model.subgraphs[0]
    rules = [_rule(model, index) for index in main.outputs]
    excess = [rule.off(a, b) / rule.most for rule, a, b in zip(rules, outputs, reference, strict=True)]
    rule = "; ".join(dict.fromkeys(rule.said for rule in rules))
    if max(excess, default=0) <= 1:
        return OutputComparison("within_tolerance" if ulp else "exact", ulp, rule, None)
    at = max(range(len(excess)), key=excess.__getitem__)
    name = printable(main.tensors[main.outputs[at]].name[:80])
    off = rules[at].off(outputs[at], reference[at])
    worst = f"output {at} ('{name}') is off by {off:.3g} {rules[at].unit}"
    return OutputComparison("differs", ulp, rule, worst)


@dataclass(frozen=True)
class _Rule:
    """What is allowed: `most` of what `off` measures in `unit`; `said` is that in words."""

    said: str
    most: float
    unit: str
    off: Callable[[np.ndarray, np.ndarray], float]


def _rule(model: Model, index: int) -> _Rule:
    main = model.subgraphs[0]
    tensor = main.tensors[index]
    back = next((o.code for g in model.subgraphs for o in g.operators if o.code in _FEEDING_BACK), None)
    behind = f" behind {back}" if back else " with state" if has_state(model) else ""
    if not tensor.type.startswith("float"):
        if tensor.quantization is None:
            return _Rule(f"{tensor.type}: equal", 0.5, "", _steps)
        return _quantized(tensor.type, tensor.elements, back)
    source = _source(main, index)
    given = main.tensors[source.inputs[0]] if source and source.code == "DEQUANTIZE" else None
    if given is not None and given.quantization is not None and given.quantization.scales[0] > 0:
        scale = given.quantization.scales[0]
        rule = _quantized(f"{tensor.type} of {given.type}", tensor.elements, back)
        return rule if rule.off is _spread else replace(rule, off=lambda a, b: _apart(a, b, scale))
    most = _FED_BACK if behind else _PLAIN
    said = f"{tensor.type}{behind}: within {most:g} of the largest value"
    return _Rule(said, most, "of its largest value", _relative)


def _quantized(type: str, elements: int, back: str | None) -> _Rule:
    if back == _LSTM and elements >= _MANY:
        said = f"{type} behind {back}: within {_SPREAD:g} of the values' spread (root mean square)"
        return _Rule(said, _SPREAD, "of its values' spread", _spread)
    # A step between dequantized values is one of rounded floats.
    return _Rule(f"{type}: at most {STEPS} step", STEPS * 1.001, "steps", _steps)


def _steps(a: np.ndarray, b: np.ndarray) -> float:
    return float(_tensor_ulp(0, a, b))


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference as a part of the largest value of `b`."""
    import numpy as np

    return _apart(a, b, float(np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=0)))


def _apart(a: np.ndarray, b: np.ndarray, unit: float) -> float:
    """Return the largest difference in units of `unit`; what is no finite number has to be the same."""
    import numpy as np

    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return math.inf
    far = float(np.abs(a[finite].astype(np.float64) - b[finite].astype(np.float64)).max(initial=0))
    return far / unit if unit else math.inf if far else 0.0


def _spread(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root mean square of the differences as a part of the standard deviation of `b`."""
    import numpy as np

    far = float(np.sqrt(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))
    unit = float(b.astype(np.float64).std())
    return far / unit if unit else math.inf if far else 0.0


def _source(graph: Subgraph, index: int) -> Operator | None:
    """Return the operator that computes the values of a tensor, past those that only reshape them."""
    makers = {made: operator for operator in graph.operators for made in operator.outputs}
    for _ in range(len(graph.operators)):
        operator = makers.get(index)
        if operator is None or operator.code not in _SAME_VALUES or not operator.inputs:
            return operator if operator and operator.inputs and operator.inputs[0] >= 0 else None
        index = operator.inputs[0]
    return None


def max_ulp(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> int:
    """Return the largest difference between corresponding elements, 0 if all are the same.

    Integers differ by their difference; floats by the number of representable values between them, so
    that -0.0 equals 0.0, a NaN equals any NaN, and a NaN is as far from a number as the type can tell.
    Raises HarnessError if count, shapes or types differ: those are not the same model's outputs.
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
        # Differences of 64-bit integers could wrap round, so those are taken of Python's.
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
