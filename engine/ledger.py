"""The consent ledger as values: what a row says, how rows are chained so that no tampering stays unseen, and what
follows from them. Knows nothing of databases, salts' making or time."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from engine.consent import (
    CLOSED,
    CONTRACT,
    GRANTED,
    REFUSALS,
    RESTRICTION,
    Held,
    Purposes,
    Statement,
    is_restricted,
    resolve,
    standing,
)
from engine.ports import Circumstances, ConsentChange, Proof, Stale, Unavailable
from engine.statement import taken

GENESIS = bytes(32)
ERASURE = "erasure"


class Saying(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row's payload: who said what, when (ms), how and under which law; `evidence` is what proves it."""

    at: int
    who: str
    how: str
    change: ConsentChange
    jurisdiction: str = ""
    evidence: dict[str, str] = {}


class Draft(msgspec.Struct, frozen=True):
    """A row that is not in the ledger yet. A draft with an event's row id keeps the event's time; one of a request is
    said now, so its refusal lies after everything said before."""

    row_id: str
    subject: str
    saying: Saying
    of_event: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row. Payload and salt are None once they were erased; the hashes stay."""

    seq: int
    row_id: str
    subject: str
    payload_hash: bytes
    chain: bytes
    payload: bytes | None
    salt: bytes | None


class Head(msgspec.Struct, frozen=True):
    """Where the chain ends."""

    seq: int = 0
    chain: bytes = GENESIS


class Verdict(msgspec.Struct, frozen=True):
    """What a walk over the whole ledger found: rows seen, how many of them are erased, and the first broken one."""

    rows: int
    erased: int
    broken: int | None = None
    problem: str = ""


class Damaged(Unavailable):
    """A row whose payload is there and says nothing that can be read: what its subject said is not known."""


_SAYING = msgspec.json.Decoder(Saying)


def payload_hash(salt: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(salt + payload).digest()


def chain_hash(previous: bytes, seq: int, row_id: str, subject: str, hashed: bytes) -> bytes:
    """Lengths lead the texts, so that no two different rows run together into the same bytes."""
    parts = [previous, seq.to_bytes(8, "big")]
    for text in (row_id.encode(), subject.encode()):
        parts += [len(text).to_bytes(4, "big"), text]
    return hashlib.sha256(b"".join([*parts, hashed])).digest()


def appended(head: Head, draft: Draft, salt: bytes) -> Row:
    """The next row. `salt` is random and at least 16 bytes."""
    payload = msgspec.json.encode(draft.saying)
    hashed, seq = payload_hash(salt, payload), head.seq + 1
    chain = chain_hash(head.chain, seq, draft.row_id, draft.subject, hashed)
    return Row(seq, draft.row_id, draft.subject, hashed, chain, payload, salt)


def saying_of(row: Row) -> Saying | None:
    """What a row says; None where it was erased. Raises `Damaged`."""
    try:
        return _SAYING.decode(row.payload) if row.payload is not None else None
    except msgspec.MsgspecError as error:
        raise Damaged(f"row {row.seq} of the consent ledger cannot be read; `rapport doctor` says more") from error


def _problem(row: Row, before: Head) -> str:
    if row.seq != before.seq + 1:
        return f"row {before.seq + 1} is missing"
    if chain_hash(before.chain, row.seq, row.row_id, row.subject, row.payload_hash) != row.chain:
        return "its place in the chain does not follow from the row before it"
    if (row.payload is None) != (row.salt is None):
        return "it is half erased"
    if row.payload is not None and row.salt is not None and payload_hash(row.salt, row.payload) != row.payload_hash:
        return "its payload is not the one that was written"
    return ""


def verify(rows: Iterable[Row], end: Head) -> Verdict:
    """Walk the whole ledger in order. A payload may be missing only where a later row says that it was erased."""
    at, erased, missing = Head(), 0, dict[str, int]()
    for row in rows:
        problem = _problem(row, at)
        if problem:
            return Verdict(at.seq, erased, min(row.seq, at.seq + 1), problem)
        at = Head(row.seq, row.chain)
        if row.payload is None:
            erased += 1
            missing.setdefault(row.subject, row.seq)
        elif row.subject in missing and _is_erasure(row):
            del missing[row.subject]
    if missing:
        return Verdict(at.seq, erased, min(missing.values()), "its payload is gone, and no erasure says so")
    if at != end:
        return Verdict(at.seq, erased, at.seq + 1, f"the ledger ends with row {at.seq}, but {end.seq} were written")
    return Verdict(at.seq, erased)


def _is_erasure(row: Row) -> bool:
    said = saying_of(row)
    return said is not None and said.how == ERASURE


def held_of(rows: Iterable[Row], before: Mapping[str, Held] = MappingProxyType({})) -> dict[str, Held]:
    """What each subject of these rows holds after them, in order, on top of what was held `before`; the version is the
    number of its last row. Raises `Damaged`."""
    found: dict[str, Held] = {}
    for row in rows:
        held = found.get(row.subject, before.get(row.subject, Held()))
        found[row.subject] = _after(held, row)
    return found


def _after(held: Held, row: Row) -> Held:
    said = saying_of(row)
    after = taken(held, said.change) if said is not None else held
    return msgspec.structs.replace(after, version=row.seq)


def held_or_closed(rows: Iterable[Row]) -> dict[str, Held]:
    """The same where some rows cannot be read: what their subject said is not known, so its data counts as restricted,
    kept and not used, until the ledger is mended."""
    found: dict[str, Held] = {}
    lost: set[str] = set()
    for row in rows:
        held = found.get(row.subject, Held())
        try:
            found[row.subject] = _after(held, row)
        except Damaged:
            found[row.subject] = msgspec.structs.replace(held, version=row.seq)
            lost.add(row.subject)
    closed = {i: {**found[i].settings, CLOSED: "1"} for i in lost}
    return {**found, **{i: msgspec.structs.replace(found[i], settings=settings) for i, settings in closed.items()}}


def _granted_last(held: Mapping[str, Held], purpose: str) -> int:
    said = (s for h in held.values() for s in h.statements.get(purpose, ()) if s.status == GRANTED)
    return max((s.at for s in said), default=-1)


def _now_said(change: ConsentChange, held: Mapping[str, Held]) -> ConsentChange:
    """A refusal made by a request is later than every grant it meets, also one written since the request was read."""
    statements: dict[str, Statement] = {}
    for purpose, statement in change.statements.items():
        last = _granted_last(held, purpose)
        late = statement.status != GRANTED and statement.at < last
        statements[purpose] = msgspec.structs.replace(statement, at=last + 1) if late else statement
    return msgspec.structs.replace(change, statements=statements)


def admitted(
    held: Mapping[str, Held], drafts: Sequence[Draft], expected: Mapping[str, int] | None, known: frozenset[str]
) -> list[Draft]:
    """The drafts that become rows: those that change something and are not there yet (`known` row ids).

    Raises `Stale` where a subject's version is not the expected one.
    """
    for subject, version in (expected or {}).items():
        if held.get(subject, Held()).version != version:
            raise Stale("the consent has changed since it was read")
    now = dict(held)
    rows: list[Draft] = []
    for draft in drafts:
        if draft.row_id in known:
            continue
        change = draft.saying.change if draft.of_event else _now_said(draft.saying.change, held)
        before = now.get(draft.subject, Held())
        after = taken(before, change)
        if after is not before:
            now[draft.subject] = after
            rows.append(msgspec.structs.replace(draft, saying=msgspec.structs.replace(draft.saying, change=change)))
    return rows


def refusing(held: Mapping[str, Held], policy: Purposes) -> frozenset[str]:
    """The purposes that a person whose identifiers hold this refuses now, with what an objection to one of them
    includes, and `restriction` where the data is not to be used at all. Nobody refuses what rests on the contract."""
    named = {purpose for one in held.values() for purpose in one.statements}
    refused = {p for p in named if any(said.status in REFUSALS for said in standing(held, p))}
    if refused:
        answers = resolve(held, policy).answers
        refused |= {p for p, answer in answers.items() if answer.status in REFUSALS}
        refused -= {p for p, answer in answers.items() if answer.basis == CONTRACT}
    restricted = any(map(is_restricted, held.values()))
    return frozenset(refused | {RESTRICTION}) if restricted else frozenset(refused)


def refused_by(held: Mapping[str, Held], policy: Purposes) -> dict[str, frozenset[str]]:
    """What each identifier refuses now by itself; who refuses nothing is absent."""
    found = {subject: refusing({subject: one}, policy) for subject, one in held.items()}
    return {subject: purposes for subject, purposes in found.items() if purposes}


def row_of_event(source: str, message_id: str, subject: str) -> str:
    """The row id of what an event said, under one identifier: the same event again is the same row."""
    parts = [part.encode() for part in (source, message_id, subject)]
    spelt = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"e{hashlib.sha256(spelt).hexdigest()[:32]}"


def drafts_of(changes: Mapping[str, ConsentChange], told: Circumstances, rows: Mapping[str, str]) -> list[Draft]:
    """One draft per identifier; `rows` names the row id of each."""
    return [
        Draft(
            rows[subject],
            subject,
            Saying(told.at, told.who, told.how, change, told.jurisdiction, told.evidence),
            bool(told.event),
        )
        for subject, change in changes.items()
    ]


def narrowing(change: ConsentChange) -> ConsentChange | None:
    """The part of a change that only takes away; None where it takes nothing away."""
    statements = {p: s for p, s in change.statements.items() if s.status != GRANTED}
    refused = {c: {t: False for t, yes in topics.items() if not yes} for c, topics in change.preferences.items()}
    preferences = {channel: topics for channel, topics in refused.items() if topics}
    settings = {n: v for n, v in change.settings.items() if n == RESTRICTION and v}
    if not (statements or preferences or settings):
        return None
    return ConsentChange(statements, preferences, settings)


def proof_of(row: Row) -> Proof:
    """A row as it may be shown."""
    said = saying_of(row)
    digest = row.chain.hex()
    if said is None:
        return Proof(row.seq, row.row_id, row.subject, digest, 0, "", "erased", "", {}, None)
    shown = (said.at, said.who, said.how, said.jurisdiction, said.evidence, said.change)
    return Proof(row.seq, row.row_id, row.subject, digest, *shown)
