"""What a decision at a contact placement promises: from its record to the claims that must be granted before it is
answered. Decides nothing and keeps nothing."""

from engine.catalog import Catalogue
from engine.ports import PersonView
from engine.profile import Contact
from engine.records import DecisionRecord
from engine.reservation import Reserved, Taking, claim, lasting, made_of, open_of, token


def promises(view: PersonView, reserved: Reserved) -> tuple[Contact, ...]:
    """The reservations that count beside the contacts: an input of the decision."""
    return open_of(reserved, view.contacts)


def taking(record: DecisionRecord, view: PersonView, reserved: Reserved, catalogue: Catalogue) -> Taking:
    """Everything this decision promises. `reserved` is what it was decided with."""
    placement = catalogue.placements[record.placement]
    contacts = view.contacts
    own = {contact.message_id for contact in reserved.own}
    counted = (*contacts, *(c for c in record.reserved if c.message_id not in own))
    claims = []
    for candidate, _, _ in record.slate:
        action = catalogue.actions[record.candidates[candidate].action_id]
        named = token(record.decision_id, action.id)
        contact = Contact(record.at, named, placement.channel, action.id, action.group)
        claims.append(claim(contact, (action, placement), catalogue.policy, record.settings, counted))
    return Taking(record.profile_id, record.at, lasting(catalogue.policy), tuple(claims), made_of(reserved, contacts))
