"""`harness npu`: disassembly, and runs with a trace against the source model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness import boards
from harness.cli.npu import command
from harness.models import ethosu, tflite, vela
from harness.models.build import Builder, Scale
from harness.models.npu.jobs import jobs
from harness.models.npu.operations import Dma
from tests.emulator.npu.streaming import stream


def _model() -> bytes:
    """Three convolutions and a max pooling, with names."""
    builder = Builder()
    graph = builder.subgraph("main")
    rng = np.random.default_rng(5)
    last = graph.input("image", (1, 8, 8, 4), "int8", Scale(0.05, 0))
    channels = 4
    for index in range(3):
        weights = rng.integers(-60, 60, (8, 3, 3, channels)).astype(np.int8)
        w = graph.constant(f"w{index}", weights, Scale(0.01, 0))
        b = graph.constant(f"b{index}", np.zeros(8, np.int32), Scale(0.01 * 0.05, 0))
        out = graph.tensor(f"conv{index}/Relu", (1, 8, 8, 8), "int8", Scale(0.05, 0))
        graph.operator("CONV_2D", [last, w, b], [out], version=3, padding="SAME", stride_h=1, stride_w=1)
        last, channels = out, 8
    pooled = graph.output("pooled", (1, 4, 4, 8), "int8", Scale(0.05, 0))
    options = {"padding": "VALID", "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}
    graph.operator("MAX_POOL_2D", [last], [pooled], version=2, **options)
    return builder.finish()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model and what Vela makes of it for the WE2."""
    directory = tmp_path_factory.mktemp("npu")
    source, compiled = directory / "small.tflite", directory / "small_vela.tflite"
    source.write_bytes(_model())
    settings = boards.load("grove_vision_ai_we2").vela
    assert settings is not None
    result = vela.compile(
        source.read_bytes(), "small", accelerator=settings.accelerator, settings=settings.settings()
    )
    compiled.write_bytes(result.data)
    return source, compiled


def _invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def test_a_disassembly_names_registers_values_and_layers(files: tuple[Path, Path]) -> None:
    source, compiled = files
    result = _invoke("disasm", compiled, "--source", source)
    assert result.exit_code == 0
    assert "; operator 0, operation 0: 0 CONV_2D 'conv0/Relu'" in result.output
    assert "NPU_SET_IFM_PRECISION      int8, NHWC, both operands 16-bit, TFL" in result.output
    assert "NPU_OP_POOL                MAX" in result.output
    assert "; operator 0, end" in result.output
    listing = json.loads(_invoke("disasm", compiled, "--json", "--source", source).output)
    assert listing[-1] == {
        "operator": 0,
        "operation": -1,
        "layer": None,
        "word": listing[-1]["word"],
        "command": "NPU_OP_STOP",
        "parameter": 0xFFFF,
        "payload": None,
        "value": "65535",
    }
    assert {line["layer"] for line in listing[:-1]} == {
        "0 CONV_2D 'conv0/Relu'",
        "1 CONV_2D 'conv1/Relu'",
        "2 CONV_2D 'conv2/Relu'",
        "3 MAX_POOL_2D 'pooled'",
    }


def test_layers_of_a_model_that_was_compiled_here_are_known_without_its_source(
    files: tuple[Path, Path],
) -> None:
    assert "0 CONV_2D 'conv0/Relu'" in _invoke("disasm", files[1]).output


def test_a_run_that_equals_the_reference_traces_every_operation(files: tuple[Path, Path]) -> None:
    source, compiled = files
    result = _invoke("run", compiled, "--source", source, "--input", "random:3", "--json", "--board", "we2")
    assert result.exit_code == 0
    facts = json.loads(result.output)
    assert facts["reference"] == "equal"
    assert facts["departure"] is None
    assert len(facts["trace"]) == facts["operations"]
    assert {entry["layer"] for entry in facts["trace"]} >= {
        "1 CONV_2D 'conv1/Relu'",
        "3 MAX_POOL_2D 'pooled'",
    }
    assert sum(e["weights"] for e in facts["trace"]) == 8 * 9 * (4 + 8 + 8)
    assert facts["estimated_cycles"] > 0
    assert "equal to the reference kernels" in _invoke("run", compiled, "--source", source, "--trace").output


