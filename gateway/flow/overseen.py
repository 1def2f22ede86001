"""Facts about contracts, supervision and assessments, as the question about a release carries them (D1, D3)."""

from typing import Any

from gateway.database import ReadSession, WriteSession
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.people.assessments import Assessment
from gateway.people.recipients import Contract, oversight_of
from gateway.people.records import RecipientRow


def recipient_facts(gate: Gate, session: ReadSession | WriteSession, recipient: str) -> dict[str, Any]:
    """What policy is told of a recipient: where it is, its contracts, and its supervision (D1)."""
    row = session.get(RecipientRow, recipient)
    oversight = oversight_of(gate, recipient)
    last = max((each.inspected_at for each in oversight.inspections), default=None)
    return {
        "id": recipient,
        "country": row.country if row else "ZZ",
        "registered": row is not None,
        "contracts": [contract_facts(each) for each in oversight.contracts],
        "supervision": {
            "last": None if last is None else instant(last),
            "open_findings": sum(each.open for each in oversight.inspections),
        },
    }


def contract_facts(contract: Contract) -> dict[str, Any]:
    """What policy is told of a contract."""
    return {
        "number": contract.number,
        "valid_from": instant(contract.valid_from),
        "valid_to": instant(contract.valid_to),
        "purposes": list(contract.purposes),
    }


def assessment_facts(assessment: Assessment) -> dict[str, Any]:
    """What policy is told of an assessment of a purpose."""
    return {
        "kind": assessment.kind.value,
        "reference": assessment.reference,
        "valid_from": instant(assessment.made_at),
        "valid_until": instant(assessment.valid_until),
        "classes": list(assessment.classes),
        "levels": list(assessment.levels),
    }
