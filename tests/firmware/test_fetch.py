"""`harness firmware fetch`, against a server on this computer that does what servers do."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness import boards
from harness.chips import uf2file
from harness.cli.firmware import command
from harness.errors import HarnessError
from harness.firmware import manifest, vendors
from harness.runner.fetching import fetch
from tests.firmware import made

WE2_IMAGE = made.we2()
LOCALHOST = ipaddress.ip_address("127.0.0.1")
FLASH_BYTES = 16 << 20
"""What a WE2 board has (boards/grove_vision_ai_we2.toml)."""


@dataclass
class Site:
    """A server: its files by path, where it redirects to, and what it was asked for, from which byte on.

    `breaks` are the numbers of bytes after which it breaks off, one for each answer.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def put(self, bins: list[dict[str, Any]], **more: Any) -> str:
        """Serve a list of one firmware, in the form of SenseCraft-Web-Toolkit's src/sscma/types.ts."""
        firmware = {
            "name": "stock",
            "description": "",
            "image": "",
            "version": "2024.08",
            "bins": bins,
        } | more
        self.files["/list.json"] = json.dumps({"models": [], "firmwares": [firmware]}).encode()
        return f"{self.url}/list.json"

    def put_we2(self, image: bytes = WE2_IMAGE, **more: Any) -> str:
        """Serve a list of one WE2 image."""
        self.files["/we2.img"] = image
        one = {"name": "firmware", "url": f"{self.url}/we2.img", "address": 0, "checksum": "", "size": ""}
        return self.put([one | more])


def serve(site: Site, context: ssl.SSLContext | None = None) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            if self.path in site.moved:
                self.send_response(302)
                self.send_header("Location", site.moved[self.path])
                self.end_headers()
                return
            if self.path not in site.files:
                self.send_error(404)
                return
            data = site.files[self.path]
            tag = f'"{hashlib.sha256(data).hexdigest()}"'
            going_on = wanted is not None and self.headers.get("If-Range") in (None, tag)
            at = int(wanted[len("bytes=") : -1]) if going_on and wanted else 0
            self.send_response(206 if at else 200)
            self.send_header("ETag", tag)
            if at:
                self.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
            if site.lengths:
                self.send_header("Content-Length", str(len(data) - at))
            self.end_headers()
            rest = data[at:]
            if site.breaks and self.path != "/list.json":
                rest = rest[: site.breaks.pop(0)]
                self.close_connection = True
            self.wfile.write(rest)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        running.socket = context.wrap_socket(running.socket, server_side=True)
    site.url = f"http{'s' if context else ''}://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve(Site())


def refused(site: Site, source: str, board: str = "we2", **more: Any) -> str:
    """Return the line in which a fetch ends; the cache is left as it was."""
    before = manifest.added()
    with pytest.raises(HarnessError) as error:
        fetch(board, source, "sscma", **more)
    assert "\n" not in str(error.value)
    assert manifest.added() == before
    return str(error.value).replace(site.url, "SITE")


def test_the_first_firmware_of_a_list_is_fetched_and_pinned(site: Site) -> None:
    seen: list[tuple[str, int, int]] = []
    fetched = fetch("we2", site.put_we2(), progress=lambda *said: seen.append(said))
    assert not fetched.known
    image = manifest.find("grove_vision_ai_we2", "sscma", "hardware")
    assert image == fetched.image
    assert image is not None
    assert (image.version, image.source, image.sha256) == (
        "2024.08",
        f"{site.url}/list.json",
        hashlib.sha256(WE2_IMAGE).hexdigest(),
    )
    assert manifest.contents(image, boards.load("we2"))[0][1] == WE2_IMAGE
    assert seen[-1] == ("we2.img", len(WE2_IMAGE), len(WE2_IMAGE))
    assert not list(manifest.cache_directory().glob("*.part*"))
    assert fetch("we2", f"{site.url}/list.json").known


def test_other_bytes_under_the_same_version_are_not_taken(site: Site) -> None:
    fetch("we2", site.put_we2())
    said = refused(site, site.put_we2(made.we2(b"another program")))
    assert said.startswith("SITE/list.json: version 2024.08 is not what was fetched first (SHA-256 ")
    assert said.endswith("; nothing was changed, and --replace takes what is there now")
    assert (
        fetch("we2", f"{site.url}/list.json", replace=True).image.sha256
        != hashlib.sha256(WE2_IMAGE).hexdigest()
    )


def test_a_new_version_does_not_take_the_place_of_the_old_one_by_itself(site: Site) -> None:
    fetch("we2", site.put_we2())
    site.put_we2(made.we2(b"another program"))
    listed = json.loads(site.files["/list.json"])
    listed["firmwares"][0]["version"] = "2025.01"
    site.files["/list.json"] = json.dumps(listed).encode()
    assert "sscma 2024.08 for grove_vision_ai_we2 is there already" in refused(site, f"{site.url}/list.json")
    assert fetch("we2", f"{site.url}/list.json", replace=True).image.version == "2025.01"


