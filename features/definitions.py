"""Feast's objects, generated from the stored views of the feature table. Knows nothing of where the stores are: the
place of the offline tables is told to it. Importing it takes seconds: never from a process that serves or streams."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.types import Float32
from feast.value_type import ValueType

from features.views import SERVICE, TIMESTAMP, VIEWS, View

_MEANING = {
    "profile_id": "the person, by the id of its strongest identifier",
    "action_id": "an action of the catalogue",
    "segment": "the segment a decision was made for",
}


class Definitions(msgspec.Struct, frozen=True):
    """Everything `feast apply` would find in a repository of files."""

    entities: tuple[Entity, ...]
    sources: tuple[PushSource, ...]
    views: tuple[FeatureView, ...]
    service: FeatureService


def _source(view: View, path: Path) -> PushSource:
    # the timestamp is the time a change was applied: by its own time, a late event would leak into earlier answers
    table = FileSource(
        name=f"{view.name}_offline",
        path=str(path),
        file_format=DeltaFormat(),
        timestamp_field=TIMESTAMP,
    )
    return PushSource(name=view.push_source, batch_source=table)


def _view(view: View, entities: list[Entity], source: PushSource) -> FeatureView:
    fields = [Field(name=c.name, dtype=Float32, description=c.meaning, tags=c.tags) for c in view.columns]
    return FeatureView(name=view.name, entities=entities, ttl=timedelta(0), schema=fields, online=True, source=source)


def definitions(offline: Mapping[str, Path]) -> Definitions:
    """Entities, push sources, views and the service; `offline` places each view's Delta table, by the view's name."""
    entities = {
        key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING, description=_MEANING[key])
        for view in VIEWS
        for key in view.join_keys
    }
    sources = {view.name: _source(view, offline[view.name]) for view in VIEWS}
    views = [_view(view, [entities[key] for key in view.join_keys], sources[view.name]) for view in VIEWS]
    service = FeatureService(
        name=SERVICE, features=[*views], description="What a next-best-action model sees of a person"
    )
    return Definitions(tuple(entities.values()), tuple(sources.values()), tuple(views), service)
