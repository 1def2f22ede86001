"""Who answers for a release: licence, recipient and contract, purpose and assessment, signatures."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.leaf import Entry
from audit.verify_assertion import is_assertion
from gateway.database import ReadSession
from gateway.errors import EvidenceError
from gateway.flow.approve import statement_digest, verify_approval
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.licensed import certificate_facts, delegation_facts, surveyed_of
from gateway.flow.overseen import assessment_facts, contract_facts
from gateway.flow.recording import Judged, Released, ReleaseTerms
from gateway.flow.records import ApprovalRow
from gateway.people.assessments import assessments_of
from gateway.people.delegations import delegations
from gateway.people.papers import Paper
from gateway.people.recipients import oversight_of
from gateway.people.records import PersonRow, PurposeRow, RecipientRow
from gateway.people.suitability import certificate_for

_LOOKS = frozenset({EventType.REVIEW_RELEASE_READ, EventType.REVIEW_SHEET_READ})


def parties_part(session: ReadSession, terms: ReleaseTerms) -> dict[str, Any]:
    """Recipient, contract, purpose and assessment as they are registered."""
    recipient = session.get_one(RecipientRow, terms.recipient)
    purpose = session.get_one(PurposeRow, terms.purpose)
    return {
        "recipient_country": recipient.country,
        "contract": recipient.contract,
        "assessment": purpose.assessment,
    }


def licence_part(
    gate: Gate, session: ReadSession, terms: ReleaseTerms, published: Entry
) -> dict[str, Any] | None:
    """The surveying certificate under which a release went out, and the delegations to its holder.

    As papers stated it before the publication; ``entry`` is None where no signed paper does.
    """
    manifests = [load_manifest(gate, session, each) for each in terms.recordings]
    below = published.index
    surveyed = [surveyed_of(gate, each, below=below) for each in manifests]
    units = {each.unit for each in surveyed}
    certificate = certificate_for(gate, session, surveyed, published.time, below=below)
    if certificate is None:
        return None
    paper = certificate.paper
    return {
        **certificate_facts(certificate),
        "document_digest": certificate.document,
        "entry": paper.entry if paper else None,
        "signed_by": paper.signer if paper else None,
        "units": sorted({unit for unit in units if unit is not None}),
        "delegations": [
            {
                **delegation_facts(each),
                "document_digest": each.paper.document if each.paper else None,
                "entry": each.paper.entry if each.paper else None,
            }
            for each in delegations(gate, below=below)
            if each.delegator in units and each.certificate == certificate.number
        ],
    }


def oversight_part(gate: Gate, terms: ReleaseTerms, published: Entry) -> dict[str, Any]:
    """Contracts, inspections and assessments as papers stated them before the publication."""
    below = published.index
    oversight = oversight_of(gate, terms.recipient, below=below)
    return {
        "contracts": [{**contract_facts(each), **_paper(each.paper)} for each in oversight.contracts],
        "inspections": [
            {
                "inspected_at": instant(each.inspected_at),
                "inspector": each.inspector,
                "finding": each.finding,
                "open": each.open,
                **_paper(each.paper),
            }
            for each in oversight.inspections
        ],
        "assessments": [
            {**assessment_facts(each), **_paper(each.paper)}
            for each in assessments_of(gate, terms.purpose, below=below)
        ],
    }


def _paper(paper: Paper | None) -> dict[str, Any]:
    return {"document": paper.document if paper else None, "entry": paper.entry if paper else None}


def approvals_part(
    session: ReadSession, judged: Judged, released: Released, entries: Sequence[Entry]
) -> list[dict[str, Any]]:
    """The signatures that the manifest carries, each verified again, with its key and its entry.

    Raises:
        EvidenceError: The manifest carries a signature that is not on record, or one does not verify.
    """
    rows = session.scalars(
        sa.select(ApprovalRow)
        .where(ApprovalRow.release_id == judged.built.terms.release)
        .order_by(ApprovalRow.approver)
    ).all()
    counted = [row for row in rows if row.jws in released.manifest["approvals"]]
    if len(counted) != len(released.manifest["approvals"]):
        raise EvidenceError(f"an approval of release {released.release} is not on record")
    signed = {
        e.event.digests.get("approval"): e.index
        for e in entries
        if e.event.type is EventType.APPROVE_RELEASE_SIGN and e.event.outcome is Outcome.COMPLETED
    }
    told = []
    for row in counted:
        person = session.get_one(PersonRow, row.approver)
        verify_approval(judged, row.jws, person)
        told.append(
            {
                "approver": row.approver,
                "signed_at": instant(row.signed_at),
                "key": person.public_jwk,
                "thumbprint": person.thumbprint,
                "statement": row.jws,
                "form": "webauthn" if is_assertion(row.jws) else "jws",
                "entry": signed.get(statement_digest(row.jws)),
                "looks": _looks(entries, row.approver, signed.get(statement_digest(row.jws))),
            }
        )
    return told


def _looks(entries: Sequence[Entry], approver: str, signed: int | None) -> list[int]:
    """Entries of the approver's looks at the evidence before they signed."""
    return [
        e.index
        for e in entries
        if e.event.type in _LOOKS
        and e.event.outcome is Outcome.COMPLETED
        and e.event.actor == approver
        and signed is not None
        and e.index < signed
    ]