def test_a_run_that_differs_stops_at_the_first_operation_that_does(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    source, compiled = files
    model = tflite.read(compiled)
    step = jobs(model)[0]
    start, _ = model.buffers[model.subgraphs[0].tensors[step.operator.inputs[1]].buffer]
    # The second convolution's scale records: in the read-only data, copied from there by its DMA.
    convolutions = [op for op in step.operations if not isinstance(op, Dma) and op.scales is not None]
    scales = convolutions[1].scales
    assert scales is not None
    place = scales.start
    for copy in step.operations:
        if isinstance(copy, Dma) and copy.operation.index < convolutions[1].operation.index:
            inside = scales.start - copy.destination.start
            if copy.destination.region == scales.region and 0 <= inside < copy.destination.length:
                place = copy.source.start + inside
    damaged = bytearray(model.data)
    damaged[start + place + 9] += 1  # one more bit of shift for the first channel
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damaged)
    result = _invoke("run", path, "--source", source, "--json")
    facts = json.loads(result.output)
    assert result.exit_code == 1
    assert facts["reference"] == "different"
    assert facts["departure"]["layer"] == "1 CONV_2D 'conv1/Relu'"
    assert facts["departure"]["entry"]["index"] == convolutions[1].operation.index
    assert 0 < facts["departure"]["elements"] <= 64
    assert facts["trace"][-1]["index"] == convolutions[1].operation.index
    assert "differs first at operation" in _invoke("run", path, "--source", source).output


def test_a_model_without_anything_for_the_npu_says_how_to_compile_it(files: tuple[Path, Path]) -> None:
    result = CliRunner().invoke(command, ["run", str(files[0])])
    assert "compile it first with `harness compile`" in str(result.exception)


@pytest.fixture
def left_to_cpu(tmp_path: Path) -> Path:
    """What Vela writes of a model of which nothing is for the NPU."""
    out = Builder()
    main = out.subgraph("main")
    x = main.input("x", (1, 4), "float32")
    main.operator("RELU", [x], [main.output("y", (1, 4), "float32")])
    board = boards.load("we2").vela
    assert board is not None
    made = vela.compile(out.finish(), "m", accelerator=board.accelerator, settings=board.settings())
    path = tmp_path / "m_vela.tflite"
    path.write_bytes(made.data)
    return path


@pytest.mark.parametrize("what", ["disasm", "run"])
def test_a_file_that_vela_left_to_the_cpu_is_not_sent_to_vela_again(left_to_cpu: Path, what: str) -> None:
    result = CliRunner().invoke(command, [what, str(left_to_cpu)])
    assert "nothing in it runs on an NPU; Vela left all of it to the CPU" in str(result.exception)


@pytest.mark.parametrize("what", ["disasm", "run"])
def test_a_source_that_is_another_model_or_compiled_itself_is_named(
    files: tuple[Path, Path], left_to_cpu: Path, what: str
) -> None:
    other = CliRunner().invoke(command, [what, str(files[1]), "--source", str(left_to_cpu)])
    assert "its inputs and outputs are not those of" in str(other.exception)
    itself = CliRunner().invoke(command, [what, str(files[1]), "--source", str(files[1])])
    assert "compiled for an NPU itself" in str(itself.exception)


