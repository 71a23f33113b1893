"""The offline feature tables: the archive folded again from its first event, and a row for everybody an applied record
or a link changed, as far as the person permits by now. The same `advance`, `components`, `merge` and `profile_values`
as online; no rule of its own."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec
import numpy as np

from engine.catalog import Action
from engine.consent import CONTRACT, GRANTED, RESTRICTION, Answer, Consent, Held, Purposes, reveal
from engine.erasure import ERASED, Forgotten, Links, deciding, learn, named_by
from engine.events import Event
from engine.identity import Claim, Edge, components, grouped, pair
from engine.ledger import refusing
from engine.profile import Fragment, merge
from engine.step import Rules, advance
from features.compute import CrossCounts, Row, profile_values
from features.cross import cross_row, summed
from features.views import CROSS, PROFILE
from infra.archive import decode_event, iterate_links, read_events
from infra.archive_features import FeatureTable
from infra.feast_paths import offline_path
from infra.settings import Settings
from models.permission import TRAINING

BLOCK = 10_000
_NO_ROWS = frozenset({TRAINING, RESTRICTION})
Progress = Callable[[int, int], None]


class Terms(msgspec.Struct, frozen=True):
    """On what terms the archive is folded again: the fold's rules, whose purpose each trait is, the catalogue's actions
    by id, the purposes taken as open (None: every configured one), and what each identifier holds by now, as
    `ConsentLedger.everything` gives it."""

    rules: Rules
    policy: Purposes
    actions: Mapping[str, Action] = {}
    purposes: tuple[str, ...] | None = None
    held: Mapping[str, Held] = {}

    @property
    def open_to(self) -> tuple[str, ...]:
        return tuple(self.policy.purposes) if self.purposes is None else self.purposes

    def consent(self, closed: frozenset[str] = frozenset()) -> Consent:
        """As of somebody who agreed to every open purpose but these."""
        answers = {name: Answer(GRANTED, CONTRACT, True) for name in self.open_to if name not in closed}
        return Consent(answers, {}, {}, self.policy.default_jurisdiction, 0)


class Written(msgspec.Struct, frozen=True):
    """How many events were folded, how many rows each table got, and how many people have no row because they refuse
    model training by now or their data is restricted."""

    events: int
    profile_rows: int
    cross_rows: int
    left_out: int = 0


def build_offline(settings: Settings, terms: Terms, progress: Progress) -> Written:
    """Make the offline tables anew from the archive; `progress` is told (events done, events in all).

    A row's `event_timestamp` is the time its change was *applied*: a late event is in no row before it came. An id that
    stops being a profile's own gets a row of nulls.

    Who refuses model training by now, or whose data is restricted, has no rows, not of the past either; an id that was
    shown before it became theirs gets nulls. Values that rest on another purpose the person refuses by now are null in
    all of the person's rows. A person refuses what was refused under any identifier and not replaced by a later yes
    that covers it; where those who were one person then are several by now, what any of them refuses. Every other
    purpose of `terms` is taken as open, as if it had been agreed to: what a decision may be learnt from is asked of its
    own record. Counts over everybody (the cross rows) name nobody and leave nobody out. A view without rows has no
    table.
    """
    events = read_events(settings.archive)
    links = sorted(iterate_links(settings.archive), key=lambda link: link[0])
    refold, done = Refold(terms, Refusals(terms, [claim for _, claim in links])), 0
    with (
        FeatureTable(offline_path(settings.data_dir, PROFILE), PROFILE) as profiles,
        FeatureTable(offline_path(settings.data_dir, CROSS), CROSS) as cross,
    ):
        for at, moment in _moments(events, links):
            for profile_id, row in refold.take(at, moment):
                profiles.add((profile_id,), at, row)
            for key, row in refold.counted():
                cross.add(key, at, row)
            before, done = done, done + len(moment.events)
            if done // BLOCK > before // BLOCK:
                progress(done, events.num_rows)
    progress(done, events.num_rows)
    return Written(done, profiles.rows, cross.rows, len(refold.left_out))


class Moment(msgspec.Struct, frozen=True):
    """Everything applied in the same millisecond."""

    events: tuple[Event, ...]
    claims: tuple[Claim, ...]


def _moments(events: Any, links: Iterable[tuple[int, Claim]]) -> Iterator[tuple[int, Moment]]:
    """Events of all partitions and links in the order they were applied; each partition keeps its own order."""
    both: Iterator[tuple[int, Event | Claim]] = heapq.merge(_by_applied(events), links, key=lambda entry: entry[0])
    for at, entries in groupby(both, key=lambda entry: entry[0]):
        things = [thing for _, thing in entries]
        yield (
            at,
            Moment(tuple(t for t in things if isinstance(t, Event)), tuple(t for t in things if isinstance(t, Claim))),
        )


def _by_applied(rows: Any) -> Iterator[tuple[int, Event]]:
    # a clock set back must not reorder a partition: its times are read as never falling
    applied = rows["applied"].to_numpy().copy()
    partitions = rows["partition"].to_numpy()
    for partition in np.unique(partitions):
        mine = partitions == partition
        applied[mine] = np.maximum.accumulate(applied[mine])
    order = np.argsort(applied, kind="stable")
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        for number, raw in zip(block.tolist(), rows["event"].take(block).to_pylist(), strict=True):
            yield int(applied[number]), decode_event(raw)


class Identities:
    """Who belongs together as links come in; only the groups a claim touches are derived again."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules.identity
        self._group_of: dict[str, str] = {}
        self._edges: dict[str, dict[tuple[str, str], Edge]] = {}
        self._members: dict[str, tuple[str, ...]] = {}
        self._forgotten: dict[str, Forgotten] = {}
        self._near: dict[str, set[str]] = {}

    def members(self, identity: str) -> tuple[str, ...]:
        """The person's ids, strongest first: the first is the profile's."""
        return self._members.get(identity, (identity,))

    def learn(self, claims: Iterable[Claim]) -> tuple[set[str], set[str]]:
        """The ids whose person may have changed, and those that were a profile's own and are no more."""
        touched: set[str] = set()
        before: set[str] = set()
        for group in {group for claim in claims for group in self._join(claim)}:
            # a group joined into another by a later claim of the same moment is gone, and empty here
            persons = components(self._edges.get(group, {}), self._rules)[0]
            together = [member for person in persons for member in person.members]
            touched |= set(together)
            before |= {self.members(member)[0] for member in together}
            self._members |= {member: person.members for person in persons for member in person.members}
        return touched, {old for old in before if self.members(old)[0] != old}

    def _join(self, claim: Claim) -> Iterable[str]:
        """The groups that hold what the claim may have changed."""
        groups, forgotten = self._around(claim)
        edges = {key: edge for group in groups for key, edge in self._edges.pop(group, {}).items()}
        links = learn(Links(edges, forgotten), claim, self._rules)
        for one in links.forgotten.values():
            self._forgotten[one.job] = one
            for identity in named_by(one):
                self._near.setdefault(identity, set()).add(one.job)
        # where no erasure is near, one more claim makes one group of two
        found = grouped(links.edges) if forgotten or links.forgotten else {min(groups): list(links.edges.values())}
        self._edges |= {group: {pair(edge): edge for edge in some} for group, some in found.items()}
        now = {end: group for group, some in found.items() for edge in some for end in pair(edge)}
        # whom an erasure left without a link stands alone again
        for alone in {end for edge in edges for end in edge} - now.keys():
            self._members.pop(alone, None)
            self._group_of.pop(alone, None)
        self._group_of |= now
        return found

    def _around(self, claim: Claim) -> tuple[set[str], dict[str, Forgotten]]:
        """The groups that a claim touches and the erasures near them; and, where whom one of these reaches may change,
        the groups of everybody it was linked to."""
        groups = {self._group_of.get(end, end) for end in pair(claim)}
        forgotten = {claim.reason: self._forgotten[claim.reason]} if self._is_known(claim) else {}
        more = groups
        while more and self._forgotten:
            ids = {*pair(claim), *(end for group in more for key in self._edges.get(group, ()) for end in key)}
            forgotten |= {job: self._forgotten[job] for identity in ids for job in self._near.get(identity, ())}
            more = {self._group_of.get(end, end) for end in deciding(forgotten, (claim,))} - groups
            groups |= more
        return groups, forgotten

    def _is_known(self, claim: Claim) -> bool:
        return claim.verdict == ERASED and claim.reason in self._forgotten


