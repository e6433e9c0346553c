"""On which line of a TOML text each key stands; tomllib reads the values but keeps no positions."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[Path, int]:
    """Map the path of every table, key and array element of `text` to its line, counted from 1.

    `text` must be valid TOML (tomllib has accepted it); () is line 1. A table that is opened more than once,
    as by dotted keys, is on the line where it appears first.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    """One pass over a text that is known to be valid TOML, so it only looks for where things end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {(): 1}
        self.arrays: dict[Path, int] = {}  # arrays of tables: how many elements have been opened

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self.skip_blank()
            if self.at >= len(self.text):
                return self.lines
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.key_value(table)

    def advance(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def skip_blank(self) -> None:
        """Pass over white space, line ends and comments."""
        while self.at < len(self.text):
            if self.text[self.at] in " \t\n":
                self.advance(self.at + 1)
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.advance(len(self.text) if end < 0 else end)
            else:
                return

    def header(self) -> Path:
        line, array = self.line, self.text.startswith("[[", self.at)
        self.advance(self.at + (2 if array else 1))
        keys = self.key()
        self.advance(self.text.index("]", self.at) + (2 if array else 1))
        path = self.enter((), keys[:-1], line) + keys[-1:]
        if array:
            self.lines.setdefault(path, line)
            index = self.arrays.get(path, 0)
            self.arrays[path] = index + 1
            path = (*path, index)
        self.lines.setdefault(path, line)
        return path

    def enter(self, table: Path, keys: tuple[str, ...], line: int) -> Path:
        """Follow `keys` from `table`, into the last element of every array of tables on the way."""
        for key in keys:
            table = (*table, key)
            self.lines.setdefault(table, line)
            if table in self.arrays:
                table = (*table, self.arrays[table] - 1)
        return table

    def key(self) -> tuple[str, ...]:
        """Read a possibly dotted key."""
        parts: list[str] = []
        while True:
            self.skip_spaces()
            if self.text[self.at] in "\"'":
                start = self.at
                self.string()
                parts.append(str(tomllib.loads(f"k = {self.text[start : self.at]}")["k"]))
            else:
                match = BARE_KEY.match(self.text, self.at)
                assert match is not None, "locate() is for text that tomllib accepts"
                parts.append(match[0])
                self.advance(match.end())
            self.skip_spaces()
            if self.text[self.at] != ".":
                return tuple(parts)
            self.advance(self.at + 1)

    def skip_spaces(self) -> None:
        while self.text[self.at] in " \t":
            self.at += 1

    def key_value(self, table: Path) -> None:
        line = self.line
        keys = self.key()
        self.advance(self.text.index("=", self.at) + 1)
        self.skip_spaces()
        path = (*self.enter(table, keys[:-1], line), keys[-1])
        self.lines[path] = line
        self.value(path)

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.items(path, "]")
        elif opening == "{":
            self.items(path, "}")
        else:
            match = _SCALAR.match(self.text, self.at)
            assert match is not None, "locate() is for text that tomllib accepts"
            self.advance(match.end())

    def items(self, path: Path, closing: str) -> None:
        """Pass over an array or an inline table and note where its elements are."""
        self.advance(self.at + 1)
        index = 0
        while True:
            self.skip_blank()
            if self.text[self.at] == closing:
                self.advance(self.at + 1)
                return
            if self.text[self.at] == ",":
                self.advance(self.at + 1)
            elif closing == "}":
                self.key_value(path)
            else:
                self.lines[(*path, index)] = self.line
                self.value((*path, index))
                index += 1

    def string(self) -> None:
        """Pass over a string of any of TOML's four kinds."""
        quote = self.text[self.at]
        escapes = quote == '"'
        triple = self.text.startswith(quote * 3, self.at)
        delimiter = quote * 3 if triple else quote
        at = self.at + len(delimiter)
        while not self.text.startswith(delimiter, at):
            at += 2 if escapes and self.text[at] == "\\" else 1
        at += len(delimiter)
        # A multi-line string may end in one or two quotes of its own, just before its delimiter.
        while triple and at < len(self.text) and self.text[at] == quote:
            at += 1
        self.advance(at)
