"""Stored models as clients and the console see them. Knows the store as a protocol and a model card as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from api.answers import iso
from api.deps import World
from api.schemas_models import ModelLine
from models.parity import Parity
from models.watched import Watched


class ModelShelf(Protocol):
    """What the routes need of a model store. An unknown version, and a rollback to nothing, raise a `ModelError`."""

    def cards(self) -> Sequence[Mapping[str, Any]]: ...
    def card(self, version: str) -> Mapping[str, Any]: ...
    def champion(self) -> str | None: ...
    def history(self) -> Sequence[Mapping[str, Any]]: ...
    def rollback(self, at: int) -> str | None: ...
    def parity(self) -> Parity | None: ...
    def watched(self) -> Watched | None: ...


def shelf_of(world: World) -> ModelShelf:
    return cast("ModelShelf", world.models)


def model_lines(shelf: ModelShelf) -> list[ModelLine]:
    """Every stored model in one line, newest first."""
    champion = shelf.champion()
    return [
        ModelLine(
            version=str(card["version"]),
            created=iso(card["created"]),
            champion=card["version"] == champion,
            metrics=dict(card.get("metrics", {})),
            counts=dict(card.get("counts", {})),
        )
        for card in shelf.cards()
    ]
