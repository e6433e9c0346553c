"""Say which runs are meant: by path, by run id, or by a query over the columns of the runs frame."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, nearest
from harness.results.record import Record
from harness.results.row import run_row
from harness.results.store import Damaged, read_all

_TERM = re.compile(r"^(?P<key>[a-z][a-z0-9_]*)(?P<operator>!=|<=|>=|=|<|>)(?P<value>.*)$", re.DOTALL)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Term:
    """One condition of a query: `board=xiao*`, `samples>=100`, `created>2026-05-01`."""

    key: str
    operator: str
    value: str

    def holds(self, row: dict[str, Any]) -> bool:
        """Say whether a run's row meets the condition; a missing figure meets only `!=`."""
        if self.key not in row:
            raise HarnessError(f"query '{self}': there is no column '{self.key}'{nearest(self.key, row)}")
        found = row[self.key]
        if self.operator in ("=", "!="):
            return _matches(found, self.value) == (self.operator == "=")
        if found is None:
            return False
        return _ORDER[self.operator](found, self._as_kind_of(found))

    def _as_kind_of(self, found: Any) -> Any:
        try:
            if isinstance(found, datetime):
                moment = datetime.fromisoformat(self.value)
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return self.value if isinstance(found, str) else float(self.value)
        except ValueError:
            kind = "a date such as 2026-05-01" if isinstance(found, datetime) else "a number"
            raise HarnessError(f"query '{self}': '{self.value}' is not {kind}") from None

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{self.value}"


def _matches(found: Any, wanted: str) -> bool:
    if found is None:
        return wanted in ("", "none")
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        try:
            return found == float(wanted)
        except ValueError:
            return False
    if isinstance(found, datetime):
        return fnmatch.fnmatchcase(found.astimezone(UTC).isoformat(), f"{wanted}*")
    return fnmatch.fnmatchcase(str(found).lower(), wanted.lower())


def select(what: Iterable[str], store: Path | str = "results") -> tuple[list[Record], list[Damaged]]:
    """Return the runs that are meant, oldest first, and the damaged files met on the way.

    Args:
        what: paths of stores, runs or files; run ids or their beginnings; query terms `COLUMN OP VALUE`
            with OP one of = != < <= > >= and shell patterns for `=`. Every term must hold. Without a
            path the runs come from `store`; with nothing at all, all of them.
    """
    paths: list[str] = []
    ids: list[str] = []
    terms: list[Term] = []
    for word in what:
        match = _TERM.match(word)
        if Path(word).exists():
            paths.append(word)
        elif match:
            terms.append(Term(**match.groupdict()))
        elif "/" in word or "\\" in word or word.endswith(".json"):
            raise HarnessError(f"{word}: no such file or directory")
        else:
            ids.append(word)
    records, damaged = read_all(*paths) if paths and not ids else read_all(*paths, store)
    if ids:
        records = _named(ids, records, store, paths)
    if terms:
        records = [record for record in records if _all_hold(terms, record)]
    return records, damaged


def _all_hold(terms: list[Term], record: Record) -> bool:
    row = run_row(record)
    return all(term.holds(row) for term in terms)


def _named(ids: list[str], records: list[Record], store: Path | str, paths: list[str]) -> list[Record]:
    """Return the runs with these ids, and every run of `paths`."""
    chosen = {record.id for record in read_all(*paths)[0]} if paths else set()
    for name in ids:
        found = [record.id for record in records if record.id.startswith(name)]
        if len(found) != 1 and name not in found:
            what = f"{len(found)} runs begin so" if found else "no such run, file or directory"
            raise HarnessError(
                f"{name}: {what} (in {store}); name a run by its id, or by a beginning that no other id has"
            )
        chosen.add(name if name in found else found[0])
    return [record for record in records if record.id in chosen]
