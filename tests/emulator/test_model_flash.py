"""Models in the flash of a virtual board: where they begin, and what runs of them, whatever stands behind."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import boards
from harness.emulator.engine import EngineError, ModelEntry
from harness.emulator.flash_memory import BoardFlash
from harness.emulator.model_flash import LONGEST_NAME, ModelFlash
from harness.emulator.tflm_engine import TflmRuntime
from harness.models import bundled, tflite, vela
from harness.models.build import Builder
from harness.models.estimate import estimate

XIAO = boards.load("xiao_esp32s3")
WE1 = boards.load("grove_vision_ai")
WE2 = boards.load("grove_vision_ai_we2")
FIRST = XIAO.flash.model_region.offset
BLOCK = XIAO.flash.block_bytes
SMALL = "mnist_mbv2_035_32_int8"


def small(description: str = "small") -> bytes:
    out = Builder(description)
    main = out.subgraph("main")
    x, y = main.input("x", (1, 4), "float32"), main.output("y", (1, 4), "float32")
    main.operator("ADD", [x, x], [y])
    return out.finish()


def archive() -> bytes:
    """Return a ZIP file, as TFLite Metadata puts one behind a model."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("labels.txt", "cat\ndog\n")
    return file.getvalue()


def holding(*parts: tuple[int, bytes]) -> BoardFlash:
    flash = BoardFlash(XIAO)
    for address, data in parts:
        flash.program(address, data)
    return flash


def test_what_begins_as_a_model_at_the_start_of_a_block_is_listed_whatever_becomes_of_it() -> None:
    model = small("first")
    beyond = (XIAO.flash.model_region.size_bytes).to_bytes(4, "little") + b"TFL3"
    flash = holding(
        (FIRST, model),
        (FIRST + BLOCK, b"\x10\0\0\0TFL3 and no more of it"),
        (FIRST + 2 * BLOCK, beyond),
        (FIRST + 3 * BLOCK + 16, model),
        (FIRST + 4 * BLOCK, small("last")),
    )
    assert ModelFlash(XIAO, flash).models() == [
        ModelEntry(FIRST, "first"),
        ModelEntry(FIRST + BLOCK, ""),
        ModelEntry(FIRST + 4 * BLOCK, "last"),
    ]
    assert ModelFlash(XIAO, flash, ()).models() == []


def test_the_name_is_that_of_the_file_s_reader() -> None:
    for data in [small("x" * 200), small(""), bundled.build(SMALL)]:
        [entry] = ModelFlash(XIAO, holding((FIRST, data))).models()
        assert entry.name == tflite.parse(data, "model").description[:LONGEST_NAME]


@given(st.binary(min_size=8, max_size=400), st.integers(0, 500))
def test_no_bytes_are_more_than_a_model_without_a_name(data: bytes, root: int) -> None:
    flash = holding((FIRST, root.to_bytes(4, "little") + b"TFL3" + data))
    [entry] = ModelFlash(XIAO, flash).models()
    assert entry.address == FIRST
    assert len(entry.name) <= LONGEST_NAME


def test_a_range_of_flash_is_read_as_the_core_reads_it_if_it_may_hold_a_model() -> None:
    model = small()
    flash = BoardFlash(WE1)
    slot = WE1.flash.model_region
    flash.program_for_core(slot.offset, model)
    models = ModelFlash(WE1, flash)
    assert models.read(slot.offset, len(model)) == model
    assert models.read(slot.offset + 5, 7) == model[5:12]
    for address, length in ((slot.offset, 0), (slot.offset, slot.size_bytes + 1), (0x10000000, 4), (0, 1)):
        with pytest.raises(EngineError, match="not all in flash for models"):
            models.read(address, length)


@pytest.mark.parametrize("behind", [b"", archive(), b"\0" * 12, small("older") * 40])
def test_a_model_runs_whatever_stands_behind_it(behind: bytes) -> None:
    data = bundled.build(SMALL)
    alone, followed = (
        TflmRuntime(XIAO, holding((FIRST, data), (FIRST + len(data), rest))) for rest in (b"", behind)
    )
    assert followed.load(FIRST) == alone.load(FIRST)
    image = hashlib.sha256(b"image").digest() * 32
    assert followed.invoke([image], True) == alone.invoke([image], True)


def test_a_vela_file_is_timed_by_vela_s_account_whatever_stands_behind_it() -> None:
    assert WE2.vela
    settings = WE2.vela.settings()
    made = vela.compile(bundled.build(SMALL), SMALL, accelerator=WE2.vela.accelerator, settings=settings)
    model = tflite.parse(made.data, "compiled")
    due = estimate(model, WE2.coefficients(), clock_hz=WE2.clock_hz, vela_settings=settings, compiled=made)
    flash = BoardFlash(WE2)
    place = WE2.flash.model_region.offset
    flash.program(place, made.data + b"\0\xff" * 20_000)
    runtime = TflmRuntime(WE2, flash)
    [image] = runtime.load(place).inputs
    done = runtime.invoke([bytes(image.bytes)], True)
    assert done.ticks == due.cycles
    assert done.layers == tuple((layer.label, layer.cycles) for layer in due.operators)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x10\0\0\0TFL3 and no more of it", "damaged TFLite model"),
        (b"\xff" * 64, "no model at 0x400000"),
    ],
)
def test_what_is_no_model_is_refused_when_it_is_to_be_loaded(data: bytes, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        TflmRuntime(XIAO, holding((FIRST, data))).load(FIRST)
    for address in (FIRST + 4, FIRST - BLOCK, 0):
        with pytest.raises(EngineError, match=f"no model at {address:#x}"):
            TflmRuntime(XIAO, holding((FIRST, data))).load(address)
