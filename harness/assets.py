"""Where files are: those that ship with the package, and those that are kept for the user.

What ships is in a checkout at its top level, in a wheel inside it.
"""

from __future__ import annotations

import os
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


def user_cache() -> Path:
    """Return the directory for what is kept between runs, which need not exist.

    It is the user's cache directory, or where HARNESS_CACHE_DIR says.
    """
    override = os.environ.get("HARNESS_CACHE_DIR")
    if override:
        return Path(override)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("harness"))
