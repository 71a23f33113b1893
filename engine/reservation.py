"""Approaches that were decided on and may still be made: what they count against, and how much room the caps
and the person's own wishes leave. Pure arithmetic over contacts; where reservations are kept, and how many decide at
once, is not known here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from engine.catalog import Action, Catalogue, ContactPolicy, Placement
from engine.limits import WINDOWS, at_most
from engine.profile import Contact
from engine.signals import DAY

HOUR = DAY // 24
ALL, CHANNEL, ACTION, GROUP = "all", "channel", "action", "group"


class Cap(msgspec.Struct, frozen=True, array_like=True):
    """At most `room` more reservations of this `kind` (all, channel, action, group) may be younger than `window` ms."""

    kind: str
    window: int
    room: int


class Claim(msgspec.Struct, frozen=True):
    """One approach somebody wants to promise, and what it must keep within."""

    contact: Contact
    caps: tuple[Cap, ...]


class Reserved(msgspec.Struct, frozen=True):
    """What is promised to one person: under the person's own id, and `elsewhere`, under ids it had before a link."""

    own: tuple[Contact, ...] = ()
    elsewhere: tuple[Contact, ...] = ()


class Taking(msgspec.Struct, frozen=True):
    """All claims of one decision, granted together or not at all. `made` are the promises that are contacts by now, and
    count as such."""

    profile_id: str
    at: int
    lasting: int
    claims: tuple[Claim, ...]
    made: tuple[str, ...]


def token(decision_id: str, action_id: str) -> str:
    """What an approach is known by: the message id of its outcome begins with it."""
    return f"{decision_id}:{action_id}"


def limited(placement: Placement, catalogue: Catalogue, settings: Iterable[Mapping[str, str]]) -> bool:
    """Whether anything at this placement is capped, or the person set a limit (`settings`, one per id), so that
    deciding there needs reservations."""
    if not placement.contact:
        return False
    policy = catalogue.policy
    shared = policy.caps or policy.channel_caps.get(placement.channel) or any(map(at_most, settings))
    return bool(shared) or any(a.cap or policy.group_caps.get(a.group) for a in catalogue.placed(placement.id))


def made_of(reserved: Reserved, contacts: Sequence[Contact]) -> tuple[str, ...]:
    """The tokens of promises that have become contacts."""
    known = {contact.message_id.rpartition(":")[0] for contact in contacts}
    return tuple(c.message_id for c in (*reserved.own, *reserved.elsewhere) if c.message_id in known)


def open_of(reserved: Reserved, contacts: Sequence[Contact]) -> tuple[Contact, ...]:
    """The promises that count beside the contacts, in order."""
    made = set(made_of(reserved, contacts))
    return tuple(sorted(c for c in {*reserved.own, *reserved.elsewhere} if c.message_id not in made))


def alike(kind: str, one: Contact, other: Contact) -> bool:
    """Whether both count against the same cap of this kind."""
    if kind == ACTION:
        return one.action_id == other.action_id
    if not (one.approach and other.approach):
        return False
    if kind == CHANNEL:
        return one.channel == other.channel
    return kind == ALL or one.group == other.group


def _caps(action: Action, placement: Placement, policy: ContactPolicy) -> Iterator[tuple[str, Mapping[str, int]]]:
    yield ALL, policy.caps
    yield CHANNEL, policy.channel_caps.get(placement.channel, {})
    yield ACTION, action.cap
    yield GROUP, policy.group_caps.get(action.group, {})


def claim(
    contact: Contact,
    where: tuple[Action, Placement],
    policy: ContactPolicy,
    settings: Mapping[str, str],
    counted: Sequence[Contact],
) -> Claim:
    """The claim on one approach, within policy and the person's settings; `counted` is whatever counts already except
    the person's own reservations."""
    named = [(kind, name, most) for kind, caps in _caps(*where, policy) for name, most in caps.items()]
    named += [(ALL, name, most) for most, name in at_most(settings)]
    caps = tuple(
        Cap(kind, window, most - sum(1 for c in counted if c.at > contact.at - window and alike(kind, c, contact)))
        for kind, window, most in ((kind, WINDOWS[name], most) for kind, name, most in named)
    )
    return Claim(contact, caps)


def most_shown(placement: Placement, policy: ContactPolicy, contacts: Sequence[Contact], at: int) -> int | None:
    """How many more approaches the caps shared by all actions leave at a contact placement: a slate is no longer than
    that. None where nothing limits it."""
    if not placement.contact:
        return None
    made = tuple(c for c in contacts if c.approach)
    here = tuple(c for c in made if c.channel == placement.channel)
    rooms = [
        most - sum(1 for c in counted if c.at > at - WINDOWS[name])
        for caps, counted in ((policy.caps, made), (policy.channel_caps.get(placement.channel, {}), here))
        for name, most in caps.items()
    ]
    return min(rooms, default=None)


def once_per_group(placement: Placement, policy: ContactPolicy) -> Placement:
    """A contact placement whose slates show a group at most once: a capped group could otherwise be exceeded within one
    slate. Others stay as they are."""
    forced = placement.contact and bool(policy.group_caps) and not placement.unique_groups
    return msgspec.structs.replace(placement, unique_groups=True) if forced else placement


def lasting(policy: ContactPolicy) -> int:
    """How long a promise counts, in ms."""
    return int(policy.reservation_hours * HOUR)
