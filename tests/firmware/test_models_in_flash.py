"""What the C core finds in flash, held against the reader of model files in Python."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

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


def test_every_model_is_listed_with_its_name_and_known_by_its_digest(checked: Path, shared: Path) -> None:
    models = [tflite.read(path) for path in sorted((shared / "models").glob("*.tflite"))]
    models += [tflite.read(path) for path in sorted((shared / "cases").glob("*.tflite"))]
    models += [tflite.parse(bundled.build(name), name) for name in bundled.names()]
    with Flash(checked, erased(*(model.data for model in models))) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        address = device.address + BLOCK
        for index, model in enumerate(models):
            entry = host.ask(m.GetModel(index), m.FlashEntry)
            assert (entry.total, entry.address) == (len(models), address)
            assert entry.name == model.description[:64]
            digest = host.ask(m.Digest(address, len(model.data)), m.Digested)
            assert digest.sha256.hex() == model.sha256
            address += -(-len(model.data) // BLOCK) * BLOCK


@pytest.mark.parametrize("behind", [bytes(12), b"PK\x03\x04" + bytes(200) + b"PK\x05\x06" + bytes(18)])
def test_bytes_behind_the_last_table_are_part_of_the_file(checked: Path, behind: bytes) -> None:
    """As TFLite Metadata appends a ZIP archive, and older converters some zeros."""
    file = selftest.two_inputs() + behind
    with Flash(checked, erased(file)) as device:
        host = RawHost(device.port(baud=None))
        host.greet()
        address = device.address + BLOCK
        assert host.ask(m.GetModel(0), m.FlashEntry).address == address
        digest = host.ask(m.Digest(address, len(file)), m.Digested)
        assert digest.sha256 == hashlib.sha256(file).digest()
        assert host.ask(m.Select(address), m.Selected) == m.Selected(2, 1)


def test_flash_without_models_holds_none(checked: Path) -> None:
    outside = (100).to_bytes(4, "little") + b"TFL3" + bytes(95)
    for cells in (b"", b"\xff", b"\xff" * 3 * BLOCK, bytes(BLOCK), b"\0\0\0\0TFL", outside):
        assert found(checked, cells) == []
    [entry] = found(checked, outside + b"\0")  # a root table of four bytes, and no more
    assert (entry.address, entry.name) == (0x400000, "")


def test_each_block_that_begins_as_a_model_does_is_listed(checked: Path) -> None:
    model = selftest.two_inputs()
    other = selftest.model(((1, 32, 32, 3), "int8"), output=7)
    for cells in (model + bytes(BLOCK - len(model)) + other, erased(model, other, model)):
        entries = found(checked, cells)
        places = [at for at in range(0, len(cells), BLOCK) if cells[at + 4 : at + 8] == b"TFL3"]
        assert [entry.address for entry in entries] == [0x400000 + at for at in places]
    [entry] = found(checked, model + b"\xff" * 100 + other)  # not at the start of a block
    assert entry.name == "2 inputs"


@pytest.mark.parametrize(
    "cases", [pytest.param(60, id="sample"), pytest.param(3000, id="whole", marks=pytest.mark.soak)]
)
def test_damaged_models_are_found_or_not_but_never_read_beyond(
    checked: Path, shared: Path, cases: int
) -> None:
    """Selected, too: whatever the engine makes of it, the device goes on; sanitizers look for the rest."""
    rng = random.Random(cases)
    whole = (shared / "models/ad01_int8.tflite").read_bytes()
    small = [selftest.two_inputs(), selftest.model(((4, 4), "int8")), whole[:4096] + whole[-4096:]]
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
