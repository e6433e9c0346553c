"""Cards as files: their encoding, which ones there are, and writing them whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cards.card import CardError
from harness.cards.forms import suffixes
from harness.errors import HarnessError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class CardFile:
    """A card as it was read: its bytes, and how they are text."""

    path: Path
    data: bytes
    text: str
    encoding: str
    bom: bytes

    def encode(self, text: str) -> bytes:
        """Return `text` as the bytes of this file. Raises CardError for what its encoding cannot write."""
        try:
            return self.bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise CardError(
                f"{self.path}: its encoding {self.encoding} has no '{text[error.start]}'; save it as UTF-8"
            ) from error


def find_cards(paths: Iterable[Path]) -> list[tuple[Path, bool]]:
    """Return the files that are named and the cards in the directories that are; True for those named.

    Raises HarnessError for a path that is not there and for a directory without any file that may be a card.
    """
    found: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if _may_be_card(file, path)]
            if not inside:
                raise HarnessError(f"{path}: no card in it: it holds no {', '.join(suffixes())} file")
            for file in inside:
                found.setdefault(file, False)
        elif path.exists():
            found[path] = True
        else:
            raise HarnessError(f"{path}: no such file or directory")
    return list(found.items())


def _may_be_card(file: Path, within: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(within).parts)
    return not hidden and file.suffix.lower() in suffixes() and file.is_file()


def read_card(path: Path, encoding: str | None = None) -> CardFile:
    """Read a card as UTF-8, as its byte order mark says, or in `encoding`.

    Raises CardError if it cannot be read, is in another encoding, or would not come out as it went in.
    """
    try:
        if not path.is_file():
            # Reading a FIFO would wait for ever, and nothing can be written into it either.
            raise CardError(f"{path}: is no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror or error}") from error
    bom, named = next(((b, e) for b, e in _BOMS if data.startswith(b)), (b"", "utf-8"))
    if encoding is not None and not bom:
        named = encoding
    if b"\0" in data and named.startswith("utf-8"):
        raise CardError(f"{path}: is not text, or is UTF-16 without a byte order mark (--encoding utf-16-le)")
    try:
        text = data[len(bom) :].decode(named)
        same = bom + text.encode(named) == data
    except LookupError as error:
        raise HarnessError(f"--encoding {named}: no such encoding; 'gb18030' or 'utf-16' are some") from error
    except UnicodeError as error:
        at = f" (byte {len(bom) + error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise CardError(
            f"{path}: is not {named.upper()}{at}; save it as UTF-8, or name its encoding with --encoding "
            "(a Chinese card is often gb18030)"
        ) from error
    if not same:
        raise CardError(f"{path}: {named} would not give its bytes back as they are; save it as UTF-8")
    return CardFile(path, data, text, named, bom)


def check_writable(card: CardFile) -> None:
    """Raise CardError if a card is read-only or its directory takes no new file."""
    target = card.path.resolve()
    # The mode is asked, not the system: for root everything is writable.
    if not target.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise CardError(f"{card.path}: is read-only; make it writable (chmod u+w) to update it")
    if not os.access(target, os.W_OK) or not os.access(target.parent, os.W_OK):
        raise CardError(f"{card.path}: may not be written by this user")


def write_card(card: CardFile, text: str) -> None:
    """Write a new text to a card, whole or not at all.

    A card keeps its owner and mode and, as a link, its target; the other names of a file that has several
    keep being its names. Raises CardError if it cannot be written or has changed since it was read.
    """
    try:
        check_writable(card)
        new = _beside(card, card.encode(text))
        try:
            if card.path.read_bytes() != card.data:
                raise CardError(f"{card.path}: changed while it was being updated; nothing was written to it")
            target = card.path.resolve()
            if target.stat().st_nlink > 1:
                _write_through(target, card.data, new.read_bytes())
            else:
                os.replace(new, target)
        finally:
            with contextlib.suppress(OSError):
                new.unlink()
    except OSError as error:
        raise CardError(f"{card.path}: cannot be written: {error.strerror or error}") from error


def _write_through(target: Path, old: bytes, new: bytes) -> None:
    """Write into a file that has other names, which a rename would part from it; undo it if that fails."""
    try:
        _fill(target, new)
    except BaseException:
        with contextlib.suppress(OSError):
            _fill(target, old)
        raise


def _fill(target: Path, data: bytes) -> None:
    with target.open("r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _beside(card: CardFile, data: bytes) -> Path:
    """Write bytes to a new file beside a card, with its owner and mode, and return it, synced."""
    target = card.path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        old = target.stat()
        if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.getuid(), os.getgid()):
            # Someone who runs the bench as root should not take the cards from their owner.
            with contextlib.suppress(PermissionError):
                os.chown(name, old.st_uid, old.st_gid)
        os.chmod(name, stat.S_IMODE(old.st_mode))
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)
