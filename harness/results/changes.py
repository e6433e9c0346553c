"""What is not the same in two runs, in words: causes of a change, and what forbids a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.results.key import Key, firmware_hash, key_of, same_inputs, short, source_sha256
from harness.results.record import Firmware, Model, Record

About = Literal[
    "board", "protocol", "origin", "clock", "inputs", "model", "firmware", "profile", "specimen", "name"
]


@dataclass(frozen=True)
class Change:
    """One thing that changed: `about` in a word, `text` as a clause."""

    about: About
    text: str


def changes(a: Record, b: Record) -> list[Change]:
    """Return what changed from run `a` to run `b`, apart from its figures."""
    found: list[Change] = []

    def hold(about: About, left: object, right: object, text: str) -> None:
        if left != right:
            found.append(Change(about, text))

    one, two = key_of(a), key_of(b)
    hold("board", one.board, two.board, f"board {one.board} against {two.board}")
    hold("protocol", one.protocol, two.protocol, f"protocol {one.protocol} against {two.protocol}")
    hold("origin", one.origin, two.origin, f"{one.origin} times against {two.origin} ones")
    hold(
        "clock", one.clock_hz, two.clock_hz, f"{one.clock_hz / 1e6:g} MHz against {two.clock_hz / 1e6:g} MHz"
    )
    hold("inputs", same_inputs(a, b), True, "other inputs were streamed")
    hold("model", one.model_sha256, two.model_sha256, _model(a, b))
    hold("firmware", _build(one), _build(two), _firmware(a.firmware, b.firmware))
    if one.board == two.board:
        profiles = a.board.profile_sha256, b.board.profile_sha256
        hold("profile", *profiles, "the board profile changed")
        numbers = a.board.serial_number, b.board.serial_number
        hold("specimen", *numbers, f"other specimen: {numbers[0] or 'none'} then, {numbers[1] or 'none'} now")
    if one.model_sha256 == two.model_sha256:
        names = a.model.name, b.model.name
        hold("name", *names, f"the model was called {names[0]} then; it is the same file")
    return found


def _build(key: Key) -> tuple[str, str, str | None]:
    return key.firmware, key.firmware_version, key.firmware_hash


def _model(a: Record, b: Record) -> str:
    one, two = a.model, b.model
    files = f"SHA-256 {short(one.sha256)} → {short(two.sha256)}"
    if source_sha256(one) == source_sha256(two):
        return f"the model was compiled anew ({_compiler(one, two)}; {files})"
    more = [f"{one.precision} → {two.precision}"] if one.precision != two.precision else []
    more += [f"{one.file} → {two.file}"] if one.file != two.file else []
    return f"the model file changed ({'; '.join([files, *more])})"


def _compiler(one: Model, two: Model) -> str:
    if one.vela is None or two.vela is None:
        return "not by Vela then" if one.vela is None else "not by Vela now"
    if one.vela.version == two.vela.version:
        return "other settings of Vela"
    return f"Vela {one.vela.version} → {two.vela.version}"


def _firmware(a: Firmware, b: Firmware) -> str:
    texts = [f"{one.name} {one.version}" for one in (a, b)]
    hashes = [short(firmware_hash(one)) for one in (a, b)]
    if texts[0] == texts[1]:
        return f"the firmware changed ({texts[0]}, {hashes[0]} → {hashes[1]})"
    return f"the firmware changed ({texts[0]}, {hashes[0]} → {texts[1]}, {hashes[1]})"


def in_words(found: Iterable[Change]) -> str:
    """Write changes as one clause: `the model file changed (...), the firmware changed (...)`."""
    return ", ".join(change.text for change in found)
