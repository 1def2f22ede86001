"""Rows that only the ledger can vouch for (law 6): grants, revocations, attestations that nothing else signs."""

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_page
from audit.snapshot import Snapshot
from gateway.errors import EvidenceError
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.records import GrantRow, RecordingRow

_PAGE = 1000


def _acts_on(snapshot: Snapshot, object_id: str) -> list[tuple[int, Event]]:
    page = find_page(snapshot, EntryFilter(object=object_id), limit=_PAGE, newest_first=False)
    return [(entry.index, entry.event) for entry in page.entries]


def verify_grant(gate: Gate, grant: GrantRow, *, revoked: bool) -> None:
    """Hold a grant against the ledger; ``revoked`` says whether its release is, by the row.

    1. The ledger attests that this grant was issued: same release, principal, purpose and end.
    2. A revocation of the grant that the ledger attests is not denied by the row.
    3. Nor is a revocation of the release since.

    Raises:
        EvidenceError: A step fails.
    """
    with gate.ledger.snapshot() as snapshot:
        acts = [(i, e) for i, e in _acts_on(snapshot, grant.id) if e.outcome is Outcome.COMPLETED]
        issued = [i for i, event in acts if _issues(event, grant)]
        if not issued:  # 1
            raise EvidenceError(f"the ledger does not attest grant {grant.id} as it is recorded")
        ended = any(event.type is EventType.GRANT_GRANT_REVOKE for _, event in acts)
        if ended and grant.revoked_at is None:  # 2
            raise EvidenceError(f"the ledger attests that grant {grant.id} was revoked")
        if not revoked and _revoked_since(snapshot, grant.release_id, issued[0]):  # 3
            raise EvidenceError(f"the ledger attests that release {grant.release_id} was revoked")


def _issues(event: Event, grant: GrantRow) -> bool:
    stated = (event.release, event.purpose, event.facts.get("principal"), event.facts.get("not_after"))
    recorded = (grant.release_id, grant.purpose, grant.principal, instant(grant.not_after))
    return event.type is EventType.GRANT_GRANT_ISSUE and stated == recorded


def _revoked_since(snapshot: Snapshot, release: str, index: int) -> bool:
    # By type alone: a release has an entry for every read of it, but few releases are ever revoked.
    wanted = EntryFilter(types=(EventType.RELEASE_RELEASE_REVOKE,))
    after: int | None = index
    while after is not None:
        page = find_page(snapshot, wanted, limit=_PAGE, after=after, newest_first=False)
        if any(e.event.release == release and e.event.outcome is Outcome.COMPLETED for e in page.entries):
            return True
        after = page.cursor
    return False


def zone_attestation_of(gate: Gate, recording: RecordingRow) -> str | None:
    """The digest of the officer's zone attestation under which a recording was received, if there is one.

    Raises:
        EvidenceError: The row names one that the ledger does not attest.
    """
    if recording.zone_attestation is None:
        return None
    with gate.ledger.snapshot() as snapshot:
        for _, event in _acts_on(snapshot, recording.id):
            received = event.type is EventType.INTAKE_RECORDING_RECEIVE
            if received and event.digests.get("attestation") == recording.zone_attestation:
                return recording.zone_attestation
    raise EvidenceError(f"the ledger does not attest the zone attestation of recording {recording.id}")
