"""Which runs may enter an average, a comparison or a card, and why the others may not."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.record import Record

NO_MODEL_RAN = "the firmware's selftest engine answered, which runs no model: no figure here is the model's"
"""Noted in the record of such a run."""


@dataclass(frozen=True)
class LeftOut:
    """A run whose figures are not used, and the reason."""

    record: Record
    reason: str


def unusable(record: Record) -> str | None:
    """Return why the figures of a run must not be used, None if they may be.

    The record is kept all the same, and whatever shows figures lists it apart with this reason.
    """
    if record.firmware.selftest or NO_MODEL_RAN in record.notes:
        return "the firmware's selftest engine answered, which runs no model"
    if differs(record):
        ulp = record.verification.max_ulp
        return "its outputs differ from the reference" + (f" by {ulp} ULP" if ulp is not None else "")
    samples, requested = len(record.invoke.ticks), record.invoke.requested
    if not record.complete:
        return f"it ended early, with {samples} of {requested} samples"
    return None if samples else "it has no sample"


def differs(record: Record) -> bool:
    """Say whether the outputs of a run are wrong: whatever was timed, it was not this model's work."""
    return record.verification.verdict == "differs"
