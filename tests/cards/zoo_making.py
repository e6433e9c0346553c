"""Zoos made up for the tests: entries, and the cards that a generator of the zoo's kind makes from them.

The generator here is written after the cards that the zoo has, and knows nothing of harness.cards: what an
update makes of a folder is held against what it makes of the updated entries.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

WORDS = {
    "en": ("Backend", "Precision", "Download", "Author", "Link", "***Table Notes:***", ":"),
    "zh_CN": ("框架", "精度", "下载", "作者", "链接", "***表格注释：***", "："),
}


def digest(text: str, function: str = "sha1") -> str:
    return hashlib.new(function, text.encode()).hexdigest()


def benchmark(
    backend: str, precision: str, file: str, metrics: dict[str, Any], boards: list[str] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {"backend": backend, "precision": precision}
    if boards:
        made["device"] = boards
    url = f"https://files.example.com/zoo/{file}"
    return {
        **made,
        "metrics": metrics,
        "url": url,
        "author": "Seeed",
        "checksum": f"md5:{digest(file, 'md5')}",
    }


def model(name: str, *benchmarks: dict[str, Any]) -> dict[str, Any]:
    """Return a model with the digest of itself that the zoo's script puts into it."""
    made = {"uuid": "0000", "name": name, "benchmark": list(benchmarks), "license": "MIT"}
    return {**made, "uuid": digest(json.dumps(made), "md5")}


def usual(name: str, xiao: float = 582, we2: float = 15.0, **rest: Any) -> dict[str, Any]:
    """Return a model as most of the zoo's are: a float file, the int8 file and what Vela made of that.

    Files have a SHA-1 in their names, or none where `proof` is "md5".
    """
    sha = "" if rest.pop("proof", "sha1") == "md5" else f"_sha1_{digest(name)}"
    ram = {"Peek RAM(MB)": 0.35} if rest.pop("ram", False) else {}
    return model(
        name,
        benchmark("PyTorch", "FLOAT32", f"{name}.pth", {"Top-1(%)": 88.37, "Flops(MB)": 76.5}),
        benchmark("TFLite", "FLOAT32", f"{name}_float32.tflite", {"Top-1(%)": 88.3}),
        benchmark(
            "TFLite",
            "INT8",
            f"{name}_int8{sha}.tflite",
            {"Top-1(%)": 88.2, **ram, "Inference(ms)": {"xiao_esp32s3": xiao}},
            ["xiao_esp32s3"],
        ),
        benchmark(
            "TFLite(vela)",
            "INT8",
            f"{name}_int8{sha}_vela.tflite",
            {"Top-1(%)": 88.2, **ram, "Inference(ms)": {"grove_vision_ai_we2": we2}},
            ["grove_vision_ai_we2"],
        ),
    )


def card(made: dict[str, Any], language: str) -> str:
    """Return the card that the generator makes of a model."""
    backend, precision, download, author, link, notes, colon = WORDS[language]
    benchmarks = made["benchmark"]
    metrics = list(dict.fromkeys(name for one in benchmarks for name in one["metrics"]))
    boards = list(dict.fromkeys(b for one in benchmarks for b in one["metrics"].get("Inference(ms)", ())))
    rows = [[backend, precision, *metrics, download, author]]
    for one in benchmarks:
        cells = []
        for name in metrics:
            value = one["metrics"].get(name, "-")
            if isinstance(value, dict):
                value = "<br>".join(f"{ms}<sup>({boards.index(b) + 1})</sup>" for b, ms in value.items())
            cells.append(value)
        rows.append([one["backend"], one["precision"], *cells, f"[{link}]({one['url']})", one["author"]])
    listed = "".join(f"  - ***{i}{colon}** {board}.*\n" for i, board in enumerate(boards, 1))
    return (
        f"# {made['name']}\n\n### Benchmark\n\n{_table(rows)}\n\n{notes}\n\n- ***{backend}{colon}** x.*\n"
        f"{listed}- ***{link}{colon}** y.*\n\n### License\n\nMIT\n\n"
    )


def _table(rows: list[list[Any]]) -> str:
    columns = []
    for header, *values in zip(*rows, strict=True):
        if all(isinstance(value, float) for value in values):
            values = [f"{value:.2f}" for value in values]
        texts = [str(value) for value in values]
        width = max(len(header) + 2, *(len(text) for text in texts))
        columns.append(
            [f" {header:^{width}} ", f":{'-' * width}:", *(f" {text:^{width}} " for text in texts)]
        )
    return "\n".join(f"|{'|'.join(cells)}|" for cells in zip(*columns, strict=True))


def write(folder: Path, *models: dict[str, Any]) -> None:
    """Write a zoo: an entry for each model, its cards, and the file of all models."""
    (folder / "entries").mkdir(parents=True, exist_ok=True)
    for made in models:
        (folder / "entries" / f"{made['name']}.json").write_text(json.dumps(made, indent=4))
    regenerate(folder)


def regenerate(folder: Path) -> None:
    """Do what the zoo's script does: make the cards and the file of all models from the entries."""
    models = [json.loads(path.read_text()) for path in sorted((folder / "entries").glob("*.json"))]
    for made in models:
        for language in WORDS:
            path = folder / "docs" / language / f"{made['name']}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(card(made, language))
    everything = {"version": "1", "models": models}
    (folder / "models.json").write_text(json.dumps(everything, indent=4))


def contents(folder: Path) -> dict[str, str]:
    """Return the texts of all files of a folder."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
