"""What a record says about the computer and the software that made it."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.results.record import Git, Host
from harness.version import __version__

_PACKAGES = (
    "ai-edge-litert",
    "esptool",
    "ethos-u-vela",
    "numpy",
    "pyserial",
    "tflite-micro",
    "tflite-runtime",
)


def host() -> Host:
    """Return the operating system, processor kind and Python of this computer."""
    return Host(
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        python=platform.python_version(),
    )


@cache
def versions() -> dict[str, str]:
    """Return the versions of the harness and of those packages that can change a figure."""
    found = {"harness": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git() -> Git | None:
    """Return the commit of the checkout this package runs from; None without a checkout or git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or status is None:
        return None
    return Git(commit=commit, dirty=bool(status))


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
