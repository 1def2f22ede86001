"""Issue a dossier: gathered at a checkpoint, rendered, signed, sealed; its digest is an entry of the ledger."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from audit.checkpoint import verify_checkpoint
from audit.events import EventType, Outcome
from audit.intent import Intent
from gateway.database import ReadSession
from gateway.dossier.contents import Edition, for_recipient, gather
from gateway.dossier.proofs import receipt_of
from gateway.dossier.records import DossierRow
from gateway.dossier.rendered import digests_of, files_of
from gateway.errors import EvidenceError, NotFoundError
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.flow.permitted import permit_on_release
from gateway.flow.records import ReleaseRow
from gateway.people.registry import Actor
from gateway.vault.errors import StatementError
from gateway.vault.jws import read_unverified_algorithm, sign_statement, thumbprint, verify_statement
from gateway.vault.store import Context

DOSSIER_TYPE: Final = "fleetgate-dossier+jwt"
STATEMENT: Final = "dossier.jws"
RECEIPT: Final = "receipt.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An issued dossier in one edition, verified.

    Attributes:
        release: Id of the release.
        edition: Which edition.
        statement: Compact JWS of the release key over the digests of all files.
        receipt: Proof that the ledger records the statement's digest: checkpoint, index, leaf, inclusion.
        digests: SHA-256 of each file by name.
        files: The files that were asked for, each compared with its digest.
    """

    release: str
    edition: Edition
    statement: str
    receipt: Mapping[str, Any]
    digests: Mapping[str, str]
    files: Mapping[str, bytes]


