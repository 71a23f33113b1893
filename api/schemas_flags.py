"""The bodies of the OpenFeature Remote Evaluation Protocol (OFREP 0.3.0) as frozen structs. Knows nothing of what
stands behind a flag."""

from typing import Annotated, Any

import msgspec

from api.schemas import RankedAction

Meta = msgspec.Meta
PARSE_ERROR, TARGETING_KEY_MISSING, INVALID_CONTEXT, GENERAL, FLAG_NOT_FOUND = ERROR_CODES = (
    "PARSE_ERROR",
    "TARGETING_KEY_MISSING",
    "INVALID_CONTEXT",
    "GENERAL",
    "FLAG_NOT_FOUND",
)
STATIC, TARGETING_MATCH, SPLIT, DISABLED, UNKNOWN = REASONS = (
    "STATIC",
    "TARGETING_MATCH",
    "SPLIT",
    "DISABLED",
    "UNKNOWN",
)
Code = Annotated[str, Meta(extra_json_schema={"enum": list(ERROR_CODES)})]
Why = Annotated[str, Meta(extra_json_schema={"enum": list(REASONS)})]


class FlagAsk(msgspec.Struct, frozen=True):
    """Who is asked about (`context.targetingKey`) and in which situation (whatever else the context holds)."""

    context: dict[str, Any] | None = None


class NextBest(msgspec.Struct, frozen=True):
    """The value of a placement's flag: the winning action with what an outcome needs, and the whole slate."""

    decision_id: str
    action_id: str
    title: str
    content: str | None
    channel: str
    actions: list[RankedAction]


class Flag(msgspec.Struct, frozen=True):
    """One evaluated flag; without `value` the caller's own default applies."""

    key: str
    reason: Why
    variant: str
    metadata: dict[str, str | float | bool]
    value: Any = msgspec.UNSET


class Flags(msgspec.Struct, frozen=True):
    """Every flag of a bulk evaluation."""

    flags: list[Flag]
    metadata: dict[str, str]


class FlagFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a flag, or all of them, could not be evaluated."""

    errorDetails: str  # noqa: N815 - the wire's name
    errorCode: Code | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the wire's name
    key: str | msgspec.UnsetType = msgspec.UNSET
