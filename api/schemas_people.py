"""The bodies about people: profile, timeline, links, consent and outreach queues, as frozen structs. Knows nothing of
routes or of who may see what."""

from typing import Annotated, Any, Literal

import msgspec

from api.schemas import Frequency, Hours, Instant, Jurisdiction, Language, Meta, Note, ProfileId, Reference

Status = Literal["granted", "not_asked", "expired", "pending", "objected", "withdrawn", "denied"]


class LookupAsk(msgspec.Struct, frozen=True):
    """A reference in the body instead of the path."""

    profile: Reference


class IdentifierSeen(msgspec.Struct, frozen=True):
    """One identifier of a person; `id` is what the system calls it."""

    type: str
    value: str
    id: ProfileId


class PurposeAnswer(msgspec.Struct, frozen=True):
    """A person's answer for one purpose."""

    status: str
    basis: str
    at: Instant | None
    source: str | None


class ProfileConsent(msgspec.Struct, frozen=True):
    """The consent as part of a profile. Where `restricted`, the data is kept and used for none of the purposes, however
    they stand: nothing of it is shown."""

    purposes: dict[str, PurposeAnswer]
    jurisdiction: str
    version: int
    restricted: bool


class TraitOrigin(msgspec.Struct, frozen=True):
    """Which event a trait's value came from (its message id), who sent it, and when it happened. `source` is null where
    the profile was folded before sources were kept."""

    value: Any
    event: str
    source: str | None
    at: Instant


class OpenIssue(msgspec.Struct, frozen=True):
    """An issue that is not resolved yet."""

    issue_id: str
    topic: str
    since: Instant


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A person as far as the caller's purposes and the person's consent reach; `masked` names what was held back, and
    signals by category once for all categories (`signal:views@…`)."""

    profile_id: ProfileId
    version: str
    members: list[str]
    identifiers: list[IdentifierSeen]
    traits: dict[str, Any]
    signals: dict[str, float]
    accounts: dict[str, dict[str, Any]]
    issues: list[OpenIssue]
    consent: ProfileConsent
    purposes: list[str]
    masked: list[str]
    first_seen: Instant | None
    updated_at: Instant | None
    provenance: dict[str, TraitOrigin] | msgspec.UnsetType = msgspec.UNSET


class TimelineEvent(msgspec.Struct, frozen=True):
    """One line of a person's timeline."""

    at: Instant
    id: str
    kind: str
    name: str
    detail: dict[str, Any]


class TimelinePage(msgspec.Struct, frozen=True):
    """Newest first; `next` is the cursor of the following page."""

    events: list[TimelineEvent]
    next: str | None


class LinkAsk(msgspec.Struct, frozen=True):
    """Two references and why they belong together, or do not."""

    left: Reference
    right: Reference
    reason: Note = ""


class LinkAnswer(msgspec.Struct, frozen=True):
    """The profile ids of both sides as they are now; `state` is done, or pending while the index does not show it."""

    left: ProfileId
    right: ProfileId
    state: str


class ConsentAnswer(msgspec.Struct, frozen=True):
    """A person's consent, preferences and settings."""

    purposes: dict[str, PurposeAnswer]
    preferences: dict[str, dict[str, bool]]
    frequency: str | None
    quiet_hours: str | None
    time_zone: str | None
    language: str | None
    jurisdiction: str
    jurisdiction_rule: str
    restricted: bool
    version: int


class ConsentFields(msgspec.Struct, frozen=True):
    """What a change of consent may say besides the purposes themselves. `restricted`: keep the data, do not use it.
    `frequency` is at most so many contacts in 1, 7 or 30 days; `quiet_hours` hold in every zone of the person: those of
    `time_zone`, several of them with commas, else those of the phone numbers."""

    preferences: dict[str, dict[str, bool]] | None = None
    jurisdiction: Jurisdiction | None = None
    restricted: bool | None = None
    frequency: Frequency | None = None
    quiet_hours: Hours | None = None
    time_zone: Annotated[str, Meta(max_length=1024)] | None = None
    language: Language | None = None
    source: Annotated[str, Meta(max_length=128)] | None = None
    text_version: Annotated[str, Meta(max_length=128)] | None = None


class ConsentPatch(ConsentFields, frozen=True, forbid_unknown_fields=True):
    """Answers that change; what is not named stays."""

    purposes: dict[str, bool] | None = None


class StatedAnswer(msgspec.Struct, frozen=True):
    """A purpose as `GET` shows it; only `status` counts."""

    status: Status


class ConsentDocument(ConsentFields, frozen=True, forbid_unknown_fields=True):
    """The whole document, purposes as yes/no or as `GET` shows them. An agreement it does not name is withdrawn.
    `jurisdiction_rule` and `version` may stand as `GET` shows them, and say nothing."""

    purposes: dict[str, bool | StatedAnswer] | None = None
    jurisdiction_rule: str | None = None
    version: int | None = None


class Said(msgspec.Struct, frozen=True):
    """One row of the consent ledger: what was said, by whom, how, and the digest that chains it to the rows before.
    Nothing is left of a row that was erased but its number and digest."""

    seq: int
    at: Instant | None
    who: str
    how: str
    identifier: ProfileId
    jurisdiction: str
    purposes: dict[str, str]
    sources: dict[str, str]
    text_versions: dict[str, str]
    preferences: dict[str, dict[str, bool]]
    settings: dict[str, str]
    evidence: dict[str, str]
    digest: str
    erased: bool


class ConsentHistory(msgspec.Struct, frozen=True):
    """Newest first; `next` is the `before` of the following page."""

    history: list[Said]
    next: int | None


class QueueTask(msgspec.Struct, frozen=True):
    """Somebody to reach out to, and why."""

    task_id: str
    profile_id: str
    queue: str
    priority: float
    channel: str
    action_id: str
    reasons: list[dict[str, Any]]
    due_at: Instant
    lease_until: Instant | None


class QueuePage(msgspec.Struct, frozen=True):
    """A page of an outreach queue, most urgent first. `total` counts the queue, `held_back` what this page left out
    because consent, a cap or quiet hours stand against it right now."""

    queue: str
    title: str
    total: int
    held_back: int
    tasks: list[QueueTask]
    next: int | None
