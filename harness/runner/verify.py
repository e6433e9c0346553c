"""Verify: hold what came back from the board against the desktop TFLite runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.models import outputs, reference
from harness.results.record import Verification
from harness.results.usable import NO_MODEL_RAN
from harness.runner.measure import Measurement

if TYPE_CHECKING:
    from harness.models.tflite import Model

SELFTEST = "selftest"
"""Capability by which a firmware says that its engine runs no model."""
PRINTED_STEP = 0.001
"""MLPerf Tiny's devices print outputs with three decimals; kws01's cuts off the rest, the others round."""


def verify(taken: Measurement, source: Model | None, expected: reference.Reference | str) -> Verification:
    """Return how the outputs compare with those of `source` on a desktop; a str says why that did not run."""
    given = taken.outputs is not None or taken.printed is not None
    if SELFTEST in taken.identity.capabilities:
        return _none(NO_MODEL_RAN)
    if isinstance(expected, str) or source is None:
        return _none(str(expected))
    if not given:
        return _none(taken.outputs_reason)
    name = "{} {}, {}".format(*reference.runtime(), reference.kernels(source))
    try:
        if taken.outputs is None:
            return _hold_printed(taken.printed or [], source, expected, name)
        return _hold(taken.outputs, source, expected, name)
    except (HarnessError, ValueError) as error:
        return _none(str(error), name)


def _none(reason: str | None, name: str | None = None) -> Verification:
    return Verification(verdict="not_available", reference=name, reason=reason, tolerance_ulp=outputs.STEPS)


def _hold(given: list[bytes], source: Model, expected: reference.Reference, name: str) -> Verification:
    import numpy as np

    arrays = expected.result()
    got = [
        np.frombuffer(data, array.dtype).reshape(array.shape)
        for data, array in zip(given, arrays, strict=True)
    ]
    found = outputs.compare(got, arrays, source)
    return Verification(
        verdict=found.verdict,
        reference=name,
        max_ulp=found.max_ulp,
        tolerance_ulp=outputs.STEPS,
        rule=found.rule,
        reason=found.worst,
    )


def _hold_printed(
    printed: list[float], source: Model, expected: reference.Reference, name: str
) -> Verification:
    """Compare a device's printed first output, whose decimals cannot tell an exact one from a near one."""
    import numpy as np

    graph = source.subgraphs[0]
    tensor = graph.tensors[graph.outputs[0]]
    values = expected.result()[0].astype(np.float64).ravel()
    step = 0.0
    if tensor.quantization is not None:
        step = tensor.quantization.scales[0]
        values = (values - tensor.quantization.zero_points[0]) * step
    if len(printed) != len(values):
        return _none(f"the device prints {len(printed)} values, and the output has {len(values)}", name)
    # The last decimal, and the rounding of one step that kernels may differ by.
    allowed = PRINTED_STEP + outputs.STEPS * step + 1e-5 * np.abs(values)
    right = bool(np.all(np.abs(np.array(printed) - values) <= allowed + 1e-9))
    return Verification(
        verdict="within_tolerance" if right else "differs",
        reference=name,
        tolerance_ulp=outputs.STEPS,
        rule=f"the first output, printed with steps of {PRINTED_STEP:g}: within one of its own steps",
    )
