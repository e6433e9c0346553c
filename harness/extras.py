"""Packages that only some commands need, and the extra of this package that brings each.

Whatever imports one of them asks here first, so that a missing one is one line that names its extra.
"""

from __future__ import annotations

import importlib.util

from harness.errors import HarnessError

# Module -> (package, extra that installs it). pyproject.toml has the same packages under the same extras.
_PACKAGES = {
    "tflite_micro": ("tflite-micro", "emulate"),
    "tflite_runtime": ("a desktop TFLite runtime", "emulate"),  # which one depends on the Python
    "ethosu": ("ethos-u-vela", "vela"),
    "PIL": ("pillow", "images"),
    "pandas": ("pandas", "report"),
    "matplotlib": ("matplotlib", "report"),
    "scipy": ("scipy", "report"),
    "pyarrow": ("pyarrow", "parquet"),
    "ppk2_api": ("ppk2-api", "energy"),
}


class MissingPackage(HarnessError):
    """A package is not installed; `needs` says what needs which, `remedy` is the command that installs it."""

    def __init__(self, needs: str, remedy: str) -> None:
        super().__init__(needs, remedy)  # both, so that it can be pickled
        self.needs = needs
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.needs}: {self.remedy}"


def is_installed(module: str) -> bool:
    """Say whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def need(module: str, what: str) -> None:
    """Raise MissingPackage unless `module` is installed; `what` (singular) begins its message."""
    if not is_installed(module):
        raise missing(module, what)


def missing(module: str, what: str) -> MissingPackage:
    """Return the error that says that `what` needs the package of `module`."""
    package, extra = _PACKAGES[module]
    return MissingPackage(f"{what} needs {package}", f"pip install 'harness[{extra}]'")
