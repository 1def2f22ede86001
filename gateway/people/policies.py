"""Policy bundles that operators draft: proposed by one person, put into force by another, for a period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from audit.events import EventType
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.models.statements import digest_of, verified
from gateway.people.permission import done_by, permit
from gateway.people.policy_in_force import load_files, store_files
from gateway.people.policy_statement import sign_policy
from gateway.people.records import PolicyProposalRow, PolicyStatementRow
from gateway.people.registry import ACT_TYPE, Actor
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint
from policies.bundle import VerifiedBundle
from policies.difference import VectorChange, changed_vectors
from policies.drafts import Draft, draft_of, require_same_questions, shipped_draft
from policies.embedded import EmbeddedEngine
from policies.errors import BundleError, VectorMismatchError
from policies.trial import missing_rules, try_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A draft that may be signed, and the shipped golden vectors that it answers differently."""

    draft: Draft
    changes: tuple[VectorChange, ...]

    def named(self) -> list[str]:
        """The changes as they are signed: name of the vector, and where the draft leads."""
        return [f"{change.name} -> {change.turns}" for change in self.changes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When a bundle is to be in force: aware times, the end excluded."""

    not_before: datetime
    not_after: datetime

    def stated(self) -> dict[str, str]:
        """As it is signed."""
        return {"not_before": self.not_before.isoformat(), "not_after": self.not_after.isoformat()}


def examine(files: Mapping[str, bytes]) -> Examined:
    """Examine a draft before anybody signs it.

    1. It asks the questions of this version. 2. It requires every rule that the shipped bundle requires. 3. It
    answers its own golden vectors as recorded, and they cover its rules. 4. The shipped vectors that it answers
    differently are listed: they are signed with it.

    Raises:
        BundleError: Step 1 or 2 fails, or a file is malformed.
        VectorMismatchError: Step 3 fails.
    """
    draft, shipped = draft_of(files), shipped_draft()
    require_same_questions(draft)  # step 1
    if missing := missing_rules(draft.bundle, shipped.bundle):  # step 2
        raise BundleError(f"bundle lacks required rules (got none of {', '.join(missing)})")
    with EmbeddedEngine(draft.bundle) as own:
        faults = try_vectors(draft, own).faults  # step 3
        if faults:
            shown = "; ".join(f"{fault.name}: {fault.detail}" for fault in faults[:5])
            raise VectorMismatchError(f"bundle fails its own vectors: {shown} ({len(faults)} in all)")
    base = Draft(bundle=draft.bundle, documents=shipped.documents, tests={})
    with EmbeddedEngine(shipped.bundle) as before, EmbeddedEngine(draft.bundle) as after:
        changes = changed_vectors(shipped, base, (before, after))  # step 4
    return Examined(draft=draft, changes=changes)


def propose_bundle(
    gate: Gate, files: Mapping[str, bytes], period: Period, *, accepted: bool, actor: Actor, key: PrivateKey
) -> Examined:
    """Propose a bundle under one's own signature; another person puts it into force.

    Args:
        gate: The gate.
        files: Its files by path.
        period: When it is to be in force.
        accepted: Whether the person accepts that shipped golden vectors are answered differently.
        actor: Who proposes.
        key: Their private key.

    Raises:
        ActDeniedError: Policy refuses; the attempt is in the ledger.
        BundleError: The draft may not be signed.
        VectorMismatchError: It fails its own vectors.
        InvalidRequestError: The period is empty or over, or golden vectors change and that was not accepted.
    """
    permit(gate, actor, "policy.sign")
    if period.not_after <= max(period.not_before, gate.clock()):
        raise InvalidRequestError(f"period is empty or over (got {period.stated()})")
    examined = examine(files)
    if examined.changes and not accepted:
        raise InvalidRequestError(
            f"the bundle answers shipped golden vectors differently (got {'; '.join(examined.named()[:5])}; "
            f"{len(examined.changes)} in all, expected none or --accept-changes)"
        )
    payload = {**_proposal(examined, period), "person": actor.id}
    statement = sign_statement(key, ACT_TYPE, thumbprint(key), payload)
    bundle = examined.draft.bundle
    with recorded(
        gate,
        EventType.POLICY_BUNDLE_SIGN,
        actor=actor.id,
        object_id=bundle.digest,
        digests={**actor.digests, "bundle": bundle.digest, "statement": digest_of(statement)},
        facts={"changed_vectors": len(examined.changes)},
    ) as session:
        verified(session, statement, signer=actor.id, what="proposal", expected={"bundle": bundle.digest})
        store_files(session, gate.keystore, files, kek=gate.gate_kek, now=gate.clock())
        session.add(
            PolicyProposalRow(
                digest=digest_of(statement),
                bundle_digest=bundle.digest,
                statement=statement,
                proposed_by=actor.id,
                proposed_at=gate.clock(),
            )
        )
    return examined


def _proposal(examined: Examined, period: Period) -> dict[str, Any]:
    draft = examined.draft
    return {
        "act": "policy.sign",
        "bundle": draft.bundle.digest,
        "changes": examined.named(),
        "vectors": draft.vectors_digest(),
        "version": draft.bundle.version,
        **period.stated(),
    }


def install_bundle(gate: Gate, bundle_digest: str, *, actor: Actor, key: PrivateKey) -> VerifiedBundle:
    """Put a proposed bundle into force for its period: a second person signs, and the gate states it (law 8).

    The newest proposal of the digest counts. Everything is examined anew. A running gate judges by the bundle that
    it started with; its next start takes this one up.

    Raises:
        ActDeniedError: The person may not, proposed it themselves, or neither of the two is a compliance officer.
        NotFoundError: Nobody proposed it.
        ConflictError: This proposal was put into force already.
        EvidenceError: The proposal does not verify, or the examination no longer finds what was signed.
    """
    _permit_install(gate, bundle_digest, actor)
    proposal, said, files = _proposed(gate, bundle_digest)
    examined, period = examine(files), _period_of(said)
    if dict(said) != {**_proposal(examined, period), "person": proposal.proposed_by}:
        raise EvidenceError(f"the examination finds something else than was signed (got {bundle_digest!r})")
    payload = {"act": "policy.install", "bundle": bundle_digest, "proposal": proposal.digest}
    approval = sign_statement(key, ACT_TYPE, thumbprint(key), {**payload, "person": actor.id})
    bundle, begin, end = examined.draft.bundle, period.not_before, period.not_after
    statement = sign_policy(gate.keystore, bundle, not_before=begin, not_after=end)
    digests = {"bundle": bundle_digest, "proposal": proposal.digest}
    with recorded(
        gate,
        EventType.POLICY_BUNDLE_INSTALL,
        actor=actor.id,
        object_id=bundle_digest,
        digests={**actor.digests, **digests},
        facts={"changed_vectors": len(examined.changes), "statement": digest_of(statement)},
    ) as session:
        verified(session, approval, signer=actor.id, what="approval", expected=payload)
        taken = sa.select(PolicyStatementRow).where(PolicyStatementRow.proposal == proposal.digest)
        if session.scalar(taken) is not None:
            raise ConflictError(f"the proposal was put into force already (got {proposal.digest!r})")
        session.add(
            PolicyStatementRow(
                bundle_digest=bundle_digest,
                statement=statement,
                installed_at=gate.clock(),
                proposal=proposal.digest,
                approval=approval,
                installed_by=actor.id,
            )
        )
    signer = thumbprint(gate.keystore.statement_key("policy"))
    return VerifiedBundle(bundle=bundle, signer=signer, not_before=begin, not_after=end)


def _proposed(
    gate: Gate, bundle_digest: str
) -> tuple[PolicyProposalRow, Mapping[str, Any], dict[str, bytes]]:
    """The newest proposal of a bundle, verified, with what it says and the files that it is about."""
    with gate.database.read() as session:
        proposal = session.scalar(_newest_proposal(bundle_digest))
        if proposal is None:
            raise NotFoundError(f"nobody proposed this bundle (got {bundle_digest!r})")
        expected = {"act": "policy.sign", "bundle": bundle_digest}
        said = verified(
            session, proposal.statement, signer=proposal.proposed_by, what="proposal", expected=expected
        )
        return proposal, said, load_files(session, gate.keystore, bundle_digest, kek=gate.gate_kek)


def _permit_install(gate: Gate, bundle_digest: str, actor: Actor) -> None:
    """Two distinct persons, of roles that policy demands of the two; it is told who proposed last."""
    with gate.database.read() as session:
        proposer = session.scalar(
            _newest_proposal(bundle_digest).with_only_columns(PolicyProposalRow.proposed_by)
        )
        done = () if proposer is None else (done_by(session, "policy.sign", proposer),)
    permit(gate, actor, "policy.install", on=bundle_digest, exists=proposer is not None, done=done)


def _newest_proposal(bundle_digest: str) -> sa.Select[PolicyProposalRow]:
    return (
        sa.select(PolicyProposalRow)
        .where(PolicyProposalRow.bundle_digest == bundle_digest)
        .order_by(PolicyProposalRow.proposed_at.desc())
        .limit(1)
    )


def _period_of(said: Mapping[str, Any]) -> Period:
    return Period(
        not_before=datetime.fromisoformat(str(said.get("not_before"))),
        not_after=datetime.fromisoformat(str(said.get("not_after"))),
    )
