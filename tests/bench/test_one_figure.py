"""A model's RAM on a board is one figure, whichever command says it: inspect, check, bench, cards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner

import harness
from harness.cards import Rules, update
from harness.cli.check import command as check
from harness.cli.inspect import command as inspect
from harness.results.record import Record

BOARDS = ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2")
# Those of ../shared that are int8, and a streaming model, whose resource variables are in its arena too.
FILES = (
    "models/ad01_int8",
    "models/kws_ref_model",
    "models/mobilenetv2_cifar10_int8",
    "models/person_detect",
    "models/pfld_meter_int8",
    "models/pretrainedResnet_quant",
    "models/vww_96_int8",
    "cases/kws_saved_model_variables",
)


def said_by(command: Command, *arguments: str) -> int:
    done = CliRunner().invoke(command, [*arguments, "--json"])
    answer = json.loads(done.stdout)
    return answer["arena"]["used_bytes"]


def said_by_cards(record: Record) -> int:
    source = record.model.source_sha1
    file = f"model_sha1_{source}_vela.tflite" if source else f"model_sha1_{record.model.sha1}.tflite"
    link = f"[Link](https://files.example.com/zoo/{file})"
    card = (
        f"| Peak RAM (bytes) | Link |\n|-|-|\n| -<sup>(1)</sup> | {link} |\n\n- ***1:** {record.board.id}.*\n"
    )
    text, _ = update(card, [record], Rules(allow_estimated=True))
    found = re.search(r"\n\| ([\d,]+)", text)
    assert found, text
    return int(found[1].replace(",", ""))


def hold(models: list[str], board: str, out: Path) -> None:
    """Bench the models on a board, in one run as they cost less so, and ask all commands for each of them."""
    result = harness.bench(models, [board], port="emulated", invokes=1, warmup=0, out=out)
    assert not result.failures, result.failures
    said = {
        model: {
            "bench": record.ram.arena_used_bytes,
            "inspect": said_by(inspect, model, "--board", board),
            "check": said_by(check, model, "--board", board),
            "cards": said_by_cards(record),
        }
        for model, record in zip(models, result.records, strict=True)
    }
    assert {model: each for model, each in said.items() if len(set(each.values())) > 1} == {}


@pytest.mark.parametrize("board", BOARDS)
def test_all_commands_say_the_same_ram_of_a_bundled_model(board: str, tmp_path: Path) -> None:
    hold(["person_mbv2_035_32_int8"], board, tmp_path)


@pytest.mark.interop
@pytest.mark.parametrize("board", BOARDS)
def test_all_commands_say_the_same_ram_of_a_real_file(board: str, tmp_path: Path, shared: Path) -> None:
    hold([str(shared / f"{name}.tflite") for name in FILES], board, tmp_path)
