"""What the preference page calls things, in both languages: nothing of the machine's own words is left on it."""

from typing import Any

import httpx
import pytest

from api.preference_page import Said, choices_made
from api.preference_words import LANGUAGES, WORDS, counted
from api.templates import shown
from engine.consent import RESTRICTION, Statement
from engine.ledger import ERASURE, Draft, Head, Row, Saying, appended, proof_of
from engine.ports import ConsentChange, Proof
from engine.signals import REACHED_BY, RESPONSES
from tests.api.seed import ANN, decide, link, seed_history
from tests.api.world import ADMIN, AGENT, NOW, WRITE, Rig

SALT = b"sixteen bytes ..."
SAID = ConsentChange(statements={"marketing": Statement("granted", NOW, "preferences")})


async def page_of(rig: Rig, language: str) -> str:
    where = await link(rig)
    async with rig.client() as client:
        return (await client.get(f"{where}?lang={language}")).text


async def identify(rig: Rig, **traits: Any) -> None:
    async with rig.client() as client:
        event = {"type": "identify", "userId": "u-1", "anonymousId": "a-1", "traits": traits}
        answer = await client.post("/v1/batch", json={"batch": [event]}, auth=(WRITE, ""))
    assert answer.json()["accepted"] == 1


async def test_the_german_page_calls_traits_counters_and_identifiers_by_german_names() -> None:
    rig = Rig()
    await seed_history(rig)
    await identify(rig, vip=True, churned=False)
    page = await page_of(rig, "de")
    for words in (
        "<span>Kundennummer</span> u-1",
        "<span>Besuchernummer</span> a-1",
        "<dt>Vorname</dt><dd>Ann</dd>",
        "<dt>Monatliche Rechnung</dt><dd>39,9</dd>",
        "<dt>Vip</dt><dd>ja</dd>",
        "<dt>Churned</dt><dd>nein</dd>",
        "<dt>Beschwerden</dt><dd>1</dd>",
        "<dt>Kontakte · Anruf</dt><dd>1</dd>",
        "<dt>Wert der Käufe · USD</dt><dd>178,00</dd>",
        "<dt>Käufe · tv</dt><dd>1</dd>",
    ):
        assert words in page
    for foreign in ("Customer number", "Anonymous id", "Revenue", "Contacts", "Complaints", "First name", ">yes<"):
        assert foreign not in page


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "<dt>Address</dt><dd>City: Berlin, Postcode: 10115, Geo: (Lat: 52.5)</dd>"),
        ("de", "<dt>Adresse</dt><dd>Ort: Berlin, Postleitzahl: 10115, Geo: (Lat: 52,5)</dd>"),
    ],
)
async def test_a_trait_of_parts_names_each_part(language: str, expected: str) -> None:
    rig = Rig()
    await identify(
        rig, address={"city": "Berlin", "postalCode": "10115", "geo": {"lat": 52.5}}, tags=["a", {"b": True}]
    )
    page = await page_of(rig, language)
    assert expected in page
    assert f"<dd>a, (B: {'ja' if language == 'de' else 'yes'})</dd>" in page
    assert "&#39;" not in page


def test_people_at_work_read_no_python_either() -> None:
    assert shown({"city": "Berlin", "parts": []}) == "City: Berlin, Parts: –"
    assert [shown(None), shown(True), shown(1234567.5), shown([1, 2])] == ["–", "yes", "1234567.5", "1, 2"]


