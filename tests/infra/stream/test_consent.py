"""What events say about consent: repeating is no statement, a no reaches the person, only an explicit yes opens."""

import msgspec
import pytest
from sqlalchemy import update

from engine.consent import DENIED, GRANTED, Purpose, Purposes, Statement, resolve
from engine.events import CONSENT_CHANGED
from engine.ports import ConsentChange
from engine.stop_messages import STOP_MARK, StopRules, stop_of, stop_told, stopped
from infra.ledger_store_consent import ROWS
from tests.infra.stream.bed import START, Bed, event, id_of, record

POLICY = Purposes({"marketing": Purpose("marketing"), "analytics": Purpose("analytics")})
ANN, COOKIE = id_of("user_id", "ann"), id_of("anonymous_id", "cookie")
MINUTE = 60_000


async def linked(bed: Bed) -> None:
    """ann and her cookie are one person."""
    await bed.partition().take(0, record(event("identify", anonymousId="cookie")))
    await bed.relation().take(0, await bed.link_record())
    assert (await bed.view()).members == (ANN, COOKIE)


async def statuses(bed: Bed, identity: str = ANN) -> dict[str, str]:
    view = await bed.people.person(identity)
    return {name: answer.status for name, answer in resolve(view.held, POLICY).answers.items()}


async def under(bed: Bed, identity: str, purpose: str = "marketing") -> tuple[Statement, ...]:
    held = await bed.consents.held([identity])
    return held[identity].statements.get(purpose, ()) if identity in held else ()


async def test_a_no_that_an_event_carries_reaches_every_member(bed: Bed) -> None:
    await linked(bed)
    await bed.partition().take(1, record(event(minute=1, consent={"marketing": False})))
    assert [s.status for s in await under(bed, ANN)] == [DENIED]
    assert [(s.status, s.at, s.explicit) for s in await under(bed, COOKIE)] == [(DENIED, START + MINUTE, True)]
    assert await statuses(bed) == {"marketing": "denied", "analytics": "not_asked"}


async def test_a_yes_that_an_event_carries_opens_nothing(bed: Bed) -> None:
    await bed.partition().take(0, record(event(consent={"marketing": True})))
    assert await under(bed, ANN) == ()
    assert (await statuses(bed))["marketing"] == "not_asked"


async def test_repeating_a_no_says_nothing(bed: Bed) -> None:
    """A cookie on every page must not undo what the person agreed to since."""
    await linked(bed)
    partition = bed.partition()
    await partition.take(1, record(event(minute=1, consent={"marketing": False})))
    yes = Statement(GRANTED, START + 2 * MINUTE, "preference page", True, (ANN, COOKIE))
    await bed.consents.write({ANN: ConsentChange({"marketing": yes})})
    cookie = record(event(minute=3, consent={"marketing": False}))
    await partition.take(2, cookie)
    assert (await statuses(bed))["marketing"] == "granted"
    await bed.partition().take(2, cookie)
    assert (await statuses(bed))["marketing"] == "granted"


async def test_only_what_is_new_reaches_the_members(bed: Bed) -> None:
    await linked(bed)
    partition = bed.partition()
    await partition.take(1, record(event(minute=1, consent={"analytics": False})))
    yes = Statement(GRANTED, START + 2 * MINUTE, "preference page", True, (ANN, COOKIE))
    await bed.consents.write({ANN: ConsentChange({"analytics": yes})})
    await partition.take(2, record(event(minute=3, consent={"analytics": False, "marketing": False})))
    assert await statuses(bed) == {"analytics": "granted", "marketing": "denied"}


async def test_a_no_after_a_carried_yes_is_news(bed: Bed) -> None:
    partition = bed.partition()
    for offset, said in enumerate([False, True, False]):
        await partition.take(offset, record(event(minute=offset, consent={"marketing": said})))
    assert [s.at for s in await under(bed, ANN)] == [START + 2 * MINUTE]


