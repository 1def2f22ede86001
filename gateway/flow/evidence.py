"""Evidence, not flags (law 6): what a stage rests on; sealed, chained, in the ledger, verified on loading."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785
import sqlalchemy as sa

from audit.events import Outcome
from audit.intent import Intent
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError, StageOrderError
from gateway.flow.gate import Gate
from gateway.flow.recording import EvidenceRef, Stage
from gateway.flow.records import EvidenceRow
from gateway.vault.errors import VaultError
from gateway.vault.values import open_value, seal_value

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """Evidence whose seal, digest, chain and ledger entry agree."""

    ref: EvidenceRef
    payload: Mapping[str, Any]


def seal_digest(seal: str) -> str:
    """SHA-256 of a seal's signed manifest: how evidence names the sealed file that it rests on."""
    return hashlib.sha256(seal.encode()).hexdigest()


def _context(owner: str, stage: Stage) -> bytes:
    return rfc8785.dumps({"owner": owner, "role": "evidence", "stage": stage.value})


def attest(  # noqa: PLR0913 (each argument is one field of the evidence)
    gate: Gate,
    intent: Intent,
    *,
    owner: str,
    stage: Stage,
    kek_id: str,
    previous: str,
    payload: Mapping[str, Any],
    digests: Mapping[str, str] | None = None,
    facts: Mapping[str, str | int | bool] | None = None,
) -> EvidenceRow:
    """Seal evidence, put its digest into the ledger as the completion of ``intent`` and return the row to store.

    The completion precedes the row: a crash between them repeats the stage and leaves a ledger entry that no
    row cites, never a row that the ledger does not attest.
    """
    document = rfc8785.dumps(
        {
            "owner": owner,
            "payload": dict(payload),
            "previous": previous,
            # Without a salt the digest of a guessable payload could be recomputed after its key is destroyed.
            "salt": secrets.token_hex(16),
            "stage": stage.value,
        }
    )
    digest = hashlib.sha256(document).hexdigest()
    sealed = seal_value(gate.keystore, kek_id=kek_id, context=_context(owner, stage), plaintext=document)
    receipt = intent.complete(
        digests={"evidence": digest, "previous": previous, **(digests or {})}, facts=facts or {}
    )
    return EvidenceRow(
        owner_id=owner,
        stage=stage.value,
        kek_id=kek_id,
        digest=digest,
        previous=previous,
        sealed=sealed,
        ledger_index=receipt.index,
    )


def load(
    gate: Gate, session: ReadSession | WriteSession, *, owner: str, stage: Stage, previous: str | None
) -> VerifiedEvidence:
    """Load the newest evidence of a stage and verify it.

    1. It exists. 2. Its seal opens for this owner and stage. 3. Its digest is the recorded one. 4. It names
    this owner and stage and continues ``previous`` (``None``: the caller checks the chain from the other
    end). 5. The ledger attests the digest in a completed entry.

    Raises:
        StageOrderError: There is no such evidence: the stage has not been passed.
        EvidenceError: Any of steps 2 to 5 fails.
    """
    row = session.scalar(_rows(owner, stage).order_by(EvidenceRow.id.desc()).limit(1))
    if row is None:  # step 1
        raise StageOrderError(f"{owner} has not passed stage {stage.value!r}")
    return _verified(gate, row, stage, previous)


def load_every(
    gate: Gate, session: ReadSession | WriteSession, *, owner: str, stage: Stage, previous: str | None
) -> tuple[VerifiedEvidence, ...]:
    """All evidence of a stage that is passed more than once, oldest first, each verified as by :func:`load`.

    Raises:
        EvidenceError: One of them fails.
    """
    rows = session.scalars(_rows(owner, stage).order_by(EvidenceRow.id)).all()
    return tuple(_verified(gate, row, stage, previous) for row in rows)


def _rows(owner: str, stage: Stage) -> sa.Select[EvidenceRow]:
    return sa.select(EvidenceRow).where(EvidenceRow.owner_id == owner, EvidenceRow.stage == stage.value)


def _verified(gate: Gate, row: EvidenceRow, stage: Stage, previous: str | None) -> VerifiedEvidence:
    owner = row.owner_id
    try:  # step 2
        document = open_value(
            gate.keystore, kek_id=row.kek_id, context=_context(owner, stage), sealed=row.sealed
        )
    except VaultError as error:
        raise EvidenceError(f"evidence of {owner} for {stage.value!r} does not open: {error}") from error
    digest = hashlib.sha256(document).hexdigest()
    if digest != row.digest:  # step 3
        raise EvidenceError(
            f"evidence of {owner} for {stage.value!r} has digest {digest} (expected {row.digest})"
        )
    content = json.loads(document)
    found = (content["owner"], content["stage"], content["previous"])
    expected = (owner, stage.value, content["previous"] if previous is None else previous)
    if found != expected or row.previous != content["previous"]:  # step 4
        raise EvidenceError(f"evidence of {owner} breaks the chain (got {found}, expected {expected})")
    entry = gate.ledger.entry(row.ledger_index)
    if (
        entry.event.outcome is not Outcome.COMPLETED or entry.event.digests.get("evidence") != digest
    ):  # step 5
        raise EvidenceError(
            f"ledger entry {row.ledger_index} does not attest the evidence {digest} of {owner}"
        )
    ref = EvidenceRef(stage=stage, digest=digest, ledger_index=row.ledger_index)
    return VerifiedEvidence(ref=ref, payload=content["payload"])


def find(session: ReadSession | WriteSession, *, owner: str, stage: Stage) -> bool:
    """Whether evidence of the stage is recorded; says nothing about its validity."""
    statement = sa.select(sa.literal(1)).where(
        EvidenceRow.owner_id == owner, EvidenceRow.stage == stage.value
    )
    return session.scalar(statement) is not None
