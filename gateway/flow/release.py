"""Release: from approvals to an immutable signed manifest, grants on it, and revocation."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError, StageOrderError
from gateway.flow.acts import intended, recorded
from gateway.flow.approve import verified_approvals
from gateway.flow.artefacts import descendants_of, mark_revoked, told_of
from gateway.flow.closing import built_at, require_open
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.judge import ask, holdings_of, load_judged, prior_live_releases
from gateway.flow.licensed import licence_facts, surveyed_facts, surveyed_of
from gateway.flow.permitted import permit_on_release
from gateway.flow.received import received_of
from gateway.flow.recording import Approved, GrantId, Judged, Level, Released, ReleaseId, ReleaseState
from gateway.flow.records import GrantRow, RecordingRow, ReleaseRow
from gateway.people.permission import permit
from gateway.people.records import GateSecretRow, PersonRow
from gateway.people.registry import Actor, actor_of, require_person
from gateway.vault.errors import StatementError
from gateway.vault.jws import read_unverified_algorithm, sign_statement, thumbprint, verify_statement

MANIFEST_TYPE = "fleetgate-release+jwt"
NOT_UNDONE: Final[Mapping[str, str]] = {
    "zh": "已下载的数据、由其得到的索引与标注、以及已训练的模型权重无法由网关收回或撤销；"
    "须依合同要求接收方删除并书面确认。",
    "en": "Data that was fetched, indexes and labels made of it, and weights trained on it cannot be taken back "
    "by this gate; ask the recipients by contract to delete them and to confirm it.",
}


def load_approved(gate: Gate, release: str, *, actor: Actor) -> Approved:
    """Judge a candidate once more together with its approvals.

    The content question is asked again, since time, other releases or the bundle may have changed since; then
    the approvals are judged (rules 5 and 6).

    Raises:
        DeniedError: Policy refuses the content now, or the approvals do not suffice.
        StageOrderError: It was not judged, or somebody closed it.
        CandidateExpiredError: It is past its time.
        EvidenceError: The candidate, the decision or a signature does not verify.
    """
    permit_on_release(gate, actor, "release.publish", release)
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
        if row is None or row.state not in (ReleaseState.JUDGED, ReleaseState.APPROVED):
            raise StageOrderError(
                f"release cannot be published (got state {row.state if row else 'unknown'!r})"
            )
        judged = load_judged(gate, session, release)
        submitter = actor_of(session.get_one(PersonRow, judged.built.terms.submitter), proof="")
    require_open(gate, judged.built, now=gate.clock())
    ask(gate, judged.built, submitter)
    with gate.database.read() as session:
        question, statements = _publish_question(gate, session, judged, actor)
    decision = decide(
        gate,
        EventType.JUDGE_PUBLISH_DECIDE,
        question,
        actor=actor,
        object_id=release,
        release=release,
        purpose=judged.built.terms.purpose,
        recipient=judged.built.terms.recipient,
    )
    with gate.database.transaction() as session:
        current = session.get_one(ReleaseRow, release, with_for_update=True)
        if current.state == ReleaseState.JUDGED:
            current.state = ReleaseState.APPROVED
    return Approved(judged=judged, approvals=statements, decision=decision.as_dict())


def _publish_question(
    gate: Gate, session: ReadSession, judged: Judged, actor: Actor
) -> tuple[dict[str, Any], tuple[str, ...]]:
    terms = judged.built.terms
    surveyed = [surveyed_of(gate, load_manifest(gate, session, each)) for each in terms.recordings]
    approvals = verified_approvals(gate, session, judged, surveyed)
    levels_in = [Level[i.payload["level_in"]] for i in judged.built.items]
    question = {
        "point": "publish",
        "subject": {
            "id": actor.id,
            "roles": list(actor.roles),
            "nationality": actor.nationality,
            "entity_country": actor.entity_country,
        },
        "action": {"name": "publish"},
        "resource": {
            "release": terms.release,
            "digest": judged.built.digest,
            "level": max(i.level for i in judged.built.items).name,
            "source_level": max(levels_in).name,
            "judged_digest": judged.decision["release_digest"],
            "submitter": terms.submitter,
            "built_at": instant(built_at(gate, judged.built)),
            "recordings": [surveyed_facts(each) for each in surveyed],
        },
        "context": {
            "time": instant(gate.clock()),
            "expires_at": instant(terms.expires_at),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
            **licence_facts(gate, session, surveyed),
            "approvals": [facts for _, facts in approvals],
            "decision": {
                "allowed": judged.decision["allowed"],
                "bundle_digest": judged.decision["bundle_digest"],
                "release_digest": judged.decision["release_digest"],
            },
        },
    }
    return question, tuple(row.jws for row, _ in approvals)


def release(gate: Gate, approved: Approved, *, actor: Actor) -> Released:
    """Sign the manifest of an approved candidate and let it out; repeating it changes nothing.

    Raises:
        ConflictError: Another release of one of its trips went out in the meantime (law 7).
        StageOrderError: It was revoked in the meantime.
    """
    built = approved.judged.built
    terms = built.terms
    key = gate.keystore.statement_key("release")
    manifest = {
        "version": 1,
        "release": terms.release,
        "digest": built.digest,
        "purpose": terms.purpose,
        "recipient": terms.recipient,
        "mode": terms.mode.value,
        "destination_zone": terms.destination_zone,
        "profile": {"name": terms.profile_name, "digest": terms.profile_digest},
        "policy": {"bundle_digest": approved.decision["bundle_digest"]},
        "expires_at": instant(terms.expires_at),
        "items": [item.manifest_entry() for item in built.items],
        "approvals": list(approved.approvals),
    }
    statement = sign_statement(key, MANIFEST_TYPE, thumbprint(key), manifest)
    with gate.database.read() as session:
        holdings = holdings_of(gate, session, terms.recipient, terms.release)
    with recorded(
        gate,
        EventType.RELEASE_RELEASE_PUBLISH,
        actor=actor.id,
        object_id=terms.release,
        release=terms.release,
        purpose=terms.purpose,
        recipient=terms.recipient,
        digests={**actor.digests, "release": built.digest},
        facts={"items": len(built.items), **holdings},
    ) as session:
        current = session.get_one(ReleaseRow, terms.release, with_for_update=True)
        if current.state not in (ReleaseState.APPROVED, ReleaseState.RELEASED):
            raise StageOrderError(f"release cannot be published (got state {current.state!r})")
        if current.state != ReleaseState.RELEASED:
            # One publication at a time: two recordings with a file in common have no row of their own to lock.
            session.get_one(GateSecretRow, 1, with_for_update=True)
            for recording in terms.recordings:
                session.get_one(RecordingRow, recording, with_for_update=True)
                if prior_live_releases(session, built, recording):
                    raise ConflictError(f"a trip of this release went out in another (got {recording!r})")
            current.manifest_jws = statement
            current.state = ReleaseState.RELEASED
            current.released_at = gate.clock()
    with gate.database.read() as session:
        return load_released(gate, session, terms.release)


def load_released(gate: Gate, session: ReadSession | WriteSession, release_id: str) -> Released:
    """Load a release and verify its manifest.

    1. It went out. 2. The manifest is signed by the gate's release key. 3. It is the manifest of this release
    at the digest on record.

    Raises:
        NotFoundError: There is no such release, or it has not gone out.
        EvidenceError: Steps 2 or 3 fail.
    """
    row = session.get(ReleaseRow, release_id)
    if row is None or row.manifest_jws is None:  # step 1
        raise NotFoundError(f"no such release (got {release_id!r})")
    try:  # step 2
        algorithm = read_unverified_algorithm(row.manifest_jws)
        manifest = verify_statement(
            row.manifest_jws, MANIFEST_TYPE, gate.keystore.verifying_key("release", algorithm)
        )
    except StatementError as error:
        raise EvidenceError(f"manifest of release {release_id} does not verify: {error}") from error
    if (manifest.get("release"), manifest.get("digest")) != (release_id, row.digest):  # step 3
        raise EvidenceError(f"manifest of release {release_id} is for another release or digest")
    return Released(
        release=ReleaseId(release_id),
        manifest_jws=row.manifest_jws,
        manifest=manifest,
        revoked=row.state == ReleaseState.REVOKED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What a revocation reaches, and what it does not.

    Attributes:
        release: Id of the release.
        revoked_at: When it was first revoked.
        grants_ended: How many grants this call ended.
        received: Who received what, as ``received_of`` tells it.
        artefacts: Everything that rests on the release, as ``told_of`` tells it, now revoked.
    """

    release: str
    revoked_at: datetime
    grants_ended: int
    received: tuple[dict[str, Any], ...]
    artefacts: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """As it is answered and printed."""
        return {
            "release": self.release,
            "revoked": True,
            "revoked_at": instant(self.revoked_at),
            "grants_ended": self.grants_ended,
            "received": list(self.received),
            "artefacts": list(self.artefacts),
            "not_undone": dict(NOT_UNDONE),
        }


