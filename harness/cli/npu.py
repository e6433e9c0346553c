"""`harness npu`: what is in a Vela-compiled model, and what its NPU computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.emulator.npu.trace import Departure, Entry
    from harness.models.tflite import Model

_DEFAULT_BOARD = "grove_vision_ai_we2"


@click.group("npu")
def command() -> None:
    """Look into a Vela-compiled model and run it on a functional Ethos-U55, without a board."""


@command.command("disasm")
@click.argument("file")
@click.option("--source", help="The model FILE was compiled from, to name layers [known after `compile`].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a command.")
def disasm(file: str, source: str | None, as_json: bool) -> None:
    """Print the command streams of FILE: registers by name, values decoded, layer by layer."""
    from harness.models import tflite
    from harness.models.npu import disasm
    from harness.models.npu.jobs import jobs

    model = tflite.read(file)
    layers = _layers(model, source)
    listing: list[dict[str, Any]] = []
    for step in _steps(jobs(model), file):
        for line in disasm.lines(step.commands):
            listing.append(
                {
                    "operator": step.operator.index,
                    "operation": line.operation,
                    "layer": layers.get((step.operator.index, line.operation)),
                    "word": line.word,
                    "command": line.name,
                    "parameter": line.command.parameter,
                    "payload": line.command.payload if line.command.has_payload else None,
                    "value": line.text,
                }
            )
    click.echo(json.dumps(listing, indent=1) if as_json else _listing(listing))


def _listing(listing: list[dict[str, Any]]) -> str:
    shown: list[str] = []
    place: tuple[int, int] | None = None
    for line in listing:
        here = (line["operator"], line["operation"])
        if here != place:
            place = here
            title = "end" if here[1] < 0 else f"operation {here[1]}"
            layer = f": {line['layer']}" if line["layer"] else ""
            shown.append(f"\n; operator {here[0]}, {title}{layer}")
        payload = f"{line['payload']:08x}" if line["payload"] is not None else " " * 8
        shown.append(
            f"{line['word']:6}  {line['parameter']:04x} {payload}  {line['command']:26} {line['value']}"
        )
    return "\n".join(shown).lstrip("\n")


@command.command("run")
@click.argument("file")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="Input tensor: .npy, .npz, picture or random:SEED.",
)
@click.option("--source", help="The model FILE was compiled from: stop at the first operation that differs.")
@click.option(
    "--board", help="Run it on this board's NPU [the NPU that FILE is for, memories of grove_vision_ai_we2]."
)
@click.option("--trace", is_flag=True, help="List every operation.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    file: str, inputs: tuple[str, ...], source: str | None, board: str | None, trace: bool, as_json: bool
) -> None:
    """Run FILE once on an emulated NPU and print its outputs.

    With --source it is compared with the reference kernels; the trace ends at the first operation that
    differs, and the exit status is 1.
    """
    from harness import boards
    from harness.emulator.npu import trace as tracing
    from harness.emulator.npu.runner import Interpreter
    from harness.errors import HarnessError
    from harness.models import tensors, tflite
    from harness.models.npu import accelerator, cycles
    from harness.models.npu.jobs import Job, jobs
    from harness.models.resolve import resolve

    profile = boards.load(board or _DEFAULT_BOARD)
    if profile.vela is None:
        raise HarnessError(f"{profile.id} has no NPU; give a board that has one with --board")
    model = tflite.read(file)
    first = _steps(jobs(model), file)[0]
    npu = accelerator.named(profile.vela.accelerator if board else first.configuration.accelerator)
    interpreter = Interpreter(model, npu)
    origin = resolve(source) if source else None
    record, outputs, reference = tracing.run(interpreter, tensors.load(inputs, model), origin)
    found = tracing.departure(record, reference, outputs) if origin else None
    memories = cycles.memories(profile.vela.settings())
    costs = {
        (step.operator.index, cost.index): cost
        for step in interpreter.steps
        if isinstance(step, Job)
        for cost in cycles.estimate(step.operations, npu, memories)
    }
    facts = {
        "model": file,
        "npu": npu.name,
        "memories": profile.id,
        "arena_bytes": interpreter.plan.bytes,
        "operations": len(record.entries),
        "cpu_operators": sum(len(s.operators) for s in interpreter.steps if not isinstance(s, Job)),
        "estimated_cycles": _total(interpreter.steps, npu, memories),
        "outputs": [
            {"name": t.name, "type": t.type, "shape": t.shape, "values": array.tolist()}
            for t, array in zip(interpreter.outputs, outputs, strict=True)
        ],
        "reference": None if origin is None else ("equal" if found is None else "different"),
        "departure": asdict(found) if found else None,
    }
    rows = record.named() if trace or as_json else []
    if found is not None:
        rows = rows[: record.entries.index(found.entry) + 1]
    if as_json:
        facts["trace"] = [
            {**asdict(row), "estimated_cycles": costs[row.step, row.index].cycles} for row in rows
        ]
        click.echo(json.dumps(facts, indent=1))
    else:
        _show(facts, rows, costs, found)
    if found is not None:
        raise click.exceptions.Exit(1)


def _total(steps: Sequence[Any], npu: Any, memories: Any) -> int:
    from harness.models.npu import cycles
    from harness.models.npu.jobs import Job

    return sum(
        cycles.total(cycles.estimate(step.operations, npu, memories))
        for step in steps
        if isinstance(step, Job)
    )


def _steps(steps: list[Any], file: str) -> list[Any]:
    from harness.errors import HarnessError

    if not steps:
        raise HarnessError(f"{file}: nothing in it runs on an NPU; compile it first with `harness compile`")
    return steps


def _layers(model: Model, source: str | None) -> dict[tuple[int, int], str]:
    """Return the layer of each (operator, operation), where the source is given or was compiled here."""
    from harness.emulator.npu import trace as tracing
    from harness.emulator.npu.runner import Interpreter
    from harness.models import tensors, tflite, vela
    from harness.models.resolve import resolve

    if source is not None:
        origin = resolve(source)
    else:
        compiled = vela.source_of(model.sha256)
        if compiled is None:
            return {}
        origin = tflite.parse(compiled.source, compiled.name)
    record, _, _ = tracing.run(Interpreter(model), tensors.load([], model), origin)
    return {(e.step, e.index): e.layer for e in record.named() if e.layer is not None}


def _show(
    facts: dict[str, Any], rows: Sequence[Entry], costs: dict[tuple[int, int], Any], found: Departure | None
) -> None:
    from harness.cli.terminal import console, table
    from harness.cli.terminal import facts as show_facts

    out = console()
    show_facts(
        out,
        [
            ("Model", facts["model"]),
            ("NPU", f"{facts['npu']}, emulated"),
            ("Arena", f"{facts['arena_bytes']:,} bytes by the file's plan"),
            (
                "Operations",
                f"{facts['operations']} on the NPU, {facts['cpu_operators']} operators on the CPU",
            ),
            ("NPU time", f"{facts['estimated_cycles']:,} cycles, estimated for {facts['memories']}"),
            *(
                (f"Output {o['name']}", f"{o['type']} {'x'.join(map(str, o['shape']))} {_short(o['values'])}")
                for o in facts["outputs"]
            ),
            *([("Reference", _verdict(found))] if facts["reference"] else []),
        ],
    )
    if rows:
        table(
            out,
            (">Op", "Operation", "Input", "Output", "Block", ">Weights", ">Cycles", "Digest", "Layer"),
            (
                (
                    f"{row.step}:{row.index}",
                    f"{row.name} {row.type}".strip(),
                    _size(row.ifm),
                    _size(row.ofm) or f"{row.bytes} bytes",
                    _size(row.block),
                    row.weights or None,
                    costs[row.step, row.index].cycles,
                    row.digest,
                    row.layer or "",
                )
                for row in rows
            ),
        )


def _verdict(found: Departure | None) -> str:
    if found is None:
        return "equal to the reference kernels"
    where = f"operation {found.entry.step}:{found.entry.index} ({found.entry.name}), layer {found.layer}"
    if found.elements is None:
        return f"differs from {where} on"
    return f"differs first at {where}: {found.elements} of {found.of} elements, by up to {found.largest}"


def _size(shape: tuple[int, int, int] | None) -> str:
    return "x".join(map(str, shape)) if shape else ""


def _short(values: Any) -> str:
    text = json.dumps(values)
    return text if len(text) <= 120 else text[:117] + "..."
