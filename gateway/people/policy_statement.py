"""The gate's signature under the statement that puts a policy bundle into force: Ed25519, or SM2 in suite 2."""

from datetime import datetime

from joserfc.jwk import OKPKey

from gateway.vault.errors import StatementError
from gateway.vault.jws import read_unverified_algorithm, sign_statement, thumbprint, verify_statement
from gateway.vault.keys import Keystore
from policies.bundle import (
    STATEMENT_TYPE,
    Bundle,
    VerifiedBundle,
    sign_bundle,
    statement_of,
    verify_bundle,
    verify_claims,
)
from policies.errors import BundleError

_KEY = "policy"


def sign_policy(keystore: Keystore, bundle: Bundle, *, not_before: datetime, not_after: datetime) -> str:
    """Sign by the key of the gate's suite.

    Raises:
        BundleError: The period is empty or lacks a time zone.
    """
    key = keystore.statement_key(_KEY)
    signer = thumbprint(key)
    if isinstance(key, OKPKey):
        return sign_bundle(bundle, key, signer=signer, not_before=not_before, not_after=not_after)
    said = statement_of(bundle, signer=signer, not_before=not_before, not_after=not_after)
    return sign_statement(key, STATEMENT_TYPE, signer, said)


def verify_policy(keystore: Keystore, bundle: Bundle, statement: str, now: datetime) -> VerifiedBundle:
    """Verify a statement by the key that it was signed with: one from before a change of suite stays good.

    Raises:
        BundleError: It is not signed by the gate, is about another bundle, or is not in force.
    """
    try:
        key = keystore.verifying_key(_KEY, read_unverified_algorithm(statement))
        if isinstance(key, OKPKey):
            return verify_bundle(bundle, statement, key, now)
        return verify_claims(bundle, dict(verify_statement(statement, STATEMENT_TYPE, key)), now)
    except StatementError as error:
        raise BundleError(f"bundle statement is not signed by the trusted key: {error}") from error


def is_in_force(keystore: Keystore, bundle: Bundle, statement: str, now: datetime) -> bool:
    """Whether ``verify_policy`` accepts a statement now; to decide whether another is needed, never to judge."""
    try:
        verify_policy(keystore, bundle, statement, now)
    except BundleError:
        return False
    return True
