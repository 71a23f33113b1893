"""Whether a logged decision may be learnt from: what its person allowed when it was made, and what they refused since.
Knows records and refusals; nothing of where either is kept."""

from collections.abc import Callable, Mapping

from engine.consent import IS_RESTRICTED, RESTRICTION
from engine.records import DecisionRecord

TRAINING = "model_training"
Permit = Callable[[DecisionRecord], str]


def everyone(_record: DecisionRecord) -> str:
    """No objection: for records that no person stands behind."""
    return ""


def permit_of(refused: Mapping[str, frozenset[str]]) -> Permit:
    """Why a decision may not be learnt from, empty where it may. `refused` says which purposes an identifier refuses
    by now: training itself, a purpose whose data the decision was made with, or (`restriction`) any use at all."""

    def permit(record: DecisionRecord) -> str:
        if record.allowed and TRAINING not in record.allowed:
            return "model training not allowed when it was made"
        now = refused.get(record.profile_id, frozenset())
        if RESTRICTION in now:
            return IS_RESTRICTED
        if TRAINING in now:
            return "model training withdrawn since"
        used = record.answer.get("consent", {}).get("purposes_used", ())
        return "a purpose it used was withdrawn since" if now.intersection(used) else ""

    return permit
