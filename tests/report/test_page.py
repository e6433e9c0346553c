"""The HTML report is one quiet file, honest about origins, small, and whole in a browser."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import tempfile
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from harness.report.page import page
from harness.results.record import Record
from harness.results.store import Damaged
from tests.gate.simulated import BOARDS
from tests.results.making import file_of, record

NAMES = ("xiao_esp32s3", "grove_vision_ai", "grove_vision_ai_we2")


def many(count: int) -> list[Record]:
    """Runs of three boards and two models, one of the boards estimated, with all that a page can show."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(count):
        board, model = NAMES[number % 3], ("person", "kws")[number // 3 % 2]
        origin = "estimated" if board == "grove_vision_ai" else "measured"
        times = np.full((1, 100), 40_000) if origin == "estimated" else BOARDS["all of it"].runs(rng, 1)
        layers = [
            {
                "index": i,
                "operator": ("CONV_2D", "DEPTHWISE_CONV_2D")[i % 2],
                "ticks": int(t),
                "origin": origin,
            }
            for i, t in enumerate(rng.uniform(10, 3000, 40))
        ]
        ram = {"origin": "emulated" if origin == "estimated" else "measured"}
        ticks = [int(time) for time in times[0]]
        made.append(
            record(ticks, board=board, model=model, day=number / 5, origin=origin, layers=layers, ram=ram)
        )
    return made


class _References(HTMLParser):
    """Collects what a page would load or run, and checks that its elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "img", "object", "embed"):
            self.found.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.found.append(f"{tag} {name}={value}")
            if name == "id":
                self.ids.append(value or "")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> _References:
    parser = _References()
    parser.feed(text)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def text() -> str:
    """The page on 200 runs with a baseline."""
    records = many(200)
    return page(records, baseline=records[:12])


def test_a_page_of_200_runs_is_small_and_loads_nothing(text: str) -> None:
    size = len(text.encode())
    print(f"a page of 200 runs: {size / 1e6:.2f} MB")
    assert size < 5_000_000
    found = read(text)
    assert found.found == []
    assert len(found.ids) == len(set(found.ids))
    urls = set(re.findall(r"https?://[^\"'<\s]+", text))
    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text


@pytest.mark.soak
def test_a_page_of_200_groups_stays_small() -> None:
    rng = np.random.default_rng(1)
    records = [
        record([int(t) for t in rng.normal(5000, 30, 50)], model=f"model{number}") for number in range(200)
    ]
    assert len(page(records).encode()) < 5_000_000


def test_every_reference_inside_a_picture_leads_somewhere(text: str) -> None:
    ids = set(read(text).ids)
    used = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', text))
    assert used
    assert used <= ids


def test_every_figure_and_legend_names_an_origin(text: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert len(captions) > 10
    assert all(re.search("measured|estimated|emulated|published", caption) for caption in captions)
    for picture in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert re.search(r"\((measured|estimated|emulated|published)\)", picture)


def test_no_colour_is_fixed_so_that_both_schemes_work(text: str) -> None:
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not re.findall(r"(?:fill|stroke)\s*[:=]\s*\"?#[0-9a-f]{3,6}", pictures)


def test_words_from_records_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>&\"'"
    made = record(
        model=evil,
        board={"name": evil},
        firmware={"name": evil},
        incidents=[{"kind": evil, "text": evil}],
        layers=[{"index": 0, "operator": evil, "ticks": 5, "origin": "emulated"}],
    )
    text = page([made], [Damaged(Path(evil), evil)])
    assert "<script" not in text
    read(text)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record([])],
        [record([0, 0, 0])],
        [record([5])],
        [record([5, 6], arena=None)],
        [record([1000] * 30), record([1000] * 30, day=400)],
        [record(origin=origin) for origin in ("measured", "emulated", "estimated", "published")],
    ],
    ids=["none", "no samples", "zeros", "one sample", "no ram", "a year apart", "every origin"],
)  # fmt: skip
def test_odd_collections_make_a_page_too(records: list[Record]) -> None:
    read(page(records, baseline=records))


def test_incidents_and_damaged_files_are_named() -> None:
    made = record([1, 2], incidents=[{"kind": "reset", "text": "the board restarted"}], complete=False)
    text = page([made], [Damaged(Path("results/x/record.json"), "is empty")])
    for said in ("reset: the board restarted", "it ended early, with 2 of 2 samples", "set aside: is empty"):
        assert said in text


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("needs a Chromium to open the report with")
    return found


FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-features=NetworkTimeServiceQuerying",
)


class _Browser:
    """Opens pages from a server that is also the browser's proxy, and so sees each request to any host."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def shoot(self, text: str, scheme: str) -> tuple[np.ndarray, set[str]]:
        """Return the page as grey levels and the hosts that were asked for something."""
        hosts: set[str] = set()
        data = text.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hosts.add(urlsplit(self.path).netloc)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(data)

            def do_CONNECT(self) -> None:
                hosts.add(self.path)
                self.send_error(502)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        picture = self._directory / "shot.png"
        try:
            with tempfile.TemporaryDirectory(dir=self._directory) as profile:
                words = [
                    *(_chromium(), *FLAGS, f"--user-data-dir={profile}", "--window-size=1280,2400"),
                    f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
                    *(
                        f"--proxy-server=http://127.0.0.1:{server.server_address[1]}",
                        f"--screenshot={picture}",
                    ),
                    "http://report.invalid/report.html",
                ]
                subprocess.run(words, check=True, capture_output=True, timeout=90)
        finally:
            server.shutdown()
            server.server_close()
        return np.asarray(Image.open(picture).convert("L")), hosts


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> _Browser:
    return _Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def asked_for(browser: _Browser) -> set[str]:
    """The hosts that the browser asks for with a page of one picture: its own, the page's, the picture's."""
    return browser.shoot('<!doctype html><img src="http://elsewhere.invalid/x.png">', "light")[1]


@pytest.mark.interop
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chromium_draws_it_in_both_schemes_and_asks_for_nothing_else(
    scheme: str, text: str, browser: _Browser, asked_for: set[str]
) -> None:
    picture, hosts = browser.shoot(text, scheme)
    assert hosts - (asked_for - {"elsewhere.invalid"}) == set()
    assert "report.invalid" in hosts
    background = np.median(picture)
    assert background > 200 if scheme == "light" else background < 60
    # Something is drawn over most of the page.
    drawn = (np.abs(picture.astype(int) - int(background)) > 60).any(axis=1).mean()
    assert drawn > 0.4


@pytest.mark.interop
def test_the_browser_of_these_tests_would_notice_a_request(asked_for: set[str]) -> None:
    assert "elsewhere.invalid" in asked_for


def text_of(cell: str) -> str:
    return re.sub("<[^>]*>", " ", cell)


def test_no_figure_of_a_table_is_in_a_cell_without_its_origin(text: str) -> None:
    cells = re.findall(r'<td class="number">(.*?)</td>', text)
    figures = [text_of(cell) for cell in cells if re.search(r"\d (ms|KiB)", text_of(cell))]
    assert len(figures) > 24
    for figure in figures:
        assert re.search("measured|emulated|estimated", figure), figure


def test_an_estimate_has_its_error_band_in_the_page() -> None:
    invoke = {"origin": "estimated", "error_percent": 398.0}
    text = page([record(origin="estimated", invoke={**invoke, "ticks": [5, 5, 5]})])
    assert text.count("estimated, up to ×5.0") >= 2


def test_what_is_said_of_outputs_is_of_the_run_that_was_not_verified() -> None:
    refused = {"verdict": "not_available", "reason": "the protocol sscma has no outputs", "max_ulp": None}
    text = page([record(verification=refused), record(day=1)])
    assert "not verified<small>the protocol sscma has no outputs</small>" in text


def test_a_page_names_every_firmware_and_the_notes_of_the_latest_run() -> None:
    older = record(firmware={"version": "0.9"})
    text = page([older, record(day=1, notes=["the device's clock is <off>"])])
    for version in ("0.9", "1.0"):
        assert f"240 MHz, virtual {version} (cdcdcdcd) over bench, inputs random:0" in text
    assert "virtual 0.9, earlier firmware" in text
    assert "<li>the device&#x27;s clock is &lt;off&gt;</li>" in text


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_make_no_noise() -> None:
    assert "人物検出" in page([record(model="人物検出"), record(model="人物検出", day=1)])


def test_a_page_tells_files_of_one_name_apart_and_shows_before_and_after() -> None:
    made = [
        record([20_700] * 3, model=file_of("old")),
        record([337_600] * 3, model=file_of("new"), day=1),
        record([5_000] * 3, model={**file_of("else"), "file": "elsewhere/person.tflite"}),
    ]
    text = page(made)
    old, new, other = (file_of(content)["sha256"][:8] for content in ("old", "new", "else"))
    headings = re.findall("<h2>(.*?)</h2>", text)
    assert sorted(h for h in headings if "person" in h) == sorted(
        f"person · Xiao Esp32S3 · {words}" for words in (f"{old}, earlier file", new, other)
    )
    assert f"the model file changed (SHA-256 {old} → {new}): before 20.70 ms" in text
    # In the table of every run too.
    assert all(text.count(f"<code>{short}</code>") == 1 for short in (old, new, other))


def test_boards_of_one_name_are_called_by_their_ids() -> None:
    made = [record(board={"id": name, "name": "Board"}) for name in ("left", "right")]
    text = page(made)
    assert "person · left" in text
    assert "person · right" in text


def test_a_page_of_runs_that_must_not_be_used_has_no_figure_of_them() -> None:
    text = page([record([9000] * 3, complete=False)])
    assert "1 run of person on Xiao Esp32S3,\n1 May 2026; 1 left out." in text
    assert "9.000 ms" not in text
    assert "it ended early" in text
    read(text)
