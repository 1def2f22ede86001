"""Which policy bundle is in force: the newest statement that has begun, an operator's before the shipped one."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import rfc8785
import sqlalchemy as sa
from joserfc.errors import JoseError
from joserfc.jws import extract_compact

from audit.events import EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter, find_all
from gateway.database import Database, ReadSession, WriteSession
from gateway.errors import ConfigurationError, EvidenceError
from gateway.models.statements import digest_of, verified
from gateway.people.policy_statement import verify_policy
from gateway.people.records import PolicyBundleRow, PolicyProposalRow, PolicyStatementRow
from gateway.vault.errors import VaultError
from gateway.vault.keys import Keystore
from gateway.vault.values import open_value, seal_value
from policies.bundle import VerifiedBundle
from policies.drafts import Draft, draft_of, packed_files, require_same_questions, shipped_draft
from policies.errors import BundleError

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The bundle in force, and the draft whose golden vectors its engine has to answer."""

    verified: VerifiedBundle
    draft: Draft = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement that puts a bundle into force, as it lies there.

    Attributes:
        bundle_digest: Digest of the bundle.
        version: Its version.
        not_before: First instant of validity.
        not_after: End of validity, excluded.
        installed_at: When it was installed.
        people: Who proposed and who approved it; empty for the shipped bundle, which ``init`` puts into force.
    """

    bundle_digest: str
    version: str
    not_before: datetime
    not_after: datetime
    installed_at: datetime
    people: tuple[str, ...]


def shipped_files() -> dict[str, bytes]:
    """The files of the shipped bundle with its vectors."""
    return packed_files(resources.files("policies"))


def _context(digest: str) -> bytes:
    return rfc8785.dumps({"digest": digest, "role": "policy-bundle"})


def store_files(
    session: WriteSession, keystore: Keystore, files: Mapping[str, bytes], *, kek: str, now: datetime
) -> None:
    """Keep the files of a bundle, so that its decisions can be explained as long as the gate stands."""
    digest = draft_of(files, past=True).bundle.digest
    if session.get(PolicyBundleRow, digest) is not None:
        return
    packed = rfc8785.dumps({path: content.decode() for path, content in files.items()})
    sealed = seal_value(keystore, kek_id=kek, context=_context(digest), plaintext=zlib.compress(packed))
    session.add(PolicyBundleRow(digest=digest, sealed=sealed, added_at=now))
    session.flush()


def load_files(
    session: ReadSession | WriteSession, keystore: Keystore, digest: str, *, kek: str
) -> dict[str, bytes]:
    """The files of a kept bundle.

    Raises:
        EvidenceError: There are none, the seal is broken, or they have another digest.
    """
    row = session.get(PolicyBundleRow, digest)
    if row is None:
        raise EvidenceError(f"no bundle of this digest is kept (got {digest!r})")
    try:
        packed = open_value(keystore, kek_id=kek, context=_context(digest), sealed=row.sealed)
    except VaultError as error:
        raise EvidenceError(f"policy bundle {digest} does not open: {error}") from error
    files = {path: text.encode() for path, text in json.loads(zlib.decompress(packed)).items()}
    found = draft_of(files, past=True).bundle.digest
    if found != digest:
        raise EvidenceError(f"policy bundle has digest {found} (expected {digest})")
    return files


def bundle_in_force(
    database: Database, ledger: Ledger, keystore: Keystore, *, kek: str, clock: Clock
) -> InForce:
    """The bundle in force now, verified (COMPLIANCE.md rule 1, law 6).

    1. No statement is missing that the ledger saw installed. 2. The newest statement of an operator that has begun
    counts, also when it is over: nothing older comes back by itself; without one, the shipped bundle's. 3. Of an
    operator's, proposal and approval are signed by two persons and are about this bundle. 4. The bundle's files
    have its digest, and it asks the questions of this version. 5. The statement is the gate's and in force now.

    Raises:
        ConfigurationError: No statement is about the shipped bundle, and none is an operator's.
        EvidenceError: Step 1 or 3 fails, or the files are not those of the bundle.
        BundleError: Step 4 or 5 fails.
    """
    now, shipped = clock(), shipped_draft()
    with database.read() as session:
        rows = list(session.scalars(sa.select(PolicyStatementRow).order_by(PolicyStatementRow.id)))
        _require_all(ledger, rows)  # step 1
        own = [row for row in rows if row.proposal is not None and _dates(row)[0] <= now]
        if not own:  # step 2
            stated = [row for row in rows if row.bundle_digest == shipped.bundle.digest and not row.proposal]
            if not stated:
                raise ConfigurationError(
                    f"no signed statement puts the installed policy bundle {shipped.bundle.digest} into force "
                    "(run: fleetgate init)"
                )
            row, draft = stated[-1], shipped
        else:
            row = own[-1]
            require_signed_by_two(session, row)  # step 3
            draft = draft_of(load_files(session, keystore, row.bundle_digest, kek=kek))
            require_same_questions(draft)  # step 4
    return InForce(verified=verify_policy(keystore, draft.bundle, row.statement, now), draft=draft)  # step 5


def require_signed_by_two(session: ReadSession | WriteSession, row: PolicyStatementRow) -> tuple[str, str]:
    """Who proposed and who approved an operator's bundle; two persons, each by signature.

    Raises:
        EvidenceError: A signature is missing, by the same person, or for something else.
    """
    proposal = session.get(PolicyProposalRow, row.proposal) if row.proposal else None
    if proposal is None or row.approval is None or row.installed_by is None:
        raise EvidenceError(f"statement for bundle {row.bundle_digest} names no proposal and approval")
    if digest_of(proposal.statement) != row.proposal or proposal.proposed_by == row.installed_by:
        raise EvidenceError(
            f"bundle {row.bundle_digest} was not proposed by one and approved by another person"
        )
    about = {"bundle": row.bundle_digest}
    proposer = proposal.proposed_by
    said = verified(
        session,
        proposal.statement,
        signer=proposer,
        what="proposal",
        expected={**about, "act": "policy.sign"},
    )
    expected = {**about, "act": "policy.install", "proposal": proposal.digest}
    verified(session, row.approval, signer=row.installed_by, what="approval", expected=expected)
    stated = tuple(datetime.fromisoformat(str(said[name])) for name in ("not_before", "not_after"))
    if tuple(moment.replace(microsecond=0) for moment in stated) != _dates(row):
        raise EvidenceError(f"bundle {row.bundle_digest} was signed for another period (got {stated})")
    return proposer, row.installed_by


def statements_of(session: ReadSession) -> list[Statement]:
    """Every statement by its installation, operators' verified.

    Raises:
        EvidenceError: A signature does not verify.
    """
    found = []
    for row in session.scalars(sa.select(PolicyStatementRow).order_by(PolicyStatementRow.id)):
        claims, (begin, end) = _claims(row), _dates(row)
        found.append(
            Statement(
                bundle_digest=row.bundle_digest,
                version=str(claims["version"]),
                not_before=begin,
                not_after=end,
                installed_at=row.installed_at,
                people=require_signed_by_two(session, row) if row.proposal else (),
            )
        )
    return found


def _claims(row: PolicyStatementRow) -> Mapping[str, Any]:
    try:
        claims: Mapping[str, Any] = json.loads(extract_compact(row.statement.encode()).payload)
    except (JoseError, ValueError) as error:
        raise BundleError(f"statement of bundle {row.bundle_digest} is malformed: {error}") from error
    return claims


def _dates(row: PolicyStatementRow) -> tuple[datetime, datetime]:
    claims = _claims(row)
    begin, end = (datetime.fromisoformat(str(claims[name])) for name in ("not_before", "not_after"))
    return begin.astimezone(UTC), end.astimezone(UTC)


def _require_all(ledger: Ledger, rows: Sequence[PolicyStatementRow]) -> None:
    """A row says nothing of one that was deleted, with which an older bundle would come back."""
    wanted = EntryFilter(types=(EventType.POLICY_BUNDLE_INSTALL,), outcome=Outcome.COMPLETED)
    with ledger.snapshot() as snapshot:
        attested = {
            entry.event.facts["statement"]
            for entry in find_all(snapshot, wanted)
            if "statement" in entry.event.facts
        }
    missing = attested - {digest_of(row.statement) for row in rows}
    if missing:
        raise EvidenceError(
            f"policy statements are missing that the ledger saw installed (got {sorted(missing)})"
        )