def test_a_damaged_stream_names_the_file_and_one_that_only_faults_is_still_listed(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    source, compiled = files
    model = tflite.read(compiled)
    words = ethosu.command_stream(model, model.subgraphs[0], model.subgraphs[0].operators[0])
    base = next(c for c in jobs(model)[0].commands if c.name == "OFM_BASE0")
    place = model.data.index(words.tobytes()) + 4 * base.word
    data, path = model.data, tmp_path / "damaged.tflite"
    path.write_bytes(data[: place + 4] + b"\xff\xff\xff\x7f" + data[place + 8 :])
    listed = _invoke("disasm", path, "--source", source)
    assert listed.exit_code == 0
    assert "layers are not named: NPU fault: operation 0" in listed.stderr
    assert "NPU_SET_OFM_BASE0          0x7fffffff" in listed.stdout
    path.write_bytes(data[:place] + b"\xff\x03\x00\x00" + data[place + 4 :])
    refused = CliRunner().invoke(command, ["disasm", str(path)])
    assert str(refused.exception).startswith(f"{path}: an NPU cannot run its commands: unknown command")


@pytest.mark.parametrize(("accelerator", "listed"), [("ethos-u65-256", True), ("ethos-u85-256", False)])
def test_files_for_other_npus_are_named_as_such(
    files: tuple[Path, Path], tmp_path: Path, accelerator: str, listed: bool
) -> None:
    board = boards.load("we2").vela
    assert board is not None
    settings = board.settings()
    path = tmp_path / "other.tflite"
    path.write_bytes(
        vela.compile(files[0].read_bytes(), "m", accelerator=accelerator, settings=settings).data
    )
    result = CliRunner().invoke(command, ["run", str(path)])
    assert f"compiled for {accelerator}" in str(result.exception)
    assert (CliRunner().invoke(command, ["disasm", str(path)]).exit_code == 0) is listed


def test_a_run_on_a_board_with_another_npu_says_how_to_compile_for_it(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "u55_128.toml"
    text = boards.load("we2").path.read_text(encoding="utf-8")
    other.write_text(text.replace("ethos-u55-64", "ethos-u55-128"), encoding="utf-8")
    result = CliRunner().invoke(command, ["run", str(files[1]), "--board", str(other)])
    assert "compiled for ethos-u55-64, and grove_vision_ai_we2 has ethos-u55-128" in str(result.exception)


def test_the_time_of_a_run_has_unit_and_origin(files: tuple[Path, Path]) -> None:
    shown = _invoke("run", files[1]).output
    assert re.search(r"NPU time +0\.0\d+ ms, [\d,]+ cycles at 400 MHz \(estimated from the commands", shown)
    facts = json.loads(_invoke("run", files[1], "--json").output)
    assert facts["estimated_seconds"] == pytest.approx(facts["estimated_cycles"] / facts["clock_hz"])


def test_a_model_with_variables_is_compared_with_its_source(tmp_path: Path) -> None:
    source, compiled = tmp_path / "stream.tflite", tmp_path / "stream_vela.tflite"
    source.write_bytes(stream(on_cpu=True))
    settings = boards.load("grove_vision_ai_we2").vela
    assert settings is not None
    result = vela.compile(
        source.read_bytes(), "stream", accelerator=settings.accelerator, settings=settings.settings()
    )
    compiled.write_bytes(result.data)
    found = _invoke("run", compiled, "--source", source)
    assert found.exit_code == 0
    assert "equal to the reference kernels" in found.output
    assert "CONV_2D 'state1/y'" in _invoke("disasm", compiled, "--source", source).output


def test_an_operator_that_tflite_micro_refuses_is_an_error_of_one_line(tmp_path: Path) -> None:
    builder = Builder()
    graph = builder.subgraph("main")
    x = graph.input("x", (1, 4, 4, 8), "uint8", Scale(0.1, 128))
    middle = graph.tensor("middle", (1, 4, 4, 8), "uint8", Scale(0.1, 128))
    y = graph.output("y", (1, 80, 80, 8), "uint8", Scale(0.1, 128))
    graph.operator("MAXIMUM", [x, x], [middle], version=2)
    size = graph.constant("size", np.array([80, 80], np.int32))
    graph.operator("RESIZE_BILINEAR", [middle, size], [y], version=3)
    compiled = tmp_path / "resize_vela.tflite"
    settings = boards.load("grove_vision_ai_we2").vela
    assert settings is not None
    result = vela.compile(
        builder.finish(), "resize", accelerator=settings.accelerator, settings=settings.settings()
    )
    compiled.write_bytes(result.data)
    refused = CliRunner().invoke(command, ["run", str(compiled)])
    assert re.fullmatch(
        r".*resize_vela\.tflite: TFLite-Micro refuses what is left to the CPU: .*requires float or int8.*",
        str(refused.exception),
    )
