"""Files that a person puts into force: signed, sealed, in the ledger, and verified at each use (law 6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import rfc8785

from audit.events import EventType, Outcome
from audit.ledger import Ledger
from audit.query import EntryFilter, find_page
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.gate import Gate
from gateway.models.statements import digest_of, verified
from gateway.people.registry import ACT_TYPE, Actor
from gateway.vault.jws import PrivateKey, sign_statement, thumbprint
from gateway.vault.values import open_value, seal_value

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile:
    """A file as its row keeps it.

    Attributes:
        digest: SHA-256 of its content, hexadecimal.
        statement: The signed statement that put it into force.
        sealed: Its content, sealed under the gate's key.
        signer: Id of the person who signed.
    """

    digest: str
    statement: str
    sealed: bytes = field(repr=False)
    signer: str


def sign_file(
    gate: Gate, content: bytes, *, act: str, says: Mapping[str, str], actor: Actor, key: PrivateKey
) -> SignedFile:
    """Sign and seal a file; nothing is stored.

    Args:
        gate: The gate.
        content: The file.
        act: The act, such as ``dbc.install``; it also binds the seal.
        says: What the statement says besides act, digest and person.
        actor: Who signs.
        key: Their private key.
    """
    digest = digest_of(content)
    payload = {**says, "act": act, "digest": digest, "person": actor.id}
    return SignedFile(
        digest=digest,
        statement=sign_statement(key, ACT_TYPE, thumbprint(key), payload),
        sealed=seal_value(
            gate.keystore, kek_id=gate.gate_kek, context=_context(act, digest), plaintext=content
        ),
        signer=actor.id,
    )


def open_file(
    gate: Gate,
    session: ReadSession | WriteSession,
    file: SignedFile,
    *,
    act: str,
    says: Mapping[str, str],
    what: str,
) -> bytes:
    """The content of a file, verified.

    1. The seal opens. 2. The content has the recorded digest. 3. The statement is signed by the key of the person
    who is recorded as signer, and says this act, this digest and ``says``.

    Raises:
        SealBrokenError: Step 1 fails.
        EvidenceError: Another step fails.
    """
    content = open_value(  # 1
        gate.keystore, kek_id=gate.gate_kek, context=_context(act, file.digest), sealed=file.sealed
    )
    if digest_of(content) != file.digest:  # 2
        raise EvidenceError(f"{what} has another digest (got {digest_of(content)}, expected {file.digest})")
    expected = {**says, "act": act, "digest": file.digest}
    verified(session, file.statement, signer=file.signer, what=what, expected=expected)  # 3
    return content


def completed(ledger: Ledger, event: EventType) -> frozenset[str]:
    """Objects of all acts of a kind that the ledger saw completed.

    A row carries its own signature, but says nothing of a row that was deleted; the ledger does. Ask the ledger
    before reading rows: an act is completed there only after its row is stored.
    """
    wanted = EntryFilter(types=(event,), outcome=Outcome.COMPLETED)
    objects: set[str] = set()
    after: int | None = None
    with ledger.snapshot() as snapshot:
        while True:
            page = find_page(snapshot, wanted, limit=_PAGE, after=after)
            objects |= {entry.event.object for entry in page.entries}
            if page.cursor is None:
                return frozenset(objects)
            after = page.cursor


def _context(act: str, digest: str) -> bytes:
    return rfc8785.dumps({"act": act, "digest": digest, "role": "signed-file"})
