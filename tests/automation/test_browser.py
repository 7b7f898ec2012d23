"""The report in a real browser: nothing overflows, fails or is fetched; the screenshots are kept.

They go to the folder that TREEHOUSE_ARTIFACTS names, else to pytest's own temporary folder.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.automation.conftest import Shop
from tests.automation.test_page import SECTIONS
from tests.conftest import TARGETS
from tests.support.some import some
from treehouse.monitor.run import check
from treehouse.report import write_page

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("engine", TARGETS[:1], indirect=True)]
# Read now: the session's own settings are taken out of the environment before the tests run.
ARTIFACTS = os.environ.get("TREEHOUSE_ARTIFACTS")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; without one the tests are skipped, but in CI they fail."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        why = "no Chromium on the PATH"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with sync_playwright() as playwright:
        # Its sandbox wants rights that a container's root lacks; the page is ours.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(answering: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report as a file, in the folder of the screenshots."""
    check(answering.engine.client, answering.engine.settings, answering.spec)
    folder = Path(ARTIFACTS) if ARTIFACTS else tmp_path_factory.mktemp("report")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"report-{answering.engine.target}.html"
    page = write_page(answering.engine.client, answering.engine.settings, answering.spec)
    path.write_text(page.html)
    yield path
    for table in ("alert_events", "drift", "health", "quality"):
        answering.engine.client.command(f"truncate table treehouse_registry.{table}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_it_renders_whole_and_alone(
    browser: Browser, report: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    screenshot = report.with_name(f"{report.stem}-{width}-{scheme}.png")
    page.screenshot(path=screenshot, full_page=True)
    print(f"screenshot: {screenshot}")
    assert said == []
    assert asked == [report.as_uri()]
    for name in SECTIONS:
        box = page.locator(f"section#{name}").bounding_box()
        assert box is not None
        assert box["height"] > 60
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() >= 5
    for figure in some(page.locator("figure svg").all()):
        box = figure.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 40
        assert figure.get_attribute("aria-label")
    # Text of a chart that leaves its figure would be cut or overlap its neighbour.
    outside = page.evaluate(
        """() => [...document.querySelectorAll('figure svg text')].filter(text => {
            const inner = text.getBoundingClientRect()
            const outer = text.closest('figure').getBoundingClientRect()
            return inner.left < outer.left || inner.right > outer.right
                || inner.bottom > outer.bottom || inner.top < outer.top
        }).map(text => text.textContent)"""
    )
    assert outside == []
    context.close()


def test_headings_and_landmarks_are_in_order(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in some(itertools.pairwise(levels)))
    assert page.locator("html[lang=en]").count() == 1
    assert page.locator("main, header, footer, nav").count() == 4
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.close()


def test_it_prints(browser: Browser, report: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(report.as_uri())
    pdf = page.pdf(path=report.with_suffix(".pdf"), format="A4")
    assert pdf.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    page.close()
