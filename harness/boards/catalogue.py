"""Finding profiles by id, alias or path, and reading them.

A file that starts with `extends = "ID"` is an overlay: it gives only what differs from a shipped profile.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import assets
from harness.boards import checks, problems
from harness.boards.problems import Problem, ProfileError
from harness.boards.profile import Profile, build
from harness.errors import HarnessError, nearest

_EXTENDS = "extends"


class UnknownBoard(HarnessError):
    """No profile has this id."""


def ids() -> list[str]:
    """Return the ids of the boards that ship with the package, sorted."""
    return [profile.id for profile in all_profiles()]


def all_profiles() -> list[Profile]:
    """Return the profiles that ship with the package, sorted by id."""
    return list(_shipped())


def load(name_or_path: str | Path) -> Profile:
    """Return the profile with this id or alias, else the one in this file.

    A name that ends in .toml, or that a file has, is a file. Raises UnknownBoard, and ProfileError for a
    file that is not a valid profile.
    """
    name = str(name_or_path)
    known = {key: profile for profile in _shipped() for key in (profile.id, *profile.aliases)}
    if name in known:
        return known[name]
    path = Path(name_or_path)
    if name.endswith(".toml") or path.is_file():
        return read(path)
    raise UnknownBoard(
        f"unknown board '{name}'{nearest(name, known)} "
        "(`harness boards` lists them; a path to a .toml profile works too)"
    )


@cache
def _shipped() -> tuple[Profile, ...]:
    paths = sorted(assets.directory("boards").glob("*.toml"))
    return tuple(sorted((read(path) for path in paths), key=lambda profile: profile.id))


def read(path: Path) -> Profile:
    """Read and check the profile in `path`; raises ProfileError with every problem that it has."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"cannot read the board profile {path}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")  # Windows editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileError(path, [Problem(line, "", "is not UTF-8 text")]) from error
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(path, [_syntax_problem(error, text)]) from error
    if _EXTENDS in values:
        values, data = _extended(values, data, path, text)
    try:
        profile = build(values, path, hashlib.sha256(data).hexdigest())
    except ValidationError as error:
        raise ProfileError(path, problems.place(problems.findings(error), text)) from error
    findings = checks.cross(profile)
    if findings:
        raise ProfileError(path, problems.place(findings, text))
    return profile


def _extended(values: dict[str, Any], data: bytes, path: Path, text: str) -> tuple[dict[str, Any], bytes]:
    """Put `values` over those of the profile that they extend; each of their keys replaces the one there.

    Returns the values and the bytes that stand for both files.
    """
    name = values.pop(_EXTENDS)
    known = {key: profile for profile in _shipped() for key in (profile.id, *profile.aliases)}
    if not isinstance(name, str) or name not in known:
        wrong = f"'{name}' is no board that ships with the package{nearest(str(name), known)}"
        raise ProfileError(path, problems.place([((_EXTENDS,), wrong)], text))
    base = known[name].path.read_bytes()
    return {**tomllib.loads(base.decode("utf-8")), **values}, base + data


def _syntax_problem(error: ValueError | RecursionError, text: str) -> Problem:
    """Return tomllib's error on `text` as a problem; the place is only at the end of its message.

    Besides its own error, tomllib lets through what Python has against a number of thousands of digits, and
    against very deep nesting, both without a place.
    """
    if isinstance(error, RecursionError):
        return Problem(1, "", "is not a profile: arrays or tables are nested too deeply")
    message = str(error)
    if "integer string conversion" in message:
        return Problem(1, "", "is not a profile: it holds a number of thousands of digits")
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if match is None:
        return Problem(1, "", f"is not valid TOML: {message[0].lower()}{message[1:]}")
    what = message[: match.start()]
    line = int(match[1]) if match[1] else max(1, len(text.splitlines()))
    return Problem(line, "", f"is not valid TOML: {what[0].lower()}{what[1:]}")
