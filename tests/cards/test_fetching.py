"""Model files from a server: whole, checked, and taken up again where a transfer broke off."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cards.fetching import Files, cached, fetch
from harness.cards.models import Reference
from harness.download import FetchError
from harness.errors import HarnessError

DATA = bytes(range(256)) * 1024
SHA1 = hashlib.sha1(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


@dataclass
class Server:
    """A server that serves one file, breaks off as told, and remembers what it was asked."""

    url: str = ""
    data: bytes = DATA
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    location: str = ""
    silent_length: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    said = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            said.asked.append((self.path, wanted))
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", said.location)
                self.end_headers()
                return
            if said.status != 200:
                self.send_error(said.status)
                return
            at = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and said.ranges else 0
            if at >= len(said.data):
                self.send_error(416)
                return
            rest = said.data[at:]
            self.send_response(206 if at else 200)
            if at:
                self.send_header("Content-Range", f"bytes {at}-{len(said.data) - 1}/{len(said.data)}")
            if not said.silent_length:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if said.breaks:
                rest = rest[: said.breaks.pop(0)]
                self.close_connection = True
            self.wfile.write(rest)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    said.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield said
    running.shutdown()
    running.server_close()
    thread.join()


def model(
    server: Server, path: str = "/zoo/a.tflite", sha1: str | None = SHA1, md5: str | None = None
) -> Reference:
    return Reference("a.tflite", sha1, False, server.url + path, md5)


@pytest.mark.parametrize(("sha1", "md5"), [(SHA1, None), (None, MD5), (SHA1, MD5)])
def test_a_file_is_fetched_once_and_then_comes_from_the_cache(
    server: Server, sha1: str | None, md5: str | None
) -> None:
    seen: list[tuple[int, int | None]] = []
    wanted = model(server, sha1=sha1, md5=md5)
    assert cached(wanted) is None
    path = fetch(wanted, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert (seen[0], seen[-1]) == ((0, len(DATA)), (len(DATA), len(DATA)))
    assert fetch(wanted) == cached(wanted) == path
    assert len(server.asked) == 1
    assert [p.name for p in path.parent.iterdir()] == ["a.tflite"]


def test_a_file_that_was_damaged_in_the_cache_is_fetched_anew(server: Server) -> None:
    path = fetch(model(server))
    path.write_bytes(DATA[:-1] + b"x")
    assert cached(model(server)) is None
    assert fetch(model(server)).read_bytes() == DATA


def test_a_transfer_that_breaks_off_is_taken_up_where_it_ended(server: Server) -> None:
    server.breaks = [100_000, 1_000]
    assert fetch(model(server)).read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=101000-"]


def test_what_came_before_giving_up_is_kept_for_the_next_call(server: Server) -> None:
    server.breaks = [50_000, 0, 0]
    with pytest.raises(
        FetchError, match=r"ended after 50,000 of 262,144 bytes; what came is kept: call it again"
    ):
        fetch(model(server))
    server.asked.clear()
    assert fetch(model(server)).read_bytes() == DATA
    assert server.asked == [("/zoo/a.tflite", "bytes=50000-")]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server: Server) -> None:
    server.breaks, server.ranges = [50_000], False
    assert fetch(model(server)).read_bytes() == DATA


@pytest.mark.parametrize("sha1", [SHA1, None])
def test_another_file_is_refused_and_not_kept(server: Server, sha1: str | None) -> None:
    server.data = DATA[::-1]
    wanted = model(server, sha1=sha1, md5=MD5)
    with pytest.raises(
        FetchError, match=r"its SHA-1 is .*, not the one in its name" if sha1 else r"its MD5 is .*, not"
    ):
        fetch(wanted)
    assert cached(wanted) is None
    server.data = DATA
    assert fetch(wanted).read_bytes() == DATA
    assert server.asked[-1] == ("/zoo/a.tflite", None)


def test_a_file_that_was_cut_short_by_a_server_that_tells_no_length_is_refused(server: Server) -> None:
    server.silent_length, server.breaks = True, [100_000]
    with pytest.raises(FetchError, match="its SHA-1 is"):
        fetch(model(server))


def test_the_rest_of_another_file_does_not_make_a_model(server: Server) -> None:
    server.breaks = [50_000, 0, 0]
    with pytest.raises(FetchError):
        fetch(model(server))
    server.data = DATA[::-1]
    with pytest.raises(FetchError, match="its SHA-1 is"):
        fetch(model(server))
    server.data = DATA
    assert fetch(model(server)).read_bytes() == DATA


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server) -> None:
    server.breaks = [50_000, 0, 0]
    with pytest.raises(FetchError):
        fetch(model(server))
    server.data = DATA[:40_000]
    with pytest.raises(FetchError, match="its SHA-1 is"):
        fetch(model(server))
    server.data = DATA
    assert fetch(model(server)).read_bytes() == DATA


@pytest.mark.parametrize("status", [404, 403, 500])
def test_what_a_server_refuses_is_said_with_its_address(server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(FetchError, match=rf"{server.url}/zoo/a.tflite: the server says {status} ") as caught:
        fetch(model(server))
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1


def test_a_redirect_is_followed(server: Server) -> None:
    server.location = "/elsewhere/b.bin"
    assert fetch(model(server, "/moved/a.tflite")).read_bytes() == DATA


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a.tflite"])
def test_a_redirect_off_the_web_is_not_followed(server: Server, place: str) -> None:
    server.location = place
    with pytest.raises(FetchError, match=r"which is no address of the web|is not allowed"):
        fetch(model(server, "/moved/a.tflite"))


def test_a_redirect_in_a_circle_ends(server: Server) -> None:
    server.location = "/moved/again"
    with pytest.raises(FetchError, match=r"the server says 302"):
        fetch(model(server, "/moved/a.tflite"))
    assert len(server.asked) < 20


def test_a_server_that_is_not_there_is_said_to_be_refused(server: Server) -> None:
    nowhere = Reference("a.tflite", SHA1, False, "http://127.0.0.1:1/a.tflite")
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:1/a\.tflite: .*refused"):
        fetch(nowhere)


@pytest.mark.parametrize("url", ["", "file:///etc/hostname", "a.tflite"])
def test_what_has_no_address_of_the_web_is_not_fetched(server: Server, url: str) -> None:
    with pytest.raises(FetchError, match="the card has no address of it"):
        fetch(Reference("a.tflite", SHA1, False, url))


def test_what_nothing_can_be_checked_by_is_not_fetched(server: Server) -> None:
    with pytest.raises(FetchError, match="nothing to check it by"):
        fetch(model(server, sha1=None))
    assert not server.asked


def test_files_of_a_directory_are_found_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "anything.tflite").write_bytes(DATA)
    (tmp_path / "a.tflite").write_bytes(b"another file of that name")
    files = Files.of([tmp_path])
    for sha1, md5 in ((SHA1, None), (None, MD5), (SHA1, MD5)):
        found = files.find(Reference("a.tflite", sha1, False, "", md5), by_name=True)
        assert found == tmp_path / "deep" / "anything.tflite"
    unproven = Reference("a.tflite", None, False)
    assert files.find(unproven) is None
    assert files.find(unproven, by_name=True) == tmp_path / "a.tflite"
    assert files.find(Reference("a.tflite", "ab" * 20, False), by_name=True) is None
    with pytest.raises(HarnessError, match=r"--models .*nowhere: no such directory"):
        Files.of([tmp_path / "nowhere"])
