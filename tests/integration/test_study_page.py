"""The page of a study in a real browser: what a click, a key and the wheel do to the page and to its pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle.data.studies import group_studies
from scripts.segment_report import write_reports
from tests.integration.browser import CHROMIUM, Browser
from tests.reports.study_exam import COLUMNS, LONELY, OPTIONS, ROWS, write_exam, write_results

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian's chromium)"),
]
AMBER, CYAN = (255, 176, 0), (64, 216, 255)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("exam")
    for path in write_exam(folder / "views"):
        write_results(path, folder / "out")
    (page,) = write_reports(group_studies(str(folder / "views")), folder / "out", OPTIONS)
    return page.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def page(browser: Browser, url: str) -> Browser:
    """The page as it is opened: light, wide, from the top."""
    browser.events.clear()
    browser.media()
    browser.resize(1400, 1000)
    browser.open("about:blank")
    browser.open(url)
    return browser


def _coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Pixels that are nearer to a colour than anything grey is."""
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) < 60).sum())


def _view_box(page: Browser, view: str = "v2") -> list[float]:
    text = page.run(f"document.querySelector('#{view} .stage > svg').getAttribute('viewBox')")
    return [float(value) for value in text.split()]


def _stage(page: Browser, view: str = "v2") -> list[float]:
    return page.run(
        f"(() => {{ const b = document.querySelector('#{view} .stage > svg').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })()"
    )


def _at(page: Browser, x: float, y: float) -> tuple[float, float]:
    """Which place of the view lies under a point of the screen."""
    left, top, width, height = _stage(page)
    box = _view_box(page)
    return box[0] + (x - left) / width * box[2], box[1] + (y - top) / height * box[3]


def _show_view(page: Browser, view: str = "v2") -> tuple[float, float]:
    page.run(f"document.querySelector('#{view}').scrollIntoView({{block: 'center'}})")
    left, top, width, height = _stage(page, view)
    return round(left + 0.6 * width), round(top + 0.4 * height)


def test_nothing_is_fetched_and_nothing_complains(page: Browser) -> None:
    kinds = {event.get("method") for event in page.events}
    assert "Log.entryAdded" not in kinds
    assert "Runtime.exceptionThrown" not in kinds
    asked = [e["params"]["request"]["url"] for e in page.events if e.get("method") == "Network.requestWillBeSent"]
    assert asked
    assert all(address.startswith(("file:", "data:", "about:")) for address in asked)


def test_views_stand_as_they_hang(page: Browser) -> None:
    """RCC left of LCC, both above RMLO and LMLO; files come in another order."""
    places = {view: _stage(page, view) for view in ("v1", "v2", "v3", "v4")}
    lmlo, rcc, lcc, rmlo = (places[view] for view in ("v1", "v2", "v3", "v4"))
    assert rcc[0] < lcc[0]
    assert rcc[1] == lcc[1] < rmlo[1] == lmlo[1]
    assert rmlo[0] == rcc[0]
    # Chest walls meet: the right edge of the right breast, the left edge of the left one.
    assert _view_box(page, "v2")[0] + _view_box(page, "v2")[2] == pytest.approx(COLUMNS)
    assert _view_box(page, "v3")[0] == pytest.approx(0)


def test_the_switch_takes_every_mark_away_and_brings_it_back(page: Browser) -> None:
    _show_view(page)
    before = page.picture()
    page.run("document.getElementById('overlay').click()")
    without = page.picture()
    left, top, width, height = (int(value) for value in _stage(page))
    stage = without[top + 30 : top + height - 40, left : left + width].astype(int)
    assert _coloured(before[top : top + height, left : left + width], AMBER) > 200
    assert np.ptp(stage, axis=-1).max() == 0, "a grey picture without marks is grey"
    page.press(left + 20, top + 200)
    page.key("o")
    assert page.run("document.getElementById('overlay').checked")
    assert _coloured(page.picture()[top : top + height, left : left + width], AMBER) > 200


