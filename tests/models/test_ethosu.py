"""What a compiled file says about its NPU, and that a damaged payload is one clear line."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.models import ethosu, tflite
from harness.models.build import Builder
from tests.models.bases import compiled, everything


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        (0x1005, "ethos-u55-32"),
        (0x1006, "ethos-u55-64"),
        (0x1807, "ethos-u55-128"),
        (0x3008, "ethos-u55-256"),
        (0x1000_3008, "ethos-u65-256"),
        (0x1000_6009, "ethos-u65-512"),
    ],
)
def test_the_accelerator_is_named_as_vela_names_it(configuration: int, name: str) -> None:
    assert ethosu.accelerator(tflite.parse(compiled(configuration=configuration), "m")) == name


def test_a_model_that_was_not_compiled_names_none() -> None:
    model = tflite.parse(everything(), "m")
    assert ethosu.accelerator(model) is None
    assert not ethosu.is_compiled(model)
    assert ethosu.payloads(model) == []
    assert ethosu.arena_bytes(model) is None


def test_a_payload_tells_configuration_and_sizes() -> None:
    model = tflite.parse(compiled([7] * 5), "m")
    (payload,) = ethosu.payloads(model)
    assert payload == ethosu.Payload(
        subgraph=0,
        index=0,
        configuration=ethosu.Configuration("ethos-u55-64", 64, 0, 16 * 1024, "1.0.6", 0, 1),
        command_bytes=20,
        read_only_bytes=48,
        scratch_bytes=64,
        fast_scratch_bytes=0,
    )
    # scratch at 0 takes 64 bytes, input and output lie inside it
    assert ethosu.arena_bytes(model) == 64


@pytest.mark.parametrize("length", [1, 0xFFFF, 0x10000, 0x12345])
def test_the_command_stream_comes_back_word_for_word(length: int) -> None:
    words = [(i * 2654435761) & 0xFFFFFFFF for i in range(length)]
    model = tflite.parse(compiled(words), "m")
    graph = model.subgraphs[0]
    assert ethosu.command_stream(model, graph, graph.operators[0]).tolist() == words


def _damaged(change: Any) -> str:
    data = bytearray(compiled([1, 2, 3]))
    change(data, data.index(b"COP1"))
    model = tflite.parse(bytes(data), "m.tflite")
    with pytest.raises(tflite.ModelError) as caught:
        ethosu.payloads(model)
    assert str(caught.value).startswith("m.tflite: operator 0 (ethos-u): ")
    return str(caught.value)


def _put(offset: int, *words: int) -> Any:
    def change(data: bytearray, start: int) -> None:
        struct.pack_into(f"<{len(words)}I", data, start + offset, *words)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_put(0, 0x32504F43), "does not start with 'COP1'"),
        (_put(4, 99), "word 1 of its driver payload is no known action"),
        (_put(4, 0x0003_0002), "word 1 of its driver payload is no known action"),
        (_put(28, 0x0004_0002), "it has 3 of 4 words of commands"),
        (_put(28, 0x0003_FF02), "words of commands"),
        (_put(28, 5, 5, 5, 5), "has no commands"),
    ],
)
def test_a_damaged_payload_is_one_clear_line(change: Any, says: str) -> None:
    assert says in _damaged(change)


def test_an_operator_without_its_parts_is_one_clear_line() -> None:
    out = Builder()
    main = out.subgraph("main")
    main.custom("ethos-u", [main.input("x", (1, 4), "int8")], [main.output("y", (1, 4), "int8")])
    with pytest.raises(tflite.ModelError, match="lacks one of its first four inputs"):
        ethosu.accelerator(tflite.parse(out.finish(), "m"))


def test_parts_for_different_npus_are_refused() -> None:
    from tests.models.bases import driver_payload

    out = Builder()
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), "int8"), main.output("y", (1, 4), "int8")
    for configuration in (0x1006, 0x3008):
        payload = main.constant("commands", driver_payload([1], configuration))
        main.custom("ethos-u", [payload, x, x, x, x], [y])
    with pytest.raises(tflite.ModelError, match="different NPUs \\(ethos-u55-256, ethos-u55-64\\)"):
        ethosu.accelerator(tflite.parse(out.finish(), "m"))


def test_a_plan_for_other_tensors_is_refused() -> None:
    plan = struct.pack("<8i", 0, 1, 5, -1, -1, 0, 16, 32)
    data = compiled()
    assert data.count(plan) == 1
    model = tflite.parse(data.replace(plan, struct.pack("<8i", 0, 1, 6, -1, -1, 0, 16, 32)), "m")
    with pytest.raises(tflite.ModelError, match="offline memory plan is not for its 5 tensors"):
        ethosu.arena_bytes(model)


@pytest.mark.interop
def test_the_published_compiled_model_is_for_256_macs(shared: Path) -> None:
    model = tflite.read(shared / "models" / "person_detect_vela.tflite")
    assert ethosu.accelerator(model) == "ethos-u55-256"
    assert ethosu.arena_bytes(model) == 74464


@pytest.mark.interop
@pytest.mark.parametrize(
    "name", ["ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u65-256", "ethos-u65-512"]
)
def test_what_vela_compiles_for_an_accelerator_names_it(shared: Path, tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ethosu.vela", str(shared / "models" / "ad01_int8.tflite")),
            *("--accelerator-config", name, "--output-dir", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    model = tflite.read(tmp_path / "ad01_int8_vela.tflite")
    assert ethosu.accelerator(model) == name
    for payload in ethosu.payloads(model):
        graph = model.subgraphs[payload.subgraph]
        stream = ethosu.command_stream(model, graph, graph.operators[payload.index])
        # The last command of a stream is NPU_OP_STOP, opcode 0.
        assert len(stream) * 4 == payload.command_bytes
        assert stream[-1] & 0xFFFF == 0
