"""What signals from outside are worth here: decoded TC and GPP strings and Global Privacy Control as answers for our
purposes, and when one may widen. Knows the stated rules; nothing of strings' forms, of storage or of HTTP."""

from collections.abc import Container, Mapping
from typing import Annotated

import msgspec

from engine.carried import CONSENT_MODE, Forms
from engine.consent import GRANTED, Purposes, expiry
from engine.errors import Rejected
from engine.events import Event
from engine.gpp import US_CALIFORNIA, US_NATIONAL, US_PRIVACY, GppString
from engine.signals import DAY
from engine.statement import Subject
from engine.stop_messages import StopRules
from engine.tcf import TcString


class Needed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The TCF purposes that one of ours needs: every one of `all`, and one of `any` where it names some."""

    all: tuple[int, ...] = ()
    any: tuple[int, ...] = ()

    def holds(self, agreed: Container[int]) -> bool:
        every = [number in agreed for number in self.all]
        one = [number in agreed for number in self.any]
        return False not in every and (not one or True in one) and bool(every or one)


TCF_PURPOSES: dict[str, Needed] = {
    "personalization": Needed(all=(1, 5, 6)),
    "analytics": Needed(any=(8, 9)),
    "advertising": Needed(all=(1, 3, 4)),
}


class TcfRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`vendor_id` is our own number in the global vendor list, 0 where we have none."""

    vendor_id: int = 0
    purposes: dict[str, Needed] = msgspec.field(default_factory=lambda: dict(TCF_PURPOSES))


class LinkRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Links that people get: the address they begin with (empty: the one the request came to), how long they hold,
    and the mailbox beside a one-click link."""

    public_url: str = ""
    unsubscribe_days: int = 365
    opt_in_hours: int = 48
    mailto: str = ""


class SignalRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`opt_out` lists the purposes that Global Privacy Control and a US opt-out refuse; `us_sections` the GPP sections
    that apply; `gpc_since` is the day from which GPC is honoured as stated."""

    tcf: TcfRules = TcfRules()
    opt_out: tuple[str, ...] = ("sale_or_share", "advertising")
    us_sections: tuple[int, ...] = (US_PRIVACY, US_NATIONAL, US_CALIFORNIA)
    gpc_since: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] = "2026-01-01"
    consent_mode: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: dict(CONSENT_MODE))
    stop: StopRules = StopRules()
    links: LinkRules = LinkRules()


def forms_of(categories: Mapping[str, str], rules: SignalRules, policy: Purposes) -> Forms:
    """How a source's events are read: only configured purposes are ever answered for."""
    return Forms(dict(categories), rules.consent_mode, frozenset(policy.purposes))


class Heard(msgspec.Struct, frozen=True):
    """What a string says about our purposes, and when the person last said so (ms; None where it does not tell)."""

    answers: dict[str, bool]
    at: int | None = None


def _of_vendor(found: TcString, vendor: int) -> frozenset[int]:
    """The purposes agreed for one vendor: named, disclosed where the string tells, and not restricted."""
    named = vendor in found.vendors and (found.disclosed is None or vendor in found.disclosed)
    barred = {one.purpose for one in found.restrictions if vendor in one.vendors and not one.leaves_consent}
    return frozenset(found.purposes) - barred if named else frozenset()


def hear_tcf(found: TcString, rules: TcfRules) -> Heard:
    """The purposes of a TC string address vendors. Here a yes counts only from the publisher's segment or for our own
    vendor id; without either a no is still a no, and a yes is none."""
    own: list[Container[int]] = [found.publisher.consents] if found.publisher is not None else []
    own += [_of_vendor(found, rules.vendor_id)] if rules.vendor_id else []
    answers: dict[str, bool] = {}
    for purpose, needed in rules.purposes.items():
        if own:
            answers[purpose] = any(needed.holds(agreed) for agreed in own)
        elif not needed.holds(found.purposes):
            answers[purpose] = False
    return Heard(answers, found.last_updated)


def hear_gpp(found: GppString, rules: SignalRules) -> Heard:
    """An opt-out in any section that applies is a no; not having opted out is no yes. Section 2 is a TC string."""
    eu = hear_tcf(found.eu, rules.tcf) if found.eu is not None else Heard({})
    return with_opt_out(eu, rules) if opted_out(found, rules) else eu


def opted_out(found: GppString, rules: SignalRules) -> bool:
    return any(choices.opted_out for section, choices in found.choices.items() if section in rules.us_sections)


def with_opt_out(heard: Heard, rules: SignalRules) -> Heard:
    """The same with what an opt-out refuses refused."""
    return Heard({**heard.answers, **dict.fromkeys(rules.opt_out, False)}, heard.at)


def refused_by_browser(event: Event, rules: SignalRules) -> Event:
    """An event whose request carried Global Privacy Control: it says no for the person it names. The change event says
    what was chosen under it, so there the no is part of the answer."""
    if event.explicit:
        return msgspec.structs.replace(event, consent={**(event.consent or {}), **dict.fromkeys(rules.opt_out, False)})
    return msgspec.structs.replace(event, browser=rules.opt_out)


def check_time(heard: Heard, at: int) -> None:
    """Raises `Rejected` for a string from the future: it would outlast every withdrawal."""
    if heard.at is not None and heard.at > at + DAY:
        raise Rejected("string_from_the_future", "the string says it was updated in the future; check the tool's clock")


def outdated(heard: Heard, subject: Subject, policy: Purposes, at: int) -> list[str]:
    """The purposes for which the string's yes is no later than something else the person has said, or as old as a yes
    that has expired, so that it may not widen. A string without a time never may."""
    agreed = [purpose for purpose, yes in heard.answers.items() if yes]
    if heard.at is None:
        return agreed
    law, ends = subject.consent.jurisdiction, {p: policy.purposes[p] for p in agreed}
    over = {p for p, one in ends.items() if at >= (expiry(one, heard.at, law, policy) or at + 1)}
    return [p for p in agreed if p in over or not _is_news(heard.at, subject, p, at)]


def _is_news(said: int, subject: Subject, purpose: str, at: int) -> bool:
    """A string from a clock that is ahead of ours tells no order: it is later than no refusal."""
    refused = [s.at for one in subject.held.values() for s in one.statements.get(purpose, ()) if s.status != GRANTED]
    return all(earlier < said <= at for earlier in refused)
