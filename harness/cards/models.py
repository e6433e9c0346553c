"""Which model a row is of: its hash, or an explicit mapping; a name alone proves nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from harness.results.record import Record

# What may stand at the end of a link of a model zoo; only .tflite files are ever benched.
_FILE = re.compile(r"[^/\\]+\.(?:tflite|onnx|pth|pt|h5|pb|keras|bin|engine|zip)", re.IGNORECASE)
_SHA1 = re.compile(r"(?:^|[^0-9a-z])(?:sha1_)?([0-9a-f]{40})(?:_vela)?\.\w+$", re.IGNORECASE)
_MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})", re.IGNORECASE)
_VELA = re.compile(r"_vela(?=\.\w+$)", re.IGNORECASE)


class Checksums:
    """The MD5 of files by their addresses, as the zoo's JSON gives them."""

    def __init__(self) -> None:
        self._md5: dict[str, str | None] = {}

    def add(self, url: str, checksum: str) -> None:
        """Take one more checksum; an address with two that differ counts as having none."""
        if match := _MD5.fullmatch(checksum.strip()):
            md5 = match[1].lower()
            self._md5[url] = md5 if self._md5.get(url, md5) == md5 else None

    def of(self, url: str) -> str | None:
        """Return the MD5 (in hex) of the file at an address, None if it is not known."""
        return self._md5.get(url)


NO_CHECKSUMS = Checksums()


@dataclass(frozen=True)
class Reference:
    """A model as a card names it: its file, and what proves which file that is.

    `sha1` is the one in the file's name. For a file that Vela made (`vela`) it is that of the int8 file
    before it, as `source_md5` is; `md5` is that of the file itself.
    """

    file: str
    sha1: str | None
    vela: bool
    url: str = ""
    md5: str | None = None
    source_md5: str | None = None

    @property
    def proven(self) -> bool:
        """Whether anything but the name tells which file this is."""
        return bool(self.sha1 or self.md5 or self.source_md5)


def reference(address: str, checksums: Checksums = NO_CHECKSUMS) -> Reference | None:
    """Return the model file that a link's address (or a plain file name) ends in, or None for none."""
    address = address.strip()
    try:
        path = unquote(urlsplit(address).path)
    except ValueError:
        return None
    name = path.replace("\\", "/").rpartition("/")[2]
    if not _FILE.fullmatch(name):
        return None
    sha1 = _SHA1.search(name)
    vela = name.rpartition(".")[0].lower().endswith("_vela")
    return Reference(
        name,
        sha1[1].lower() if sha1 else None,
        vela,
        address,
        checksums.of(address),
        checksums.of(_VELA.sub("", address)) if vela else None,
    )


def uncompiled(model: Reference, checksums: Checksums) -> Reference:
    """Return the int8 file that a file of Vela's was made from, as the zoo names it; others as they are."""
    if not model.vela:
        return model
    file, url = _VELA.sub("", model.file), _VELA.sub("", model.url)
    return Reference(file, model.sha1, False, url, checksums.of(url))


@dataclass(frozen=True)
class Found:
    """The records of a model: those of the very file, those of what was compiled from its source, and those
    that only the name of their file speaks for.
    """

    exact: Sequence[Record] = ()
    derived: Sequence[Record] = ()
    named: Sequence[Record] = ()

    @property
    def proven(self) -> list[Record]:
        return _once(*self.exact, *self.derived)


