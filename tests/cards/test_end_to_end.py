"""From a bench on emulated boards to the cards in both languages, as a person would do it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from harness.results import store
from tests.results.running import harness

SHA1_IN_THE_CARDS = "f1a66ce5a3f05bc1293920e5a95f547e27df6550"

pytestmark = pytest.mark.interop


def ran(place: Path, *arguments: str, code: int = 0) -> str:
    done = harness(*arguments, cwd=place)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_estimates_of_an_emulated_bench_read_right_in_both_languages(shared: Path, tmp_path: Path) -> None:
    model = shared / "models" / "person_detect.tflite"
    sha1 = hashlib.sha1(model.read_bytes()).hexdigest()
    cards = {}
    for name in ("en.md", "zh_CN.md", "json"):
        original = (shared / "cards" / f"person_classification_96.{name}").read_text(encoding="utf-8")
        # The zoo's own model file is not at hand, so the rows are made to name one that is.
        cards[name] = original.replace(SHA1_IN_THE_CARDS, sha1)
        (tmp_path / name).write_text(cards[name], encoding="utf-8")
    boards = ("--board", "xiao_esp32s3", "--board", "grove_vision_ai_we2")
    ran(
        tmp_path,
        "bench",
        str(model),
        *boards,
        "--port",
        "emulated",
        "-n",
        "1",
        "-w",
        "0",
        "--output",
        "results",
    )
    passed_over = ran(tmp_path, "cards", "update", *cards, code=1)
    assert "its invoke time is estimated, not measured; --allow-estimated writes it, marked" in passed_over
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in cards} == cards
    ran(tmp_path, "cards", "update", "--allow-estimated", "--yes", *cards)
    ran(tmp_path, "cards", "update", "--allow-estimated", "--check", *cards)

    records, damaged = store.read_all(tmp_path / "results")
    assert not damaged
    ms = {r.board.id: sorted(r.invoke.ticks)[0] / r.invoke.tick_hz * 1000 for r in records}
    xiao, we2 = f"{ms['xiao_esp32s3']:.0f}", f"{ms['grove_vision_ai_we2']:.1f}"
    # The cards say of an estimate what their entry does, as the zoo's generator would write it.
    for name, colon in (("en.md", ":"), ("zh_CN.md", "：")):
        new = (tmp_path / name).read_text(encoding="utf-8")
        expected = cards[name].replace("582<sup>", f"{xiao}<sup>").replace("15.0<sup>", f"{we2}<sup>")
        for key, board in (("1", "xiao_esp32s3"), ("2", "grove_vision_ai_we2")):
            expected = expected.replace(
                f"  - ***{key}{colon}** {board}.*", f"  - ***{key}{colon}** {board} (estimated).*"
            )
        assert _narrow(new) == _narrow(expected)
    metrics = [
        b["metrics"].get("Inference(ms)") for b in json.loads((tmp_path / "json").read_text())["benchmark"]
    ]
    assert metrics[3:] == [
        {"xiao_esp32s3 (estimated)": int(xiao)},
        {"grove_vision_ai_we2 (estimated)": float(we2)},
    ]


def _narrow(text: str) -> str:
    """Return a text without the padding of its tables: a column is as wide as its figures are."""
    return re.sub(r" +|:-+:", " ", text)
