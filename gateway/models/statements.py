"""Signed statements about models, verified on every load."""

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from anonymize.media.model_card import ModelCard
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.people.records import PersonRow
from gateway.people.registry import ACT_TYPE
from gateway.vault.errors import StatementError
from gateway.vault.jws import public_key_of, verify_statement


def digest_of(text: str | bytes) -> str:
    """SHA-256 of a statement or document, hexadecimal."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def card_text(card: ModelCard) -> str:
    """The card in its RFC 8785 form, which is what is signed and stored."""
    return rfc8785.dumps(card.as_dict()).decode()


def verified(
    session: ReadSession | WriteSession,
    statement: str,
    *,
    signer: str,
    what: str,
    expected: Mapping[str, str],
) -> Mapping[str, Any]:
    """The payload of a person's statement about a model.

    1. The signer is enrolled. 2. The statement is signed by the signer's key. 3. It says ``expected``, and that
    the signer said it.

    Args:
        session: Where people are looked up.
        statement: Compact JWS.
        signer: Id of the person.
        what: What messages call the statement.
        expected: Members that the payload must have.

    Raises:
        EvidenceError: A step fails.
    """
    person = session.get(PersonRow, signer)
    if person is None:  # 1
        raise EvidenceError(f"{what} was signed by nobody enrolled (got {signer!r})")
    try:  # 2
        payload = verify_statement(statement, ACT_TYPE, public_key_of(person.public_jwk))
    except StatementError as error:
        raise EvidenceError(f"signature of {what} does not verify: {error}") from error
    wanted = {**expected, "person": signer}
    said = {name: payload.get(name) for name in wanted}
    if said != wanted:  # 3
        raise EvidenceError(f"signature of {what} is for something else (got {said}, expected {wanted})")
    return payload
