"""Measures parity over this installation's archive: folds the people of a sample of decisions again up to the recorded
positions and counts, feature by feature, what comes out different. Judges nothing; publishes what it found."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from engine.profile import Fragment
from engine.records import DecisionRecord, Position
from engine.step import Rules, advance
from infra.archive_parity import Story, sampled_decisions, stories
from infra.config import load
from infra.model_store import ModelStore
from infra.replaying import open_past
from infra.settings import Settings
from models.parity import Parity, Tally, members_of, refolded_rows
from models.replay import NotReplayable, Past

AT_ONCE = 200
Progress = Callable[[int, int], None]
NOT_ARCHIVED = "its positions are not in the archive (not archived yet, or erased)"


class Sample(msgspec.Struct, frozen=True):
    """Which decisions are looked at: so many, made at or after `since` (ms), drawn with `seed`."""

    count: int = 1000
    since: int = 0
    seed: str = ""


USUAL = Sample()


def measure(
    settings: Settings, now: int, sample: Sample = USUAL, progress: Progress = lambda _done, _of: None
) -> Parity:
    """Measure and publish. People are folded a few hundred decisions at a time, so memory stays bounded."""
    records = sampled_decisions(settings.archive, sample.count, sample.seed, sample.since)
    rules = Rules(identity=load(settings.config_dir).identity)
    past, tally = open_past(settings), Tally()
    for start in range(0, len(records), AT_ONCE):
        part = records[start : start + AT_ONCE]
        homes = sorted({member for record in part for member in members_of(record)})
        compare_all(part, dict(stories(settings.archive, homes)), (rules, past), tally)
        progress(min(start + AT_ONCE, len(records)), len(records))
    found = tally.found(now)
    ModelStore(settings.models_dir).keep_parity(found)
    return found


def compare_all(
    records: Iterable[DecisionRecord], told: Mapping[str, Story], terms: tuple[Rules, Past], tally: Tally
) -> None:
    """Fold and compare each record; those that cannot be refolded are counted by reason."""
    rules, past = terms
    for record in records:
        places = list(_places(record, told))
        if len(places) != len(record.positions):
            tally.leave_out(NOT_ARCHIVED)
            continue
        fragments = [_folded(home, told[home], position, rules) for home, position in places]
        try:
            tally.compare(record, refolded_rows(record, fragments, past))
        except (NotReplayable, KeyError) as error:
            tally.leave_out(str(error))


def _places(record: DecisionRecord, told: Mapping[str, Story]) -> Iterator[tuple[str, Position]]:
    """Whose fragment each position was: positions run in the order of the members that had one."""
    waiting = list(record.positions)
    for home in members_of(record):
        if waiting and any(position == waiting[0] for position, _ in told.get(home, ())):
            yield home, waiting.pop(0)


def _folded(home: str, story: Story, until: Position, rules: Rules) -> Fragment:
    fragment = Fragment(home)
    for position, event in story:
        if position > until:
            break
        fragment = advance(fragment, event, rules).fragment
    return fragment
