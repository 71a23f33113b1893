"""The record of a decision: every input it rested on, and the answer built from them. Knows nothing of how candidates
were found or what drew the slate."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from typing import Any

import lightgbm
import msgspec

from engine.catalog import Catalogue, Placement
from engine.consent import Visible, as_dict
from engine.decision import Decision, Policy, Ranked, Scored
from engine.records import Candidate, DecisionRecord, Position
from features.compute import CrossCounts, masked_columns
from features.spec import SPEC_HASH
from models.answer import Scene, Shown, content_of, language_order, reasons
from models.gate import Screened, Sight, Sights
from models.scorer import Rows

VERSIONS = {"rapport": installed("rapport"), "lightgbm": lightgbm.__version__, "spec": SPEC_HASH}
TOGETHER = ","
_PACK = msgspec.msgpack.Encoder()
_CANONICAL = msgspec.msgpack.Encoder(order="sorted")
_VISIBLE = msgspec.msgpack.Decoder(Visible)


class Weighed(msgspec.Struct, frozen=True, eq=False):
    """One decision up to the model: who it is about, who are the candidates, and their rows, parallel to them."""

    decision_id: str
    placement: Placement
    limit: int
    positions: tuple[Position, ...]
    sights: Sights
    screened: Screened
    segment: str
    zone: str
    cross: tuple[CrossCounts, ...]
    rows: Rows
    arms: Mapping[str, str] = {}


class Drawn(msgspec.Struct, frozen=True, eq=False):
    """The candidates as scored and the slate drawn from them."""

    scored: tuple[Scored, ...]
    policy: Policy
    seed: int
    decision: Decision


def record_of(weighed: Weighed, drawn: Drawn, catalogue: Catalogue, model: str) -> DecisionRecord:
    """Everything the decision rested on; `model` is the version of what scored it."""
    person = weighed.sights.person
    consent = as_dict(person.consent)
    languages = language_order(person.consent.settings, person.context, catalogue)
    policy = _policy(weighed, drawn.policy, languages)
    digest = hashlib.sha256(_CANONICAL.encode(consent)).hexdigest()
    blocked = tuple((b.action_id, b.rule, b.detail) for b in weighed.screened.blocked)
    return DecisionRecord(
        decision_id=weighed.decision_id,
        at=person.at,
        profile_id=person.profile.profile_id,
        profile_version=person.profile.version,
        placement=weighed.placement.id,
        context=dict(person.context),
        segment=weighed.segment,
        limit=drawn.policy.limit,
        visible=_packed({**weighed.sights.by_purpose, **weighed.sights.beside}),
        candidates=tuple(
            Candidate(s.action_id, s.probability, s.value, s.weight, s.lever, s.explorable, s.group, s.draws)
            for s in drawn.scored
        ),
        vectors=weighed.rows.astype("<f4", copy=False).tobytes(),
        spec_hash=SPEC_HASH,
        cross=tuple((c.impressions, c.accepted) for c in weighed.cross),
        slate=tuple((r.candidate, r.propensity, r.explored) for r in drawn.decision.slate),
        blocked=blocked,
        consent=consent,
        consent_hash=digest,
        seed=drawn.seed,
        model=model,
        catalogue=catalogue.version,
        policy=policy,
        positions=weighed.positions,
        versions=VERSIONS,
        arms=dict(weighed.arms),
        reserved=person.reserved,
        answer={
            "decision_id": weighed.decision_id,
            "profile": {"profile_id": person.profile.profile_id, "version": person.profile.version},
            "actions": _actions(weighed, drawn, languages, model),
            "blocked": [{"action_id": a, "rule": rule, "detail": detail} for a, rule, detail in blocked],
            "consent": {"version": person.consent.version, "hash": digest, **_used(weighed)},
            "model": model,
            "catalogue": catalogue.version,
            "policy": policy,
            "explored": drawn.decision.explored,
        },
    )


def _policy(weighed: Weighed, policy: Policy, languages: Sequence[str]) -> dict[str, Any]:
    return {
        "exploration": policy.exploration.kind,
        "share": policy.exploration.share,
        **({"temperature": policy.exploration.temperature} if policy.exploration.kind == "softmax" else {}),
        "limit": policy.limit,
        "unique_groups": policy.unique_groups,
        "time_zone": weighed.zone,
        "languages": list(languages),
    }


def _packed(sights: Mapping[str, Sight]) -> dict[str, bytes]:
    """Each distinct view once, under the names of the purposes that share it."""
    shared: dict[int, list[str]] = {}
    views: dict[int, Visible] = {}
    for purpose, sight in sights.items():
        visible = sight.observed.visible
        views[id(visible)] = visible
        shared.setdefault(id(visible), []).append(purpose)
    return {TOGETHER.join(sorted(names)): _PACK.encode(views[key]) for key, names in shared.items()}


def visible_by_purpose(record: DecisionRecord) -> dict[str, Visible]:
    """What the decision could see, by action purpose."""
    decoded = {names: _VISIBLE.decode(data) for names, data in record.visible.items()}
    return {purpose: visible for names, visible in decoded.items() for purpose in names.split(TOGETHER)}


def _used(weighed: Weighed) -> dict[str, list[str]]:
    views = {id(s.observed.visible): s.observed.visible for s in weighed.sights.by_purpose.values()}
    used = {purpose for visible in views.values() for purpose in visible.purposes}
    used.update(action.purpose for action in weighed.screened.actions)
    used.update(weighed.sights.beside)
    masked = {name for visible in views.values() for name in masked_columns(visible)}
    return {"purposes_used": sorted(used), "features_masked": sorted(masked)}


def _actions(weighed: Weighed, drawn: Drawn, languages: Sequence[str], model: str) -> list[dict[str, Any]]:
    scored = drawn.scored
    if not scored:
        return []
    scene = Scene(
        context=weighed.sights.person.context,
        model=model,
        usual=sum(s.probability for s in scored) / len(scored),
        dearest=max(s.value for s in scored),
    )
    return [_action(weighed, scored[r.candidate], r, (scene, languages)) for r in drawn.decision.slate]


def _action(weighed: Weighed, scored: Scored, ranked: Ranked, words: tuple[Scene, Sequence[str]]) -> dict[str, Any]:
    scene, languages = words
    index = ranked.candidate
    action = weighed.screened.actions[index]
    shown = Shown(action, weighed.rows[index].tolist(), scored, ranked.explored, scene)
    return {
        "action_id": action.id,
        "rank": ranked.rank,
        "title": action.title,
        "content": content_of(action, languages, weighed.screened.sights[index].observed.visible),
        "channel": weighed.placement.channel,
        "probability": scored.probability,
        "value": scored.value,
        "weight": scored.weight,
        "lever": scored.lever,
        "score": scored.score,
        "propensity": ranked.propensity,
        "reasons": reasons(shown),
    }
