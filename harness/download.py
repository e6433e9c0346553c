"""Files from the web: whole or not at all, and taken up again where a transfer broke off."""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from harness.errors import HarnessError

CHUNK = 1 << 16
TIMEOUT_S = 30.0
"""How long a server may say nothing."""
TRIES = 3
"""How often a file is asked for before a transfer that breaks off is given up."""

_MEANT = "%/:=&?~#+!$,;'@()*[]"
"""Characters of an address that mean something there; the others are quoted, as browsers do."""

Progress = Callable[[int, int | None], None]
"""Told how many bytes there are, of how many (None if the server does not say)."""


class FetchError(HarnessError):
    """A file could not be had."""

    exit_code = 1


def quietly(done: int, total: int | None) -> None:
    """Show no progress."""


def on_the_web(url: str) -> bool:
    """Tell whether a link is an address to fetch a file from, which a path beside a card is not."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def download(url: str, part: Path, largest: int, progress: Progress = quietly) -> None:
    """Bring a file, or what is missing of one, into `part`.

    A proxy that the environment names is asked (`http_proxy`, `https_proxy`, `no_proxy`). Raises FetchError,
    with what arrived kept for the next call, and OSError if `part` cannot be written.

    Args:
        largest: how many bytes it may have at most.
    """
    for left in reversed(range(TRIES)):
        before = part.stat().st_size if part.exists() else 0
        try:
            _transfer(url, part, largest, progress)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                said = str(error.reason).splitlines()[0]
                raise FetchError(f"{url}: the server says {error.code} {said}") from None
            came = part.exists() and part.stat().st_size > before
            if left == 0 or not (came or isinstance(error, _Short)):
                why = getattr(error, "reason", None) or error
                why = getattr(why, "strerror", None) or why
                kept = "; what came is kept: call it again to go on" if part.exists() else ""
                raise FetchError(f"{url}: {why}{kept}") from None


class _Short(OSError):
    """A transfer ended before its time."""


def _transfer(url: str, part: Path, largest: int, progress: Progress) -> None:
    """Bring a file, or what is missing of one.

    Raises _Short if it ends too early, OSError for other trouble.
    """
    at = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        quote(url, _MEANT), headers={"User-Agent": "harness", "Accept-Encoding": "identity"}
    )
    tag = part.with_name(f"{part.name}.tag")
    if at:
        request.add_header("Range", f"bytes={at}-")
        if tag.exists():
            # The rest of what is here already, or all of what is there now.
            request.add_header("If-Range", tag.read_text())
    try:
        answer = _opener().open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if at and error.code == 416:
            # All of it is here already, or it is of another file: the hash tells.
            with contextlib.suppress(OSError):
                error.close()
            return
        raise
    with answer:
        goes_on = (
            at
            and answer.status == 206
            and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {at}-")
        )
        at = at if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = at + int(length) if length and length.isdigit() else None
        if total is not None and total > largest:
            raise FetchError(f"{url}: has {total:,} bytes, and what is wanted has at most {largest:,}")
        if not goes_on:
            _remember(tag, answer.headers)
        with part.open("ab" if goes_on else "wb") as file:
            progress(at, total)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                at += len(chunk)
                progress(at, total)
                if at > largest:
                    raise FetchError(f"{url}: does not end after {at:,} bytes")
    if total is not None and at < total:
        raise _Short(f"ended after {at:,} of {total:,} bytes")


def _remember(tag: Path, headers: Any) -> None:
    """Keep what tells whether a file is still the same when it is gone on with, if the server says it."""
    said = headers.get("ETag") or headers.get("Last-Modified")
    if said and not said.startswith("W/"):
        tag.write_text(said)
    else:
        tag.unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Delete what was brought, whole or not."""
    for path in (part, part.with_name(f"{part.name}.tag")):
        path.unlink(missing_ok=True)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener of web addresses that follows redirections to such addresses only."""
    return urllib.request.build_opener(_Redirects)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not on_the_web(newurl):
            raise urllib.error.URLError(f"is redirected to {newurl}, which is no address of the web")
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"is redirected to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
