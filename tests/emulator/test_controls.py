"""DTR, RTS, the touch and the buttons: the sequences that tools send do what they do on real boards."""

from __future__ import annotations

import pytest

from harness.emulator.controls import Boot, ControlLines, Controls

# Of esp_pylib.serial_reset: what each helper writes, as (line, value).
CLASSIC = [("dtr", 0), ("rts", 1), ("dtr", 0), ("dtr", 1), ("rts", 0), ("dtr", 1), ("dtr", 0)]
USB_JTAG = [
    ("rts", 0),
    ("dtr", 0),
    ("dtr", 1),
    ("rts", 0),
    ("dtr", 1),
    ("rts", 1),
    ("dtr", 1),
    ("dtr", 0),
    ("rts", 1),
    ("dtr", 0),
    ("dtr", 0),
    ("rts", 0),
    ("dtr", 0),
]
HARD_RESET = [("rts", 1), ("dtr", 0), ("rts", 0), ("dtr", 0)]
OPEN = [("dtr", 1), ("rts", 1)]


class Board:
    """A board whose lines are set one at a time; `boots` is what it booted into."""

    def __init__(self, *, dtr_rts: bool = True, touch_baud: int | None = None) -> None:
        self.controls = Controls(dtr_rts=dtr_rts, touch_baud=touch_baud)
        self.values: dict[str, bool | None] = {"dtr": None, "rts": None}
        self.baud: int | None = None
        self.boots: list[Boot] = []

    def send(self, sequence: list[tuple[str, int]]) -> None:
        for line, value in sequence:
            self.values[line] = bool(value)
            self.tell()

    def tell(self) -> None:
        self.controls.changed(ControlLines(self.values["dtr"], self.values["rts"], self.baud))
        if self.controls.resetting and not self.controls.held:
            boot = self.controls.take()
            assert boot is not None
            self.boots.append(boot)

    def speed(self, baud: int | None) -> None:
        self.baud = baud
        self.tell()


@pytest.mark.parametrize("sequence", [CLASSIC, USB_JTAG])
def test_the_tools_sequences_enter_the_loader_and_leave_it(sequence: list[tuple[str, int]]) -> None:
    board = Board()
    board.send(OPEN)
    assert board.boots == [], "opening a port resets nothing"
    board.send(sequence)
    assert board.boots == [Boot.LOADER]
    board.send(HARD_RESET)
    assert board.boots == [Boot.LOADER, Boot.APPLICATION]
    board.send(sequence)
    assert board.boots[2:] == [Boot.LOADER]


def test_the_chip_is_held_while_rts_alone_is_set_and_let_go_when_the_host_goes() -> None:
    board = Board()
    board.send([*OPEN, ("dtr", 0)])
    assert board.controls.held
    assert board.controls.take() is None
    board.values = {"dtr": None, "rts": None}
    board.tell()
    assert board.boots == [Boot.APPLICATION]


def test_closing_a_terminal_that_drops_both_lines_boots_the_application() -> None:
    board = Board()
    board.send([*OPEN, ("dtr", 0), ("rts", 0)])
    assert board.boots == [Boot.APPLICATION]


def test_lines_that_are_not_wired_do_nothing() -> None:
    board = Board(dtr_rts=False)
    board.send([*OPEN, *CLASSIC, *USB_JTAG, *HARD_RESET])
    assert board.boots == []


def test_only_the_touch_speed_enters_the_boot_loader_and_each_touch_counts() -> None:
    board = Board(dtr_rts=False, touch_baud=1200)
    for baud in (115200, 1200, None, 9600, 1200, 1200):
        board.speed(baud)
    assert board.boots == [Boot.LOADER, Boot.LOADER]
    deaf = Board(dtr_rts=False)
    deaf.speed(1200)
    assert deaf.boots == []


def test_the_buttons_reset_into_either() -> None:
    board = Board(dtr_rts=False)
    for boot in (Boot.APPLICATION, Boot.LOADER):
        board.controls.press(boot)
        assert board.controls.resetting
        assert board.controls.take() is boot
        assert not board.controls.resetting
