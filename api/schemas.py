"""The bodies of our HTTP answers and questions as frozen structs: what is decoded from a request and what a client may
rely on in an answer. Knows nothing of routes; `api.documents` turns these into OpenAPI."""

from typing import Annotated, Any

import msgspec

from engine.decision_id import PATTERN
from engine.outcome import KINDS

Meta = msgspec.Meta
_HOURS = "([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
_LIMIT = "[0-9]{1,2}/(1|7|30)d"
# a pattern's description is what `api.reading` answers to a text that does not fit it
Hours = Annotated[
    str,
    Meta(
        pattern=f"^({_HOURS}(,{_HOURS})*)?$",
        description="hours like `21:00-08:00`, in the person's own time zone, or nothing to lift them",
    ),
]
Frequency = Annotated[
    str,
    Meta(
        pattern=f"^({_LIMIT}(,{_LIMIT})*)?$",
        description="contacts per 1, 7 or 30 days like `2/7d`, or nothing to lift it",
    ),
]
Jurisdiction = Annotated[
    str,
    Meta(
        pattern="^(GDPR|US|US-[A-Z]{2}|strict)$",
        description="`GDPR`, `US`, one of its states like `US-CA`, or `strict`",
    ),
]
Language = Annotated[
    str,
    Meta(
        pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length=35,
        description="a language tag like `de` or `pt-BR`",
    ),
]
Reference = Annotated[
    str,
    Meta(min_length=3, max_length=512, description="`type:value`, for example `user_id:u-1`", examples=["user_id:u-1"]),
]
DecisionId = Annotated[str, Meta(pattern=PATTERN, description="`<profile_id>.<ulid>`")]
ProfileId = Annotated[str, Meta(pattern="^[a-z2-7]{16}$")]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Short = Annotated[str, Meta(min_length=1, max_length=128)]
Note = Annotated[str, Meta(max_length=500)]
OutcomeKind = Annotated[str, Meta(max_length=32, extra_json_schema={"enum": list(KINDS)})]


class DecisionAsk(msgspec.Struct, frozen=True):
    """Who, where, in which situation and how many actions at most."""

    profile: Reference
    placement: Short
    context: dict[str, Any] | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] | None = None


class DecidedFor(msgspec.Struct, frozen=True):
    """The profile and its version at the moment of the decision."""

    profile_id: ProfileId
    version: str


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an action stands where it stands."""

    code: str
    text: str
    feature: str | None = None
    contribution: float | None = None


class RankedAction(msgspec.Struct, frozen=True):
    """One position of the slate; `content` is null where the reader may not see what it was filled with. `score` is
    `probability` x `value` x `weight` (of the context) x `lever` (of the business)."""

    action_id: str
    rank: Annotated[int, Meta(ge=1)]
    title: str
    content: str | None
    channel: str
    probability: Annotated[float, Meta(ge=0, le=1)]
    value: float
    weight: Annotated[float, Meta(ge=0)]
    lever: Annotated[float, Meta(ge=0)]
    score: float
    propensity: Annotated[float, Meta(ge=0, le=1)]
    reasons: list[Reason]


class BlockedAction(msgspec.Struct, frozen=True):
    """An action that was no candidate, and the rule that held it back."""

    action_id: str
    rule: str
    detail: str


class ConsentUsed(msgspec.Struct, frozen=True):
    """The consent a decision rested on."""

    version: int
    hash: str
    purposes_used: list[str]
    features_masked: list[str]


class DecisionAnswer(msgspec.Struct, frozen=True):
    """A decision as the caller gets it."""

    decision_id: DecisionId
    profile: DecidedFor
    actions: list[RankedAction]
    blocked: list[BlockedAction]
    consent: ConsentUsed
    model: str
    catalogue: str
    policy: dict[str, Any]
    explored: bool


class RowError(msgspec.Struct, frozen=True):
    """Why a row was not answered."""

    code: str
    message: str


class BulkLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a bulk answer: the row's number, and either its decision or an `error`."""

    row: Annotated[int, Meta(ge=1)]
    error: RowError | msgspec.UnsetType = msgspec.UNSET
    decision_id: DecisionId | msgspec.UnsetType = msgspec.UNSET
    profile: DecidedFor | msgspec.UnsetType = msgspec.UNSET
    actions: list[RankedAction] | msgspec.UnsetType = msgspec.UNSET
    blocked: list[BlockedAction] | msgspec.UnsetType = msgspec.UNSET
    consent: ConsentUsed | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    catalogue: str | msgspec.UnsetType = msgspec.UNSET
    policy: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    explored: bool | msgspec.UnsetType = msgspec.UNSET


class Scored(msgspec.Struct, frozen=True):
    """One candidate as it entered arbitration."""

    action_id: str
    probability: float
    value: float
    weight: float
    lever: float
    explorable: bool
    group: str


class DecisionInputs(msgspec.Struct, frozen=True):
    """What a decision was made from, as far as the reader's purposes and the person's consent reach today; `segment` is
    empty where service is closed."""

    at: Instant
    placement: str
    context: dict[str, Any]
    segment: str
    seed: str
    spec_hash: str
    known: dict[str, Any]
    used: dict[str, float]
    withheld: list[str]
    candidates: list[Scored]
    versions: dict[str, str]


class RecordedDecision(DecisionAnswer, frozen=True, kw_only=True):
    """A past decision: the answer of its day and its inputs."""

    record: DecisionInputs


class OutcomeReport(msgspec.Struct, frozen=True):
    """What became of a decision. `by` and `reason` say who and why; `reason` belongs to `skipped`."""

    decision_id: Annotated[str, Meta(min_length=1, max_length=64)]
    action_id: Short
    outcome: OutcomeKind
    value: Annotated[float, Meta(ge=-1e12, le=1e12)] | None = None
    at: Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})] | None = None
    by: Annotated[str, Meta(max_length=128)] | None = None
    reason: Note | None = None


class OutcomeReports(msgspec.Struct, frozen=True):
    """Up to 500 outcomes at once; each stands or falls alone."""

    outcomes: Annotated[list[OutcomeReport], Meta(min_length=1, max_length=500)]


class ItemError(msgspec.Struct, frozen=True):
    """One item of a list that was not accepted."""

    index: int
    code: str
    message: str


class OutcomesTaken(msgspec.Struct, frozen=True):
    """How many outcomes were accepted and which were not."""

    accepted: int
    rejected: list[ItemError]
