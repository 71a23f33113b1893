"""The consent an event carries, in the forms consent tools give it: Segment's category preferences, RudderStack's
consent management, Google's Consent Mode. Knows those forms; nothing of who may widen what."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

Answers = Iterable[tuple[str, bool]]
# Google's consent types -> our purposes; the other types (functionality, security) are not ours to ask about
CONSENT_MODE: dict[str, tuple[str, ...]] = {
    "ad_storage": ("advertising",),
    "ad_user_data": ("advertising", "sale_or_share"),
    "ad_personalization": ("advertising",),
    "analytics_storage": ("analytics",),
    "personalization_storage": ("personalization",),
}


class Forms(msgspec.Struct, frozen=True):
    """How a source's consent is read. `categories` maps its consent categories to purposes; where none is set up its
    names are purposes. `modes` maps Google's consent types. `purposes` are the configured ones, None for any name."""

    categories: dict[str, str] = {}
    modes: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: dict(CONSENT_MODE))
    purposes: frozenset[str] | None = None

    def read(self, name: str, *, yes: bool) -> Answers:
        """What an answer to a category says: a name that nobody set up opens nothing, but its no is one."""
        purpose = self.categories.get(name, name)
        if not (yes and self.categories and name not in self.categories):
            yield purpose, yes


PLAIN = Forms()


def carried_consent(context: Mapping[str, Any], forms: Forms = PLAIN) -> dict[str, bool] | None:
    """Purpose answers in `context.consent` and `context.consentManagement`; None where nothing was said. Where several
    forms speak about one purpose, all must say yes."""
    consent, rudder = context.get("consent"), context.get("consentManagement")
    said: list[tuple[str, bool]] = []
    if isinstance(consent, dict):
        preferences = consent.get("categoryPreferences")
        if preferences is None:
            preferences = consent.get("categoryPreference")
        if isinstance(preferences, dict):
            said += _preferred(preferences, forms)
        said += _mode(consent, forms.modes)
    if isinstance(rudder, dict):
        said += _managed(rudder, forms).items()
    answers = _strictest(said)
    return {p: yes for p, yes in answers.items() if forms.purposes is None or p in forms.purposes} or None


def _preferred(preferences: Mapping[str, Any], forms: Forms) -> Answers:
    """An empty object denies every category that is set up; so does leaving one out of a non-empty one."""
    yield from ((purpose, preferences.get(category) is True) for category, purpose in forms.categories.items())
    for name, yes in preferences.items():
        if yes is not None and name not in forms.categories:
            yield from forms.read(name, yes=yes is True)


def _mode(consent: Mapping[str, Any], modes: Mapping[str, tuple[str, ...]]) -> Answers:
    """A purpose is denied where one of its types is, and granted where all of them are; types that are left out keep
    what they were."""
    if consent.keys().isdisjoint(modes):
        return
    for purpose in dict.fromkeys(purpose for purposes in modes.values() for purpose in purposes):
        said = [consent.get(kind) for kind, purposes in modes.items() if purpose in purposes]
        if "denied" in said:
            yield purpose, False
        elif all(one == "granted" for one in said):
            yield purpose, True


def _managed(rudder: Mapping[str, Any], forms: Forms) -> dict[str, bool]:
    """Ids are case-sensitive; one that is allowed and denied is denied. Where several stand for one purpose, all must
    be allowed, with the strategy `or` one; while one of them is neither, nothing is said."""
    denied = dict.fromkeys(_texts(rudder.get("deniedConsentIds")))
    allowed = [name for name in _texts(rudder.get("allowedConsentIds")) if name not in denied]
    named = [*((name, True) for name in allowed), *((name, False) for name in denied)]
    answers = dict.fromkeys(answer for name, yes in named for answer in forms.read(name, yes=yes))
    if rudder.get("resolutionStrategy") == "or":
        return {purpose: (purpose, True) in answers for purpose, _ in answers}
    spoken = {*allowed, *denied}
    silent = {purpose for name, purpose in forms.categories.items() if name not in spoken}
    return {purpose: yes for purpose, yes in _strictest(answers).items() if not (yes and purpose in silent)}


def _texts(value: Any) -> Iterator[str]:
    return (one for one in (value if isinstance(value, list) else ()) if isinstance(one, str))


def _strictest(answers: Answers) -> dict[str, bool]:
    """One answer per purpose: a yes only where each of its categories says yes."""
    result: dict[str, bool] = {}
    for purpose, yes in answers:
        result[purpose] = result.get(purpose, True) and yes
    return result