async def test_a_late_no_does_not_make_the_last_one_older(bed: Bed) -> None:
    partition = bed.partition()
    for offset, (minute, said) in enumerate([(5, False), (6, True), (1, False)]):
        await partition.take(offset, record(event(minute=minute, consent={"marketing": said})))
    assert [s.at for s in await under(bed, ANN)] == [START + 5 * MINUTE]


async def test_two_identifiers_of_a_person_narrow_in_one_record(bed: Bed) -> None:
    await linked(bed)
    mine = event(minute=1, consent={"marketing": False})
    cookies = event(minute=1, userId=None, anonymousId="cookie", messageId="c", consent={"analytics": False})
    await bed.partition().take(1, record(mine, cookies))
    for identity in (ANN, COOKIE):
        assert [s.status for s in await under(bed, identity, "marketing")] == [DENIED]
        assert [s.status for s in await under(bed, identity, "analytics")] == [DENIED]


async def test_an_explicit_change_widens_for_the_whole_person(bed: Bed) -> None:
    await linked(bed)
    partition = bed.partition()
    await partition.take(1, record(event(minute=1, consent={"marketing": False})))
    await partition.take(2, record(event(minute=2, event=CONSENT_CHANGED, consent={"marketing": True})))
    assert [s.status for s in await under(bed, COOKIE)] == [DENIED]
    assert (await statuses(bed))["marketing"] == "granted"


async def test_a_browser_that_opts_out_again_after_a_yes_is_heard(bed: Bed) -> None:
    partition = bed.partition()

    def page(minute: int) -> bytes:
        return record(msgspec.structs.replace(event(minute=minute), browser=("marketing",)))

    await partition.take(0, page(1))
    yes = event(minute=2, event=CONSENT_CHANGED, consent={"marketing": True})
    await partition.take(1, record(msgspec.structs.replace(yes, explicit=True)))
    assert (await statuses(bed))["marketing"] == "granted"
    await partition.take(2, page(3))
    assert (await statuses(bed))["marketing"] == "denied"
    rows = len(await bed.consents.history([ANN]))
    await partition.take(3, page(4))
    assert len(await bed.consents.history([ANN])) == rows


async def test_a_browser_that_opts_out_again_is_heard_under_every_id_the_yes_covered(bed: Bed) -> None:
    await linked(bed)
    partition = bed.partition()

    def page(minute: int) -> bytes:
        seen = event("page", userId=None, anonymousId="cookie", minute=minute)
        return record(msgspec.structs.replace(seen, browser=("marketing",)))

    await partition.take(1, page(1))
    assert (await statuses(bed))["marketing"] == "denied"
    yes = event(minute=2, event=CONSENT_CHANGED, consent={"marketing": True})
    await partition.take(2, record(msgspec.structs.replace(yes, explicit=True)))
    assert (await statuses(bed))["marketing"] == "granted"
    await partition.take(3, page(3))
    assert (await statuses(bed))["marketing"] == "denied"


async def test_at_the_same_moment_the_no_stands(bed: Bed) -> None:
    yes = event(event=CONSENT_CHANGED, messageId="yes", consent={"marketing": True})
    no = event(event=CONSENT_CHANGED, messageId="no", consent={"marketing": False})
    partition = bed.partition()
    await partition.take(0, record(no, yes))
    assert (await statuses(bed))["marketing"] == "denied"
    await partition.take(
        1, record(event(user="bob", event=CONSENT_CHANGED, messageId="1", consent={"marketing": True}))
    )
    await partition.take(
        2, record(event(user="bob", event=CONSENT_CHANGED, messageId="2", consent={"marketing": False}))
    )
    assert (await statuses(bed, id_of("user_id", "bob")))["marketing"] == "denied"


