"""The answer of a decision in the words a caller gets: content in the person's language and reasons an agent can read.
Knows nothing of how the slate was drawn."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from engine.catalog import Action, Catalogue
from engine.consent import Visible
from engine.decision import Scored
from features.spec import INDEX
from models.scorer import PRIOR_VERSION

MOST_REASONS = 4
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_GAP = re.compile(r"\s+([,.;:!?])")
_SPACES = re.compile(r"[ \t]{2,}")


class Scene(msgspec.Struct, frozen=True, eq=False):
    """What all positions of a slate share: the request's context, the model's version, the mean probability over the
    candidates and their highest value."""

    context: Mapping[str, Any]
    model: str
    usual: float
    dearest: float


class Shown(msgspec.Struct, frozen=True, eq=False):
    """One position of the slate with what reasons look at; `row` is the action's vector as a list."""

    action: Action
    row: list[float]
    scored: Scored
    explored: bool
    scene: Scene

    @property
    def cold(self) -> bool:
        return self.scene.model == PRIOR_VERSION

    def column(self, name: str) -> float:
        return self.row[INDEX[name]]


class Reason(msgspec.Struct, frozen=True):
    """Why an action is where it is: when it holds, the sentence, and the column whose value it rests on."""

    code: str
    holds: Callable[[Shown], bool]
    text: Callable[[Shown], str]
    feature: str = ""


def _days(days: float) -> str:
    whole = int(days)
    return "today" if whole < 1 else "yesterday" if whole == 1 else f"{whole} days ago"


def _count(number: float, one: str) -> str:
    return f"{int(number)} {one}{'' if int(number) == 1 else 's'}"


def _matching(shown: Shown) -> str:
    named = [key.partition(":")[2] for key in shown.action.weights if applies(key, shown.scene.context)]
    return f"Fits what the contact is about: {', '.join(named)}."


REASONS: tuple[Reason, ...] = (
    Reason("explored", lambda s: s.explored, lambda _: "Shown now and then to learn how it is received."),
    Reason(
        "context_match",
        lambda s: s.scored.weight > 1.0 and any(applies(k, s.scene.context) for k in s.action.weights),
        _matching,
    ),
    Reason(
        "open_issue",
        lambda s: s.column("unresolved_issues") >= 1.0,
        lambda s: f"The customer has {_count(s.column('unresolved_issues'), 'open issue')}.",
        "unresolved_issues",
    ),
    Reason(
        "recent_complaint",
        lambda s: 0.0 <= s.column("complaints_days") <= 30.0,
        lambda s: f"The customer complained {_days(s.column('complaints_days'))}.",
        "complaints_days",
    ),
    Reason(
        "recent_contact",
        lambda s: 0.0 <= s.column("contacts_days") <= 7.0,
        lambda s: f"The customer was in touch with support {_days(s.column('contacts_days'))}.",
        "contacts_days",
    ),
    Reason(
        "accepted_category",
        lambda s: s.column("pair_accepted_30d") >= 0.25,
        lambda s: f"The customer accepted something in {s.action.category} before.",
        "pair_accepted_30d",
    ),
    Reason(
        "likes_category",
        lambda s: s.column("pair_purchases_30d") >= 0.5 or s.column("pair_views_30d") >= 1.0,
        lambda s: f"The customer showed interest in {s.action.category} lately.",
        "pair_purchases_30d",
    ),
    Reason(
        "likely",
        lambda s: not s.cold and s.scored.probability >= 1.5 * s.scene.usual,
        lambda s: (
            f"More likely than usual to be accepted ({s.scored.probability:.0%}, other actions {s.scene.usual:.0%})."
        ),
    ),
    Reason(
        "high_value",
        lambda s: s.scored.value > 0.0 and s.scored.value >= s.scene.dearest,
        lambda _: "Worth the most of all actions when accepted.",
        "action_value",
    ),
    Reason(
        "prior",
        lambda s: s.cold,
        lambda s: f"No model serves yet: an acceptance rate of {s.scored.probability:.0%} is assumed.",
        "action_prior_rate",
    ),
    Reason(
        "best_score",
        lambda s: not s.cold,
        lambda s: f"Probability {s.scored.probability:.0%} and value {s.scored.value:g} together put it here.",
    ),
)


def reasons(shown: Shown) -> list[dict[str, Any]]:
    """At most four reasons, the most telling first; never empty."""
    found: list[dict[str, Any]] = []
    for reason in REASONS:
        if reason.holds(shown):
            said: dict[str, Any] = {"code": reason.code, "text": reason.text(shown)}
            found.append({**said, "feature": reason.feature} if reason.feature else said)
            if len(found) == MOST_REASONS:
                break
    return found


def applies(key: str, context: Mapping[str, Any]) -> bool:
    """Whether a weight's key (`reason:billing`) holds for this context."""
    name, _, wanted = key.partition(":")
    value = context.get(name)
    return value is not None and str(value) == wanted


def holding(keys: Iterable[str], context: Mapping[str, Any]) -> frozenset[str]:
    """The weights' keys that hold for this context; none where it names nothing."""
    return frozenset(key for key in keys if applies(key, context)) if context else frozenset()


def context_weight(action: Action, held: frozenset[str]) -> float:
    """The product of the action's weights whose keys hold; 1 where none does."""
    product = 1.0
    # most actions have no weights, and most contexts make none hold
    for key, factor in action.weights.items() if held else ():
        if key in held:
            product *= factor
    return product


def _languages(settings: Mapping[str, str], context: Mapping[str, Any], catalogue: Catalogue) -> Iterator[str]:
    for wanted in (settings.get("language"), context.get("language"), catalogue.documents.language):
        if isinstance(wanted, str) and wanted:
            yield wanted
            yield wanted.replace("_", "-").partition("-")[0].lower()


def language_order(settings: Mapping[str, str], context: Mapping[str, Any], catalogue: Catalogue) -> tuple[str, ...]:
    """Languages to try, best first: the person's setting, the request's, the catalogue's default."""
    return tuple(dict.fromkeys(_languages(settings, context, catalogue)))


def _template(action: Action, languages: Sequence[str]) -> str:
    found = next((action.content[name] for name in languages if name in action.content), None)
    return next(iter(action.content.values())) if found is None else found


def named_in(action: Action, languages: Sequence[str]) -> frozenset[str]:
    """The traits that the action's text has a place for."""
    return frozenset(_PLACEHOLDER.findall(_template(action, languages)))


def content_of(action: Action, languages: Sequence[str], visible: Visible) -> str:
    """The action's text with visible traits filled in; what is not visible leaves no hole in the sentence."""
    template = _template(action, languages)
    if "{" not in template:
        return template
    text = _PLACEHOLDER.sub(lambda match: _spoken(visible, match[1]), template)
    return _SPACES.sub(" ", _GAP.sub(r"\1", text)).strip()


def _spoken(visible: Visible, name: str) -> str:
    trait = visible.traits.get(name)
    value = None if trait is None else trait.value
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
