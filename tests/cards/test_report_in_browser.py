"""The report in a real browser: it asks the network for nothing, and is readable on a phone, a desk and on paper."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vec2face.cards import write_report
from vec2face.evaluation.sheets import SHEET_KINDS

playwright = pytest.importorskip("playwright.sync_api", reason="the python package playwright is not installed")
pytestmark = pytest.mark.integration

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120_000  # milliseconds; a busy machine is slow to start a browser
PHONE, DESK, PAPER = {"width": 360, "height": 740}, {"width": 1280, "height": 900}, {"width": 794, "height": 1123}
SEEN = ("checks", "findings", "faces", "leakage", "pictures", "groups", "realism", "scores", "measures")
SECTIONS = (*SEEN, "origin", "lineage")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on this machine ({', '.join(names)})")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=list(FLAGS), timeout=PATIENCE)
        yield running
        running.close()


@pytest.fixture
def report(full_facts: dict, tmp_path: Path) -> Path:
    """A report with every section, long names and sheets as wide as real ones."""
    full_facts["dataset"]["name"] = "a-name-without-a-place-to-break-" * 4
    full_facts["embedders"][1]["reference"] = "/a/folder/" + "deep/" * 30
    full_facts["findings"]["listed"] *= 40
    full_facts["figures"] = [
        {"file": f"{kind}.jpg", "kind": kind, "title": kind, "caption": "Drawn at random."} for kind in SHEET_KINDS
    ] + [{"file": "scores.png", "kind": "scores", "title": "Scores", "caption": "Two hills."}]
    rng = np.random.default_rng(0)
    for figure in full_facts["figures"]:
        pixels = rng.integers(0, 255, (60, 1010, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / figure["file"])
    path = tmp_path / "report.html"
    write_report(full_facts, path)
    return path


class Visit:
    """The report opened in a window; `asked` and `said` are all requests and console messages."""

    def __init__(self, browser: Any, report: Path, viewport: dict[str, int], **options: Any) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page = browser.new_page(viewport=viewport, **options)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(report.as_uri())

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_everything_is_there_and_nothing_is_asked_of_anybody(browser: Any, report: Path, viewport: dict) -> None:
    visit = Visit(browser, report, viewport)
    assert [url for url in visit.asked if not url.startswith("data:")] == [report.as_uri()]
    assert visit.said == []
    assert visit.overflow() == 0
    images = visit.page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth, image.getBoundingClientRect().width])"
    )
    assert len(images) == len(SHEET_KINDS) + 1
    assert all(complete and natural == 1010 and shown > 200 for complete, natural, shown in images)
    for section in SECTIONS:
        heading = visit.page.locator(f"#{section}")
        assert heading.is_visible(), section
        assert visit.page.locator(f'nav a[href="#{section}"]').is_visible()
    verdict = visit.page.locator(".verdict").bounding_box()
    assert verdict["y"] + verdict["height"] < viewport["height"]
    tops = visit.page.evaluate("[...document.querySelectorAll('h2')].map(heading => heading.id)")
    assert tuple(tops) == SECTIONS
    visit.page.close()


def test_a_phone_shows_every_cell_of_the_tables_that_matter(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, PHONE)
    visit.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    cells = visit.page.evaluate(
        """[...document.querySelectorAll(':is(table.checks, table.stack) tbody :is(td, th)')]
           .filter(cell => cell.textContent.trim())
           .map(cell => { const box = cell.getBoundingClientRect(); return [box.left, box.right, box.height] })"""
    )
    assert len(cells) > 150
    assert all(left >= 0 and right <= 360 and height > 0 for left, right, height in cells)
    assert visit.overflow() == 0
    size = visit.page.evaluate(
        """Math.min(...[...document.querySelectorAll('p, td, th, dd, dt, figcaption, li')]
           .map(one => parseFloat(getComputedStyle(one).fontSize)))"""
    )
    assert size >= 12
    visit.page.close()


def test_a_phone_shows_every_sheet_wide_enough_to_see_faces(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, PHONE)
    for kind in SHEET_KINDS:
        assert visit.page.locator(f"figure.{kind} img").bounding_box()["width"] == 640, kind
        assert visit.page.locator(f"figure.{kind} .swipe").is_visible(), kind
    assert visit.overflow() == 0
    visit.page.close()


def test_it_prints_on_white_without_what_only_a_screen_needs(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, PAPER, color_scheme="dark")
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.emulate_media(media="print")
    assert dark != visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not visit.page.locator("nav").is_visible()
    assert visit.page.locator(".verdict").is_visible()
    assert visit.overflow() == 0
    paper = visit.page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") >= 2
    visit.page.close()