async def test_a_narrowing_that_died_with_its_worker_is_done_by_the_next(bed: Bed) -> None:
    """The record is applied, its worker dies before the other members hold the no, and the log is lost with it."""
    await bed.partition().take(0, record(event("identify", anonymousId="cookie")))
    await bed.partition().take(1, record(event(minute=1, consent={"marketing": False})))
    assert await under(bed, COOKIE) == ()
    await bed.relation().take(0, await bed.link_record())
    await bed.partition(2).take(0, record(event(minute=2)))
    assert [s.status for s in await under(bed, COOKIE)] == [DENIED]


async def test_what_was_refused_before_a_link_stays_refused_after_it_is_undone(bed: Bed) -> None:
    """ann says no, is linked with her cookie, and is parted from it again: the cookie is not asked anew."""
    partition, relation = bed.partition(), bed.relation()
    await partition.take(0, record(event(consent={"marketing": False})))
    assert await under(bed, COOKIE) == ()
    await partition.take(1, record(event("identify", minute=1, anonymousId="cookie")))
    await relation.take(0, await bed.link_record())
    assert [s.status for s in await under(bed, COOKIE)] == [DENIED]
    named = [{"type": "user_id", "id": "ann"}, {"type": "anonymous_id", "id": "cookie"}]
    parted = event(minute=2, userId=None, context={"externalIds": named}, messageId="parted")
    parted = msgspec.structs.replace(parted, kind="unlink", name="unlink", properties={"reason": "not her"})
    await partition.take(2, record(parted))
    await relation.take(1, await bed.link_record())
    assert (await bed.people.person(COOKIE)).members == (COOKIE,)
    assert (await statuses(bed, COOKIE))["marketing"] == "denied"


async def test_an_event_writes_one_row_per_identifier_however_often_it_comes(bed: Bed) -> None:
    await linked(bed)
    said = record(event(minute=1, messageId="m1", consent={"marketing": False, "analytics": False}))
    await bed.partition().take(1, said)
    rows = await bed.consents.history([ANN, COOKIE])
    assert [(row.subject, row.who, row.how, row.evidence["event"]) for row in rows] == [
        (ANN, "web", "event", "m1"),
        (COOKIE, "web", "event", "m1"),
    ]
    await bed.partition().take(1, said)
    repeated = record(event(minute=3, messageId="m2", consent={"marketing": False}))
    await bed.partition().take(2, repeated)
    assert await bed.consents.history([ANN, COOKIE]) == rows
    assert bed.ledger.verify().broken is None


async def test_a_stop_and_the_refusal_in_the_same_event_both_stay(bed: Bed) -> None:
    """The door writes the stop, the stream the refusal: neither may pass for the other's row."""
    text = {"channel": "sms", STOP_MARK: True}
    said = event(minute=1, consent={"marketing": False}, event="SMS Received", properties=text, messageId="m1")
    stop = stop_of(said, StopRules())
    assert stop is not None
    await bed.consents.write(stopped(stop, await bed.view()), stop_told(said, "GDPR"))
    await bed.partition().take(0, record(said))
    view = await bed.view()
    assert view.held[ANN].preferences == {"sms": {"all": False}}
    assert (await statuses(bed))["marketing"] == "denied"
    rows = await bed.consents.history([ANN])
    assert [(row.how, row.jurisdiction) for row in rows] == [("stop_message", "GDPR"), ("event", "GDPR")]


class Died(Exception):
    """The worker is gone."""


class LostLedger:
    """A ledger that its worker does not live to reach."""

    def __init__(self, bed: Bed) -> None:
        self.held, self.history = bed.consents.held, bed.consents.history

    async def write(self, changes: object, told: object = None) -> None:
        raise Died


async def test_a_no_counts_from_the_moment_its_record_is_applied(bed: Bed) -> None:
    """The worker dies after the script and before the ledger: the no counts already, and the next worker writes it."""
    yes = Statement(GRANTED, START, "preference page", True, (ANN,))
    await bed.consents.write({ANN: ConsentChange({"marketing": yes})})
    dying = bed.partition()
    dying._outside = msgspec.structs.replace(dying._outside, consents=LostLedger(bed))
    with pytest.raises(Died):
        await dying.take(0, record(event(minute=1, consent={"marketing": False})))
    assert (await statuses(bed))["marketing"] == "denied"
    assert len(await bed.consents.history([ANN])) == 1
    await bed.partition().take(1, record(event(minute=2)))
    assert [row.how for row in await bed.consents.history([ANN])] == ["request", "event"]
    assert (await statuses(bed))["marketing"] == "denied"


