"""Packages that only some commands need, and the extra of this package that brings each.

Whatever imports one of them asks here first, so that a missing one is one line that names its extra.
"""

from __future__ import annotations

import importlib.util

from harness.errors import HarnessError

# Module -> (package, extra that installs it). pyproject.toml has the same packages under the same extras.
_PACKAGES = {
    "tflite_micro": ("tflite-micro", "emulate"),
    "tflite_runtime": ("tflite-runtime", "emulate"),
    "ai_edge_litert": ("ai-edge-litert", "emulate"),
    "ethosu": ("ethos-u-vela", "vela"),
    "PIL": ("pillow", "images"),
    "pandas": ("pandas", "report"),
    "matplotlib": ("matplotlib", "report"),
    "pyarrow": ("pyarrow", "parquet"),
}


class MissingPackage(HarnessError):
    """A package is not installed; `needs` says what needs which, `remedy` is the command that installs it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.needs = f"{what} needs {package}"
        self.remedy = f"pip install 'harness[{extra}]'"
        super().__init__(f"{self.needs}: {self.remedy}")


def is_installed(module: str) -> bool:
    """Say whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def need(module: str, what: str) -> None:
    """Raise MissingPackage unless `module` is installed; `what` (singular) begins its message."""
    if not is_installed(module):
        raise missing(module, what)


def missing(module: str, what: str) -> MissingPackage:
    """Return the error that says that `what` needs the package of `module`."""
    return MissingPackage(what, *_PACKAGES[module])