def revoke_release(gate: Gate, release_id: str, *, actor: Actor) -> Revocation:
    """Stop serving a release for good; every grant on it ends, every artefact that rests on it is marked revoked.

    What was fetched, and what was trained on it, no gate takes back: the answer says who has it. The release's key
    opens nothing for readers any more; it lives on with the records under it until their term is over.

    Raises:
        ActDeniedError: Policy refuses.
        StageOrderError: The release is not out.
        EvidenceError: An artefact on record does not verify, or one is missing. The release and its grants are
            revoked before that is asked.
    """
    permit_on_release(gate, actor, "release.revoke", release_id)
    event = intended(
        EventType.RELEASE_RELEASE_REVOKE,
        actor=actor.id,
        object_id=release_id,
        release=release_id,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        with gate.database.transaction() as session:
            row = session.get(ReleaseRow, release_id, with_for_update=True)
            if row is None or row.state not in (ReleaseState.RELEASED, ReleaseState.REVOKED):
                raise StageOrderError(f"release is not out (got state {row.state if row else 'unknown'!r})")
            now = gate.clock()
            row.state = ReleaseState.REVOKED
            row.revoked_at = row.revoked_at or now
            since, ended = row.revoked_at, _end_grants(session, release_id, now)
        intent.complete(facts={"grants": ended})
    received = tuple(received_of(gate, release_id))
    artefacts = _revoke_artefacts(gate, release_id, actor)
    return Revocation(
        release=release_id, revoked_at=since, grants_ended=ended, received=received, artefacts=artefacts
    )


def _end_grants(session: WriteSession, release_id: str, now: datetime) -> int:
    live = sa.and_(GrantRow.release_id == release_id, GrantRow.revoked_at.is_(None))
    ended = len(session.scalars(sa.select(GrantRow.id).where(live)).all())
    session.execute(sa.update(GrantRow).where(live).values(revoked_at=now))
    return ended


def _revoke_artefacts(gate: Gate, release_id: str, actor: Actor) -> tuple[dict[str, Any], ...]:
    """Mark what rests on a release, and keep in the ledger which artefacts those are: an entry for each."""
    found = descendants_of(gate, release_id)
    for artefact in found:
        if artefact.revoked_at is not None:
            continue
        with recorded(
            gate,
            EventType.ARTEFACT_ARTEFACT_REVOKE,
            actor=actor.id,
            object_id=artefact.id,
            release=release_id,
            digests=actor.digests,
        ) as session:
            mark_revoked(session, artefact.id, gate.clock())
    return tuple({**told_of(artefact), "revoked": True} for artefact in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTerms:
    """A grant to issue."""

    release: str
    principal: str
    not_after: datetime


def issue_grant(gate: Gate, terms: GrantTerms, *, actor: Actor) -> GrantId:
    """Give a principal of the recipient a time-boxed right to read a release for its purpose.

    Raises:
        ActDeniedError: Policy refuses.
        InvalidRequestError: The principal belongs to another recipient, or the grant would outlive the release.
        StageOrderError: The release is not out.
    """
    permit_on_release(gate, actor, "grant.issue", terms.release)
    with gate.database.read() as session:
        row = session.get(ReleaseRow, terms.release)
        if row is None or row.state != ReleaseState.RELEASED:
            raise StageOrderError(f"release is not out (got state {row.state if row else 'unknown'!r})")
        principal = require_person(session, terms.principal)
        if principal.recipient_id != row.recipient:
            raise InvalidRequestError(f"principal does not belong to the recipient (got {terms.principal!r})")
        if terms.not_after > row.expires_at:
            raise InvalidRequestError(f"grant outlives its release (got {instant(terms.not_after)})")
        purpose, recipient = row.purpose, row.recipient
    grant = GrantId(secrets.token_hex(16))
    event = intended(
        EventType.GRANT_GRANT_ISSUE,
        actor=actor.id,
        object_id=grant,
        grant=grant,
        release=terms.release,
        purpose=purpose,
        recipient=recipient,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        # The entry precedes the row, which is worth nothing without it: a crash between them leaves a grant that
        # nobody holds, never one that stands between its holder and a later, attested one.
        intent.complete(facts={"principal": terms.principal, "not_after": instant(terms.not_after)})
        with gate.database.transaction() as session:
            session.add(
                GrantRow(
                    id=grant,
                    release_id=terms.release,
                    principal=terms.principal,
                    purpose=purpose,
                    issued_by=actor.id,
                    not_before=gate.clock(),
                    not_after=terms.not_after,
                )
            )
    return grant


def revoke_grant(gate: Gate, grant: str, *, actor: Actor) -> None:
    """End a grant now.

    Raises:
        ActDeniedError: Policy refuses.
        NotFoundError: There is no such grant.
    """
    permit(gate, actor, "grant.revoke", on=grant)
    with recorded(
        gate,
        EventType.GRANT_GRANT_REVOKE,
        actor=actor.id,
        object_id=grant,
        grant=grant,
        digests=actor.digests,
    ) as session:
        row = session.get(GrantRow, grant, with_for_update=True)
        if row is None:
            raise NotFoundError(f"no such grant (got {grant!r})")
        row.revoked_at = row.revoked_at or gate.clock()
