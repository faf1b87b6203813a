"""The report and kedro-viz in a real browser: what people see, on a wide screen and on a phone.

They need Chromium, which `.ci/run` installs from Debian.
"""

import re
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from conftest import REPO
from viz_server import kedro_viz

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")
PHONE = {"width": 390, "height": 844}
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")
WIDE = {"width": 1280, "height": 900}
# The text that a browser shows where the middle of a mark is.
UNDER_THE_MOUSE = """mark => {
    mark.scrollIntoView({block: "center"});
    const box = mark.getBoundingClientRect();
    const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return hit.closest("g:has(> title)").querySelector("title").textContent;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def tab(browser) -> Iterator:
    """A function that opens a page; at the end there was no error in its console."""
    complaints: list[str] = []
    contexts = []

    def open_tab(address: str, **options):
        context = browser.new_context(**{"viewport": WIDE, **options})
        # kedro-viz asks its makers for news: nobody answers here, and that is no error of ours
        context.route(
            re.compile(r"https?://(?!127\.0\.0\.1)"), lambda asked: asked.fulfill(body="")
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def report(finished_run) -> str:
    (path,) = finished_run.glob("data/08_reporting/test/*/report.html")
    return path.as_uri()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_buttons_change_the_grid_with_and_without_scripts(tab, report, scripts):
    page = tab(report, java_script_enabled=scripts)
    figures = page.locator(".compare figure")
    assert figures.count() == 3
    assert [figures.nth(one).is_visible() for one in range(3)] == [False, False, True]
    page.locator(".compare label", has_text="unsupervised").click()
    assert [figures.nth(one).is_visible() for one in range(3)] == [True, False, False]
    page.keyboard.press("ArrowRight")
    assert figures.nth(1).is_visible()


def test_every_picture_has_pixels_and_a_text(tab, report):
    page = tab(report)
    images = page.locator("img")
    assert images.count() == 5  # three grids, U, S
    for one in images.all():
        assert one.evaluate("image => image.naturalWidth") > 50
        assert len(one.get_attribute("alt") or "") > 10
    assert page.locator("svg").count() >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_curves_tell_their_values_under_the_mouse_and_below(tab, report, scheme):
    page = tab(report, color_scheme=scheme)
    for about, word in (("over the steps", "pu, step"), ("divided by", "share of S")):
        figure = page.locator(f'[role=region][aria-label*="{about}"]')
        mark = figure.locator("g:has(> title)", has_text=word).first
        assert mark.evaluate(UNDER_THE_MOUSE).startswith(word)
        values = figure.locator("xpath=following-sibling::details[1]")
        assert not values.locator("li", has_text=word).first.is_visible()
        values.locator("summary").click()
        assert values.locator("li", has_text=word).first.is_visible()


def test_the_table_has_a_row_for_each_method(tab, report):
    rows = tab(report).locator("table").first.locator("tr")
    assert [one.locator("td, th").first.inner_text() for one in rows.all()] == [
        *("method", "unsupervised", "supervised", "pu")
    ]


def test_a_phone_needs_no_sideways_scrolling(tab, report):
    page = tab(report, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_nothing_serious_stands_in_the_way_of_a_screen_reader(tab, report, scheme, viewport):
    page = tab(report, color_scheme=scheme, viewport=viewport)
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in grave] == []


def test_print_shows_every_grid(tab, report):
    page = tab(report)
    page.emulate_media(media="print")
    assert all(one.is_visible() for one in page.locator(".compare figure").all())


@pytest.fixture(scope="module")
def viz(finished_run, tmp_path_factory) -> Iterator[str]:
    """kedro-viz on a copy of the finished run."""
    project = tmp_path_factory.mktemp("viz")
    for name in ("conf", "pyproject.toml"):
        (project / name).symlink_to(REPO / name)
    (project / "src").mkdir()  # Kedro looks for it; the package itself is installed
    for name in ("data", ".viz"):
        shutil.copytree(finished_run / name, project / name)
    with kedro_viz(project, project / "viz.log", "--env=test") as address:
        yield address


@pytest.fixture
def dag(tab, viz):
    """kedro-viz, with the hints of a first visit closed."""
    page = tab(viz)
    page.wait_for_selector(".pipeline-node")
    page.locator(".feature-hints__close").click()
    return page


def test_the_workflow_shows_how_the_last_run_went(tab, viz):
    page = tab(f"{viz}/workflow")
    page.wait_for_selector(".pipeline-node")
    page.locator(".run-status-notification", has_text="success").wait_for()


def row(page, name: str):
    """The line of the list on the left with this name."""
    return page.locator(f'[data-test="node-list-tree-item--row--{name}"]')


def test_kedro_viz_shows_boxes_and_a_method_holds_its_steps(dag):
    for box in ("data_engineering", "prior_estimation", "judging", "pu", "reporting"):
        row(dag, box).wait_for()
    assert row(dag, "pu.training").count() == 0
    row(dag, "pu").click()
    for step in ("pu.training", "pu.sampling", "pu.evaluation"):
        row(dag, step).wait_for()


def test_kedro_viz_shows_pictures_of_samples_and_the_code_of_a_node(dag):
    row(dag, "samples_figure").click()
    picture = dag.locator("img.pipeline-metadata__plot-image")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    row(dag, "pu").click()
    row(dag, "pu.training").click()
    row(dag, "train_denoiser").click()
    said = dag.locator(".pipeline-text-renderer__content")
    assert said.inner_text().startswith("Train the method's model on U, with S")
    dag.locator(".pipeline-toggle-label", has_text="Show Code").click()
    dag.locator("code", has_text="def train_denoiser").first.wait_for()
