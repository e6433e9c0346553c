"""`harness npu`: what is in a Vela-compiled model, and what its NPU computes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options, terminal
from harness.cli.group import CommandGroup
from harness.errors import HarnessError, printable

if TYPE_CHECKING:
    from harness.boards import Profile
    from harness.emulator.npu.layers import Layer
    from harness.emulator.npu.runner import Interpreter
    from harness.emulator.npu.trace import Departure, Trace, TraceEntry
    from harness.models.npu.jobs import Job
    from harness.models.tflite import Model

    Rows = list[tuple[TraceEntry, int]]

_DEFAULT_BOARD = "grove_vision_ai_we2"


@click.group("npu", cls=CommandGroup)
def command() -> None:
    """Look into a Vela-compiled model and run it on a functional Ethos-U55, without a board."""


@command.command("disasm")
@click.argument("file")
@click.option("--source", help="The model FILE was compiled from, to name layers [known after `compile`].")
@options.as_json("Print JSON, one object a command.")
def disasm(file: str, source: str | None, as_json: bool) -> None:
    """Print the command streams of FILE: registers by name, values decoded, layer by layer."""
    from harness.models import tflite
    from harness.models.npu import disasm

    model = tflite.read(file)
    steps = _jobs(model, file)
    layers = _layers(model, file, source)
    listing: list[dict[str, Any]] = []
    for step in steps:
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
    if as_json:
        terminal.print_json(listing)
    else:
        click.echo(_listing(listing))


def _listing(listing: list[dict[str, Any]]) -> str:
    shown: list[str] = []
    place: tuple[int, int] | None = None
    for line in listing:
        here = (line["operator"], line["operation"])
        if here != place:
            place = here
            title = "end" if here[1] < 0 else f"operation {here[1]}"
            layer = printable(f": {line['layer']}") if line["layer"] else ""
            shown.append(f"\n; operator {here[0]}, {title}{layer}")
        payload = f"{line['payload']:08x}" if line["payload"] is not None else " " * 8
        shown.append(
            f"{line['word']:6}  {line['parameter']:04x} {payload}  {line['command']:26} {line['value']}"
        )
    return "\n".join(shown).lstrip("\n")


@command.command("run")
@click.argument("file")
@options.inputs()
@click.option("--source", help="The model FILE was compiled from: stop at the first operation that differs.")
@options.board("Run it on this board's NPU [the NPU that FILE is for, memories of grove_vision_ai_we2].")
@click.option("--trace", is_flag=True, help="List every operation.")
@options.as_json()
def run(
    file: str, inputs: tuple[str, ...], source: str | None, board: str | None, trace: bool, as_json: bool
) -> None:
    """Run FILE once on an emulated NPU and print its outputs.

    With --source it is compared with the reference kernels; the trace ends at the first operation that
    differs, and the exit status is 1.
    """
    from harness import boards
    from harness.emulator.apart import apart
    from harness.models import tensors, tflite
    from harness.models.npu import accelerator

    # Several threads wait for one another, which takes longer than the products if the computer is busy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    profile = boards.load(board or _DEFAULT_BOARD)
    if profile.vela is None:
        raise HarnessError(f"{profile.id} has no NPU; give a board that has one with --board")
    model = tflite.read(file)
    built_for = _jobs(model, file)[0].configuration.accelerator
    if built_for not in accelerator.ACCELERATORS:
        raise HarnessError(f"{file}: compiled for {built_for}, and the NPU that is emulated is an Ethos-U55")
    if board and built_for != profile.vela.accelerator:
        raise HarnessError(
            f"{file}: compiled for {built_for}, and {profile.id} has {profile.vela.accelerator}; compile the "
            f"model again with `harness compile MODEL --board {profile.id}`"
        )
    origin = _source(source, model, file) if source else None
    arrays = tensors.load(inputs, model)
    facts, rows, found = apart(lambda: _run(model, file, profile, arrays, origin), f"running {file}")
    rows = rows if trace or as_json else []
    if as_json:
        facts["trace"] = [{**asdict(row), "estimated_cycles": cycles} for row, cycles in rows]
        terminal.print_json(facts)
    else:
        _show(facts, rows, found)
    if found is not None:
        sys.exit(1)


def _run(
    model: Model, file: str, profile: Profile, arrays: Sequence[Any], origin: Model | None
) -> tuple[dict[str, Any], Rows, Departure | None]:
    """Run `model` once: facts, the operations executed with their estimated cycles, where it differs.

    With a source the operations end at the first one that differs.
    """
    from harness.emulator.npu import trace as tracing
    from harness.models.npu import accelerator, cycles
    from harness.models.npu.jobs import Job

    assert profile.vela is not None
    interpreter, record, outputs, reference = _traced(model, file, arrays, origin)
    found = tracing.departure(record, reference, outputs) if origin else None
    steps = [step for step in interpreter.steps if isinstance(step, Job)]
    npu = accelerator.named(steps[0].configuration.accelerator)
    memories = cycles.memories(profile.vela.settings())
    costs = [(step.operator.index, cycles.estimate(step.operations, npu, memories)) for step in steps]
    estimated_cycles = sum(cycles.total(job) for _, job in costs)
    by_place = {(step, cost.index): cost.cycles for step, job in costs for cost in job}
    facts = {
        "model": file,
        "npu": npu.name,
        "memories": profile.id,
        "arena_bytes": interpreter.plan.bytes,
        "operations": len(record.entries),
        "cpu_operators": sum(len(s.operators) for s in interpreter.steps if not isinstance(s, Job)),
        "estimated_cycles": estimated_cycles,
        "estimated_seconds": estimated_cycles / profile.vela.system.core_clock_hz,
        "clock_hz": profile.vela.system.core_clock_hz,
        "outputs": [
            {"name": t.name, "type": t.type, "shape": t.shape, "values": array.tolist()}
            for t, array in zip(interpreter.outputs, outputs, strict=True)
        ],
        "reference": None if origin is None else ("equal" if found is None else "different"),
        "departure": asdict(found) if found else None,
    }
    rows = record.named()
    if found is not None:
        rows = rows[: record.entries.index(found.entry) + 1]
    return facts, [(row, by_place[row.step, row.index]) for row in rows], found


def _traced(
    model: Model, file: str, arrays: Sequence[Any], origin: Model | None
) -> tuple[Interpreter, Trace, list[Any], list[Layer]]:
    """Load and run `model` with a trace; raises HarnessError if it cannot be run."""
    from harness.emulator.npu import trace as tracing
    from harness.emulator.npu.runner import Interpreter
    from harness.emulator.tflm import TflmError

    try:
        interpreter = Interpreter(model)
        return interpreter, *tracing.run(interpreter, arrays, origin)
    except TflmError as error:
        raise HarnessError(f"{file}: TFLite-Micro refuses what is left to the CPU: {error}") from None


def _jobs(model: Model, file: str) -> list[Job]:
    """Return what `model` has for an NPU; raises HarnessError if that is nothing or cannot be decoded."""
    from harness.models import ethosu
    from harness.models.npu.faults import NotModelled, NpuFault
    from harness.models.npu.jobs import jobs

    built_for = ethosu.accelerator(model)
    if built_for is None:
        left = ethosu.is_left_to_cpu(model)
        what = "Vela left all of it to the CPU" if left else "compile it first with `harness compile`"
        raise HarnessError(f"{file}: nothing in it runs on an NPU; {what}")
    if built_for.startswith("ethos-u85"):
        raise HarnessError(
            f"{file}: compiled for {built_for}, whose commands are others than the Ethos-U55's; compile the "
            "model for that"
        )
    try:
        return jobs(model)
    except NotModelled as fault:
        raise HarnessError(f"{file}: {fault}") from None
    except NpuFault as fault:
        raise HarnessError(
            f"{file}: an NPU cannot run its commands: {fault.where}{fault.reason}; compile the model again"
        ) from None


def _source(source: str, model: Model, file: str) -> Model:
    """Return the model that `file` was compiled from; raises HarnessError if it cannot be that."""
    from harness.models import ethosu
    from harness.models.resolve import resolve

    found = resolve(source)
    if ethosu.is_compiled(found):
        raise HarnessError(f"{source}: compiled for an NPU itself; give the model that {file} was made from")
    if _interface(found) != _interface(model):
        raise HarnessError(
            f"{source}: its inputs and outputs are not those of {file}; give the model that it was made from"
        )
    return found


def _interface(model: Model) -> list[list[tuple[str, int]]]:
    main = model.subgraphs[0]
    return [
        sorted((main.tensors[i].type, main.tensors[i].elements) for i in ports)
        for ports in (main.inputs, main.outputs)
    ]


def _layers(model: Model, file: str, source: str | None) -> dict[tuple[int, int], str]:
    """Return the layer of each (operator, operation) if the source is given or was compiled here.

    They are found by running both; if one cannot be run there are none, and standard error says why.
    """
    from harness.emulator.apart import apart
    from harness.models import tflite, vela

    if source is not None:
        origin = _source(source, model, file)
    else:
        compiled = vela.source_of(model.sha256)
        if compiled is None:
            return {}
        origin = tflite.parse(compiled.source, compiled.name)
    try:
        return apart(lambda: _named(model, file, origin), f"running {file}")
    except HarnessError as error:
        click.echo(f"layers are not named: {error}", err=True)
        return {}


def _named(model: Model, file: str, origin: Model) -> dict[tuple[int, int], str]:
    from harness.models import tensors

    _, record, _, _ = _traced(model, file, tensors.load([], model), origin)
    return {(e.step, e.index): e.layer for e in record.named() if e.layer is not None}


def _show(facts: dict[str, Any], rows: Rows, found: Departure | None) -> None:
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
            ("NPU time", _time(facts)),
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
                    cycles,
                    row.digest,
                    row.layer or "",
                )
                for row, cycles in rows
            ),
        )


def _time(facts: dict[str, Any]) -> str:
    from harness.cli.forecast_view import rounded

    return (
        f"{rounded(facts['estimated_seconds'] * 1e3)} ms, {facts['estimated_cycles']:,} cycles at "
        f"{facts['clock_hz'] / 1e6:g} MHz (estimated from the commands, with the memories of "
        f"{facts['memories']}; CPU operators not counted)"
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