class RecordsByModel:
    """The records that an update may draw on, found by the model they are of.

    `boards` are theirs, each an id and a name.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = tuple(records)
        self.boards = tuple(dict.fromkeys((r.board.id, r.board.name) for r in self.records))
        self._by_hash: dict[str, list[Record]] = defaultdict(list)
        self._by_file: dict[str, list[Record]] = defaultdict(list)
        self._by_source: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            model = record.model
            self._by_file[_name(model.file)].append(record)
            if model.unproven:  # its hashes are those of the file that somebody says it is
                continue
            for digest in filter(None, (model.sha1, model.md5)):
                self._by_hash[digest.lower()].append(record)
            for digest in filter(None, (model.source_sha1, model.source_md5)):
                self._by_source[digest.lower()].append(record)
            if model.source_file:
                self._by_source[_name(model.source_file)].append(record)

    def of(self, model: Reference) -> Found:
        """Return the records of a model that a card names.

        A file that Vela made has the records of that very file, and of what was compiled from the int8 file
        whose SHA-1 is in its name or whose MD5 is known.
        """
        same_name = self._by_file.get(model.file, [])
        if not model.vela:
            exact = self._by_hash.get(model.sha1 or model.md5 or "", [])
            # What the bench compiled by itself has the name of its source.
            named = [r for r in same_name if not _is_compiled(r) and (not model.sha1 or r.model.unproven)]
            return Found(exact, (), _unproven(named, model, exact))
        exact = self._by_hash.get(model.md5 or "", [])
        derived = [
            r for digest in (model.sha1, model.source_md5) for r in self._by_source.get(digest or "", [])
        ]
        # Some name a compiled file by its own SHA-1.
        derived += [r for r in self._by_hash.get(model.sha1 or "", []) if _is_compiled(r)]
        source = _VELA.sub("", model.file)
        by_source = [] if model.sha1 else self._by_source.get(source, [])
        by_source = [*by_source, *(r for r in self._by_file.get(source, []) if r.model.unproven)]
        return Found(exact, _once(*derived), _unproven([*same_name, *by_source], model, [*exact, *derived]))

    def called(self, name: str, vela: bool | None = None) -> list[Record]:
        """Return the records of a model by its SHA-1, its MD5 or the name of its file, as a person says it.

        `vela`: only of compiled files (by the SHA-1 of their source, too), or only of others.
        """
        found = self._by_hash.get(name.lower(), []) + self._by_file.get(name, [])
        if vela is None:
            return _once(*found)
        if vela:
            found = found + self._by_source.get(name.lower(), []) + self._by_source.get(name, [])
        return _once(*(record for record in found if _is_compiled(record) == vela))

    def names(self) -> set[str]:
        """Return the names of the files that were benched."""
        return set(self._by_file)

    def near_miss(self, model: Reference) -> str | None:
        """Say that a file of this name but of other bytes was benched: a damaged or another download."""
        for record in self._by_file.get(model.file, []):
            kept = record.model
            if model.sha1 is not None and not model.vela:
                # What was compiled from the file is not the file, but no other one either.
                if model.sha1 not in (kept.sha1.lower(), (kept.source_sha1 or "").lower()):
                    return (
                        f"record {record.id} is of a file named so whose SHA-1 is {kept.sha1}, not the one"
                        " in its name: not used"
                    )
            elif (
                model.md5
                and kept.md5
                and model.md5 not in (kept.md5.lower(), (kept.source_md5 or "").lower())
            ):
                return (
                    f"record {record.id} is of a file named so whose MD5 is {kept.md5}, not the one beside "
                    "its address: not used"
                )
        return None


def _unproven(named: Iterable[Record], model: Reference, proven: Iterable[Record]) -> list[Record]:
    """Return the records of files that have a model's name, if no hash shows that they are others."""
    ids = {record.id for record in proven}
    return [
        record
        for record in _once(*named)
        if record.id not in ids
        and not (
            model.md5
            and record.model.md5
            and record.model.md5.lower() != model.md5
            # What the harness compiled for a board that held a compiled file is not that very file.
            and not (model.vela and record.model.unproven)
        )
        and not (
            model.source_md5
            and record.model.source_md5
            and record.model.source_md5.lower() != model.source_md5
        )
        and not (model.sha1 and record.model.source_sha1 and record.model.source_sha1.lower() != model.sha1)
        and not (model.sha1 and not model.vela and record.model.sha1.lower() not in ("", model.sha1))
    ]


@dataclass(frozen=True)
class Match:
    """The records of a row's model, and how a person would name that model.

    `exact` are the ids of those that are of the very file that the row links. `problem` is why records that
    seem to be of the model may not be used.
    """

    name: str
    records: Sequence[Record] = ()
    exact: frozenset[str] = frozenset()
    mapped: str | None = None
    problem: str | None = None
    note: str | None = None


def match(
    row: Sequence[Reference],
    texts: Iterable[str],
    benched: RecordsByModel,
    models: Mapping[str, str],
    by_name: bool = False,
) -> Match:
    """Return the records of the model of a row that links the files `row` and has `texts` in its cells.

    An explicit mapping goes before the links. `by_name`: take a file's name for proof if there is no hash.
    Several files that were benched, or a name that the records know two files by, are a problem.
    """
    mapped = next((text for text in (*(ref.file for ref in row), *texts) if text in models), None)
    if mapped is not None:
        form = row[0].vela if len(row) == 1 else None
        found = benched.called(models[mapped], form)
        if not found:
            kind = "compiled with Vela" if form else "of the file before Vela"
            return Match(mapped, mapped=mapped, note=f"no record of {models[mapped]} is {kind}")
        unproven = [record for record in found if record.model.unproven]
        if unproven and not by_name:
            found = [record for record in found if record not in unproven]
            if not found:
                return Match(mapped, mapped=mapped, problem=_by_name_alone(None, unproven[0]))
        problem = _several(mapped, found)
        return Match(mapped, () if problem else found, mapped=mapped, problem=problem)
    if not row:
        return Match("(no model)")
    known = [
        (ref, records) for ref in row for records in [benched.of(ref)] if records.proven or records.named
    ]
    if len(known) > 1:
        files = " and ".join(ref.file for ref, _ in known)
        return Match(files, problem=f"the row links {files}; say which it is of with --map")
    one, of = known[0] if known else (row[0], Found())
    if of.proven:
        return Match(one.file, of.proven, frozenset(record.id for record in of.exact))
    if of.named and by_name:
        problem = _several(one.file, of.named)
        return Match(one.file, () if problem else of.named, problem=problem)
    if of.named:
        return Match(one.file, problem=_by_name_alone(one, of.named[0]))
    return Match(one.file, note=benched.near_miss(one))


def _by_name_alone(model: Reference | None, record: Record) -> str:
    """Say that nothing proves that a record is of the file that a row links, or of one that was mapped to."""
    if model is None or record.model.unproven:
        return (
            f"what ran in record {record.id} is unproven: {record.model.unproven}; --by-name takes its word"
        )
    if model.md5:
        lacks = f"record {record.id} has no MD5 to hold against the one beside the file's address"
    elif model.sha1:
        lacks = f"nothing tells what record {record.id} was compiled from"
    else:
        lacks = "it has no SHA-1 in its name, and no entry that was read has an MD5 beside its address"
    return f"record {record.id} is of a file named so, which is unproven: {lacks}; --by-name takes it"


def _several(name: str, found: Sequence[Record]) -> str | None:
    """Say that records know several files by one name, or None."""
    if len({_source(record) for record in found}) < 2:
        return None
    listed = " and ".join(sorted({record.model.sha1[:12] for record in found})[:3])
    return f"the records know several files as {name} (SHA-1 {listed}): say which with --map {name}=SHA1"


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
