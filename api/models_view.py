"""Stored models as clients and the console see them. Knows the store as a protocol and a model card as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from api.deps import World


class ModelShelf(Protocol):
    """What the routes need of a model store."""

    def versions(self) -> Sequence[str]: ...
    def champion(self) -> str | None: ...
    def card(self, version: str) -> Mapping[str, Any]: ...
    def rollback(self) -> str | None: ...


def shelf_of(world: World) -> ModelShelf | None:
    return cast("ModelShelf | None", world.models)


def model_lines(world: World) -> list[dict[str, Any]]:
    return []