def dossier_of(
    gate: Gate,
    release: str,
    *,
    actor: Actor,
    edition: Edition = Edition.FULL,
    names: frozenset[str] | None = None,
    renew: bool = False,
) -> Issued:
    """The newest dossier of a release for a person; it is issued at the first call. Reading it is an entry.

    Args:
        gate: The gate.
        release: Id of a release that went out.
        actor: Who asks.
        edition: For whom it is.
        names: Files that are wanted; None for all.
        renew: Issue a new one, which also tells what happened since.

    Raises:
        ForbiddenError: The person holds none of the roles that review.
        NotFoundError: There is no such release, or the dossier has no such file.
        StageOrderError: The release has not gone out.
        EvidenceError: What it rests on, or the stored dossier, does not verify.
        RenderingError: A text cannot be set.
    """
    permit_on_release(gate, actor, "release.dossier", release)
    with gate.database.read() as session:
        present = _newest(session, release)
    if renew or present is None:
        issue_dossier(gate, release, actor=actor)
    event = intended(
        EventType.DOSSIER_RELEASE_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        issued = load_dossier(gate, release, edition=edition, names=names)
        intent.complete(
            digests={"dossier": _digest(issued.statement)},
            facts={"edition": edition.value, "files": len(issued.files)},
        )
    return issued


def issue_dossier(gate: Gate, release: str, *, actor: Actor) -> None:
    """Issue a dossier of everything that happened until now.

    1. The intent is durable. 2. A checkpoint is signed, and cosigned where there are witnesses. 3. The twin is
    gathered from verified evidence at that checkpoint. 4. Both editions are rendered and sealed under the key of
    the release. 5. The release key signs the digests of all files. 6. The ledger records the digests of both
    statements. 7. Row and receipt are stored.

    Raises:
        NotFoundError, StageOrderError, EvidenceError, RenderingError: As ``dossier_of``.
    """
    with gate.database.read() as session:
        row = session.get(ReleaseRow, release)
    if row is None:
        raise NotFoundError(f"no such release (got {release!r})")
    event = intended(
        EventType.DOSSIER_RELEASE_ISSUE,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:  # 1
        full = gather(gate, release, gate.checkpoint())  # 2, 3
        statements, seals = {}, {}
        for edition, twin in ((Edition.FULL, full), (Edition.RECIPIENT, for_recipient(full))):
            files = files_of(twin)
            seals[edition.value] = _sealed(gate, row, edition, files)  # 4
            statements[edition.value] = _signed(gate, twin, files)  # 5
        attested = {name: _digest(statement) for name, statement in statements.items()}
        index = _completed(intent, attested)  # 6
    receipt = receipt_of(gate, index)
    with gate.database.transaction() as session:  # 7
        session.add(
            DossierRow(
                release_id=release,
                ledger_index=index,
                statements=statements,
                seals=seals,
                receipt=receipt,
                issued_at=gate.clock(),
            )
        )


def _completed(intent: Intent, attested: Mapping[str, str]) -> int:
    return int(intent.complete(digests=attested).index)


def _digest(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()


def _context(release: str, edition: Edition, name: str) -> Context:
    return Context(owner=release, object=f"{edition.value}/{name}", role="dossier")


def _sealed(gate: Gate, row: ReleaseRow, edition: Edition, files: Mapping[str, bytes]) -> dict[str, str]:
    return {
        name: gate.vault.seal(
            [content], kek_id=row.kek_id, context=_context(row.id, edition, name)
        ).manifest_jws
        for name, content in files.items()
    }


def _signed(gate: Gate, twin: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    key = gate.keystore.statement_key("release")
    payload = {
        "version": 1,
        "release": twin["release"]["id"],
        "digest": twin["release"]["digest"],
        "edition": twin["edition"],
        "size": twin["checkpoint"]["size"],
        "as_of": twin["checkpoint"]["as_of"],
        "files": digests_of(files),
    }
    return sign_statement(key, DOSSIER_TYPE, thumbprint(key), payload)


def _newest(session: ReadSession, release: str) -> DossierRow | None:
    statement = (
        sa.select(DossierRow).where(DossierRow.release_id == release).order_by(DossierRow.id.desc()).limit(1)
    )
    return session.scalar(statement)


def load_dossier(
    gate: Gate, release: str, *, edition: Edition = Edition.FULL, names: frozenset[str] | None = None
) -> Issued:
    """The newest dossier of a release, verified.

    1. One was issued. 2. Its statement is signed by the release key, for this release and edition. 3. The ledger
    attests the statement's digest. 4. Each file opens and has the digest that was signed.

    Raises:
        NotFoundError: Step 1, or it has no such file.
        EvidenceError: Another step fails.
    """
    with gate.database.read() as session:
        row = _newest(session, release)
    if row is None:  # 1
        raise NotFoundError(f"no dossier of this release was issued (got {release!r})")
    statement = str(row.statements[edition.value])
    try:  # 2
        key = gate.keystore.verifying_key("release", read_unverified_algorithm(statement))
        said = verify_statement(statement, DOSSIER_TYPE, key)
    except StatementError as error:
        raise EvidenceError(f"dossier of release {release} does not verify: {error}") from error
    if (said["release"], said["edition"]) != (release, edition.value):
        raise EvidenceError(f"dossier of release {release} is of another release or edition")
    event = gate.ledger.entry(row.ledger_index).event
    expected = (EventType.DOSSIER_RELEASE_ISSUE, Outcome.COMPLETED, release, _digest(statement))
    if (event.type, event.outcome, event.object, event.digests.get(edition.value)) != expected:  # 3
        raise EvidenceError(f"ledger entry {row.ledger_index} does not attest the dossier of {release}")
    wanted = frozenset(said["files"]) if names is None else names
    if unknown := sorted(wanted - set(said["files"])):
        raise NotFoundError(f"the dossier has no such file (got {unknown}, expected {sorted(said['files'])})")
    files = {}
    for name in sorted(wanted):  # 4
        sealed = gate.vault.open(row.seals[edition.value][name], _context(release, edition, name))
        files[name] = b"".join(sealed.chunks())
        if hashlib.sha256(files[name]).hexdigest() != said["files"][name]:
            raise EvidenceError(f"{name} of the dossier of {release} is not what was signed")
    verify_checkpoint(row.receipt["checkpoint"], gate.ledger.signer.vkey)
    return Issued(
        release=release,
        edition=edition,
        statement=statement,
        receipt=row.receipt,
        digests=dict(said["files"]),
        files=files,
    )


def receipt_bytes(issued: Issued) -> bytes:
    """The receipt as its file."""
    return json.dumps(dict(issued.receipt), sort_keys=True, indent=1).encode() + b"\n"
