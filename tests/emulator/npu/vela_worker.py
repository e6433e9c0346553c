"""Compile every model of a directory with the real Vela: `vela_worker.py DIRECTORY MACS CORE OPTIMISE`.

One process for many models, as starting Vela takes longer than compiling a small one. Each model is
compiled in a child of its own, because Vela crashes on some. A result lies beside its model as
NAME_vela.tflite; where there is none, Vela's last words are in NAME.log.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from ethosu.vela import vela

INI = """
[System_Config.board]
core_clock=400e6
axi0_port=Sram
axi1_port=OffChipFlash
Sram_clock_scale=1.0
Sram_burst_length=32
Sram_read_latency=16
Sram_write_latency=16
OffChipFlash_clock_scale=0.015625
OffChipFlash_burst_length=32
OffChipFlash_read_latency=64
OffChipFlash_write_latency=64
[System_Config.dram]
core_clock=400e6
axi0_port=Sram
axi1_port=Dram
Sram_clock_scale=1.0
Sram_burst_length=32
Sram_read_latency=16
Sram_write_latency=16
Dram_clock_scale=0.1
Dram_burst_length=64
Dram_read_latency=64
Dram_write_latency=64
[Memory_Mode.board]
const_mem_area=Axi1
arena_mem_area=Axi0
cache_mem_area=Axi0
[Memory_Mode.sram_only]
const_mem_area=Axi0
arena_mem_area=Axi0
cache_mem_area=Axi0
[Memory_Mode.dedicated]
const_mem_area=Axi1
arena_mem_area=Axi1
cache_mem_area=Axi0
"""


def compile_one(model: Path, arguments: list[str]) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    log = os.open(model.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        vela.main([*arguments, str(model)])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(directory: Path, macs: str, core: str, optimise: str, memory: str) -> None:
    (directory / "vela.ini").write_text(INI)
    system = "dram" if memory == "dedicated" else "board"
    arguments = [
        *("--accelerator-config", f"ethos-u55-{macs}", "--optimise", optimise),
        *("--config", str(directory / "vela.ini"), "--system-config", system, "--memory-mode", memory),
        *("--output-dir", str(directory)),
    ]
    if core == "legacy":
        arguments.insert(0, "--debug-force-legacy-core")
    for model in sorted(directory.glob("*.tflite")):
        if not model.stem.endswith("_vela"):
            compile_one(model, arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:6])
