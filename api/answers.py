"""Engine values as the bodies a client gets: profile, timeline, consent. Every profile passes `reveal` here, for the
purposes of the caller's key; knows nothing of requests."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from api.schemas_people import (
    ConsentAnswer,
    IdentifierSeen,
    OpenIssue,
    ProfileAnswer,
    ProfileConsent,
    PurposeAnswer,
    TimelineEvent,
    TraitOrigin,
)
from engine.consent import Consent, Purposes, Visible, country_of, resolve, reveal
from engine.ports import ApiKey, PersonView
from engine.timeline import Moment
from features.compute import signals_by_name

EVERYTHING = "*"
WITHOUT_PURPOSES = ("service",)


class Seen(msgspec.Struct, frozen=True):
    """A person as one reader may see it: what is visible and the consent it rests on."""

    visible: Visible
    consent: Consent
    view: PersonView


def purposes_of(key: ApiKey, policy: Purposes) -> tuple[str, ...]:
    """What a key may read for. A key that names no purpose reads for service only; an admin's, for all."""
    if EVERYTHING in key.purposes or (key.role == "admin" and not key.purposes):
        return tuple(policy.purposes)
    return key.purposes or WITHOUT_PURPOSES


def look(view: PersonView, key: ApiKey, policy: Purposes, at: int) -> Seen:
    """The person through the gate, for the purposes of the key."""
    profile = view.profile
    consent = resolve(view.held, policy, country_of(profile), at)
    return Seen(reveal(profile, consent, purposes_of(key, policy), policy), consent, view)


def look_back(then: PersonView, today: Sequence[PersonView], key: ApiKey, policy: Purposes, at: int) -> Seen:
    """The person of the past through the gate of `at` (ms). `today` is who they are now, the one asked for first: what
    the law of any of them closes is not shown of then, whatever country they lived in."""
    countries = {country_of(one.profile): None for one in today if one.known} or {None: None}
    consent = _narrowest([resolve(then.held, policy, country, at) for country in countries])
    return Seen(reveal(then.profile, consent, purposes_of(key, policy), policy), consent, then)


def _narrowest(consents: Sequence[Consent]) -> Consent:
    answers = {name: min((c.answers[name] for c in consents), key=lambda a: a.allowed) for name in consents[0].answers}
    return msgspec.structs.replace(consents[0], answers=answers)


def consent_of(view: PersonView, policy: Purposes, at: int | None = None) -> Consent:
    """The person's consent; an id nothing was ever said under has everything at its default."""
    return resolve(view.held, policy, country_of(view.profile) if view.known else None, at)


def iso(at: int) -> str:
    """Milliseconds as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(at: int | None) -> str | None:
    return iso(at) if at else None


def _purposes(consent: Consent) -> dict[str, PurposeAnswer]:
    return {
        name: PurposeAnswer(a.status, a.basis, _moment(a.at), a.source) for name, a in sorted(consent.answers.items())
    }


def _consent(consent: Consent) -> ProfileConsent:
    return ProfileConsent(_purposes(consent), consent.jurisdiction, consent.version, consent.restricted)


def _identifiers(visible: Visible) -> list[IdentifierSeen]:
    return [IdentifierSeen(*visible.identifiers[m], m) for m in visible.members if m in visible.identifiers]


def _issues(visible: Visible) -> Iterator[OpenIssue]:
    for name, issue in sorted(visible.issues.items(), key=lambda item: item[1].at):
        if issue.open:
            yield OpenIssue(name, issue.topic, iso(issue.at))


def _without_category(masked: str) -> str:
    """What somebody looks at is what is held back: a pair signal is named by its family alone."""
    family, at_sign, _ = masked.partition("@")
    return f"{family}@…" if at_sign and masked.startswith("signal:") else masked


def profile_answer(seen: Seen, at: int) -> ProfileAnswer:
    """A profile as `GET /v1/profiles/{ref}` shows it; signals are brought to `at` (ms)."""
    visible = seen.visible
    return ProfileAnswer(
        profile_id=visible.profile_id,
        version=visible.version,
        members=list(visible.members),
        identifiers=_identifiers(visible),
        traits={name: trait.value for name, trait in sorted(visible.traits.items())},
        signals=signals_by_name(visible, at),
        accounts={a: {n: t.value for n, t in traits.items()} for a, traits in sorted(visible.accounts.items())},
        issues=list(_issues(visible)),
        consent=_consent(seen.consent),
        purposes=list(visible.purposes),
        masked=list(dict.fromkeys(map(_without_category, visible.masked))),
        first_seen=_moment(visible.first),
        updated_at=_moment(seen.view.applied),
    )


def with_provenance(answer: ProfileAnswer, visible: Visible) -> ProfileAnswer:
    """The same with the event, source and time each trait came from."""
    origins = {
        n: TraitOrigin(t.value, t.message_id, t.source or None, iso(t.at)) for n, t in sorted(visible.traits.items())
    }
    return msgspec.structs.replace(answer, provenance=origins)


def consent_answer(consent: Consent) -> ConsentAnswer:
    """Consent as `GET …/consent` shows it."""
    settings = consent.settings
    return ConsentAnswer(
        purposes=_purposes(consent),
        preferences={c: dict(sorted(topics.items())) for c, topics in sorted(consent.preferences.items())},
        frequency=settings.get("frequency"),
        quiet_hours=settings.get("quiet_hours"),
        time_zone=settings.get("time_zone"),
        language=settings.get("language"),
        jurisdiction=consent.jurisdiction,
        jurisdiction_rule=consent.rule,
        restricted=consent.restricted,
        version=consent.version,
    )


Place = tuple[int, str, str, str]


def place_of(moment: Moment) -> Place:
    """Where a moment stands in its timeline: what a cursor holds."""
    return moment.at, moment.message_id, moment.kind, moment.name


def timeline_page(
    timeline: Sequence[Moment], before: Place | None, limit: int
) -> tuple[list[TimelineEvent], Place | None]:
    """Up to `limit` lines, newest first, that lie before a place; and the place the next page begins at."""
    newest = sorted((m for m in timeline if before is None or place_of(m) < before), key=place_of, reverse=True)
    page = [TimelineEvent(iso(m.at), m.message_id, m.kind, m.name, m.detail) for m in newest[:limit]]
    return page, place_of(newest[limit - 1]) if len(newest) > limit else None
