"""Records as somebody else would have sealed them."""

from typing import Any

import msgspec

from engine.records import DecisionRecord
from models.seal import sums_of


def resealed(record: DecisionRecord, **changes: Any) -> DecisionRecord:
    changed = msgspec.structs.replace(record, **changes)
    return msgspec.structs.replace(changed, sums=sums_of(changed))