def test_an_esp32_s_parts_are_fetched_each_to_its_address(site: Site) -> None:
    parts = {0: made.boot_loader(), 0x8000: made.table(), 0x10000: made.application()}
    for at, data in parts.items():
        site.files[f"/{at:x}.bin"] = data
    # Addresses as numbers and as text; one file by a path beside the list.
    bins = [{"name": "", "url": f"{at:x}.bin", "address": at if at else "0x0"} for at in parts]
    image = fetch("esp32s3", site.put(bins)).image
    assert [(part.offset, part.size) for part in image.parts] == [(at, len(d)) for at, d in parts.items()]


def test_a_transfer_that_breaks_off_is_gone_on_with(site: Site) -> None:
    source = site.put_we2()
    site.breaks = [1000, 2000]
    assert fetch("we2", source).image.sha256 == hashlib.sha256(WE2_IMAGE).hexdigest()
    ranges = [wanted for path, wanted in site.asked if path == "/we2.img"]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]


def test_what_came_is_kept_for_the_next_call_unless_the_file_has_changed(site: Site) -> None:
    source = site.put_we2()
    site.breaks = [1000, 0, 0]
    assert refused(site, source).endswith("; what came is kept: call it again to go on")
    site.breaks = [1000, 0, 0]
    refused(site, source)
    other = made.we2(b"another program")
    site.put_we2(other)
    assert fetch("we2", source).image.sha256 == hashlib.sha256(other).hexdigest()


def test_a_file_that_ends_too_early_without_a_word_is_no_image(site: Site) -> None:
    site.lengths = False
    assert "no image for Himax HX6538 (WE2): it has 20000 of 36864 bytes" in refused(
        site, site.put_we2(WE2_IMAGE[:20000])
    )


def test_a_hash_that_its_list_contradicts_is_named(site: Site) -> None:
    for digest in (hashlib.md5(WE2_IMAGE), hashlib.sha1(WE2_IMAGE), hashlib.sha256(WE2_IMAGE)):
        fetch("we2", site.put_we2(checksum=digest.hexdigest()))
        wrong = "0" * len(digest.hexdigest())
        assert (
            f"SITE/we2.img: its {digest.name.upper()} is {digest.hexdigest()}, and its list says {wrong}"
            == (refused(site, site.put_we2(checksum=wrong)))
        )


def test_an_image_for_another_chip_is_refused(site: Site) -> None:
    assert refused(site, site.put_we2(made.application())) == (
        "we2.img: an image for the ESP32-S3, but grove_vision_ai_we2 has Himax HX6538 (WE2)"
    )
    site.files["/page"] = b"<!DOCTYPE html><title>Moved</title>"
    assert "it does not begin as an image of the vendor's tools does" in refused(site, f"{site.url}/page")


def test_a_file_that_is_not_there_is_named(site: Site) -> None:
    assert refused(site, f"{site.url}/list.json") == "SITE/list.json: the server says 404 Not Found"
    source = site.put_we2()
    del site.files["/we2.img"]
    assert refused(site, source) == "SITE/we2.img: the server says 404 Not Found"


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/list.json"
    assert refused(Site(url="nothing"), url) == f"{url}: Connection refused"


def test_redirections_are_followed_to_addresses_of_the_web_alone(site: Site) -> None:
    site.put_we2()
    site.moved = {
        "/old": f"{site.url}/list.json",
        "/file": "file:///etc/passwd",
        "/round": f"{site.url}/round",
    }
    assert fetch("we2", f"{site.url}/old").image.version == "2024.08"
    assert "Redirection to url 'file:///etc/passwd' is not allowed" in refused(site, f"{site.url}/file")
    assert "would lead to an infinite loop" in refused(site, f"{site.url}/round")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "{",
        '{"firmwares": []}',
        '{"firmwares": [{"version": "1"}]}',
        '{"firmwares": [{"bins": []}]}',
        '{"firmwares": [{"bins": [{"url": "x"}]}]}',
        '{"firmwares": [{"bins": [{"url": "x", "address": "here"}]}]}',
        '{"firmwares": [{"bins": [{"url": 3, "address": 0}]}]}',
        '{"firmwares": {"0": "x"}}',
    ],
)
def test_a_list_whose_form_has_changed_is_one_line(site: Site, text: str) -> None:
    site.files["/list.json"] = text.encode()
    assert refused(site, f"{site.url}/list.json") == (
        "SITE/list.json: is not a list of firmware of the known form (firmwares, bins, url, address); give "
        "the image itself, as --from URL or by `harness firmware add`"
    )


