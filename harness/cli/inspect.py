"""`harness inspect`: what a model is made of and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli import options, terminal

if TYPE_CHECKING:
    from harness.models.inspect import ModelTensor, Summary


@click.command("inspect")
@click.argument("model")
@options.board("Board id or profile: add its memory and time.")
@click.option("--layers", is_flag=True, help="List every operator.")
@options.as_json("Print JSON, with every operator.")
def command(model: str, board: str | None, layers: bool, as_json: bool) -> None:
    """Show inputs, outputs, operators and cost of MODEL, a .tflite file or the name of a bundled model.

    With --board, also show what it takes on that board: tensor arena, memories and estimated time.
    """
    from harness.models import resolve
    from harness.models.inspect import summarize

    read = resolve.resolve(model)
    summary = summarize(read)
    profile = fate = None
    if board is not None:
        from harness import boards
        from harness.check.forecast import forecast

        profile = boards.load(board)
        fate = forecast(read, profile)
    if as_json:
        from harness.cli import forecast_view

        more = forecast_view.as_dict(fate, profile) if fate and profile else {}
        terminal.print_json(summary.to_dict() | more)
        return
    _show(summary, layers and fate is None)
    if fate and profile:
        from harness.cli import forecast_view

        forecast_view.show(fate, profile, layers=layers)


def _show(summary: Summary, layers: bool) -> None:
    from harness.cli.terminal import console, facts, table

    out = console()
    facts(out, _facts(summary))
    for title, ports in (("Input", summary.inputs), ("Output", summary.outputs), ("State", summary.state)):
        if ports:
            table(out, (title, "Shape", "Type", "Scale", "Zero point", ">Bytes"), map(_port, ports))
    table(
        out,
        ("Operator", ">Count", ">MACs", ""),
        ((o.operator, o.count, o.macs or None, _note(o.supported)) for o in summary.operators),
    )
    if len(summary.subgraphs) > 1:
        table(
            out,
            (">Subgraph", "Name", ">Operators", ">Tensors", ">Inputs", ">Outputs"),
            ((g.index, g.name, g.operators, g.tensors, g.inputs, g.outputs) for g in summary.subgraphs),
        )
    if layers:
        table(
            out,
            (">Layer", "Operator", "Output", "Type", ">MACs", ">Weight bytes", ""),
            (
                (
                    f"{layer.subgraph}:{layer.index}" if len(summary.subgraphs) > 1 else layer.index,
                    layer.operator,
                    _shape(layer.output_shape),
                    layer.type,
                    "?" if layer.macs is None else layer.macs or None,
                    layer.weight_bytes or None,
                    _note(layer.supported),
                )
                for layer in summary.layers
            ),
        )


def _facts(summary: Summary) -> list[tuple[str, str]]:
    encoded = "encoded for the NPU"
    facts = [
        ("Model", summary.name),
        ("Description", summary.description),
        ("Precision", summary.precision),
        ("Size", f"{summary.bytes:,} bytes"),
        ("SHA-1", summary.sha1),
        ("SHA-256", summary.sha256),
        ("Parameters", encoded if summary.parameters is None else f"{summary.parameters:,}"),
        ("MACs", encoded if summary.macs is None else f"{summary.macs:,} an invoke"),
        ("Signatures", ", ".join(summary.signatures)),
    ]
    if summary.npu:
        by = f" by Vela {summary.npu.vela_version}" if summary.npu.vela_version else ""
        facts.append(("Compiled for", summary.npu.accelerator + by))
        facts.append(("NPU scratch", f"{max(p.scratch_bytes for p in summary.npu.payloads):,} bytes"))
        facts.append(("NPU data", f"{sum(p.read_only_bytes for p in summary.npu.payloads):,} bytes"))
    return [(key, value) for key, value in facts if value]


def _port(port: ModelTensor) -> tuple[object, ...]:
    scale = zero_point = ""
    if port.quantization:
        scale, zero_point = f"{port.quantization.scales[0]:.9g}", str(port.quantization.zero_points[0])
        if (more := len(port.quantization.scales) - 1) > 0:
            scale += f" (and {more} more)"
    return port.name, _shape(port.shape), port.type, scale, zero_point, port.bytes


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return ""
    return "x".join(map(str, shape)) or "scalar"


def _note(supported: bool) -> str:
    return "" if supported else "not in TFLite-Micro"
