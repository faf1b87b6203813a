"""Take the pictures of the documentation: python docs/site/screenshots.py [PROJECT]

They show what `make demo` has left in the project's folder (this one), as a browser shows it. Needs
Chromium.
"""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from viz_server import kedro_viz

REPO = Path(__file__).resolve().parents[2]
IMAGES = REPO / "docs/images"
MARGIN = 16
MOST_BYTES = 150_000
MOST_MILLISECONDS = 120_000  # on a busy machine
WIDE = {"width": 1280, "height": 800}
WIDER = {"width": 1600, "height": 900}
PHONE = {"width": 390, "height": 780}
# A picture's name to how the browser shows the top of the report.
REPORT = {
    "report_light": {"viewport": WIDE, "color_scheme": "light"},
    "report_dark": {"viewport": WIDE, "color_scheme": "dark"},
    "report_phone": {"viewport": PHONE, "color_scheme": "light"},
}
NAMES = (*REPORT, "report_frontier", "viz_pipeline", "viz_pu")
FRONTIER = "What each method prevents and what it costs"
LEFT_OUT = "[class*=update-reminder], [class*=minimap] { display: none !important; }"
SETTLES = 4000  # milliseconds until kedro-viz has moved everything into place
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")


def take_all(project: Path) -> None:
    """Take every picture.

    Args:
        project: the folder in which `make demo` has run.
    """
    reports = sorted(
        project.glob("data/08_reporting/digits_even/*/report.html"),
        key=lambda path: path.stat().st_mtime,
    )
    if not reports:
        sys.exit(f"No report in {project}/data/08_reporting/digits_even: run make demo first.")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take_report(browser, reports[-1].as_uri())
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "viz.log"
            with kedro_viz(project, log, "--pipeline=__default__") as address:
                take_viz(browser, address)
        browser.close()


def take_report(browser: Browser, address: str) -> None:
    """The first screen of the report in three ways, and its section on all methods."""
    for name, options in REPORT.items():
        with _opened(browser, address, **options) as page:
            save(name, page)
    with _opened(browser, address, viewport=WIDE) as page:
        heading = page.get_by_role("heading", name=FRONTIER)
        figure = heading.locator("xpath=following-sibling::*[1]")
        table = heading.locator("xpath=following-sibling::*[2]/table")
        save_below("report_frontier", page, heading, [figure, table])


def take_viz(browser: Browser, address: str) -> None:
    """The pipeline with its boxes closed, then with the box of `pu` open and a node explained."""
    with _opened(browser, address, viewport=WIDER) as page:
        page.wait_for_selector(".pipeline-node")
        page.locator(".feature-hints__close").click()
        page.add_style_tag(content=LEFT_OUT)
        page.get_by_label("Change to light theme").click()
        page.mouse.move(WIDER["width"] / 2, WIDER["height"] / 2)  # away from the button's hint
        page.wait_for_timeout(SETTLES)
        save("viz_pipeline", page)
        for name in ("pu", "pu.training", "train_denoiser"):
            page.locator(f'[data-test="node-list-tree-item--row--{name}"]').click()
        page.locator(".pipeline-text-renderer__content").wait_for()
        page.wait_for_timeout(SETTLES)
        save("viz_pu", page)


@contextmanager
def _opened(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    context = browser.new_context(**options)
    # kedro-viz asks its makers for news, which are no part of the picture
    context.route(ELSEWHERE, lambda asked: asked.fulfill(body=""))
    context.set_default_timeout(MOST_MILLISECONDS)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def save_below(name: str, page: Page, heading: Locator, parts: list[Locator]) -> None:
    """Save a heading and the parts below it, with a margin."""
    start, *boxes = [one.bounding_box() for one in (heading, *parts)]
    left, top = start["x"] - MARGIN, start["y"] - MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    area = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    save(name, page, full_page=True, clip=area)


def save(name: str, page: Page, **options: object) -> None:
    """Save what the page shows, in 256 colours."""
    picture = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    path = IMAGES / f"{name}.png"
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(REPO)}: {picture.width} x {picture.height}, {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        sys.exit(f"{path.name} has more than {MOST_BYTES / 1000:.0f} kB: show less in it.")


if __name__ == "__main__":
    take_all(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPO)
