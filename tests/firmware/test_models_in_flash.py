"""What the C core finds in flash, held against the reader of model files in Python."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import flatbuffers
import pytest

from harness.models import bundled, tflite
from harness.models.build import Builder
from harness.wire import messages as m
from tests.firmware import selftest
from tests.firmware.devices import CoreDevice
from tests.firmware.raw import RawHost

pytestmark = pytest.mark.interop

BLOCK = 4096


class Flash(CoreDevice):
    """The C core with these bytes in flash."""

    def __init__(self, build: Path, cells: bytes, **limits: int) -> None:
        self._cells = cells
        super().__init__(build, tflite.parse(selftest.two_inputs(), "any"), **limits)

    def flash_file(self) -> Path:
        path = super().flash_file()
        path.write_bytes(self._cells)
        return path


def found(build: Path, cells: bytes) -> list[m.FlashEntry]:
    with Flash(build, cells) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        entries = [host.ask(m.GetModel(0), m.FlashEntry)]
        for index in range(1, entries[0].total):
            entries.append(host.ask(m.GetModel(index), m.FlashEntry))
        return [entry for entry in entries if entry.total]


def erased(*models: bytes) -> bytes:
    """Return flash with these models, each at the start of a block, and an erased block at either end."""
    cells = b"\xff" * BLOCK
    for model in models:
        cells += model + b"\xff" * (-len(model) % BLOCK)
    return cells + b"\xff" * BLOCK


def agrees(entry: m.FlashEntry, model: tflite.Model) -> None:
    assert entry.size == model.extent
    assert entry.sha256 == hashlib.sha256(model.data[: model.extent]).digest()
    assert entry.name == model.description[:64]


def test_every_model_has_the_size_digest_and_name_that_the_harness_gives_it(
    checked: Path, shared: Path
) -> None:
    models = [tflite.read(path) for path in sorted((shared / "models").glob("*.tflite"))]
    models += [tflite.parse(bundled.build(name), name) for name in bundled.names()]
    entries = found(checked, erased(*(model.data for model in models)))
    assert len(entries) == len(models)
    address = 0x400000 + BLOCK
    for entry, model in zip(entries, models, strict=True):
        assert entry.address == address
        agrees(entry, model)
        address += -(-len(model.data) // BLOCK) * BLOCK


def with_options(code: str, **options: object) -> bytes:
    builder = Builder(description="options")
    main = builder.subgraph("main")
    x, y = main.input("x", (4, 4), "int8"), main.output("y", (16,), "int8")
    main.operator(code, [x], [y], **options)  # type: ignore[arg-type]
    return builder.finish()


@pytest.mark.parametrize(
    ("code", "options"), [("RESHAPE", {"new_shape": [16]}), ("SQUEEZE", {"squeeze_dims": [0, 1, 2]})]
)
def test_vectors_in_options_count_to_a_models_size(checked: Path, code: str, options: dict) -> None:
    model = tflite.parse(with_options(code, **options), code)
    [entry] = found(checked, model.data)
    agrees(entry, model)


def test_flash_without_models_holds_none(checked: Path) -> None:
    for cells in (b"", b"\xff", b"\xff" * 3 * BLOCK, bytes(BLOCK), b"\0\0\0\0TFL", b"\0\0\0\0TFL3"):
        assert found(checked, cells) == []


def test_a_model_that_ends_at_a_blocks_end_does_not_hide_the_next(checked: Path) -> None:
    model = selftest.two_inputs()
    padded = selftest.model(((1, 32, 32, 3), "int8"), output=7)
    for cells in (model + bytes(BLOCK - len(model)) + padded, erased(model, padded, model)):
        assert len(found(checked, cells)) == cells.count(b"TFL3")


@pytest.mark.parametrize(
    "cases", [pytest.param(60, id="sample"), pytest.param(3000, id="whole", marks=pytest.mark.soak)]
)
def test_damaged_models_are_found_or_not_but_never_read_beyond(
    checked: Path, shared: Path, cases: int
) -> None:
    """Selected, too: whatever the engine makes of it, the device goes on; sanitizers look for the rest."""
    rng = random.Random(cases)
    whole = (shared / "models/ad01_int8.tflite").read_bytes()
    small = [selftest.two_inputs(), with_options("RESHAPE", new_shape=[16]), whole[:4096] + whole[-4096:]]
    refused = set()
    for _ in range(cases):
        cells = bytearray(rng.choice(small))
        for _ in range(rng.choice((1, 1, 3, 20))):
            at = rng.randrange(len(cells))
            cells[at] = rng.choice((0, 1, 4, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        del cells[rng.choice((len(cells), rng.randrange(len(cells) + 1))) :]
        with Flash(checked, bytes(cells), arena=1 << 16, inputs=1 << 15) as device:
            host = RawHost(device.port(baud=None))
            host.greet()
            host.ask(m.GetModel(0), m.FlashEntry)
            host.number += 1
            host.say(m.Select(device.address), host.number)
            answer = host.hear(m.Message)[1]  # type: ignore[type-abstract]
            if isinstance(answer, m.Refusal):
                refused.add(m.ErrorCode(answer.code))
            else:
                host.ask(m.StartRun(1, 1, 1, 2, 1), m.Running)
    assert refused >= {m.ErrorCode.NO_MODEL, m.ErrorCode.MODEL_INVALID}


def test_tables_that_share_contents_do_not_take_forever(checked: Path) -> None:
    """20000 references to a subgraph with 20000 references to a tensor: 400 million tables in 160 KB."""
    out = flatbuffers.Builder(0)

    def many(table: int) -> int:
        out.StartVector(4, 20_000, 4)
        for _ in range(20_000):
            out.PrependUOffsetTRelative(table)
        return int(out.EndVector())

    out.StartObject(4)
    tensors = many(out.EndObject())
    out.StartObject(5)
    out.PrependUOffsetTRelativeSlot(0, tensors, 0)
    subgraphs = many(out.EndObject())
    out.StartObject(5)
    out.PrependUint32Slot(0, 3, 0)
    out.PrependUOffsetTRelativeSlot(2, subgraphs, 0)
    out.Finish(out.EndObject(), file_identifier=b"TFL3")
    assert found(checked, bytes(out.Output())) == []


def test_what_an_engine_refuses_is_told_with_a_reason(checked: Path) -> None:
    builder = Builder(description="custom")
    main = builder.subgraph("main")
    x, y = main.input("x", (1, 4), "int8"), main.output("y", (1, 4), "int8")
    main.custom("ethos-u", [x], [y])
    too_large = selftest.model(((1, 256, 256, 16), "int8"))
    too_many = selftest.model(*[((1, 4), "int8")] * 8)
    cases = [
        (builder.finish(), {}, m.ErrorCode.UNSUPPORTED_OPERATOR, "no kernel for ethos-u", 0),
        (too_large, {}, m.ErrorCode.ARENA_TOO_SMALL, "does not hold the model", (1 << 20) + 32),
        (selftest.two_inputs(), {"inputs": 3000}, m.ErrorCode.INTERNAL, "no room to keep inputs", 3072 + 32),
        (too_many, {}, m.ErrorCode.INTERNAL, "more inputs and outputs", 8),
    ]
    for cells, limits, code, words, detail in cases:
        with Flash(checked, cells, **limits) as device:
            host = RawHost(device.port(baud=None))
            host.greet()
            refusal = host.ask(m.Select(device.address), m.Refusal)
            assert (refusal.code, refusal.detail) == (code, detail)
            assert words in refusal.text
            assert host.refused(m.StartRun(1, 0, 0, 1, 0)) == m.ErrorCode.NO_MODEL
            host.say(m.Open(1, 0, 0, 0, 0, 1, 1, 0), 1)
            assert host.hear(m.Ack)[1].status == m.TransferStatus.BAD_INPUT
