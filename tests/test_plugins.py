"""A package from outside with a chip family, a protocol, a flashing method, a card form, and a board.

It is made here as an installed one looks: a module, and entry points in its metadata. What it brings is put
together from parts of the harness: that nothing but the package knows of it is what is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import boards

MODULE = r"""
from contextlib import contextmanager
from dataclasses import replace
from harness.cards.card import CardPlan, CellChange, Overview
from harness.chips.rp2040 import Rp2040
from harness.flash import uf2
from harness.flash.method import Flasher, Option
from harness.wire.bench_client import PROTOCOL, BenchSession


class Acorn(Rp2040):
    name = "acorn"
    chips = ("Acorn A1",)


class ShoutSession(BenchSession):
    protocol = "shout"


@contextmanager
def enter(target):
    with uf2.enter(target) as loader:
        if target.options.get("loud"):
            print(target.table["cry"], file=__import__("sys").stderr)
        yield loader


def findings(board):
    table = board.flash.others.get("carry")
    if table is None or "cry" not in table.values:
        yield ("flash", "carry"), "lacks the key 'cry'"


class Nuts:
    # Cards of one line: MODEL BOARD BYTES
    NAME = "nuts"
    SUFFIXES = (".nuts",)

    def recognises(self, text):
        return text.startswith("NUTS")

    def show(self, text, words, checksums=None):
        return Overview(self.NAME, None, ())

    def plan(self, text, benched, rules, checksums=None):
        (record,) = benched.records
        new = f"NUTS\n{record.model.name} {record.board.id} {record.ram.arena_used_bytes}\n"
        names = record.model.name, record.board.id
        change = CellChange(2, "RAM", *names, None, new, "bytes", "emulated", record.id)
        return CardPlan(new, (change,), benchmarks=1, rows=1)


FAMILY = Acorn()
NUTS = Nuts()
SHOUT = replace(PROTOCOL, name="shout", connect=ShoutSession)
CARRY = Flasher("carry", "acorn:enter", (Option("loud", "Say so.", default=False),), findings=findings)
"""
ENTRY_POINTS = """
[harness.chips]
acorn = acorn:FAMILY
[harness.protocols]
shout = acorn:SHOUT
[harness.flashers]
carry = acorn:CARRY
[harness.card_forms]
nuts = acorn:NUTS
"""
MODEL = "cifar10_mbv2_035_32_int8"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The directory of the package, with its board's profile in acorn.toml; two modules and a TOML file."""
    (tmp_path / "acorn.py").write_text(MODULE)
    metadata = tmp_path / "acorn-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acorn\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    text = boards.load("raspberry_pi_pico").path.read_text()
    for before, after in (
        ('id = "raspberry_pi_pico"', 'id = "acorn"'),
        ('aliases = ["pico", "rp2040"]', 'aliases = ["oak"]'),
        ('name = "Raspberry Pi RP2040"', 'name = "Acorn A1"'),
        ('family = "rp2040"', 'family = "acorn"'),
        ('supported = ["bench", "mlperf-tiny"]', 'supported = ["shout"]'),
        ('default = "bench"', 'default = "shout"'),
        ('method = "uf2"', 'method = "carry"'),
        ("[flash.uf2]", '[flash.carry]\ncry = "CARRIED"\nsource = "its seller"\n\n[flash.uf2]'),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    (tmp_path / "acorn.toml").write_text(text)
    return tmp_path


def harness(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=installed,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_brings_all_of_it_is_one_module_and_one_profile(installed: Path) -> None:
    assert sorted(path.name for path in installed.iterdir() if path.is_file()) == ["acorn.py", "acorn.toml"]


def test_its_board_is_flashed_and_benched_and_written_into_a_card_with_its_parts(installed: Path) -> None:
    done = harness(installed, "bench", MODEL, "-b", "acorn.toml", "-n", "2", "--json")
    assert done.returncode in (0, 1), done.stderr
    (record,) = json.loads(done.stdout)["records"]
    assert record["board"]["id"] == "acorn"
    assert record["firmware"]["protocol"] == "shout"
    assert record["verification"]["verdict"] == "exact"
    card = installed / "card.nuts"
    card.write_text("NUTS\n")
    assert harness(installed, "cards", "update", str(card)).returncode == 0
    assert card.read_text() == f"NUTS\n{MODEL} acorn {record['ram']['arena_used_bytes']}\n"


def test_its_profile_is_valid_and_its_options_are_options(installed: Path) -> None:
    assert harness(installed, "boards", "check", "acorn.toml").returncode == 0
    assert "carry: say so." in harness(installed, "flash", "--help").stdout
    done = harness(installed, "flash", "-b", "acorn.toml", "--port", "emulated", "-m", MODEL, "--loud")
    assert (done.returncode, done.stderr) == (0, "CARRIED\n")


def test_the_table_of_its_flashing_method_is_its_own_to_judge(installed: Path) -> None:
    profile = installed / "acorn.toml"
    good = profile.read_text()
    shown = harness(installed, "boards", "show", "acorn.toml").stdout
    assert "flash.carry.cry" in shown
    profile.write_text(good.replace('cry = "CARRIED"', 'shout = "CARRIED"'))
    done = harness(installed, "boards", "check", "acorn.toml")
    assert done.returncode == 2
    assert "flash.carry: lacks the key 'cry'" in done.stdout
    profile.write_text(good.replace('\nsource = "its seller"', ""))
    assert "flash.carry: lacks its source" in harness(installed, "boards", "check", "acorn.toml").stdout
    profile.write_text(good.replace("[flash.carry]", "[flash.carri]"))
    assert "flash.carri: unknown key" in harness(installed, "boards", "check", "acorn.toml").stdout


def test_without_it_the_profile_says_what_is_missing(installed: Path) -> None:
    (installed / "acorn-1.0.dist-info" / "entry_points.txt").unlink()
    done = harness(installed, "boards", "check", "acorn.toml")
    assert done.returncode == 2
    for what in ("chip.family: unknown chip family 'acorn'", "unknown flashing method 'carry'", "'shout'"):
        assert what in done.stdout
