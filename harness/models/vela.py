"""Compile a model for an Ethos-U NPU with Arm's Vela, in a process of its own.

A process of its own because Vela is C++ behind a Python interface: a damaged model can crash it,
its reports go to the standard streams, and an interrupt has to end it at once. It costs about 0.2 s; what
was compiled before comes from the cache (`harness.models.cache`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness import extras
from harness.errors import HarnessError
from harness.models import cache, ethosu, tflite
from harness.models.ops import ETHOS_U

_PACKAGE = "ethos-u-vela"
_TIMEOUT_S = 600.0
_COMPILED, _SOURCE, _SUMMARY, _LAYERS, _LOG = (
    "vela.tflite",
    "source.tflite",
    "summary.csv",
    "layers.csv",
    "log.txt",
)


class VelaError(HarnessError):
    """Vela refused a model, did not survive it, or had compiled it before."""


@dataclass(frozen=True)
class Layer:
    """One NPU or CPU operation in Vela's order, with the cycles it estimates for it.

    `cycles` is about the largest of several: what the MAC engine takes (`npu_cycles`), and what each memory
    takes to move the operation's data.
    """

    operator: str
    npu_operator: str
    target: str
    cycles: int
    npu_cycles: int
    macs: int
    name: str


@dataclass(frozen=True)
class Compiled:
    """A compiled model, Vela's own account of it, and what it was compiled from.

    `settings` are the accelerator, the optimisation and the sections of Vela's configuration, flat.
    `cpu_operators` are the operators left to the CPU, in order; `cpu_reasons` what Vela says about them.
    """

    name: str
    data: bytes
    source: bytes
    version: str
    accelerator: str
    settings: Mapping[str, str]
    cpu_operators: tuple[str, ...]
    cpu_reasons: tuple[str, ...]
    npu_operators: int
    summary_csv: str
    layers_csv: str

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def source_sha256(self) -> str:
        return hashlib.sha256(self.source).hexdigest()

    @cached_property
    def summary(self) -> dict[str, str | int | float]:
        """Vela's summary by its own column names; figures that are not numbers (nan) are left out.

        Units as Vela has them: memory used in KiB, bandwidths in GB/s, inference_time in s.
        """
        row = next(csv.DictReader(io.StringIO(self.summary_csv)))
        values = {key: _value(text) for key, text in row.items() if key not in ("experiment", "network")}
        return {k: v for k, v in values.items() if not (isinstance(v, float) and not math.isfinite(v))}

    @cached_property
    def layers(self) -> list[Layer]:
        return [
            Layer(
                operator=row["Original Operator"],
                npu_operator=row["NNG Operator"],
                target=row["Target"],
                cycles=round(float(row["Op Cycles"])),
                npu_cycles=round(float(row["NPU"])),
                macs=round(float(row["MAC Count"])),
                name=row["Name"],
            )
            for row in csv.DictReader(io.StringIO(self.layers_csv))
        ]

    @property
    def cycles(self) -> int:
        """Vela's estimate of an invoke on the NPU, in cycles of its clock; CPU operators not counted."""
        return round(float(self.summary["cycles_total"]))

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.cycles / float(self.summary["core_clock"])

    @property
    def sram_bytes(self) -> int:
        """SRAM that the NPU's tensors take; it is part of the tensor arena."""
        return round(float(self.summary["sram_memory_used"]) * 1024)

    @property
    def flash_bytes(self) -> int:
        """Flash that weights, biases and command streams take."""
        kib = (float(self.summary[f"{area}_flash_memory_used"]) for area in ("on_chip", "off_chip"))
        return round(sum(kib) * 1024)


def version() -> str:
    """Return the version of the Vela that is installed; raises MissingPackage if none is."""
    extras.need("ethosu", "compiling a model for an NPU")
    return metadata.version(_PACKAGE)


def compile(
    data: bytes,
    name: str,
    *,
    accelerator: str,
    settings: Mapping[str, Mapping[str, str]],
    optimise: Literal["Performance", "Size"] = "Performance",
) -> Compiled:
    """Compile the model `data`, which messages call `name`.

    `settings` are the sections of Vela's configuration file, one `System_Config.X` and one
    `Memory_Mode.Y`. The same model, settings and Vela give the same bytes, from the cache or not.
    Raises ModelError if `data` is no model, VelaError if it is compiled already or Vela refuses it,
    MissingPackage if Vela is not installed.
    """
    model = tflite.parse(data, name)
    if ethosu.is_compiled(model):
        raise VelaError(f"{name}: already compiled by Vela; give the int8 model that it was made from")
    request = {
        "source": model.sha256,
        "version": version(),
        "accelerator": accelerator,
        "optimise": optimise,
        "settings": {section: dict(values) for section, values in settings.items()},
    }
    entry_name = cache.key(request)
    entry = cache.load(entry_name)
    if entry is None:
        files = _run(data, name, accelerator, settings, optimise)
        entry = cache.Entry({**files, _SOURCE: data}, {**request, "name": name})
        cache.store(entry_name, entry, output=_COMPILED)
    return _compiled(entry, name)


def source_of(sha256: str) -> Compiled | None:
    """Return the compilation whose result has this SHA-256 (in hex), if this computer made it."""
    entry = cache.find_output(sha256)
    return None if entry is None else _compiled(entry, str(entry.facts["name"]))


