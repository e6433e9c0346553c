"""Drives a device with MLPerf Tiny's own classes: RUNNER PORT DATASETS MODE OUT.

A program of its own, since its script.py takes over standard output and writes to the current directory.
RUNNER is benchmark/runner of a checkout, MODE "a" (accuracy) or "p" (performance). OUT becomes a JSON file.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

SCRIPTS = {"a": "tests_accuracy.yaml", "p": "tests_performance.yaml"}
BAUD = 115200


def main(runner: str, port: str, datasets: str, mode: str, out: str) -> None:
    """As `run_test` of the runner's main.py, without an interface board and a power meter."""
    sys.path.insert(0, runner)
    yaml = importlib.import_module("yaml")
    scripts = yaml.safe_load((Path(runner) / SCRIPTS[mode]).read_text())
    dut = importlib.import_module("device_under_test").DUT(port, BAUD)
    with dut:
        name, model = dut.get_name(), dut.get_model()
    script = importlib.import_module("script").Script(scripts[model])
    data = importlib.import_module("datasets").DataSet(str(Path(datasets) / script.model), script.truth)
    result = script.run(None, dut, data, mode)
    Path(out).write_text(json.dumps({"name": name, "model": model, "result": result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
