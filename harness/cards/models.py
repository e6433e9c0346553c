"""Which model a row is of: the file that its link ends in, or an explicit mapping; never a guess."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from harness.cards.card import Refused
from harness.results.record import Record

# What may stand at the end of a link of a model zoo; only .tflite files are ever benched.
_FILE = re.compile(r"[^/\\]+\.(?:tflite|onnx|pth|pt|h5|pb|keras|bin|engine|zip)", re.IGNORECASE)
_SHA1 = re.compile(r"(?:^|[^0-9a-z])(?:sha1_)?([0-9a-f]{40})(?:_vela)?\.\w+$", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """A model as a card names it: its file, and the SHA-1 in that name where there is one."""

    file: str
    sha1: str | None
    vela: bool


class Benched:
    """The records that an update may draw on, found by the model they are of."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)
        self._by_sha1: dict[str, list[Record]] = defaultdict(list)
        self._by_file: dict[str, list[Record]] = defaultdict(list)
        self._by_source: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            model = record.model
            self._by_sha1[model.sha1.lower()].append(record)
            self._by_file[_name(model.file)].append(record)
            for source in {(model.source_sha1 or "").lower(), _name(model.source_file or "")} - {""}:
                self._by_source[source].append(record)

    def of(self, model: Reference) -> list[Record]:
        """Return the records of a model that a card names.

        The SHA-1 in the name of a compiled file is that of its source: such a model has the records of what
        was compiled from that source, of a compiled file with that SHA-1, and of the file of this name, whose
        own SHA-1 the name does not tell.
        """
        by_file = self._by_file.get(model.file, [])
        by_sha1 = self._by_sha1.get(model.sha1 or "", [])
        if not model.vela:
            # What the bench compiled by itself has the name of its source.
            return by_sha1 if model.sha1 else [record for record in by_file if not _is_compiled(record)]
        uncompiled = re.sub(r"_vela(?=\.\w+$)", "", model.file, flags=re.IGNORECASE)
        from_source = self._by_source.get(model.sha1 or uncompiled, [])
        compiled = [record for record in by_sha1 if _is_compiled(record)]
        return _once(*by_file, *from_source, *compiled)

    def called(self, name: str, vela: bool | None = None) -> list[Record]:
        """Return the records of a model by its SHA-1 or by the name of its file, as a person says it.

        `vela`: only of compiled files (by the SHA-1 of their source, too), or only of others.
        """
        found = self._by_sha1.get(name.lower(), []) + self._by_file.get(name, [])
        if vela is None:
            return _once(*found)
        if vela:
            found = found + self._by_source.get(name.lower(), []) + self._by_source.get(name, [])
        return _once(*(record for record in found if _is_compiled(record) == vela))

    def names(self) -> set[str]:
        """Return the names of the files that were benched."""
        return set(self._by_file)

    def near_miss(self, model: Reference) -> str | None:
        """Say that a file of this name but another SHA-1 was benched: a damaged or a newer download."""
        if model.sha1 is None or model.vela or model.file not in self._by_file:
            return None
        record = self._by_file[model.file][0]
        return (
            f"record {record.id} is of a file named so whose SHA-1 is {record.model.sha1}, not the one in "
            "its name: not used"
        )


def reference(address: str) -> Reference | None:
    """Return the model file that a link's address (or a plain file name) ends in, or None for none."""
    try:
        path = unquote(urlsplit(address.strip()).path)
    except ValueError:
        return None
    name = path.replace("\\", "/").rpartition("/")[2]
    if not _FILE.fullmatch(name):
        return None
    sha1 = _SHA1.search(name)
    stem = name.rpartition(".")[0]
    return Reference(name, sha1[1].lower() if sha1 else None, stem.lower().endswith("_vela"))


@dataclass(frozen=True)
class Match:
    """The records of a row's model, and how a person would name that model."""

    name: str
    records: Sequence[Record] = ()
    mapped: str | None = None
    problem: str | None = None
    note: str | None = None


def match(
    row: Sequence[Reference], texts: Iterable[str], benched: Benched, models: Mapping[str, str]
) -> Match:
    """Return the records of the model of a row that links the files `row` and has `texts` in its cells.

    An explicit mapping goes before the links. Several files that were benched, or a name without a SHA-1
    that the records know two files by, are a problem.
    """
    mapped = next((text for text in (*(ref.file for ref in row), *texts) if text in models), None)
    if mapped is not None:
        form = row[0].vela if len(row) == 1 else None
        found, name, sure = benched.called(models[mapped], form), mapped, False
        if not found:
            kind = "compiled with Vela" if form else "of the file before Vela"
            return Match(name, mapped=mapped, note=f"no record of {models[mapped]} is {kind}")
    elif not row:
        return Match("(no model)")
    else:
        linked = [reference for reference in row if benched.of(reference)]
        if len(linked) > 1:
            files = " and ".join(reference.file for reference in linked)
            return Match(files, problem=f"the row links {files}; say which it is of with --map")
        one = linked[0] if linked else row[0]
        found, name, sure = benched.of(one), one.file, one.sha1 is not None
        if not found:
            return Match(name, note=benched.near_miss(one))
    if not sure and len({_source(record) for record in found}) > 1:
        listed = " and ".join(sorted({record.model.sha1[:12] for record in found})[:3])
        problem = (
            f"the records know several files as {name} (SHA-1 {listed}): say which with --map {name}=SHA1"
        )
        return Match(name, mapped=mapped, problem=problem)
    return Match(name, found, mapped)


def other_place(board: str, here: str, shown: Mapping[str, set[str]]) -> str | None:
    """Return the row that a board's first figure belongs in, None for the row `here`.

    `shown` are the boards that each row of one model has figures of, by what a person calls the row. Rows
    that have figures go before empty ones: a zoo links the int8 file from its float row as well. Raises
    Refused where several rows are alike in this.
    """
    own = shown[here]
    others = [other for other in shown if other != here]
    filled = [other for other in others if shown[other]]
    there = [other for other in filled if board in shown[other]]
    if there or (filled and not own):
        return (there or filled)[0]
    if others and not (own and not filled):
        raise Refused(
            f"{(filled or others)[0]} is of the same model, and nothing tells which of the two is for "
            f"{board}; put a figure or a '-' with its foot-note into one"
        )
    return None


def _is_compiled(record: Record) -> bool:
    named = reference(record.model.file)
    made = record.model.vela is not None or record.model.source_sha1 is not None
    return made or (named is not None and named.vela)


def _name(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]


def _once(*records: Record) -> list[Record]:
    return list({record.id: record for record in records}.values())


def _source(record: Record) -> str:
    """Return the SHA-1 of the file a model comes from: several compilations of one file are one model."""
    return record.model.source_sha1 or record.model.sha1