class Refusals:
    """What people refuse by now, each of them for all of the identifiers that are theirs by now."""

    def __init__(self, terms: Terms, claims: Iterable[Claim]) -> None:
        self._persons = Identities(terms.rules)
        self._persons.learn(claims)
        self._refused: dict[str, frozenset[str]] = {}
        for identity in terms.held:
            if identity not in self._refused:
                members = self._persons.members(identity)
                held = {member: terms.held[member] for member in members if member in terms.held}
                self._refused |= dict.fromkeys(members, refusing(held, terms.policy))

    def of(self, members: Iterable[str]) -> frozenset[str]:
        """The purposes that the people whose identifiers these are by now refuse, any of them."""
        return frozenset().union(*(self._refused.get(member, frozenset()) for member in members))

    def person(self, identity: str) -> str:
        """The id of the profile that this identifier belongs to by now."""
        return self._persons.members(identity)[0]


class Refold:
    """The state of the whole installation as of the latest moment taken. `left_out` holds the people by now who have no
    row because of what they refuse."""

    def __init__(self, terms: Terms, refusals: Refusals) -> None:
        self._terms = terms
        self._refusals, self._open = refusals, terms.open_to
        self._consents: dict[frozenset[str], Consent] = {}
        self.left_out: set[str] = set()
        self._fragments: dict[str, Fragment] = {}
        self._identities = Identities(terms.rules)
        self._shown: set[str] = set()
        self._cross: dict[tuple[str, str], CrossCounts] = {}
        self._fresh: dict[tuple[str, str], CrossCounts] = {}

    def take(self, at: int, moment: Moment) -> list[tuple[str, Row]]:
        """Fold one moment; the rows of the profiles it changed, and nulls for ids that are profiles no more."""
        changed = self._fold(moment.events)
        touched, former = self._identities.learn(moment.claims)
        now = {self._identities.members(identity) for identity in changed | touched}
        refusing = {members for members in now if _NO_ROWS & self._refusals.of(members)}
        self.left_out |= {self._refusals.person(one[0]) for one in refusing if self._kept(one)}
        rows = [(members[0], row) for members in sorted(now - refusing) if (row := self._row(members, at)) is not None]
        former |= {members[0] for members in refusing}
        gone = sorted(former & self._shown)
        self._shown -= former
        self._shown |= {profile_id for profile_id, _ in rows}
        return rows + [(old, np.full(len(PROFILE.names), np.nan, np.float32)) for old in gone]

    def _fold(self, events: Iterable[Event]) -> set[str]:
        changed: set[str] = set()
        counts: dict[str, int] = {}
        for event in events:
            step = advance(self._fragments.get(event.home) or Fragment(event.home), event, self._terms.rules)
            self._fragments[event.home] = step.fragment
            if step.changed:
                changed.add(event.home)
            for name, count in step.counts:
                counts[name] = counts.get(name, 0) + count
        self._fresh = {key: _plus(self._cross.get(key), more) for key, more in summed([counts]).items()}
        self._cross |= self._fresh
        return changed

    def _kept(self, members: tuple[str, ...]) -> list[Fragment]:
        return [self._fragments[member] for member in members if member in self._fragments]

    def _row(self, members: tuple[str, ...], at: int) -> Row | None:
        fragments = self._kept(members)
        if not fragments:
            return None
        visible = reveal(merge(fragments, members), self._consent(members), self._open, self._terms.policy)
        return profile_values(visible, at)

    def _consent(self, members: tuple[str, ...]) -> Consent:
        refused = self._refusals.of(members)
        if refused not in self._consents:
            self._consents[refused] = self._terms.consent(refused)
        return self._consents[refused]

    def counted(self) -> list[tuple[tuple[str, str], Row]]:
        """The cross rows the latest moment changed."""
        return [(key, cross_row(self._terms.actions.get(key[0]), counts)) for key, counts in self._fresh.items()]


def _plus(held: CrossCounts | None, more: CrossCounts) -> CrossCounts:
    if held is None:
        return more
    return CrossCounts(held.impressions + more.impressions, held.accepted + more.accepted)
