"""The attack report of a release, as its dossier shows it."""

from typing import Any

from gateway.database import ReadSession, WriteSession
from gateway.flow import evidence
from gateway.flow.gate import Gate
from gateway.flow.recording import Built, Stage


def attack_report_of(gate: Gate, session: ReadSession | WriteSession, built: Built) -> dict[str, Any] | None:
    """The newest attack report of a release; None where it was never attacked.

    Raises:
        EvidenceError: The report does not verify, or rests on another build.
    """
    release = built.terms.release
    if not evidence.find(session, owner=release, stage=Stage.ATTACKED):
        return None
    found = evidence.load(gate, session, owner=release, stage=Stage.ATTACKED, previous=built.evidence.digest)
    return {**found.payload, "evidence": found.ref.digest, "ledger_index": found.ref.ledger_index}
