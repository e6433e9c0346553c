"""Hostile and broken files: `inspect` never crashes, hangs or grows beyond a multiple of the file's size.

Work is counted in function calls rather than seconds, so a busy machine changes nothing.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from click.testing import CliRunner
from ethosu.vela.tflite import Buffer, Model, Operator, OperatorCode, SubGraph, Tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.inspect import command
from harness.models import bundled, kernels, tflite
from harness.models.build import Builder
from harness.models.inspect import summarize
from harness.models.meaning import meanings
from tests.models.bases import compiled, everything

# What one inspection may take: calls and bytes for each byte of file, and for any file at all.
CALLS_A_BYTE, CALLS_AT_LEAST = 40, 400_000
BYTES_A_BYTE, BYTES_AT_LEAST = 150, 4_000_000

BASES = [everything(), compiled(), compiled(list(range(40)), 0x3008)]


@dataclass(frozen=True)
class Base:
    """A good file, and the offsets of its bytes outside weights: where a change means something."""

    data: bytes
    structure: tuple[int, ...]


def base(data: bytes) -> Base:
    model = tflite.parse(data, "base")
    weights = {i for start, length in model.buffers for i in range(start + 64, start + length)}
    return Base(data, tuple(i for i in range(len(data)) if i not in weights))


def inspect(data: bytes) -> bool:
    """Sum `data` up, say what its operators ask, and write JSON; return whether it is a model.

    Any other exception is a failure.
    """
    try:
        model = tflite.parse(data, "mutant.tflite")
        list(kernels.refusals(model))
        meanings(model)
        summary = summarize(model)
    except tflite.ModelError as error:
        message = str(error)
    else:
        json.dumps(summary.to_dict(), allow_nan=False)
        return True
    assert message.startswith("mutant.tflite: ")
    assert len(message.splitlines()) == 1
    return False


def within_bounds(data: bytes) -> tuple[int, int]:
    """Inspect `data` counting calls; return (calls, peak bytes). Too many calls end it at once."""
    calls = 0
    most = CALLS_AT_LEAST + CALLS_A_BYTE * len(data)

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")
        assert calls <= most, f"more than {most} calls for {len(data)} bytes"

    tracemalloc.start()
    sys.setprofile(count)
    try:
        inspect(data)
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= BYTES_AT_LEAST + BYTES_A_BYTE * len(data), f"{peak} bytes for a file of {len(data)}"
    return calls, peak


WORDS = (0, 1, 2, 4, 8, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
Pick = Callable[[int], int]


def mutate(bases: list[Base], pick: Pick) -> bytes:
    """Return a mutant of one of `bases`; `pick(n)` chooses a number below n."""
    chosen = bases[pick(len(bases))]
    data = bytearray(chosen.data)
    for _ in range(1 + pick(6)):
        at = min(chosen.structure[pick(len(chosen.structure))], max(len(data) - 1, 0))
        kind = pick(9)
        if kind < 2:
            data[at : at + 1] = bytes([pick(256)])
        elif kind == 2:
            data[at : at + 1] = bytes([data[at] ^ 1 << pick(8)]) if data else b""
        elif kind < 5:
            data[at : at + 4] = WORDS[pick(len(WORDS))].to_bytes(4, "little")
        elif kind == 5:  # an offset to anywhere in the file
            data[at : at + 4] = (pick(len(data) + 1)).to_bytes(4, "little")
        elif kind == 6:  # a piece of another file
            other = bases[pick(len(bases))].data
            start = pick(len(other))
            data[at : at + pick(64)] = other[start : start + pick(64)]
        elif kind == 7:  # a piece of its own
            start = pick(len(data) + 1)
            data[at : at + 16] = data[start : start + 16]
        elif pick(4) == 0:
            del data[at:]
    return bytes(data)


OWN = [base(data) for data in BASES]


@settings(max_examples=200, database=None)
@given(st.data())
def test_a_mutant_is_a_model_or_one_clear_error_within_bounds(draw: st.DataObject) -> None:
    data = mutate(OWN, lambda n: draw.draw(st.integers(0, n - 1)))
    within_bounds(data)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_behind_the_identifier_are_a_model_or_one_clear_error(tail: bytes) -> None:
    inspect(b"\x08\0\0\0TFL3" + tail)
    inspect(tail)


@pytest.mark.parametrize("seed", range(60))
def test_the_command_prints_a_mutant_or_one_line(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "mutant.tflite"
    path.write_bytes(mutate(OWN, random.Random(seed).randrange))
    check_command(path)


def check_command(path: Path) -> bool:
    result = CliRunner().invoke(command, [str(path), "--layers"])
    if isinstance(result.exception, tflite.ModelError):
        return False
    assert result.exit_code == 0, result.exc_info
    assert "\x1b" not in result.stdout
    return True


def _share(out: flatbuffers.Builder, offset: int, times: int) -> int:
    out.StartVector(4, times, 4)
    for _ in range(times):
        out.PrependUOffsetTRelative(offset)
    return int(out.EndVector())


def _ints(out: flatbuffers.Builder, times: int, value: int = 0) -> int:
    out.StartVector(4, times, 4)
    for _ in range(times):
        out.PrependInt32(value)
    return int(out.EndVector())


def sharing(
    *,
    graphs: int = 1,
    tensors: int = 1,
    operators: int = 1,
    inputs: int = 1,
    operands: int = 1,
    name: int = 1,
    rank: int = 1,
    label: int = 1,
) -> bytes:
    """Return a small file that unfolds to a large one: the same table, vector or string many times over."""
    out = flatbuffers.Builder(1 << 16)
    text, custom = out.CreateString("n" * name), out.CreateString("c" * label)
    shape = _ints(out, rank, 1)
    Tensor.Start(out)
    Tensor.AddShape(out, shape)
    Tensor.AddName(out, text)
    tensor = Tensor.End(out)
    indices = _ints(out, operands)
    Operator.Start(out)
    Operator.AddInputs(out, indices)
    Operator.AddOutputs(out, indices)
    operator = Operator.End(out)
    tensor_vector, operator_vector = _share(out, tensor, tensors), _share(out, operator, operators)
    ports = _ints(out, inputs)
    SubGraph.Start(out)
    SubGraph.AddTensors(out, tensor_vector)
    SubGraph.AddOperators(out, operator_vector)
    SubGraph.AddInputs(out, ports)
    SubGraph.AddOutputs(out, ports)
    graph = SubGraph.End(out)
    graph_vector = _share(out, graph, graphs)
    OperatorCode.Start(out)
    OperatorCode.AddDeprecatedBuiltinCode(out, 32)
    OperatorCode.AddBuiltinCode(out, 32)
    OperatorCode.AddCustomCode(out, custom)
    code = OperatorCode.End(out)
    code_vector = _share(out, code, 1)
    Buffer.Start(out)
    buffer_vector = _share(out, Buffer.End(out), 1)
    Model.Start(out)
    Model.AddVersion(out, 3)
    Model.AddOperatorCodes(out, code_vector)
    Model.AddSubgraphs(out, graph_vector)
    Model.AddBuffers(out, buffer_vector)
    out.Finish(Model.End(out), file_identifier=b"TFL3")
    return bytes(out.Output())


def test_the_file_that_shares_nothing_much_is_a_model() -> None:
    assert inspect(sharing())
    assert inspect(sharing(graphs=3, tensors=5, operators=20, operands=4, name=30, rank=4, label=20))


@pytest.mark.parametrize("unnamed", [False, True])
def test_a_long_chain_of_the_smallest_operators_is_a_model(unnamed: bool) -> None:
    out = Builder()
    main = out.subgraph("main")
    last = main.input("x", (1,), "int8")
    for i in range(3000):
        following = main.tensor("" if unnamed else f"step {i}", (1,), "int8")
        main.operator("RELU", [last], [following])
        last = following
    assert inspect(out.finish())


@pytest.mark.parametrize(
    "sizes",
    [
        {"graphs": 1200, "tensors": 1200},
        {"graphs": 1200, "operators": 1200},
        {"tensors": 1200, "name": 8000},
        {"tensors": 1200, "rank": 1200},
        {"operators": 1200, "operands": 1200},
        {"operators": 1200, "rank": 1200},
        {"operators": 1200, "label": 8000},
        {"inputs": 1200, "name": 8000},
        {"graphs": 1200, "inputs": 1200},
        {"tensors": 1200},
        {"operands": 2500},
        {"inputs": 2500},
        {"operators": 1200},
        {"inputs": 900},
    ],
    ids=str,
)
def test_a_small_file_that_unfolds_to_a_large_one_stays_within_bounds(sizes: dict[str, int]) -> None:
    data = sharing(**sizes)
    assert len(data) < 40_000
    calls, peak = within_bounds(data)
    print(f"{len(data)} bytes of file: {calls} calls, {peak} bytes")


def _soak(bases: list[Base], seed: int, count: int, commands: int) -> None:
    """Inspect `count` mutants, a part of them within counted bounds and through the command."""
    chance = random.Random(seed)
    models = calls = peak = 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "mutant.tflite")
        for i in range(count):
            data = mutate(bases, chance.randrange)
            try:
                models += inspect(data)
                if i % 20 == 0:
                    most = within_bounds(data)
                    calls, peak = max(calls, most[0]), max(peak, most[1])
                if i < commands:
                    path.write_bytes(data)
                    check_command(path)
            except BaseException:
                print(f"mutant {i} of seed {seed}: {len(data)} bytes", file=sys.stderr)
                raise
    print(f"{count} mutants, {models} of them models; at most {calls} calls and {peak} bytes")
    assert 0 < models < count, "mutations neither spare nor spoil every file"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_many_mutants_of_small_models(seed: int) -> None:
    person = next(n for n in bundled.names() if n.startswith("cifar10"))
    _soak([*OWN, *OWN, base(bundled.build(person))], seed, count=50_000, commands=1000)


@pytest.mark.soak
@pytest.mark.interop
@pytest.mark.parametrize("seed", range(2))
def test_many_mutants_of_real_models(seed: int, shared: Path) -> None:
    files = sorted((shared / "models").glob("*.tflite"))
    _soak([base(file.read_bytes()) for file in files], seed, count=10_000, commands=300)


@pytest.mark.interop
def test_some_mutants_of_real_models(shared: Path) -> None:
    files = sorted((shared / "models").glob("*.tflite"))
    _soak([base(file.read_bytes()) for file in files], seed=11, count=60, commands=10)
