"""The line locator: every path that tomllib reads has a line, and it is the line that the key stands on."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import assets
from harness.boards.lines import Path, locate


def paths(value: Any, where: Path = ()) -> set[Path]:
    """Every path in the values of a document."""
    found = {where}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= paths(inner, (*where, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found |= paths(inner, (*where, index))
    return found


@pytest.mark.parametrize(
    ("text", "where", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("# b = 1\n\nb = 2", ("b",), 3),
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ("a.b.c = 1\na.b.d = 2", ("a", "b"), 1),
        ("a = {\tb = {c = 1}, d = [1, {e = 2}] }", ("a", "d", 1, "e"), 1),
        ("a = [\n  1, # one, ]\n  2,\n  [\n 3]]", ("a", 2, 0), 5),
        ("[a]\nb = 1\n[c]\nb = 2", ("c", "b"), 4),
        ("[a]\nb = 1\n[c]\nb = 2", ("c",), 3),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a", 1, "b"), 4),
        ("[[a]]\nb = 1\n[[a]]\nb = 2", ("a", 1), 3),
        ("[[a]]\n[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n[[a]]\n[[a.b]]\nc = 3", ("a", 0, "b", 1, "c"), 5),
        ("[[a]]\n[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n[[a]]\n[[a.b]]\nc = 3", ("a", 1, "b", 0, "c"), 8),
        ("[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2", ("a", 1, "b", "c"), 6),
        ("[a.b]\nc = 1\n[a]\nd = 2", ("a", "d"), 4),
        ("[ a . 'b.c' ]\n\"d\\u0065\" = 1", ("a", "b.c", "de"), 2),
        ("'' = 1\n'y' .x = 2", ("y", "x"), 2),
        ('a = """\nx = 1\n"""\nb = 2', ("b",), 4),
        ('a = """x\\""""\nb = 2', ("b",), 2),
        ('a = """"quoted""""\nb = 2', ("b",), 2),
        ("a = ''''quoted''''\nb = 2", ("b",), 2),
        ("a = '''\n\\'''\nb = 2", ("b",), 3),
        ('a = "# [b]" # "\nb = "\\\\"\nc = 3', ("c",), 3),
        ("a = 1979-05-27 07:32:00Z\nb = 2", ("b",), 2),
        ("a = 1\r\n[b]\r\nc = '''\r\n'''\r\nd = 2", ("b", "d"), 5),
    ],
)
def test_a_key_is_on_its_line(text, where, line):
    assert where in paths(tomllib.loads(text))
    assert locate(text)[where] == line


@pytest.mark.parametrize("name", [path.name for path in assets.directory("boards").glob("*.toml")])
def test_every_path_of_a_shipped_profile_has_the_line_that_names_it(name):
    text = (assets.directory("boards") / name).read_text(encoding="utf-8")
    located = locate(text)
    assert located.keys() == paths(tomllib.loads(text))
    for where, line in located.items():
        if where and isinstance(where[-1], str):
            assert where[-1] in text.splitlines()[line - 1]


SCALARS = [
    *("1", "-0.5e3", "0xFF", "true", "nan", "07:32:00", "1979-05-27 07:32:00.5-07:00", '""', "''"),
    '"a # ] } , = \\" \\\\"',
    "'a # ] } , = \\'",
    '"""\n# ] } = \\"\\"" \\\n  """',
    "'''\n[x]\ny = '1'\n'''",
    '"""a\n"b""""',
    "''''a\n'''''",
]


class Writer:
    """Writes a random document and notes, as it writes, on which line it puts each path."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {(): 1}
        self.fresh = 0

    def line(self) -> int:
        return self.text.count("\n") + 1

    def pick(self, *options: str) -> str:
        return self.draw(st.sampled_from(options))

    def name(self) -> tuple[str, str]:
        """A key that no other has, as it is and as it is written."""
        self.fresh += 1
        plain = f"k{self.fresh}"
        odd = f'k {self.fresh}.]=#"é'
        escaped = odd.replace('"', '\\"')
        return self.draw(
            st.sampled_from([(plain, plain), (plain, f'"{plain}"'), (odd, f"'{odd}'"), (odd, f'"{escaped}"')])
        )

    def blank(self) -> None:
        self.text += self.pick("", "", "\n", "# [no] = {table}\n", "  \t\n")

    def statement(self, table: Path, depth: int = 0) -> None:
        path, written = table, []
        for _ in range(self.draw(st.integers(1, 3))):
            key, form = self.name()
            path = (*path, key)
            written.append(form)
            self.lines.setdefault(path, self.line())
        self.text += self.pick(".", " . ", ".\t").join(written) + self.pick("=", " = ", "\t=")
        self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        kind = self.draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth < 3 else ["scalar"]))
        if kind == "scalar":
            self.text += self.pick(*SCALARS)
        elif kind == "array":
            self.text += "["
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.pick("", " ", "\n", "\n  # ], }\n")
                self.lines[(*path, index)] = self.line()
                self.value((*path, index), depth + 1)
                self.text += self.pick("", "\n", " # ,\n") + ","
            self.text += self.pick("", "\n", "# ]\n") + "]"
        else:
            self.text += "{"
            for index in range(self.draw(st.integers(0, 2))):
                self.text += ", " if index else self.pick("", " ")
                self.statement(path, depth + 1)
            self.text += self.pick("", " ") + "}"

    def header(self, tables: list[Path], arrays: dict[Path, tuple[str, int]]) -> Path:
        """Open a table, an array of tables, or the next element of one, within any table that is open."""
        if arrays and self.draw(st.booleans()):
            path = self.draw(st.sampled_from(sorted(arrays)))
            form, count = arrays[path]
            array = True
        else:
            parent = self.draw(st.sampled_from(tables))
            # Only the last element of an array of tables can be entered by a header.
            if any(isinstance(p, int) and p + 1 != arrays[parent[:i]][1] for i, p in enumerate(parent)):
                parent = ()
            key, own = self.name()
            path, form, count = (*parent, key), (f"{self.forms[parent]}." if parent else "") + own, 0
            array = self.draw(st.booleans())
        line = self.line()
        self.text += f"[[{form}]]" if array else f"[ {form}\t]"
        self.lines.setdefault(path, line)
        if array:
            arrays[path] = (form, count + 1)
            # What stood inside the element before is out of reach now.
            for inner in [other for other in arrays if other[: len(path)] == path and other != path]:
                del arrays[inner]
            tables[:] = [t for t in tables if t[: len(path)] != path]
            path = (*path, count)
            self.lines[path] = line
        self.forms[path] = form
        return path

    def document(self) -> None:
        self.forms: dict[Path, str] = {}
        tables: list[Path] = [()]
        arrays: dict[Path, tuple[str, int]] = {}
        table: Path = ()
        for _ in range(self.draw(st.integers(1, 8))):
            self.blank()
            if self.draw(st.integers(0, 2)) == 0:
                table = self.header(tables, arrays)
                tables.append(table)
            else:
                self.statement(table)
            self.text += self.pick("\n", " # end\n", "  \n")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.document()
    return writer.text, writer.lines


@given(document=documents(), ending=st.sampled_from(["\n", "\r\n"]))
def test_every_path_of_any_document_is_on_the_line_where_it_was_written(document, ending):
    text, lines = document
    assert paths(tomllib.loads(text)) == lines.keys()
    assert locate(text.replace("\n", ending)) == lines