def test_the_slider_makes_marks_fainter(page: Browser) -> None:
    _show_view(page)
    left, top, width, height = (int(value) for value in _stage(page))
    strength = []
    for value in (100, 50, 10):
        page.run(
            f"(() => {{ const o = document.getElementById('opacity'); o.value = {value};"
            "o.dispatchEvent(new Event('input')); })()"
        )
        stage = page.picture()[top : top + height, left : left + width].astype(int)
        strength.append(int(np.ptp(stage, axis=-1).max()))
    assert strength[0] > strength[1] > strength[2] > 0


def test_outlines_and_probability_have_switches_of_their_own(page: Browser) -> None:
    shown = "getComputedStyle(document.querySelector('#v2 .method .{}')).display"
    for switch, kind in (("outlines", "marks"), ("heat", "heat")):
        assert page.run(shown.format(kind)) != "none"
        page.run(f"document.getElementById('{switch}').click()")
        assert page.run(shown.format(kind)) == "none"


def test_the_one_pass_is_shown_in_place_of_the_method(page: Browser) -> None:
    """It does not see the lonely finding, the only one outside a cluster."""
    _show_view(page)
    left, top, width, height = (int(value) for value in _stage(page))
    counts = []
    for switch in ("method", "first", "method"):
        page.run(f"document.getElementById('{switch}').click()")
        counts.append(_coloured(page.picture()[top : top + height, left : left + width], CYAN))
    assert counts[0] == counts[2] > 20
    assert counts[1] == 0
    assert page.run("getComputedStyle(document.querySelector('#v2 .of-first')).display") == "none"


def test_plus_minus_and_whole(page: Browser) -> None:
    whole = _view_box(page)
    page.click('#v2 [data-do="in"]')
    assert _view_box(page)[2] == pytest.approx(whole[2] / 1.4)
    page.click('#v2 [data-do="in"]')
    page.click('#v2 [data-do="out"]')
    assert _view_box(page)[2] == pytest.approx(whole[2] / 1.4)
    page.click('#v2 [data-do="fit"]')
    assert _view_box(page) == pytest.approx(whole)
    page.click('#v2 [data-do="out"]')
    assert _view_box(page) == pytest.approx(whole), "nothing is smaller than the whole view"


def test_the_wheel_zooms_about_the_pointer_once_the_view_is_chosen(page: Browser) -> None:
    x, y = _show_view(page)
    scrolled = page.run("scrollY")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    page.wait(f"scrollY < {scrolled}")
    x, y = _show_view(page)
    page.press(x, y)
    place, width = _at(page, x, y), _view_box(page)[2]
    scrolled = page.run("scrollY")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    page.wait(f"+document.querySelector('#v2 .stage > svg').getAttribute('viewBox').split(' ')[2] < {width}")
    assert _at(page, x, y) == pytest.approx(place, abs=0.01)
    assert page.run("scrollY") == scrolled


def test_dragging_moves_the_view_with_the_pointer(page: Browser) -> None:
    x, y = _show_view(page)
    page.press(x, y)
    for _ in range(4):
        page.key("+")
    place = _at(page, x, y)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 30, y - 20)
    page.mouse("mouseReleased", x + 30, y - 20)
    assert _at(page, x + 30, y - 20) == pytest.approx(place, abs=0.01)