KEYS = st.sampled_from(["firmwares", "bins", "url", "address", "checksum", "version", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("x.bin"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_whatever_a_list_holds_it_is_one_line(said: Any, inside: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "list.json"
        path.write_text(json.dumps({"firmwares": [said]} if inside else said))
        with pytest.raises(HarnessError) as error:
            fetch("we2", str(path))
        assert "\n" not in str(error.value)


def test_a_list_that_never_ends_is_one_line(site: Site) -> None:
    site.files["/list.json"] = b"[" * 100_000
    assert "SITE/list.json: is not a list of firmware" in refused(site, f"{site.url}/list.json")


def test_a_name_in_any_script_is_fetched(site: Site) -> None:
    site.files["/%E5%9B%BA%E4%BB%B6%201.img"] = WE2_IMAGE
    source = site.put([{"url": f"{site.url}/固件 1.img", "address": 0}])
    assert fetch("we2", source).image.parts[0].name == "固件 1.img"


def test_more_than_the_board_has_flash_is_not_taken(site: Site) -> None:
    said = refused(site, site.put_we2(bytes(FLASH_BYTES + 1)))
    assert (
        said == f"SITE/we2.img: has {FLASH_BYTES + 1:,} bytes, and what is wanted has at most {FLASH_BYTES:,}"
    )
    site.lengths = False
    assert "SITE/we2.img: does not end after " in refused(site, f"{site.url}/list.json")


def test_a_proxy_that_the_environment_names_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put_we2()
    monkeypatch.setenv("http_proxy", site.url)
    # Behind a proxy a server's name need not be known here.
    site.files["http://vendor.invalid/list.json"] = site.files["/list.json"]
    assert fetch("we2", "http://vendor.invalid/list.json").image.version == "2024.08"
    assert site.asked[0][0] == "http://vendor.invalid/list.json"


def test_a_server_has_to_be_who_it_says_and_may_not_lead_to_one_that_need_not(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    for encrypted in serve(Site(), context):
        source = encrypted.put_we2()
        assert "CERTIFICATE_VERIFY_FAILED" in refused(encrypted, source)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert fetch("we2", source).image.version == "2024.08"
        encrypted.moved = {"/old": f"{site.url}/list.json"}
        assert refused(encrypted, f"{encrypted.url}/old").endswith("/list.json, which is not encrypted")


def certificate(path: Path) -> Path:
    """Write the key and the certificate of a server that has signed it itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST)]), critical=False)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(pem))
    return path


def test_a_list_on_this_computer_has_its_files_beside_it(site: Site, tmp_path: Path) -> None:
    """As a laboratory without a network keeps them: the list as it was, and its files in one directory."""
    listed = tmp_path / "list.json"
    site.put_we2()
    listed.write_bytes(site.files["/list.json"])
    assert refused(site, str(listed)) == f"{tmp_path}/we2.img: cannot be read: No such file or directory"
    (tmp_path / "we2.img").write_bytes(WE2_IMAGE)
    assert fetch("we2", str(listed)).image.source == str(listed)
    assert site.asked == []


def test_an_image_itself_is_taken_from_an_address_or_a_file(site: Site, tmp_path: Path) -> None:
    site.files["/a1101.uf2"] = uf2file.build(made.we1(), 0x10000000, 0xEF32C892)
    image = fetch("a1101", f"{site.url}/a1101.uf2", "sscma").image
    assert (image.version, image.parts[0].offset) == ("unknown", 0x10000000)
    (tmp_path / "we2.img").write_bytes(WE2_IMAGE)
    assert fetch("we2", str(tmp_path / "we2.img")).image.parts[0].size == len(WE2_IMAGE)


def test_a_board_whose_vendor_has_no_list_says_what_to_give(site: Site) -> None:
    with pytest.raises(
        HarnessError, match="sensecap_a1101: no list of its vendor is known; give one with --from"
    ):
        fetch("a1101")
    with pytest.raises(HarnessError, match="sensecap_a1101: say what the firmware speaks, with --protocol"):
        fetch("a1101", f"{site.url}/a1101.uf2")
    with pytest.raises(HarnessError, match="no firmware speaks 'sscmaa'; did you mean 'sscma'"):
        fetch("we2", protocol="sscmaa")


def test_the_vendors_lists_are_those_that_their_web_page_reads() -> None:
    """The addresses in SenseCraft-Web-Toolkit's Device.vue of each board."""
    for board, name in (
        ("xiao_esp32s3", "sscma-model.json"),
        ("grove_vision_ai_we2", "sscma-model-we2.json"),
    ):
        found = vendors.listing(board)
        assert found is not None
        assert found.url == f"https://files.seeedstudio.com/sscma/{name}"
        assert found.protocol in boards.load(board).protocols.supported


def test_the_command_says_what_was_fetched_and_what_was_there(site: Site) -> None:
    source = site.put_we2()
    run = CliRunner()
    first = run.invoke(command, ["fetch", "-b", "we2", "--from", source])
    assert first.exit_code == 0, first.output
    assert first.output == (
        "fetched: sscma 2024.08 for grove_vision_ai_we2, runs on hardware: we2.img, "
        f"{len(WE2_IMAGE):,} bytes at 0x0, sha256 {hashlib.sha256(WE2_IMAGE).hexdigest()}\n"
    )
    again = run.invoke(command, ["fetch", "-b", "we2", "--from", source])
    assert again.output == first.output.replace("fetched:", "unchanged:")
    listed = json.loads(run.invoke(command, ["fetch", "-b", "we2", "--from", source, "--json"]).output)
    assert listed["version"] == "2024.08"
