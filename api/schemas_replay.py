"""The bodies of a replay: what may be asked beside it and what comes back. Knows nothing of how a decision is made."""

from typing import Annotated, Any, Literal

import msgspec

from api.schemas import DecisionAnswer, Short


class Supposition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input that is supposed to be another. A `trait` or `context` value is any plain value, a `consent` true or
    false, a `signal` a number in a column of the profile."""

    kind: Literal["trait", "context", "consent", "signal"]
    name: Short
    value: Annotated[Any, msgspec.Meta(examples=["technical"])]


class ReplayAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do beside the replay; an empty body only replays."""

    what_if: Supposition | None = None


class ReplayDifference(msgspec.Struct, frozen=True):
    """What is not as it was: inputs altered after the decision, results that come out different, and sentences."""

    inputs: list[str]
    results: list[str]
    details: list[str]


class WhatIfAnswer(msgspec.Struct, frozen=True):
    """What would have been shown under the change, and why; nothing of it is kept."""

    change: Supposition
    before: str
    winner: str
    because: list[str]
    decision: DecisionAnswer


class ReplayAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the decision made again is the recorded one, byte for byte, and the one made again; `decision` is null
    where an altered input leaves nothing to make it from."""

    identical: bool
    decision: DecisionAnswer | None
    difference: ReplayDifference | msgspec.UnsetType = msgspec.UNSET
    what_if: WhatIfAnswer | msgspec.UnsetType = msgspec.UNSET
