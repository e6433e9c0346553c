"""Words by which a person tells rows apart whose keys differ: a short hash, a protocol, a firmware."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from harness.results.group import Group
from harness.results.key import short

_Part = Callable[[Group], Hashable]
# What a column of the runs frame shows of a group; a column that is not here tells nothing of its key.
_SHOWS: dict[str, _Part] = {
    "board": lambda one: one.key.board,
    "model": lambda one: one.names[0],
    "precision": lambda one: one.key.precision,
    "protocol": lambda one: one.key.protocol,
    "clock_hz": lambda one: one.key.clock_hz,
    "origin": lambda one: one.key.origin,
    "setup": lambda one: one.key,
}


def apart(groups: Sequence[Group], shown: Iterable[str]) -> list[str]:
    """Return what to add to each group's name so that no two groups read alike; "" for nothing.

    A model whose name several files of these groups have always gets the beginning of its SHA-256, and one
    that was not proven to be what ran says so.

    Args:
        shown: the columns of the runs frame whose values a reader sees in any case.
    """
    columns = [*dict.fromkeys(shown)]
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, one in enumerate(groups):
        seen = (*(str(_SHOWS[c](one) if c in _SHOWS else one.by.get(c)) for c in columns),)
        alike.setdefault(seen, []).append(place)
    files = _files(groups)
    added: list[list[str]] = [[file] if "model" in columns and file else [] for file in files]
    for parts, one in zip(added, groups, strict=True):
        parts += ["unproven"] if one.latest.model.unproven else []
    for places in alike.values():
        same = [groups[place] for place in places]
        words = _words(same, [files[place] for place in places], columns)
        for number, place in enumerate(places):
            added[place] += [word for word in words[number] if word not in added[place]]
        # Inputs differ with every model; they are named only if nothing else tells.
        for last in (_inputs(same), [one.key.setup for one in same]):
            told = [tuple(added[place]) for place in places]
            for place, words_before, word in zip(places, told, last, strict=True):
                rest = {w for w, before in zip(last, told, strict=True) if before == words_before}
                added[place] += [word] if len(rest) > 1 else []
    return [", ".join(parts) for parts in added]


def _words(same: Sequence[Group], files: Sequence[str], columns: Sequence[str]) -> list[list[str]]:
    """Return, for groups that read alike so far, a word for each part of the key that differs among them."""
    parts: list[tuple[str, list[str]]] = [
        ("board", [one.key.board for one in same]),
        ("model", [one.names[0] for one in same]),
        ("file", list(files)),
        ("precision", [one.key.precision for one in same]),
        ("compiled", _compiled(same)),
        ("protocol", [one.key.protocol for one in same]),
        ("firmware", _firmwares(same)),
        ("clock_hz", [f"{one.key.clock_hz / 1e6:.12g} MHz" for one in same]),
        ("profile", _with_hash(["profile"] * len(same), [one.key.estimated_by for one in same])),
        ("origin", [one.key.origin for one in same]),
    ]
    differing = [words for name, words in parts if name not in columns and len(set(words)) > 1]
    return [[words[place] for words in differing if words[place]] for place in range(len(same))]


def _files(groups: Sequence[Group]) -> list[str]:
    """Return the short hash of the file that each model comes from, if its name stands for several files."""
    sources: dict[str, set[str]] = {}
    for one in groups:
        sources.setdefault(one.names[0], set()).add(one.source_sha256)
    hashes = _short([one.source_sha256 for one in groups])
    return [hashes[one.source_sha256] if len(sources[one.names[0]]) > 1 else "" for one in groups]


def _compiled(same: Sequence[Group]) -> list[str]:
    """Tell compilations of one source apart: by the version of Vela if that does, and by their hash."""
    velas = [one.latest.model.vela for one in same]
    texts = [f"Vela {vela.version}" if vela else "" for vela in velas]
    found = _with_hash(
        [f"{one.source_sha256} {text}" for one, text in zip(same, texts, strict=True)],
        [one.latest.model.sha256 for one in same],
    )
    return [text.partition(" ")[2] for text in found]


def _firmwares(same: Sequence[Group]) -> list[str]:
    texts = [f"{one.key.firmware} {one.key.firmware_version}" for one in same]
    return _with_hash(texts, [one.key.firmware_hash for one in same])


def _inputs(same: Sequence[Group]) -> list[str]:
    texts = [" ".join(one.latest.inputs.spec) for one in same]
    return _with_hash(texts, [one.key.inputs_sha256 for one in same])


def _with_hash(texts: Sequence[str], digests: Sequence[str | None]) -> list[str]:
    """Return the texts, each with a short hash if one text stands for several digests."""
    known: dict[str, set[str | None]] = {}
    for text, digest in zip(texts, digests, strict=True):
        known.setdefault(text, set()).add(digest)
    hashes = _short(digests)
    return [
        f"{text} ({hashes[digest]})" if len(known[text]) > 1 else text
        for text, digest in zip(texts, digests, strict=True)
    ]


def _short(digests: Iterable[str | None]) -> dict[str | None, str]:
    """Return the beginnings of hashes: as many digits as tell them apart, eight at least."""
    known = set(digests)
    most = max((len(digest) for digest in known if digest), default=8)
    digits = next(
        (n for n in range(8, most) if len({short(digest, n) for digest in known}) == len(known)), most
    )
    return {digest: short(digest, digits) for digest in known}
