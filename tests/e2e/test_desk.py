"""The desk in a real browser: sign in, screen-pop, keys, outcomes, permalink, console."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from engine.ports import Entry
from engine.signals import DAY
from infra.model_store import ModelStore
from models.dataset import decisions_in, outcomes_in
from models.watch import Terms, watched
from models.watched import Watched
from tests.api.seed import ANN, seed_history
from tests.api.serving import serving
from tests.api.world import AGENT, Rig
from tests.models.learnt import START, logged, offers, small_model, small_training, table_of

pytestmark = pytest.mark.browser
IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE = ViewportSize(width=1440, height=1000)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def seen_since() -> Watched:
    """What became of a model's decisions in a small world where customers keep calling about other things."""
    table = table_of(logged(2000, 4, small_model(), offers("epsilon", 0.1)))
    card = small_training().card
    terms = Terms(START + 9 * DAY, DAY, model=small_model(), reference=card.data)
    return watched(decisions_in(table), outcomes_in(table), terms)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.keep_watched(seen_since())
    made = Rig(models=store)
    # a thread of its own: Playwright's loop already runs in this one
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, seed_history(made)).result()
    reasons = ({"code": "queue", "text": "Open issues that need a word from us"},)
    for number, ref in enumerate((ANN, "user_id:u-2", "user_id:u-3")):
        at = made.clock()
        entry = Entry(made.id_of(ref), "complaint_follow_up", 7.4 - number, "voice", "call_back", reasons, at, at)
        made.queues.put(entry)
    return made


@pytest.fixture(scope="module")
def url(rig: Rig) -> Iterator[str]:
    with serving(rig.app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("no chromium on PATH; Debian has it in the package chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, base_url=url, locale="en-GB", timezone_id="UTC")
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    context.close()
    assert troubles == []


def sign_in(page: Page, place: str = "/desk") -> None:
    page.goto(place)
    page.get_by_label("API key").fill(AGENT)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.wait_for_load_state("load")  # keys pressed before the script is there go nowhere


def keep(page: Page, name: str) -> None:
    if os.environ.get("RAPPORT_SCREENSHOTS") == "1":
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(IMAGES / name))


def test_a_call_from_screen_pop_to_outcome(page: Page, rig: Rig) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sign_in(page, "/desk#phone=%2B4915112345678")
    expect(page.get_by_role("heading", name="Ann Example")).to_be_visible()
    assert not any("4915112345678" in url.partition("#")[0] for url in asked)
    expect(page.locator(".action")).to_have_count(5)
    page.keyboard.press("r")
    page.keyboard.type("billing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Ranked again.")
    page.keyboard.press("2")
    chosen = page.locator(".action.chosen")
    expect(chosen.locator("kbd").first).to_have_text("2")
    page.keyboard.press("p")
    expect(chosen.locator(".outcome")).to_have_text("Presented")
    page.keyboard.press("a")
    expect(chosen.locator(".outcome")).to_have_text("Accepted")
    expect(page.locator(".timeline").get_by_text(re.compile("^Accepted: "))).to_be_visible()
    keep(page, "desk.png")
    page.keyboard.press("3")
    page.keyboard.press("s")
    expect(page.get_by_role("status")).to_contain_text("Skipped")
    page.keyboard.press("1")
    page.keyboard.press("d")
    expect(page.get_by_role("status")).to_contain_text("Declined")
    said = [(e.name, e.properties["action_id"]) for e in rig.events() if e.kind == "outcome"]
    assert [name for name, _ in said[-5:]] == ["presented", "accepted", "skipped", "presented", "declined"]
    decided = [e for e in rig.events() if e.kind == "decision"]
    assert len(decided) == 2


def test_everything_held_back_says_why(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    summary = page.locator(".blocked summary")
    expect(summary).to_contain_text("held back")
    expect(page.locator(".blocked li").first).to_be_hidden()
    summary.click()
    expect(page.locator(".blocked li").first).to_be_visible()


def test_somebody_new_still_gets_actions(page: Page) -> None:
    sign_in(page)
    expect(page.get_by_role("heading", name="Nobody on the line")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("somebody@new.example")
    expect(page.get_by_label("Kind of identifier")).to_have_value("email")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Somebody new")).to_be_visible()
    expect(page.locator(".action").nth(2)).to_be_visible()


def test_what_cannot_be_read_is_said(page: Page) -> None:
    sign_in(page)
    page.get_by_label("Kind of identifier").select_option("phone")
    page.get_by_label("Identifier", exact=True).fill("12")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("E.164")


def test_an_outcome_that_was_not_recorded_is_taken_back(page: Page, rig: Rig) -> None:
    sign_in(page, "/desk#user_id=u-1")
    expect(page.locator(".action")).to_have_count(5)
    rig.log.problem = "the broker does not answer"
    page.keyboard.press("p")
    expect(page.get_by_role("status")).to_contain_text("Not recorded")
    expect(page.locator(".action.chosen .outcome")).to_be_hidden()
    rig.log.problem = ""


def test_the_permalink_shows_known_used_masked_and_blocked(page: Page) -> None:
    sign_in(page, "/desk#user_id=u-1")
    page.get_by_role("link", name="permalink").click()
    for heading in ("Answered", "Known", "Used", "Masked", "Blocked"):
        expect(page.get_by_role("heading", name=re.compile(f"^{heading}"))).to_be_visible()
    expect(page.get_by_text("unresolved_issues", exact=True)).to_be_visible()
    keep(page, "decision.png")


def test_the_console_shows_what_serves_and_who_waits(page: Page) -> None:
    sign_in(page, "/console")
    expect(page.get_by_role("heading", name="Serving now")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("complaint_follow_up"))).to_contain_text("3")
    keep(page, "console.png")


def test_the_console_draws_what_became_of_the_decisions(page: Page) -> None:
    sign_in(page, "/console")
    watch = page.locator("#watch")
    expect(watch.get_by_role("img", name=re.compile("Expected and observed response"))).to_be_visible()
    expect(watch.get_by_role("img", name=re.compile("explored decisions"))).to_be_visible()
    expect(watch.get_by_role("row", name=re.compile("known_days"))).to_contain_text("shifted")
    watch.get_by_text("Every window in figures").click()
    expect(watch.get_by_role("columnheader", name="Observed").first).to_be_visible()
    watch.get_by_text("Every window in figures").click()
    if os.environ.get("RAPPORT_SCREENSHOTS") == "1":
        watch.screenshot(path=str(IMAGES / "watch.png"))


def test_a_wrong_key_stays_outside(page: Page) -> None:
    page.goto("/desk")
    page.get_by_label("API key").fill("rk_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("no valid API key")


def test_signing_out_ends_it(page: Page) -> None:
    sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
