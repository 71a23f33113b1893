"""What of the feature table is stored, and under which names: the profile view and the cross-profile view. Context,
action and pair columns come to be with a request and are never stored. Knows nothing of Feast or Redis."""

import msgspec

from features.spec import BY_VIEW

PROJECT = "rapport"
SERVICE = "next_best_action"
# of stored rows: the time a change was applied
TIMESTAMP = "event_timestamp"
IMPRESSIONS, ACCEPTED = "cross_impressions", "cross_accepted"


class StoredColumn(msgspec.Struct, frozen=True):
    """One float32 column as stored; null where its purpose is closed."""

    name: str
    meaning: str
    tags: dict[str, str]


class View(msgspec.Struct, frozen=True):
    """One stored view: rows of `columns` (float32) keyed by string join keys in the order given here."""

    name: str
    join_keys: tuple[str, ...]
    columns: tuple[StoredColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def push_source(self) -> str:
        return f"{self.name}_push"


def _of_spec(view: str) -> tuple[StoredColumn, ...]:
    return tuple(
        StoredColumn(f.name, f.meaning, {"purpose": f.purpose, "kind": f.kind, "spec": f.spec_hash})
        for f in BY_VIEW[view]
    )


# The rate alone would hide the counts it comes from, and serving smooths with the catalogue of its own moment.
_COUNTED = StoredColumn(ACCEPTED, "how often the action was accepted in this segment", {"purpose": "service"})

PROFILE = View("profile", ("profile_id",), _of_spec("profile"))
CROSS = View("cross", ("action_id", "segment"), (*_of_spec("cross"), _COUNTED))
VIEWS: tuple[View, ...] = (PROFILE, CROSS)
