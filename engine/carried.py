"""The consent an event carries, in the forms consent tools give it: Segment's category preferences, RudderStack's
consent management, Google's Consent Mode. Knows those forms; nothing of who may widen what."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Answers = Iterable[tuple[str, bool]]
# Google's consent types -> our purposes; the other types (functionality, security) are not ours to ask about
CONSENT_MODE: dict[str, tuple[str, ...]] = {
    "ad_storage": ("advertising",),
    "ad_user_data": ("advertising", "sale_or_share"),
    "ad_personalization": ("advertising",),
    "analytics_storage": ("analytics",),
    "personalization_storage": ("personalization",),
}
_MODE = {"granted": True, "denied": False}


def carried_consent(
    context: Mapping[str, Any], categories: Mapping[str, str], modes: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, bool] | None:
    """Purpose answers in `context.consent` or `context.consentManagement`; None where nothing was said. `categories`
    maps a source's consent categories to purposes, `modes` Google's consent types."""
    consent, rudder = context.get("consent"), context.get("consentManagement")
    said: list[tuple[str, bool]] = []
    if isinstance(consent, dict):
        preferences = consent.get("categoryPreferences")
        if preferences is None:
            preferences = consent.get("categoryPreference")
        if isinstance(preferences, dict):
            said += _preferred(preferences, categories)
        said += _mode(consent, CONSENT_MODE if modes is None else modes)
    if said:
        return _strictest(said)
    return _managed(rudder, categories) if isinstance(rudder, dict) else None


def _preferred(preferences: Mapping[str, Any], categories: Mapping[str, str]) -> Answers:
    """An empty object denies every category that is set up; so does leaving one out of a non-empty one."""
    yield from ((purpose, preferences.get(category) is True) for category, purpose in categories.items())
    named = ((name, yes) for name, yes in preferences.items() if yes is not None and name not in categories)
    yield from ((name, yes is True) for name, yes in named)


def _mode(consent: Mapping[str, Any], modes: Mapping[str, tuple[str, ...]]) -> Answers:
    for kind, purposes in modes.items():
        said = consent.get(kind)
        if isinstance(said, str) and said in _MODE:
            yield from ((purpose, _MODE[said]) for purpose in purposes)


def _managed(rudder: Mapping[str, Any], categories: Mapping[str, str]) -> dict[str, bool] | None:
    """Ids are case-sensitive. Where several stand for one purpose, all must be allowed, with the strategy `or` one."""
    said = (("allowedConsentIds", True), ("deniedConsentIds", False))
    answers = [(categories.get(name, name), yes) for field, yes in said for name in _texts(rudder.get(field))]
    if rudder.get("resolutionStrategy") == "or":
        return {purpose: (purpose, True) in answers for purpose, _ in answers} or None
    return _strictest(answers)


def _texts(value: Any) -> Iterator[str]:
    return (one for one in (value if isinstance(value, list) else ()) if isinstance(one, str))


def _strictest(answers: Answers) -> dict[str, bool] | None:
    """One answer per purpose: a yes only where each of its categories says yes."""
    result: dict[str, bool] = {}
    for purpose, yes in answers:
        result[purpose] = result.get(purpose, True) and yes
    return result or None
