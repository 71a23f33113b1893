"""axe finds nothing to complain about on the pages for people at work, and none is wider than its window: signed out,
with a customer on the line, on a decision's permalink, on the console; wide, as narrow as a telephone, and dark."""

import json
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from models.scorer import CARD_FILE
from tests.api.serving import serving
from tests.api.world import Rig
from tests.e2e.test_desk import rig, sign_in
from tests.e2e.test_link_pages import AXE, RUN_AXE, browser

__all__ = ["browser", "rig"]
pytestmark = pytest.mark.browser
WIDE, NARROW = ViewportSize(width=1440, height=1000), ViewportSize(width=360, height=740)
LOOKS: dict[str, tuple[ViewportSize, Literal["light", "dark"]]] = {
    "wide": (WIDE, "light"),
    "narrow": (NARROW, "light"),
    "dark": (ViewportSize(width=1200, height=900), "dark"),
}
VERSION = "m20260131-120000-1a2b3c4d"


@pytest.fixture(scope="module")
def url(rig: Rig) -> Iterator[str]:
    with serving(rig.app) as address:
        yield address


@pytest.fixture(params=list(LOOKS))
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    # axe is a script of ours in the page, which the pages' policy would not let in
    size, scheme = LOOKS[request.param]
    context = browser.new_context(
        viewport=size, base_url=url, locale="en-GB", bypass_csp=True, color_scheme=scheme, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def complaints(page: Page) -> list[str]:
    page.add_script_tag(path=AXE)
    found: list[str] = page.evaluate(RUN_AXE)
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return found if fits else [*found, "wider than its window"]


def test_the_sign_in_page(page: Page) -> None:
    page.goto("/desk")
    assert complaints(page) == []


def test_the_desk_with_nobody_on_the_line(page: Page) -> None:
    sign_in(page)
    assert complaints(page) == []


def test_the_desk_with_a_customer(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    expect(page.locator(".action")).to_have_count(5)
    page.locator(".blocked summary").click()
    page.keyboard.press("2")
    page.keyboard.press("p")
    expect(page.locator(".action.chosen .outcome")).to_have_text("Presented")
    assert complaints(page) == []


def test_the_desk_stays_readable_while_it_loads(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    expect(page.locator(".action")).to_have_count(5)
    page.evaluate("for (const one of document.querySelectorAll('.column')) one.setAttribute('aria-busy', 'true')")
    assert complaints(page) == []


def test_the_desk_with_somebody_new(page: Page) -> None:
    assert page.viewport_size is not None
    sign_in(page, f"/desk#email=somebody{page.viewport_size['width']}%40new.example")
    expect(page.get_by_role("heading", name="Somebody new")).to_be_visible()
    expect(page.locator(".action").nth(2)).to_be_visible()
    assert complaints(page) == []


def test_a_decision(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    page.get_by_role("link", name="permalink").click()
    expect(page.get_by_role("heading", name="Answered")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    assert complaints(page) == []


def test_why_a_decision_is_not_replayed_stays_beside_what_follows(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    page.get_by_role("link", name="permalink").click()
    replayed = page.locator("dd", has_text="not replayed: a key with the role agent")
    assert replayed.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_no_such_decision(page: Page) -> None:
    sign_in(page)
    page.goto("/decision/none")
    assert complaints(page) == []


def test_the_console(page: Page, rig: Rig) -> None:
    card = {"version": VERSION, "created": rig.clock(), "metrics": {"auc": 0.7}, "counts": {"judge": 120}}
    rig.models.save(VERSION, {CARD_FILE: json.dumps(card).encode()})
    sign_in(page, "/console")
    expect(page.get_by_role("row", name=VERSION)).to_be_visible()
    assert complaints(page) == []
