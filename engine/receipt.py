"""A consent receipt in the shape of ISO/IEC TS 27560, as JSON-LD with terms of the W3C Data Privacy Vocabulary. Knows
consent, the controller and the ledger's rows; the caller signs or sends it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.consent import Consent, Purpose, Purposes
from engine.jurisdiction import Controller
from engine.ports import Proof

CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
}
SCHEMA_VERSION = "ISO/IEC TS 27560:2023"
STATES: dict[str, str] = {
    "granted": "dpv:ConsentGiven",
    "denied": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "objected": "dpv:ConsentRefused",
    "pending": "dpv:ConsentRequested",
    "expired": "dpv:ConsentExpired",
    "not_asked": "dpv:ConsentUnknown",
}
BASES: dict[str, str] = {
    "consent": "dpv:Consent",
    "contract": "dpv:Contract",
    "legal_obligation": "dpv:LegalObligation",
    "vital": "dpv:VitalInterest",
    "public_task": "dpv:PublicInterest",
    "legitimate_interests": "dpv:LegitimateInterest",
}
RIGHTS = ("access", "rectification", "erasure", "restriction", "portability", "objection", "withdrawal")
FOREVER = "until withdrawn"
Iso = Callable[[int], str]


def receipt(person: str, consent: Consent, policy: Purposes, rows: Sequence[Proof], iso: Iso) -> dict[str, Any]:
    """The four sections: header, processing, parties, events. `person` is the profile id, `rows` its ledger rows,
    oldest first; `iso` writes a time in ms."""
    digest = rows[-1].digest if rows else ""
    return {
        "@context": CONTEXT,
        "@type": "dpv:ConsentReceipt",
        "receipt_id": f"{person}.{rows[-1].seq if rows else 0}",
        "schema_version": SCHEMA_VERSION,
        "record": {
            "@type": "dpv:ConsentRecord",
            "schema_version": SCHEMA_VERSION,
            "record_id": digest or person,
            "pii_principal_id": person,
        },
        "processing": [_processing(p, consent, policy) for p in policy.purposes.values()],
        "parties": [_party(policy.controller)],
        "events": [event for row in rows for event in _events(row, policy, consent.jurisdiction, iso)],
    }


def _processing(purpose: Purpose, consent: Consent, policy: Purposes) -> dict[str, Any]:
    controller, status = policy.controller, consent.answers[purpose.name].status
    return {
        "purpose": purpose.term or purpose.name,
        "purpose_name": purpose.name,
        "purpose_text": dict(purpose.text),
        "legal_basis": BASES.get(purpose.basis, purpose.basis),
        "status": STATES[status] if purpose.basis == "consent" else status,
        "allowed": consent.allows(purpose.name),
        "pii_type": list(controller.data),
        "storage_locations": list(controller.storage_locations),
        "processing_locations": list(controller.processing_locations),
        "geographic_restrictions": list(controller.geographic_restrictions),
        "retention_period": controller.retention,
        "recipient_third_parties": list(controller.recipients),
        "withdrawal_method": controller.withdrawal,
        "privacy_rights": list(RIGHTS),
        "notice": controller.notice,
        "jurisdiction": consent.jurisdiction,
        "jurisdiction_rule": consent.rule,
        "validity_days": purpose.valid_days or policy.law(consent.jurisdiction).valid_days or None,
    }


def _party(controller: Controller) -> dict[str, Any]:
    return {
        "@type": controller.type,
        "id": controller.id,
        "name": controller.name,
        "address": controller.address,
        "contact": controller.contact,
        "supervisory_authority": controller.authority,
    }


def _events(row: Proof, policy: Purposes, law: str, iso: Iso) -> list[dict[str, Any]]:
    """One per purpose that the row speaks of; a row whose payload was erased leaves none. `law` is the person's now,
    for rows that name none: what was carried over when identifiers were linked."""
    if row.change is None:
        return []
    terms: Mapping[str, Purpose] = policy.purposes
    return [
        {
            "@type": "dpv:ConsentStatus",
            "event_time": iso(statement.at),
            "recorded_time": iso(row.at),
            "validity_duration": _validity(terms.get(name), policy, row.jurisdiction or law),
            "entity_id": row.who,
            "event_type": "explicit" if statement.explicit else "implicit",
            "event_state": STATES.get(statement.status, statement.status),
            "purpose": terms[name].term if name in terms else name,
            "collection_method": row.how,
            "source": statement.source,
            "notice_version": statement.text_version,
            "ledger_row": row.seq,
            "digest": row.digest,
        }
        for name, statement in sorted(row.change.statements.items())
    ]


def _validity(purpose: Purpose | None, policy: Purposes, jurisdiction: str) -> str:
    days = (purpose.valid_days if purpose else 0) or policy.law(jurisdiction).valid_days
    return f"P{days}D" if days else FOREVER
