"""The attack reports of a release, as its dossier shows them."""

from typing import Any

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
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


def attack_runs_of(gate: Gate, session: ReadSession | WriteSession, built: Built) -> list[dict[str, Any]]:
    """Every attack on a release that the ledger saw completed, oldest first, whoever ran it.

    ``kept`` is false where the ledger attests a report that is not there: a crash came between, the report was
    replaced by a version that kept the newest only, or somebody deleted it.

    Raises:
        EvidenceError: A report does not verify, or rests on another build.
    """
    release = built.terms.release
    reports = {
        each.ref.digest: each.payload
        for each in evidence.load_every(
            gate, session, owner=release, stage=Stage.ATTACKED, previous=built.evidence.digest
        )
    }
    wanted = EntryFilter(release=release, types=(EventType.REVIEW_ATTACK_RUN,), outcome=Outcome.COMPLETED)
    with gate.ledger.snapshot() as snapshot:
        entries = list(find_all(snapshot, wanted))
    return [
        {
            "actor": entry.event.actor,
            "at": entry.time.isoformat(),
            "evidence": entry.event.digests.get("evidence"),
            "extract": entry.event.digests.get("extract"),
            "kept": entry.event.digests.get("evidence") in reports,
            "ledger_index": entry.index,
            "report": reports.get(str(entry.event.digests.get("evidence"))),
        }
        for entry in entries
    ]
