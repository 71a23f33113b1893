"""A person at their own page, in a real browser without JavaScript: they agree, decisions change; they withdraw,
decisions change back; they take their data along and have it deleted. axe finds nothing in either language."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.api.seed import ANN, decide, link, seed_history
from tests.api.serving import serving
from tests.api.world import ADMIN, NOW, Rig
from tests.e2e.test_link_pages import AXE, RUN_AXE, aside, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE = ViewportSize(width=1100, height=1000)


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    aside(seed_history(made))
    return made


@pytest.fixture
def url(rig: Rig) -> Iterator[str]:
    with serving(rig.app) as address:
        yield address


async def _blocked(rig: Rig) -> set[str]:
    """The purposes' names for which a decision held actions back by consent."""
    async with rig.client(ADMIN) as client:
        answer = await decide(client)
    return {one["detail"].split()[1] for one in answer["blocked"] if one["rule"] == "consent"}


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(base_url=url, java_script_enabled=False, locale="en-GB", viewport=WIDE)
    yield context.new_page()
    context.close()


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Saved")


def test_agree_withdraw_take_along_and_delete(rig: Rig, page: Page) -> None:
    page.goto(aside(link(rig)))
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data and your choices")
    assert "marketing" in aside(_blocked(rig))
    press(page, "Agree: Marketing")
    if os.environ.get("RAPPORT_SCREENSHOTS") == "1":
        page.reload()  # right after a form was sent the picture is taken of a page too high
        page.screenshot(path=str(IMAGES / "preferences.png"), full_page=True)
    assert "marketing" not in aside(_blocked(rig))
    press(page, "Withdraw: Marketing")
    assert "marketing" in aside(_blocked(rig))
    expect(page.get_by_role("button", name="Agree: Service")).to_have_count(0)
    expect(page.locator("#made + ol li").first).to_contain_text("Marketing: You have withdrawn")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download my data").click()
    lines = [json.loads(line) for line in Path(waiting.value.path()).read_text().splitlines()]
    assert lines[0]["kind"] == "profile"
    assert lines[-1]["kind"] == "end"
    assert "ann@example.org" in json.dumps(lines)
    page.get_by_role("link", name="Delete my data").click()
    page.get_by_role("button", name="Yes, delete everything").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data is being deleted")
    assert aside(_profile(rig)) == 404


async def _profile(rig: Rig) -> int:
    async with rig.client(ADMIN) as client:
        return (await client.get(f"/v1/profiles/{ANN}")).status_code


def test_channels_are_chosen_apart_from_purposes(rig: Rig, page: Page) -> None:
    page.goto(aside(link(rig)))
    press(page, "Stop: E-mail")
    assert aside(_preferences(rig))["email"] == {"all": False}
    press(page, "Allow: E-mail")
    assert aside(_preferences(rig))["email"] == {"all": True}


async def _preferences(rig: Rig) -> dict[str, Any]:
    async with rig.client(ADMIN) as client:
        return dict((await client.get(f"/v1/profiles/{ANN}/consent")).json()["preferences"])


def test_the_person_chooses_the_language(rig: Rig, page: Page) -> None:
    page.goto(aside(link(rig)))
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ihre Daten und Ihre Entscheidungen")
    page.get_by_role("button", name="Widerrufen: Statistik", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Gespeichert")


def test_a_link_opens_nothing_but_its_own_page(rig: Rig, page: Page) -> None:
    where = aside(link(rig))
    answer = page.goto(where[:-3] + "abc")
    assert answer is not None
    assert answer.status == 404
    rig.clock.at = NOW + 15 * 86_400_000
    answer = page.goto(where)
    assert answer is not None
    assert answer.status == 410


def test_reloading_the_page_of_a_deletion_starts_no_other(rig: Rig, page: Page) -> None:
    page.goto(f"{aside(link(rig))}/deletion")
    page.get_by_role("button", name="Yes, delete everything").click()
    number = page.locator("code").inner_text()
    events = len(list(rig.events()))
    page.reload()
    expect(page.locator("code")).to_have_text(number)
    assert len(list(rig.events())) == events


async def _restrict(rig: Rig) -> None:
    async with rig.client(ADMIN) as client:
        answer = await client.patch(f"/v1/profiles/{ANN}/consent", json={"restricted": True})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_nothing(rig: Rig, url: str, browser: Browser, language: str, width: int) -> None:
    # axe is a script of ours in the page: the policy forbids scripts, so it is lifted for this look
    context = browser.new_context(base_url=url, bypass_csp=True, viewport=ViewportSize(width=width, height=1000))
    opened, place = context.new_page(), aside(link(rig))

    def look(part: str, said: str = "") -> None:
        opened.goto(f"{place}{part}?lang={language}&at={rig.clock()}&said={said}")
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        opened.add_script_tag(path=str(AXE))
        assert opened.evaluate(RUN_AXE) == []

    look("")
    look("/deletion")
    # a problem with a way back, and one without
    look("/deletion/nothing")
    look("x")
    aside(_restrict(rig))
    look("", "changed")
    context.close()
