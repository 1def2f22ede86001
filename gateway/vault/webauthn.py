"""The one module that calls ``webauthn``: options for authenticators, their answers verified (WebAuthn Level 2).

Attestation is not asked for: who owns a security key is said by the statement that its holder signs with the key
they are enrolled by, not by a manufacturer.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from gateway.vault.errors import StatementError

ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_REQUIRED: Final = UserVerificationRequirement.REQUIRED
# What the library raises on bytes that are none of an authenticator's, beside its own exceptions.
_MALFORMED: Final = (WebAuthnException, UnsupportedAlgorithm, ValueError, TypeError, KeyError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKey:
    """A security key as its authenticator answered.

    Attributes:
        credential: Credential id, base64url.
        cose_key: Public key as COSE_Key.
        spki: The same key as SubjectPublicKeyInfo, DER.
        sign_count: The authenticator's signature counter.
    """

    credential: str
    cose_key: bytes
    spki: bytes
    sign_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """An authenticator's answer, parsed and not verified; ``credential`` and ``challenge`` are what it claims."""

    credential: str
    challenge: bytes
    authenticator_data: str
    client_data: str
    signature: str
    parsed: AuthenticationCredential


def creation_options(
    *, rp_id: str, person: str, challenge: bytes, timeout_s: int, exclude: Iterable[str]
) -> dict[str, Any]:
    """PublicKeyCredentialCreationOptions as JSON: user verification demanded, no attestation."""
    options = generate_registration_options(
        rp_id=rp_id,
        rp_name="Fleetgate",
        user_name=person,
        user_id=person.encode(),
        challenge=challenge,
        timeout=timeout_s * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            user_verification=_REQUIRED, resident_key=ResidentKeyRequirement.DISCOURAGED
        ),
        exclude_credentials=_descriptors(exclude),
        supported_pub_key_algs=ALGORITHMS,
    )
    return cast("dict[str, Any]", json.loads(options_to_json(options)))


def request_options(
    *, rp_id: str, challenge: bytes, timeout_s: int, credentials: Iterable[str]
) -> dict[str, Any]:
    """PublicKeyCredentialRequestOptions as JSON: user verification demanded."""
    options = generate_authentication_options(
        rp_id=rp_id,
        challenge=challenge,
        timeout=timeout_s * 1000,
        allow_credentials=_descriptors(credentials),
        user_verification=_REQUIRED,
    )
    return cast("dict[str, Any]", json.loads(options_to_json(options)))


def registration_challenge(response: Mapping[str, Any]) -> bytes:
    """The challenge that an answer to a registration claims; nothing is verified.

    Raises:
        StatementError: It is no such answer.
    """
    return parse_client_data_json(_registration(response).response.client_data_json).challenge


def verify_registration(
    response: Mapping[str, Any], *, challenge: bytes, rp_id: str, origins: Sequence[str]
) -> RegisteredKey:
    """Verify an authenticator's answer to a registration (WebAuthn Level 2, section 7.1).

    Raises:
        StatementError: It is no answer, to another challenge, of another origin or RP id, without verification of
            the user, or the key is of an algorithm that is not asked for.
    """
    parsed = _registration(response)
    try:
        verified = verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=list(origins),
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
        spki = spki_of(verified.credential_public_key)
    except _MALFORMED as error:
        raise StatementError(f"security key is not registered by this answer: {error}") from error
    return RegisteredKey(
        credential=_text(verified.credential_id),
        cose_key=verified.credential_public_key,
        spki=spki,
        sign_count=verified.sign_count,
    )


def spki_of(cose_key: bytes) -> bytes:
    """A COSE_Key as SubjectPublicKeyInfo, DER.

    Raises:
        StatementError: It is no key that is known here.
    """
    try:
        public = decoded_public_key_to_cryptography(decode_credential_public_key(cose_key))
    except _MALFORMED as error:
        raise StatementError(f"no public key of a security key: {error}") from error
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_assertion_response(response: Mapping[str, Any]) -> Assertion:
    """What an authenticator answered to a request for an assertion; nothing is verified.

    Raises:
        StatementError: It is no such answer.
    """
    try:
        parsed = parse_authentication_credential_json(dict(response))
        told = parse_client_data_json(parsed.response.client_data_json)
    except _MALFORMED as error:
        raise StatementError(f"no answer of a security key: {error}") from error
    return Assertion(
        credential=parsed.id,
        challenge=told.challenge,
        authenticator_data=_text(parsed.response.authenticator_data),
        client_data=_text(parsed.response.client_data_json),
        signature=_text(parsed.response.signature),
        parsed=parsed,
    )


def verify_assertion_response(
    assertion: Assertion,
    *,
    challenge: bytes,
    rp_id: str,
    origins: Sequence[str],
    cose_key: bytes,
    sign_count: int,
) -> int:
    """Verify an assertion (WebAuthn Level 2, section 7.2) and return the authenticator's new counter.

    Raises:
        StatementError: It is over another challenge, of another origin, RP id or key, without verification of the
            user, or its counter did not grow.
    """
    try:
        return verify_authentication_response(
            credential=assertion.parsed,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=list(origins),
            credential_public_key=cose_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        ).new_sign_count
    except _MALFORMED as error:
        raise StatementError(f"assertion does not verify: {error}") from error


def _registration(response: Mapping[str, Any]) -> RegistrationCredential:
    try:
        parsed = parse_registration_credential_json(dict(response))
        parse_client_data_json(parsed.response.client_data_json)
    except _MALFORMED as error:
        raise StatementError(f"no answer of a security key: {error}") from error
    return parsed


def _descriptors(credentials: Iterable[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=urlsafe_b64decode(each.encode())) for each in credentials]


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode("ascii")
