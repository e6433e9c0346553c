"""What is wrong with a profile, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.boards import lines
from harness.boards.profile import Profile
from harness.errors import HarnessError, nearest


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: on which line, under which key (dotted; "" for the file itself), and what."""

    line: int
    key: str
    message: str


class ProfileError(HarnessError):
    """A profile that cannot be used; the message has one line for each of its `problems`."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.key, p.message)))
        super().__init__("\n".join(self.format(problem) for problem in self.problems))

    def format(self, problem: Problem) -> str:
        """Write a problem as `file:line: key: what is wrong`."""
        key = f"{problem.key}: " if problem.key else ""
        return f"{self.path}:{problem.line}: {key}{problem.message}"


Finding = tuple[lines.Path, str]


def place(findings: Iterable[Finding], text: str) -> list[Problem]:
    """Turn findings (where in the values, what is wrong) into problems with the lines of `text`."""
    located = lines.locate(text)
    return [Problem(_line(where, located), dotted(where), message) for where, message in findings]


def _line(where: lines.Path, located: Mapping[lines.Path, int]) -> int:
    """The line of `where`, or of the innermost table around it that is in the file."""
    while where not in located:
        where = where[:-1]
    return located[where]


def dotted(where: lines.Path) -> str:
    """Write a path as people do: `flash.region[2].offset`."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # As TOML would have it: a key of other characters stands in quotes.
            key = part if lines.BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def findings(error: ValidationError) -> list[Finding]:
    """Say what a validation found, in the words of the profile."""
    found: list[Finding] = []
    for details in error.errors(include_url=False):
        where = _in_file(details["loc"])
        finding = (where, _say(details, where))
        if details["type"] == "missing" and where[-1] == "source":
            finding = (where[:-1], "lacks its source (add `source`)")
        # A union (source) reports one error for each of its forms.
        if finding not in found:
            found.append(finding)
    return found


def _in_file(loc: tuple[int | str, ...]) -> lines.Path:
    """Drop what pydantic adds to a location: the form of `source`, and the marks of dictionary keys."""
    if "source" in loc:
        at = loc.index("source")
        rest = tuple(part for part in loc[at + 1 :] if part not in ("constrained-str", "str", "[key]"))
        rest = tuple(part for part in rest if not str(part).startswith(("dict[", "function-")))
        return loc[: at + 1] + rest
    return loc


def _say(details: ErrorDetails, where: lines.Path) -> str:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if where and where[-1] == "source" and kind in ("string_type", "dict_type"):
        return "must be a text, or a table of texts by key"
    if kind == "extra_forbidden" or (kind == "model_type" and where[-1] not in keys_at(where[:-1])):
        return f"unknown key{nearest(str(where[-1]), keys_at(where[:-1]))}"
    if kind == "missing":
        return f"is missing ({_description(where)})"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        allowed = _allowed(details)
        return f"{given!r} is not known here{nearest(str(given), allowed)}"
    if kind in _WANTED:
        return f"{_shown(given)} is not {_WANTED[kind]}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"{given!r} is out of range; it must be {details['msg'].removeprefix('Input should be ')}"
    return details["msg"]


_WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "tuple_type": "an array",
    "model_type": "a table",
    "dict_type": "a table",
    "bool_type": "true or false",
}


def _shown(given: object) -> str:
    return "this" if isinstance(given, Mapping | tuple) else repr(given)


def _allowed(details: ErrorDetails) -> list[str]:
    # pydantic gives the choices as text: 'a', 'b' or 'c'
    expected = str(details.get("ctx", {}).get("expected", ""))
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(", ")]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models within a type, as in `tuple[Region, ...]` or `Vela | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def _model_at(where: lines.Path) -> type[BaseModel] | None:
    """The model of the table at `where` in a profile."""
    model: type[BaseModel] = Profile
    for part in where:
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part == (f.alias or n)), None)
        inner = models_in(field.annotation) if field else []
        if not inner:
            return None
        model = inner[0]
    return model


def keys_at(where: lines.Path) -> list[str]:
    """The keys that the table at `where` in a profile may have."""
    model = _model_at(where)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _description(where: lines.Path) -> str:
    model = _model_at(where[:-1])
    for name, field in model.model_fields.items() if model else ():
        if where[-1] == (field.alias or name):
            return field.description or name
    return str(where[-1])
