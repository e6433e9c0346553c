"""The first words on a line: a board that is slow to start is waited for, and something else is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import boards
from harness.chips import console
from harness.emulator.board import load_firmware
from harness.emulator.boot import Wiring, rom
from harness.emulator.controls import BoardReset, Boot
from harness.emulator.firmware import Firmware
from harness.emulator.flash_memory import BoardFlash
from harness.wire.patience import Patience
from harness.wire.protocol import connect
from harness.wire.session import NoAnswer
from tests.emulator.lines import MemoryLine
from tests.wire.rig import BusyToy, LivelyToy, Rig, toy_rig
from tests.wire.tampering import Talker
from tests.wire.test_patience import FIRMWARES

LONG = Patience(first_sign_s=60.0, trouble=console.trouble)
SPEAKS = {
    "bench": "the bench protocol",
    "mlperf-tiny": "MLPerf Tiny's API",
    "sscma": "the stock firmware's AT commands",
}


class Booting(Firmware):
    """A board that prints its boot text, takes `start_s`, and is then what `then` makes, or nothing at all.

    What is said to it meanwhile is in its line's buffer, and read in the end.
    """

    def __init__(
        self, engine: BusyToy, text: bytes, start_s: float = 0.0, then: Firmware | None = None
    ) -> None:
        super().__init__()
        self._engine = engine
        self._then = then
        self._start_s = start_s
        self._heard = b""
        self._out += text
        engine._clock.wake_at(start_s)

    @property
    def busy(self) -> bool:
        return self._then is not None and self._then.busy

    @property
    def buffered(self) -> int:
        return len(self._heard)

    def receive(self, data: bytes) -> None:
        self._heard += data

    def step(self) -> None:
        if self._then is None or self._engine._clock.now() < self._start_s:
            return
        heard, self._heard = self._heard, b""
        if heard:
            self._then.receive(heard)
        self._then.step()
        self._out += self._then.take_output()


def printing(text: bytes) -> Rig:
    return toy_rig(firmware=lambda engine, boot: Booting(engine, text))


def told(rig: Rig, protocol: str = "bench", patience: Patience = LONG) -> tuple[str, float]:
    """Return why there is nobody, and after how long that was said."""
    with pytest.raises(NoAnswer) as caught:
        connect(protocol, rig.port, patience)
    return str(caught.value), rig.port.now()


@pytest.mark.parametrize("protocol", FIRMWARES)
@pytest.mark.parametrize("there", FIRMWARES)
def test_a_firmware_of_another_protocol_is_told_at_once_however_long_the_patience(
    protocol: str, there: str
) -> None:
    rig = toy_rig(firmware=FIRMWARES[there])  # type: ignore[arg-type]
    if there == protocol or (there, protocol) == ("bench", "mlperf-tiny"):
        assert connect(protocol, rig.port, LONG).identify().board == "toy"
        return
    why, after = told(rig, protocol)
    assert why.startswith(f"no board that speaks {SPEAKS[protocol]} at simulated; it speaks ")
    assert f"use --protocol {there}" in why
    assert after < 1.0


@pytest.mark.parametrize("protocol", FIRMWARES)
def test_a_firmware_of_another_protocol_is_told_over_a_bad_line_too(protocol: str) -> None:
    there = {"bench": "mlperf-tiny", "mlperf-tiny": "sscma", "sscma": "bench"}[protocol]
    for seed in range(10):
        rig = toy_rig(f"flip=1/200,drop=1/200,seed={seed}", firmware=FIRMWARES[there])  # type: ignore[arg-type]
        why, after = told(rig, protocol)
        assert f"use --protocol {there}" in why
        assert after < 60.5


def test_the_right_firmware_is_greeted_over_a_very_bad_line_whatever_else_it_answers() -> None:
    for seed in range(100):
        rig = toy_rig(f"flip=1/100,drop=1/100,seed={seed}", firmware=FIRMWARES["bench"])
        connect("bench", rig.port, LONG)


@pytest.mark.parametrize("protocol", FIRMWARES)
@pytest.mark.parametrize("start_s", [3.0, 45.0])
def test_a_board_that_takes_its_time_to_start_is_waited_for(protocol: str, start_s: float) -> None:
    text = b"m-init-done\r\nm-ready\r\nbooting ...\r\n" if protocol != "mlperf-tiny" else b"booting ...\r\n"

    def boot(engine: BusyToy, boots: int) -> Firmware:
        return Booting(engine, text, start_s, FIRMWARES[protocol](engine, boots))

    rig = toy_rig(firmware=boot, toy=LivelyToy)
    session = connect(protocol, rig.port, LONG)
    assert start_s < rig.port.now() < start_s + 3.0
    assert session.identify().board == "toy"
    assert rig.line.to_device.sent < 4096, "more than a pseudo-terminal holds"


@pytest.mark.parametrize("first_sign_s", [0.5, 2.0, 9.0])
@pytest.mark.parametrize("protocol", FIRMWARES)
def test_a_silent_line_is_waited_for_as_long_as_was_asked_for(protocol: str, first_sign_s: float) -> None:
    why, after = told(printing(b""), protocol, Patience(first_sign_s=first_sign_s))
    assert why == (
        f"no board that speaks {SPEAKS[protocol]} at simulated within {first_sign_s:g} s; it sent nothing: "
        "check the port, and that a firmware with this protocol is on the board"
    )
    assert after == pytest.approx(first_sign_s, abs=0.01)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (b"m-ready\r\n", "use --protocol mlperf-tiny"),
        (b'\r{"type": 0, "name": "VER?", "code": 0}\n', "use --protocol sscma"),
        (b"\xf0\x9f~~", "check the baud rate"),
    ],
)
def test_what_says_something_that_is_no_answer_is_told_at_the_end(words: bytes, hint: str) -> None:
    why, after = told(toy_rig(firmware=lambda e, b: Talker(words)), patience=Patience())
    assert hint in why
    assert after == pytest.approx(5.0, abs=0.01)


def test_a_device_that_sends_back_what_it_hears_is_no_firmware() -> None:
    class Echo(Talker):
        def receive(self, data: bytes) -> None:
            self._out += data

    why, _ = told(toy_rig(firmware=lambda e, b: Echo(b"")), patience=Patience())
    assert "it sent something else" in why


# ---- boards on which no firmware boots, in the words of their loaders


def boot_text(board_id: str, change: Callable[[BoardFlash], None], directory: Path) -> bytes:
    """Return what a virtual board prints that boots into nothing."""
    board = boards.load(board_id)
    flash = BoardFlash(board)
    load_firmware(board, flash, "bench")
    change(flash)
    line = MemoryLine()
    with pytest.raises(BoardReset):
        rom(board, flash, Wiring(lines=True, drives=directory)).boot(line, Boot.APPLICATION)
    return bytes(line.received)


def erased(address: int, length: int) -> Callable[[BoardFlash], None]:
    return lambda flash: flash.program(address, b"\xff" * length)


STUCK = {
    "a blank ESP32-S3": ("xiao_esp32s3", erased(0, 0x50000), "invalid header: 0xffffffff"),
    "an ESP32-S3 without a table": ("xiao_esp32s3", erased(0x8000, 0xC00), "load partition table error"),
    "an ESP32-S3 without a program": ("xiao_esp32s3", erased(0x40000, 8192), "No bootable app partitions"),
    "an ESP32-S3 with half a program": ("xiao_esp32s3", erased(0x40100, 64), "No bootable app partitions"),
    "a blank WE1": ("grove_vision_ai", erased(0x10000000, 8192), "bootloader fail (main-1943)"),
    "a damaged WE1": ("grove_vision_ai", erased(0x10000400, 16), "bootloader fail (main-1943)"),
    "a blank WE2": ("grove_vision_ai_we2", erased(0, 8192), "himax_sec_SB_image_process FAIL ("),
    "a damaged WE2": (
        "grove_vision_ai_we2",
        erased(0x800, 16),
        "himax_sec_SB_image_process FAIL (SHA-256 mismatch)",
    ),
}


@pytest.mark.parametrize("trouble", STUCK)
def test_a_board_on_which_nothing_boots_is_told_at_once_with_its_loader_s_words(
    trouble: str, tmp_path: Path
) -> None:
    board_id, change, words = STUCK[trouble]
    text = boot_text(board_id, change, tmp_path)
    for protocol in SPEAKS:
        why, after = told(printing(text), protocol)
        assert f"no firmware boots on it ({words}" in why
        assert why.endswith("): flash one")
        assert after < 3.0


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"ESP-ROM:esp32s3-20210327\r\nwaiting for download\r\n", "in the ESP32's boot loader: reset it"),
        (
            b"ESP-ROM:esp32c3-api1-20210207\r\nrst:0x1 (POWERON),boot:0x5 (DOWNLOAD(USB/UART0/1))\r\n",
            "in the ESP32's boot loader: reset it",
        ),
        (
            b"----\r\n[0] Reboot system\r\n[1] Xmodem download and burn FW image\r\n----\r\n",
            "XMODEM boot loader",
        ),
        (b"Send data using the xmodem protocol from your terminal\r\nCCC", "in its XMODEM boot loader"),
    ],
)
def test_a_board_that_waits_in_its_boot_loader_is_told_at_once(text: bytes, hint: str) -> None:
    why, after = told(printing(text))
    assert hint in why
    assert after < 3.0


def test_what_an_earlier_boot_said_does_not_count(tmp_path: Path) -> None:
    failed = b"".join(
        boot_text(board_id, change, tmp_path) for board_id, change, _ in list(STUCK.values())[::3]
    )
    good = b"ESP-ROM:esp32s3-20210327\r\nI (24) boot: 2nd stage bootloader\r\n"

    def boot(engine: BusyToy, boots: int) -> Firmware:
        return Booting(engine, failed + good, 20.0, FIRMWARES["bench"](engine, boots))

    connect("bench", toy_rig(firmware=boot, toy=LivelyToy).port, LONG)


# ---- boards that start over and over: one boot after the other, as the ROM and ESP-IDF print them

BANNER = b"ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:%s,boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"
STARTED = BANNER + b"SPIWP:0xee\r\nmode:DIO, clock div:1\r\nentry 0x403c98d0\r\nI (24) boot: ESP-IDF v5.1\r\n"
LOOPS = {
    "supply": (
        STARTED % b"0x3 (RTC_SW_SYS_RST)" + b"E BOD: Brownout detector was triggered\r\n\r\n",
        "its supply breaks down and it starts again ('E BOD: Brownout detector was triggered'): use another, "
        "shorter cable",
    ),
    "supply, by the reset's cause": (
        STARTED % b"0xf (BROWNOUT_RST)",
        "its supply breaks down and it starts again ('rst:0xf (BROWNOUT_RST)'): use another, shorter cable",
    ),
    "crash": (
        STARTED
        % b"0xc (RTC_SW_CPU_RST)"
        + b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
        b"\r\nCore  0 register dump:\r\nPC      : 0x42010699\r\n\r\nRebooting...\r\n",
        "its firmware crashes and starts again ('Guru Meditation Error: Core  0 panic'ed (LoadProhibited). "
        "Exception was unhandled.'): erase the flash (`esptool erase-flash`)",
    ),
    "watchdog": (
        STARTED
        % b"0xc (RTC_SW_CPU_RST)"
        + b"E (5323) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the "
        b"watchdog in time:\r\nE (5323) task_wdt:  - IDLE0 (CPU 0)\r\n",
        "its firmware hangs and is started again by a watchdog ('E (5323) task_wdt: Task watchdog got "
        "triggered. The following",
    ),
    "PSRAM of another kind": (
        STARTED
        % b"0xc (RTC_SW_CPU_RST)"
        + b"E (197) quad_psram: PSRAM ID read error: 0x00ffffff, PSRAM chip not found or not supported, or "
        b"wrong PSRAM line mode\r\nE cpu_start: Failed to init external RAM!\r\n"
        b"abort() was called at PC 0x42001d87 on core 0\r\n\r\nRebooting...\r\n",
        "its firmware does not find the PSRAM ('E cpu_start: Failed to init external RAM!'): flash one that "
        "was built for this board's (CONFIG_SPIRAM_MODE_OCT",
    ),
    "arena": (
        STARTED
        % b"0xc (RTC_SW_CPU_RST)"
        + b"Failed to resize buffer. Requested: 497664, available 204800, missing: 292864\r\n"
        b"abort() was called at PC 0x42001d87 on core 0\r\n\r\nRebooting...\r\n",
        "its firmware has too little memory for the model ('Failed to resize buffer. Requested: 497664, "
        "available 204800, missing: 292864'): build it with a larger tensor arena (in PSRAM, if",
    ),
    "no image": (
        BANNER % b"0x10 (RTCWDT_RTC_RST)" + b"invalid header: 0xffffffff\r\n" * 8,
        "no firmware boots on it (invalid header: 0xffffffff): flash one",
    ),
    "nothing that tells": (
        STARTED % b"0x3 (RTC_SW_SYS_RST)",
        "it starts over and over ('rst:0x3 (RTC_SW_SYS_RST),boot:0x8 (SPI_FAST_FLASH_BOOT)'): try another "
        "cable and supply",
    ),
    "watchdog of the chip": (
        STARTED % b"0x7 (TG0WDT_SYS_RST)",
        "its firmware hangs and is started again by a watchdog ('rst:0x7 (TG0WDT_SYS_RST)'): erase the flash",
    ),
    "nothing that tells, on a WE2": (
        b"1st BL Modem Build DATE=Nov 30 2023\r\nslot flash_offset 0x00000000\r\n"
        b"New MemDesp himax_sec_SB_image_process PASS\r\njump_addr=0x10000000\r\n",
        "it starts over and over ('1st BL Modem Build DATE=Nov 30 2023'): try another cable and supply, take "
        "the camera off",
    ),
}


@pytest.mark.parametrize("cause", LOOPS)
def test_a_board_that_starts_over_and_over_is_told_with_the_cause_and_the_console_s_line(cause: str) -> None:
    once, words = LOOPS[cause]
    for protocol in SPEAKS:
        why, after = told(printing(once * 4), protocol)
        assert f"; {words}" in why
        assert "boot loader" not in why
        assert after < 3.0


def test_only_a_supply_that_breaks_down_is_no_reason_to_flash_the_board() -> None:
    helps = {cause: console.trouble(once * 4).flashing_helps for cause, (once, _) in LOOPS.items()}  # type: ignore[union-attr]
    assert [cause for cause, answer in helps.items() if not answer] == [
        "supply",
        "supply, by the reset's cause",
    ]


@pytest.mark.parametrize("cause", ["crash", "watchdog", "arena"])
def test_a_board_that_crashed_once_is_waited_for(cause: str) -> None:
    once = LOOPS[cause][0] + STARTED % b"0xc (RTC_SW_CPU_RST)"

    def boot(engine: BusyToy, boots: int) -> Firmware:
        return Booting(engine, once, 20.0, FIRMWARES["bench"](engine, boots))

    connect("bench", toy_rig(firmware=boot, toy=LivelyToy).port, LONG)
    why, after = told(printing(once))
    assert LOOPS[cause][1] in why
    assert after == pytest.approx(60.0, abs=0.01)


@pytest.mark.parametrize("cause", [b"0x1 (POWERON)", b"0x10 (RTCWDT_RTC_RST)", b"0x15 (USB_UART_CHIP_RESET)"])
def test_a_start_is_no_boot_loader_and_no_loop(cause: bytes) -> None:
    why, after = told(printing(STARTED % cause))
    assert "it sent something else" in why
    assert after == pytest.approx(60.0, abs=0.01)


def test_a_board_that_boots_after_all_is_greeted(tmp_path: Path) -> None:
    """It said that nothing boots, and its reset button was pressed meanwhile."""
    text = boot_text("grove_vision_ai", erased(0x10000000, 8192), tmp_path)

    def boot(engine: BusyToy, boots: int) -> Firmware:
        return Booting(engine, text, 0.4, FIRMWARES["bench"](engine, boots))

    assert connect("bench", toy_rig(firmware=boot, toy=LivelyToy).port).identify().board == "toy"
