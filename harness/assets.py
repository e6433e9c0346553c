"""Where the files that ship with the package are: in a checkout at its top level, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def directory(name: str) -> Path:
    """Return the directory of shipped assets `name` ("boards" or "firmware").

    Raises FileNotFoundError where an installation is damaged and holds neither form.
    """
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the installation lacks its '{name}' directory; reinstall harness")
