"""Records and cards made up for the tests of this room."""

from __future__ import annotations

from typing import Any

from harness.results.record import Record
from tests.results.making import record

# SHA-1 digests that name no file: cards only ever compare them.
SHA1 = "f1a66ce5a3f05bc1293920e5a95f547e27df6550"
OTHER_SHA1 = "84561285cfef22718d41b93f81853143746293d8"


def benched(
    ms: float,
    *,
    board: str = "xiao_esp32s3",
    sha1: str = SHA1,
    file: str = "model.tflite",
    compiled_from: str | None = None,
    origin: str = "measured",
    arena: int | None = None,
    verdict: str = "exact",
    precision: str = "int8",
    md5: str | None = None,
    source_md5: str | None = None,
    **rest: Any,
) -> Record:
    """Return the record of a run with a median invoke time; `compiled_from` is the int8 file's SHA-1.

    `md5` is that of the deployed file, `source_md5` that of the int8 file before Vela.
    """
    ticks = round(ms * 1000)
    verification: dict[str, Any] = {"verdict": verdict}
    made = record(
        [ticks, ticks - 1, ticks + 1],
        board=board,
        origin=origin,
        arena=arena,
        verification=verification,
        **rest,
    )
    model: dict[str, Any] = {**made.model.model_dump(), "file": file, "sha1": sha1, "md5": md5}
    model["precision"] = precision
    if compiled_from is not None:
        model |= {
            "sha1": "ab" * 20,
            "source_sha1": compiled_from,
            "source_md5": source_md5,
            "source_file": file.replace("_vela", ""),
            "vela": {"version": "5.2.0", "accelerator": "ethos-u55-64", "settings": {}},
        }
    return Record.model_validate({**made.model_dump(), "model": model})


def link(sha1: str = SHA1, end: str = ".tflite") -> str:
    """Return a link to a model file as the model zoo writes it."""
    return f"[Link](https://files.example.com/zoo/person_int8_sha1_{sha1}{end})"
