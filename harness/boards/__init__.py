"""Board profiles: what a board is and how it wants to be flashed, as TOML."""

from __future__ import annotations

from harness.boards.catalogue import UnknownBoard, all_profiles, ids, load, read
from harness.boards.problems import Problem, ProfileError
from harness.boards.profile import Profile

__all__ = ["Problem", "Profile", "ProfileError", "UnknownBoard", "all_profiles", "ids", "load", "read"]
