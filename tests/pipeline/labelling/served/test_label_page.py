"""The page in a real browser: drawing, saving, conflicts, review, keys, languages, and what the console says."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from label_servers import Gated, Labelled, box

try:
    from playwright.sync_api import expect, sync_playwright
except ModuleNotFoundError:
    pytest.skip("playwright is not installed", allow_module_level=True)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no chromium on this machine", allow_module_level=True)

PATIENCE_MS = 60_000
LOOK = os.environ.get("FLEETGATE_TEST_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield started
        started.close()


class Page:
    """A person's tab; it fails a test where the console has an error."""

    def __init__(self, browser: Any, labelled: Labelled, person: str, language: str) -> None:
        self.labelled = labelled
        self.context = browser.new_context(viewport={"width": 1280, "height": 800}, locale=language)
        self.context.set_default_timeout(PATIENCE_MS)
        self.tab = self.context.new_page()
        self.said: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.goto(f"{labelled.url}/enter#{labelled.invitation(person)}")
        self.tab.click("form button")
        self.tab.wait_for_selector("#state[data-state=saved]")
        self.tab.wait_for_selector("#strip button[aria-current=true]")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture is on the screen."""
        area = self.tab.locator("#canvas").bounding_box()
        scale = min(area["width"] / 640, area["height"] / 400)
        left = area["x"] + (area["width"] - 640 * scale) / 2
        top = area["y"] + (area["height"] - 400 * scale) / 2
        return left + x * scale, top + y * scale

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.tab.mouse.move(*self.at(*start))
        self.tab.mouse.down()
        self.tab.mouse.move(*self.at(*end), steps=4)
        self.tab.mouse.up()

    def saved(self, frame: int, revision: int) -> list[dict[str, Any]]:
        """The labels of a frame once the folder has a revision of it, and the page says so."""
        for _ in range(600):
            if len(self.labelled.folder.revisions(f"frame:{frame}")) >= revision:
                break
            self.tab.wait_for_timeout(100)
        self.tab.wait_for_selector("#state[data-state=saved]")
        labels: list[dict[str, Any]] = self.labelled.folder.revision(f"frame:{frame}", revision).value[
            "labels"
        ]
        return labels

    def go(self, button: str, number: int) -> None:
        self.tab.click(f"[data-do={button}]")
        self.arrived(number)
        self.tab.wait_for_selector(f"#strip button:nth-child({number})[aria-current=true]")

    def arrived(self, number: int) -> None:
        expect(self.tab.locator("#number")).to_have_value(str(number), timeout=PATIENCE_MS)

    def look(self, name: str) -> None:
        if LOOK:
            self.tab.screenshot(path=str(Path(LOOK) / f"{name}.png"))


@pytest.fixture
def visit(browser: Any, served: Labelled) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def open_page(person: str = "wang", language: str = "zh-CN") -> Page:
        pages.append(Page(browser, served, person, language))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()
    said = [text for page in pages for text in page.said]
    assert [text for text in said if not re.search(r"status of (403|412)", text)] == []


def test_a_box_is_drawn_moved_resized_and_deleted_with_the_pointer(visit: Callable[..., Page]):
    page = visit()

    page.tab.keyboard.press("b")
    page.drag((30, 210), (180, 300))
    drawn = page.saved(0, 1)[0]
    page.look("drawn")
    page.drag((100, 250), (120, 260))
    moved = page.saved(0, 2)[0]
    page.drag((200, 310), (220, 330))
    resized = page.saved(0, 3)[0]
    page.tab.keyboard.press("Delete")
    assert page.saved(0, 4) == []

    for label, expected in (
        (drawn, (30, 210, 150, 90)),
        (moved, (50, 220, 150, 90)),
        (resized, (50, 220, 170, 110)),
    ):
        shape = label["geometry"]
        assert [shape[side] for side in ("x", "y", "width", "height")] == pytest.approx(expected, abs=2)
        assert label["source"] == "person:wang"


def test_a_polygon_and_its_attributes(visit: Callable[..., Page]):
    page = visit(language="en-GB")
    page.tab.get_by_role("radio", name="traffic sign").click()
    page.tab.keyboard.press("p")
    for corner in ((552, 60), (586, 110), (518, 110)):
        page.tab.mouse.click(*page.at(*corner))
    page.tab.keyboard.press("Enter")
    page.saved(0, 1)
    page.tab.get_by_label("occlusion").select_option("heavy")
    label = page.saved(0, 2)[0]
    page.look("polygon")

    assert label["geometry"]["kind"] == "polygon"
    assert label["geometry"]["points"][0] == pytest.approx([552, 60], abs=2)
    assert label["attributes"] == {"occlusion": "heavy"}
    assert page.labelled.folder.last("objects").value == {"1": "traffic_sign"}


def test_all_of_it_by_keys_alone(visit: Callable[..., Page]):
    page = visit()

    for key in ("3", "n"):
        page.tab.keyboard.press(key)
    begun = page.saved(0, 1)[0]["geometry"]
    for key in ("ArrowRight", "Shift+ArrowDown", "Alt+ArrowRight"):
        page.tab.keyboard.press(key)
    page.tab.keyboard.press(".")
    page.arrived(2)
    after = page.labelled.folder.last("frame:0").value["labels"][0]["geometry"]

    assert page.labelled.folder.last("objects").value == {"1": "truck"}
    assert [after[k] - begun[k] for k in ("x", "y", "width", "height")] == [1, 10, 1, 0]


def test_a_track_is_interpolated_between_its_key_frames(visit: Callable[..., Page]):
    page = visit()
    page.tab.keyboard.press("b")
    page.drag((30, 210), (180, 300))
    page.saved(0, 1)
    for number in range(2, 6):
        page.go("next", number)
    page.tab.locator("#objects button").first.click()
    page.tab.locator("#objects li button").nth(1).click()
    page.saved(4, 1)
    page.tab.keyboard.press("Escape")
    page.tab.locator("#objects button").first.click()
    page.drag((100, 250), (460, 250))
    page.saved(4, 2)
    page.tab.get_by_role("button", name="在关键帧之间插值").click()
    page.tab.wait_for_selector("#notice:not([hidden])")
    page.go("previous", 4)
    page.look("interpolated")

    between = [page.labelled.folder.last(f"frame:{n}").value["labels"][0] for n in (1, 2, 3)]
    assert [label["geometry"]["x"] for label in between] == pytest.approx([120, 210, 300], abs=3)
    assert not any(label["key"] for label in between)


def test_a_conflict_is_told_and_either_version_can_go_on(visit: Callable[..., Page], served: Labelled):
    page, li = visit(), served.enter("li")
    car = li.object()
    assert li.save(0, 0, box(car, x=300)).status_code == 200

    page.tab.keyboard.press("n")
    page.tab.wait_for_selector("#conflict[open]")
    page.look("conflict")
    assert "li" in page.tab.inner_text("#conflict-by")
    page.tab.click("[data-do=mine]")
    mine = page.saved(0, 2)

    assert [label["source"] for label in mine] == ["person:wang"]
    assert len(served.folder.conflicts()) == 1


def test_a_reviewer_rejects_and_the_annotator_sees_why(visit: Callable[..., Page], served: Labelled):
    li = served.enter("li")
    li.save(0, 0, box(li.object()))

    zhao = visit("zhao")
    zhao.tab.mouse.click(*zhao.at(100, 250))
    zhao.tab.get_by_label("退回原因").fill("车尾没有框进去")
    zhao.tab.get_by_role("button", name="退回", exact=True).click()
    zhao.saved(0, 2)
    zhao.look("review")
    wang = visit("wang")
    wang.tab.mouse.click(*wang.at(100, 250))
    assert "车尾没有框进去" in wang.tab.inner_text("#selected")
    wang.look("rejected")
    assert zhao.tab.locator("[data-tool]:visible, [data-do=undo]").count() <= 1  # the canvas


def test_a_pre_label_is_shown_as_such_and_confirmed(visit: Callable[..., Page], served: Labelled):
    source = f"model@sha256:{'ab' * 32}"
    label = {
        "object": "1",
        "geometry": {"kind": "bbox", "x": 30, "y": 210, "width": 150, "height": 90},
        "source": source,
        "confidence": 0.81,
        "attributes": {},
        "key": True,
        "review": "open",
        "reviewer": None,
        "reason": None,
    }
    served.folder.amend("objects", lambda _: {"1": "car"}, by="engineer")
    served.folder.save("frame:0", {"labels": [label]}, based_on=0, by="engineer")

    page = visit()
    page.tab.mouse.click(*page.at(100, 250))
    assert "预标注" in page.tab.inner_text("#selected")
    page.look("prelabel")
    page.tab.keyboard.press("c")
    confirmed = page.saved(0, 2)[0]

    assert (confirmed["source"], confirmed["confidence"]) == ("person:wang", None)
    assert confirmed["geometry"] == label["geometry"]


def test_the_page_speaks_both_languages_and_is_honest(visit: Callable[..., Page]):
    page = visit(language="en-GB")

    assert "can be traced; it cannot be prevented" in page.tab.inner_text("main")
    assert page.tab.inner_text("summary") == "Keys"
    page.tab.click("header a[hreflang=zh]")
    page.tab.wait_for_selector("#state[data-state=saved]")
    assert "截图可以被追溯，但无法被阻止" in page.tab.inner_text("main")
    assert page.tab.get_attribute("html", "lang") == "zh-Hans"


def test_a_grant_that_ends_clears_the_page(visit: Callable[..., Page], served: Labelled, label_gate: Gated):
    page = visit()
    page.tab.keyboard.press("n")
    page.saved(0, 1)
    with label_gate.without_grant(served.task.release):
        page.tab.keyboard.press("ArrowRight")
        page.tab.wait_for_selector("#ended:not([hidden])")
        page.look("ended")

    assert "已被撤销" in page.tab.inner_text("#ended")
    drawn = "[...document.querySelector('#canvas').getContext('2d').getImageData(0, 0, 900, 500).data]"
    assert page.tab.evaluate(f"{drawn}.every((value) => value === 0)")
    last = served.folder.last("frame:0")
    assert last is not None
    assert last.number == 2