async def refused_in_anns_browser(bed: Bed) -> bytes:
    """bob's page says no in a browser that is ann's: written under her cookie too, which is not his."""
    await linked(bed)
    bed.notices.clear()
    return record(event("page", user="bob", anonymousId="cookie", minute=5, consent={"marketing": False}))


async def test_who_shares_an_identifier_with_a_no_is_told_of_it(bed: Bed) -> None:
    raw, partition = await refused_in_anns_browser(bed), bed.partition()
    await partition.take(1, raw)
    await partition.settle()
    assert (await statuses(bed))["marketing"] == "denied"
    told = {(await bed.people.person(identity)).profile_id for identity in bed.notices}
    assert told == {ANN, id_of("user_id", "bob")}


async def test_who_is_told_of_a_no_is_told_again_where_the_notice_died(bed: Bed) -> None:
    """The worker dies between script and notice; the next one may have another log, without that record."""
    raw, dying = await refused_in_anns_browser(bed), bed.partition()
    dying._outside = msgspec.structs.replace(dying._outside, consents=LostLedger(bed))
    with pytest.raises(Died):
        await dying.take(1, raw)
    for partition, offset, sent in ((bed.partition(), 1, raw), (bed.partition(2), 0, record(event(minute=6)))):
        bed.notices.clear()
        await partition.take(offset, sent)
        await partition.settle()
        assert COOKIE in bed.notices


async def test_an_explicit_yes_is_not_shown_before_the_ledger_has_it(bed: Bed) -> None:
    dying = bed.partition()
    dying._outside = msgspec.structs.replace(dying._outside, consents=LostLedger(bed))
    with pytest.raises(Died):
        await dying.take(0, record(event(event=CONSENT_CHANGED, consent={"marketing": True})))
    assert (await statuses(bed))["marketing"] == "not_asked"
    await bed.partition().take(1, record(event(minute=2)))
    assert (await statuses(bed))["marketing"] == "granted"


async def test_the_law_a_person_said_it_under_is_on_record(bed: Bed) -> None:
    await bed.partition().take(0, record(event("identify", traits={"country": "US"}, consent={"marketing": False})))
    assert [(row.jurisdiction, row.who) for row in await bed.consents.history([ANN])] == [("US", "web")]


async def test_a_batch_that_says_more_than_a_short_list_holds_is_applied(bed: Bed) -> None:
    """A list of 65,536 and more is spelt in another way: a script that cannot spell it would stop the partition."""
    partition, many = bed.partition(), 70_000
    said = {f"p{n}": True for n in range(many)}
    raw = event(event=CONSENT_CHANGED)
    await partition.take(0, record(msgspec.structs.replace(raw, consent=said, explicit=True)))
    assert (await bed.store.watermark(0)).offset == 0
    assert len(await bed.store.heard(0)) == many


async def test_a_damaged_row_does_not_stop_the_partition(bed: Bed) -> None:
    yes = Statement(GRANTED, START, "page", True, (ANN,))
    await bed.consents.write({ANN: ConsentChange({"marketing": yes})})
    with bed.ledger._engine.begin() as connection:
        connection.execute(update(ROWS).values(payload=b"{"))
    await bed.partition().take(0, record(event(minute=1, consent={"marketing": False}), event(user="bob")))
    assert (await statuses(bed))["marketing"] == "denied"
    said = record(event(user="bob", minute=2, messageId="m2", consent={"marketing": False}))
    await bed.partition().take(1, said)
    assert [row.how for row in await bed.consents.history([id_of("user_id", "bob")])] == ["event"]