def _compiled(entry: cache.Entry, name: str) -> Compiled:
    data = entry.files[_COMPILED]
    operators = [o for s in tflite.parse(data, f"{name}, compiled").subgraphs for o in s.operators]
    left = tuple(o.label for o in operators if o.custom_code != ETHOS_U)
    settings = {"accelerator": str(entry.facts["accelerator"]), "optimise": str(entry.facts["optimise"])}
    for section, values in entry.facts["settings"].items():
        kind, _, called = section.partition(".")
        settings |= {kind.lower(): called, **values}
    return Compiled(
        name=name,
        data=data,
        source=entry.files[_SOURCE],
        version=str(entry.facts["version"]),
        accelerator=settings["accelerator"],
        settings=settings,
        cpu_operators=left,
        cpu_reasons=_reasons(entry.files[_LOG].decode(errors="replace")),
        npu_operators=len(operators) - len(left),
        summary_csv=entry.files[_SUMMARY].decode(),
        layers_csv=entry.files[_LAYERS].decode(),
    )


def _run(
    data: bytes, name: str, accelerator: str, settings: Mapping[str, Mapping[str, str]], optimise: str
) -> dict[str, bytes]:
    """Run Vela in a temporary directory and return its files."""
    system, mode = (_section(settings, kind) for kind in ("System_Config", "Memory_Mode"))
    with tempfile.TemporaryDirectory(prefix="harness-vela-") as temporary:
        directory = Path(temporary)
        try:
            (directory / "model.tflite").write_bytes(data)
            (directory / "board.ini").write_text(_ini(settings), encoding="utf-8")
        except OSError as error:
            raise VelaError(
                f"{tempfile.gettempdir()}: Vela cannot work there: {error.strerror or error}; "
                "point TMPDIR to a directory with room"
            ) from None
        command = [
            *(sys.executable, "-P", "-m", "ethosu.vela", "model.tflite"),
            *("--accelerator-config", accelerator, "--optimise", optimise, "--output-dir", "out"),
            *("--config", str(directory / "board.ini"), "--system-config", system, "--memory-mode", mode),
            # Not --show-cpu-operations: that listing ends Vela 5.2 with a KeyError, before its summary is
            # written, if Vela put in an operation that no operator of the model stands for (ARG_MAX).
            # What stays on the CPU is read from the compiled file.
            "--verbose-performance",
        ]
        try:
            run = subprocess.run(
                command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise VelaError(f"{name}: Vela did not finish within {_TIMEOUT_S:g} s") from None
        log = run.stdout + run.stderr
        out = directory / "out"
        files = {
            _COMPILED: out / "model_vela.tflite",
            _SUMMARY: out / f"model_summary_{system}.csv",
            _LAYERS: out / "model_per-layer.csv",
        }
        if run.returncode != 0 or not all(path.exists() for path in files.values()):
            raise VelaError(f"{name}: {_complaint(run.returncode, log.decode(errors='replace'))}")
        return {**{key: path.read_bytes() for key, path in files.items()}, _LOG: log}


def _section(settings: Mapping[str, Mapping[str, str]], kind: str) -> str:
    """Return X of the one section `kind.X`."""
    (name,) = [s.partition(".")[2] for s in settings if s.startswith(f"{kind}.")]
    return name


def _ini(settings: Mapping[str, Mapping[str, str]]) -> str:
    lines = []
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _complaint(status: int, log: str) -> str:
    """Return what went wrong: how Vela ended, or why it says it did."""
    if status < 0:
        return f"Vela crashed on the model (signal {-status}); look for odd shapes with `harness inspect`"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if (raised := _raised(lines)) is not None:
        place, kind, what = raised
        # A RuntimeError is how its compiler in C++ refuses a model.
        refused = kind == "RuntimeError"
        return (
            f"Vela refuses the model: {what}" if refused else f"Vela crashed on the model in {place}: {what}"
        )
    said = [line for line in lines if re.search(r"error|fail", line, re.IGNORECASE)]
    what = said[-1] if said else f"no word from it (status {status})"
    return f"Vela refuses the model: {what}"


def _raised(lines: list[str]) -> tuple[str, str, str] | None:
    """Return function and file, kind and text of an exception that ended Vela's Python, None without one."""
    frames = [re.match(r'File "(.*)", line \d+, in (\S+)', line) for line in lines]
    last = max((i for i, frame in enumerate(frames) if frame), default=None)
    if last is None:
        return None
    for start in range(last + 1, len(lines)):
        if found := re.match(r"[\w.]*(?:Error|Exception)\b", lines[start]):
            frame = frames[last]
            assert frame is not None
            text = " ".join(" ".join(lines[start:]).split())
            return f"{frame[2]} of its {Path(frame[1]).name}", found[0], text
    return None


def _reasons(log: str) -> tuple[str, ...]:
    """Return why operators were left to the CPU: "OPERATOR: reason", each once."""
    found = re.findall(r"^Warning \([^)]*\) operator: (\S+), .*\nReason: (.*)$", log, re.MULTILINE)
    # It calls operators "None" that it has no name for; the compiled file names them all.
    return tuple(dict.fromkeys(f"{operator}: {reason}" for operator, reason in found if operator != "None"))


def _value(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
