"""Bench again what a gate is not sure of, as it was benched before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.gate.compare import Comparison
    from harness.results import Record


def unsure(comparisons: Sequence[Comparison]) -> list[Record]:
    """Return the newest run of each model whose times do not pass, so that more runs could tell."""
    found = []
    for comparison in comparisons:
        times = [f for f in comparison.findings if f.about == "time" and f.outcome != "pass"]
        if times and comparison.candidate is not None and comparison.candidate.origin != "estimated":
            found.append(comparison.candidate.latest)
    return found


def rerun(records: Sequence[Record], times: int, store: Path) -> list[Record]:
    """Bench each run again, `times` times, into `store`; return the new records.

    What cannot be benched again is said on standard error: the verdict then rests on the runs there are.
    """
    from harness.runner.api import bench

    made: list[Record] = []
    for record in records:
        name = f"{record.model.name} on {record.board.id}"
        click.echo(f"harness: {name} is benched again, {times} times, before the verdict", err=True)
        emulated = record.board.port_kind == "emulated"
        try:
            for _ in range(times):
                done = bench(
                    [record.model.source_file or record.model.file],
                    [record.board.id],
                    invokes=record.invoke.requested,
                    warmup=record.invoke.warmup,
                    inputs=record.inputs.spec if record.inputs.sha256 else ("random:0",),
                    protocol=record.firmware.protocol,
                    port="emulated" if emulated else record.board.port,
                    out=store,
                )
                made += done.records
                if done.failures:
                    raise HarnessError(done.failures[0].message)
        except HarnessError as error:
            click.echo(f"harness: {name} cannot be benched again: {error}", err=True)
    return made
