"""The flash memory of the emulated boards, which they keep from one run to the next as real ones do."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import assets
from harness.boards import Profile


@contextmanager
def flash_directory(board: Profile) -> Iterator[tuple[Path, bool]]:
    """Yield where an emulated board's flash is kept, and whether it is blank.

    It is in the user's cache and held by one process at a time; whoever comes second, or cannot write there,
    gets a blank board of its own for this run.
    """
    from filelock import FileLock, Timeout

    kept = assets.user_cache() / "boards" / f"{board.id}-{board.sha256[:8]}"
    with contextlib.ExitStack() as stack:
        try:
            kept.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(kept.with_suffix(".lock"), timeout=0))
        except (OSError, Timeout):
            kept = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-")))
        yield kept, not any(kept.glob("*.bin"))
