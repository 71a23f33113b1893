"""The pages behind links in mails, in a real browser without JavaScript; axe finds nothing to complain about."""

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.api.seed import ANN, seed
from tests.api.serving import serving
from tests.api.world import ADMIN, Rig

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
RUN_AXE = "async () => (await axe.run()).violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))"


def aside(work: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: Playwright's loop already runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def rig() -> Rig:
    made = Rig()
    aside(seed(made))
    return made


@pytest.fixture(scope="module")
def url(rig: Rig) -> Iterator[str]:
    with serving(rig.app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None or not AXE.exists():
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("chromium or the packages of tests/node are missing: run npm ci there")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


async def _made(rig: Rig, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with rig.client(ADMIN) as client:
        answer = await client.post(path, json=body)
    return dict(answer.json())


def unsubscribing(rig: Rig) -> str:
    found = aside(_made(rig, "/v1/unsubscribe-links", {"profiles": [ANN], "topic": "newsletter"}))
    return str(found["links"][0]["url"]).removeprefix("http://rapport")


def confirming(rig: Rig) -> str:
    found = aside(_made(rig, "/v1/consent/opt-in", {"profile": ANN, "purposes": ["marketing"]}))
    return str(found["url"]).removeprefix("http://rapport")


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(base_url=url, locale="en-GB", java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_one_button_unsubscribes_with_the_keyboard_alone(page: Page, rig: Rig) -> None:
    page.goto(unsubscribing(rig))
    expect(page.get_by_role("heading", name="Unsubscribe")).to_be_visible()
    assert rig.state.view(rig.id_of(ANN)).held == {}
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are unsubscribed")).to_be_visible()
    assert rig.state.held[rig.id_of(ANN)].preferences == {"email": {"newsletter": False}}


def test_one_button_confirms(page: Page, rig: Rig) -> None:
    page.goto(confirming(rig))
    expect(page.get_by_text("Tell you about offers of our own")).to_be_visible()
    page.get_by_role("button", name="Yes, I agree").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert rig.state.held[rig.id_of(ANN)].statements["marketing"][0].status == "granted"


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_axe_finds_nothing(browser: Browser, url: str, rig: Rig, locale: str) -> None:
    context = browser.new_context(base_url=url, locale=locale, bypass_csp=True)
    page = context.new_page()
    places = (unsubscribing(rig), confirming(rig), "/v1/unsubscribe/nobody.x")
    try:
        for place in places:
            page.goto(place)
            page.add_script_tag(path=AXE)
            assert page.evaluate(RUN_AXE) == []
    finally:
        context.close()