def test_a_view_is_worked_by_keys_alone(page: Browser) -> None:
    page.run("document.querySelector('#v2 [data-do=\"fit\"]').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    page.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert page.run("document.activeElement === document.querySelector('#v2 .stage > svg')")
    whole = _view_box(page)
    page.key("+")
    page.key("+")
    zoomed = _view_box(page)
    assert zoomed[2] == pytest.approx(whole[2] / 1.4**2)
    page.key("ArrowLeft")
    page.key("ArrowDown")
    moved = _view_box(page)
    step = 60 * zoomed[2] / _stage(page)[2]
    assert (moved[0] - zoomed[0], moved[1] - zoomed[1]) == pytest.approx((-step, step))
    page.key("0")
    assert _view_box(page) == pytest.approx(whole)


def test_a_card_leads_to_its_cluster(page: Browser) -> None:
    page.click('a.card[href="#v2-c1"]')
    frame = page.run("(() => { const b = document.getElementById('v2-c1').getBBox();"
                     "return [b.x + b.width / 2, b.y + b.height / 2, b.width, b.height]; })()")  # fmt: skip
    box = _view_box(page)
    assert (box[0] + box[2] / 2, box[1] + box[3] / 2) == pytest.approx(frame[:2], abs=0.1)
    assert max(frame[2] / box[2], frame[3] / box[3]) == pytest.approx(1 / 1.6, rel=1e-3)
    assert page.run("document.activeElement === document.querySelector('#v2 .stage > svg')")
    assert page.run("document.getElementById('v2-c1').classList.contains('active')")
    left, top, width, height = _stage(page)
    assert top >= 0
    assert top + height <= 1000
    middle = page.picture()[int(top) : int(top + height), int(left) : int(left + width)]
    assert _coloured(middle, AMBER) > 400


def test_a_finding_of_the_table_is_brought_to_the_middle(page: Browser) -> None:
    page.run("document.querySelector('a[href^=\"#v2-p\"]').click()")
    box = _view_box(page)
    # The right breast's chest wall is on the right.
    expected = COLUMNS - 1 - LONELY[1], LONELY[0]
    assert (box[0] + box[2] / 2, box[1] + box[3] / 2) == pytest.approx(expected, abs=1)


def test_an_address_may_name_a_cluster(page: Browser, url: str) -> None:
    page.open("about:blank")
    page.open(f"{url}#v3-c1")
    assert page.run("document.getElementById('v3-c1').classList.contains('active')")
    assert _view_box(page, "v3")[2] < COLUMNS


def test_narrow_and_wide_windows_keep_everything_in_reach(page: Browser) -> None:
    for width in (380, 700, 1100, 2400):
        page.resize(width, 900)
        assert page.run("document.documentElement.scrollWidth") <= width
        boxes = [_stage(page, view) for view in ("v1", "v2", "v3", "v4")]
        assert min(box[2] for box in boxes) > 0.4 * min(width, 1600) - 40
        assert _view_box(page)[3] >= ROWS, "the whole view is still the whole view"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page: Browser, scheme: str) -> None:
    page.media(scheme=scheme)
    for selector in ("h1", ".quiet", ".notice", ".toolbar", ".card dt", ".card dd", "footer", "td", "kbd"):
        assert _contrast(page, selector) >= 4.5, selector


def _contrast(page: Browser, selector: str) -> float:
    """WCAG contrast of an element's text with what is behind it."""
    texts = page.run(
        f"(() => {{ let e = document.querySelector({selector!r}); const own = getComputedStyle(e).color;"
        "while (e && getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)') { e = e.parentElement; }"
        "return [own, getComputedStyle(e).backgroundColor]; })()"
    )
    bright = []
    for text in texts:
        channels = np.array([float(value) for value in text[text.index("(") + 1 : -1].split(",")[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        bright.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(bright) + 0.05) / (min(bright) + 0.05)


def test_on_paper_there_are_pictures_and_no_switches(page: Browser) -> None:
    page.media(kind="print")
    hidden = "['.toolbar', '.tools', '.hint'].map((s) => getComputedStyle(document.querySelector(s)).display)"
    assert page.run(hidden) == ["none"] * 3
    assert page.run("getComputedStyle(document.querySelector('.notice')).display") == "block"
    assert _coloured(page.picture(whole=True), AMBER) > 200
    paper = page.paper()
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Subtype /Image") >= 4


def test_without_scripts_the_page_still_shows_views_and_marks(page: Browser, url: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(url)
        assert page.run("document.querySelector('.scale span').textContent") == "", "the script has not run"
        assert _coloured(page.picture(whole=True), AMBER) > 200
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_first_screen_says_that_it_is_no_medical_device(page: Browser) -> None:
    top = page.run("document.querySelector('.notice').getBoundingClientRect().top")
    assert top == 0
    assert page.run("document.querySelector('.notice').innerText").startswith("Not a medical device.")


def test_the_browser_is_headless_chromium(browser: Browser) -> None:
    assert Path(CHROMIUM or "").exists()
    assert "Chrome/" in browser.call("Browser.getVersion")["product"]
