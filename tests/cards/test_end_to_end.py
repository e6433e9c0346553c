"""From a bench on emulated boards to the cards in both languages, as a person would do it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results import store

ROOT = Path(__file__).resolve().parents[2]
SHA1_IN_THE_CARDS = "f1a66ce5a3f05bc1293920e5a95f547e27df6550"

pytestmark = pytest.mark.interop


def harness(place: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    environment = {
        "PYTHONPATH": str(ROOT),
        "HARNESS_CACHE_DIR": str(place / "cache"),
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
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
    harness(tmp_path, "bench", str(model), *boards, "--port", "emulated", "-n", "2", "--out", "results")
    assert "nothing to change" in harness(tmp_path, "cards", "update", *cards)
    harness(tmp_path, "cards", "update", "--allow-estimated", "--yes", *cards)
    harness(tmp_path, "cards", "update", "--allow-estimated", "--check", *cards)

    records, damaged = store.read_all(tmp_path / "results")
    assert not damaged
    ms = {r.board.id: sorted(r.invoke.ticks)[0] / r.invoke.tick_hz * 1000 for r in records}
    xiao, we2 = f"{ms['xiao_esp32s3']:.0f}", f"{ms['grove_vision_ai_we2']:.1f}"
    for name, mark, note, end in (
        (
            "en.md",
            "est.",
            "  - ***est.:** estimated by a model of the chip, not measured.*",
            "  - ***2:** grove_vision_ai_we2.*",
        ),
        (
            "zh_CN.md",
            "估算",
            "  - ***估算：** 由芯片模型估算，并非实测.*",
            "  - ***2：** grove_vision_ai_we2.*",
        ),
    ):
        new = (tmp_path / name).read_text(encoding="utf-8")
        expected = cards[name].replace("| 582<sup>(1)</sup>  |", f"| {xiao}<sup>(1)({mark})</sup> |")
        expected = expected.replace("| 15.0<sup>(2)</sup> |", f"| {we2}<sup>(2)({mark})</sup> |")
        assert new == expected.replace(end, f"{end}\n{note}")
    metrics = [
        b["metrics"].get("Inference(ms)") for b in json.loads((tmp_path / "json").read_text())["benchmark"]
    ]
    assert metrics[3:] == [
        {"xiao_esp32s3 (estimated)": int(xiao)},
        {"grove_vision_ai_we2 (estimated)": float(we2)},
    ]