@pytest.mark.parametrize(("language", "day"), [("en", "21 September 2026"), ("de", "21. September 2026")])
async def test_days_are_written_as_the_language_does(language: str, day: str) -> None:
    rig = Rig()
    await identify(rig, plan="premium")
    async with rig.client(ADMIN) as client:
        tag = (await client.get(f"/v1/profiles/{ANN}/consent")).headers["etag"]
        asked = {"purposes": {"marketing": True}}
        await client.patch(f"/v1/profiles/{ANN}/consent", json=asked, headers={"If-Match": tag})
    page = await page_of(rig, language)
    assert f'<span class="muted">· {day}</span>' in page
    assert f'<span class="muted">{day}, 14:13 UTC</span>' in page
    assert "2026-09" not in page


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Grouped by what it is used for. The oldest of it is from 21 September 2026."),
        ("de", "Geordnet danach, wofür es verwendet wird. Das Älteste davon ist vom 21. September 2026."),
    ],
)
async def test_how_many_events_are_kept_stands_in_one_place_and_no_look_at_the_desk_counts(
    language: str, expected: str
) -> None:
    rig = Rig()
    await identify(rig, plan="premium")
    async with rig.client(AGENT) as client:
        await decide(client)
    page = await page_of(rig, language)
    assert expected in page
    assert f"<dt>{WORDS[language].signals['events']}</dt><dd>1</dd>" in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_counter_and_every_way_has_a_name(language: str) -> None:
    words = WORDS[language]
    assert {f"responses.{one}" for one in RESPONSES if one not in words.signals} == set()
    assert set(REACHED_BY) <= words.names.keys()
    assert counted(words, "accepted@tv") == f"{words.signals['accepted']} · tv"
    assert counted(words, "responses.accepted") == words.signals["accepted"]
    assert counted(words, "contacts.other") == f"{words.signals['contacts']} · {words.names['other']}"


def test_both_languages_have_the_same_words() -> None:
    english, german = WORDS["en"], WORDS["de"]
    for field in ("names", "statuses", "labels", "signals"):
        assert getattr(english, field).keys() == getattr(german, field).keys()
    sentences = [name for name in english.__struct_fields__ if isinstance(getattr(english, name), str)]
    assert [name for name in sentences if not getattr(german, name)] == []
    for words, nothing in ((english, "Nothing was changed."), (german, "Es wurde nichts geändert.")):
        assert words.expired_lead.endswith(nothing)
        assert words.unknown_lead.endswith(nothing)
        assert words.gone_lead.endswith(nothing)


def rows_of(*said: tuple[str, ConsentChange], erased: int = 0) -> list[Proof]:
    """Rows of the ledger under one identifier, an hour apart; the first so many have lost their payload."""
    rows: list[Row] = []
    head = Head()
    for number, (how, change) in enumerate(said):
        told = Saying(NOW + number * 3_600_000, "somebody", how, change)
        row = appended(head, Draft(f"r{number}", "one", told), SALT)
        head = Head(row.seq, row.chain)
        rows.append(row)
    emptied = [Row(r.seq, r.row_id, r.subject, r.payload_hash, r.chain, None, None) for r in rows[:erased]]
    return [proof_of(row) for row in (*emptied, *rows[erased:])]


def test_after_a_deletion_the_history_says_what_was_deleted_and_when() -> None:
    rows = rows_of(("request", SAID), ("request", SAID), (ERASURE, ConsentChange()), erased=2)
    assert choices_made(rows, "en") == [
        Said("21 September 2026, 16:13 UTC", ("What you had chosen before was deleted",))
    ]
    rows = rows_of(("request", SAID), (ERASURE, ConsentChange()), ("preference_page", SAID), erased=1)
    assert [one.lines for one in choices_made(rows, "de")] == [
        ("Werbung für eigene Angebote: Sie stimmen zu",),
        ("Was Sie vorher entschieden hatten, wurde gelöscht",),
    ]


def test_a_restriction_and_its_end_are_lines_of_the_history() -> None:
    on, off = ConsentChange(settings={RESTRICTION: "1"}), ConsentChange(settings={RESTRICTION: ""})
    assert [one.lines for one in choices_made(rows_of(("request", on), ("request", off)), "en")] == [
        ("No longer restricted: your data is used as you have chosen.",),
        ("Restricted: your data is stored and not used.",),
    ]


@pytest.mark.parametrize(("language", "words"), [("en", "Phone call · everything"), ("de", "Anruf · alles")])
async def test_the_unsubscribe_page_names_the_way_as_people_do(language: str, words: str) -> None:
    rig = Rig()
    async with rig.client(ADMIN) as client:
        asked = {"profiles": [ANN], "channel": "voice", "topic": "all"}
        made = (await client.post("/v1/unsubscribe-links", json=asked)).json()["links"][0]["url"]
    async with rig.client() as client:
        answer: httpx.Response = await client.get(made, headers={"Accept-Language": language})
    assert f"<strong>{words}</strong>" in answer.text
