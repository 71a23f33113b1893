"""The bodies about models and API keys, as frozen structs. Knows nothing of routes."""

from typing import Annotated, Any

import msgspec

from api.schemas import Instant, Meta

KeyName = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9][a-z0-9._-]{0,63}$",
        description="a name that is never used twice: up to 64 of a-z, 0-9, `.`, `_` and `-`, a letter or digit first",
    ),
]
Version = Annotated[str, Meta(max_length=64)]


class ModelLine(msgspec.Struct, frozen=True):
    """One stored model."""

    version: str
    created: Instant
    champion: bool
    metrics: dict[str, float]
    counts: dict[str, int]


class Promotion(msgspec.Struct, frozen=True):
    """One line of the history: what began to serve, instead of what, and why."""

    at: Instant
    event: str
    version: str | None
    before: str | None
    why: dict[str, Any]


class ModelList(msgspec.Struct, frozen=True):
    """`serving` is what this process decides with; without a champion the assumed prior rates serve."""

    champion: str | None
    serving: str
    models: list[ModelLine]
    history: list[Promotion]


class ModelCard(msgspec.Struct, frozen=True):
    """A model and its card: data window, metrics, columns with their spec hashes, parameters, what is not proven."""

    version: str
    champion: bool
    card: dict[str, Any]


class Promoted(msgspec.Struct, frozen=True):
    """What the gate found."""

    version: str
    promoted: bool
    code: str
    text: str
    numbers: dict[str, float]


class RolledBack(msgspec.Struct, frozen=True):
    """What serves again; null where no model served before."""

    version: str | None


class KeyAsk(msgspec.Struct, frozen=True):
    """A new API key: its role, the purposes it may read for, and for a write key the source its events carry."""

    name: KeyName
    role: Annotated[str, Meta(max_length=32)]
    purposes: Annotated[list[str], Meta(max_length=64)] = []
    source: Annotated[str, Meta(max_length=100)] = ""


class KeyLine(msgspec.Struct, frozen=True):
    """A key without its secret."""

    name: str
    role: str
    purposes: list[str]
    source: str
    created: Instant
    revoked: Instant | None


class KeyList(msgspec.Struct, frozen=True):
    """Every key this installation has had."""

    keys: list[KeyLine]


class KeyMade(msgspec.Struct, frozen=True):
    """The only time the secret is shown."""

    name: str
    role: str
    secret: str
