"""Request authentication by HTTP Message Signatures (RFC 9421) with signed content digests (RFC 9530).

``gateway.api.signature_profile`` says what a signature must carry. Verification is pure but for the nonce
store, which is asked last.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from http_message_signatures import HTTPMessageSignaturesException

from gateway.api.nonces import NonceStore
from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.api.signature_profile import (
    DEFAULT_MAX_AGE_S,
    PURPOSE_HEADER,
    FieldLines,
    KeyResolver,
    ProfileVerifier,
    only_line,
    required_by,
)

_CONTENT_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """What the signature proves.

    Attributes:
        keyid: The identifier under which the key was resolved.
        created: When the request was signed (UTC, whole seconds).
        nonce: The nonce, now spent.
        components: The covered components in signing order.
        purpose: The signed ``Fleetgate-Purpose``, None where the request states none.
        content_sha256: The signed SHA-256 of the content; ``check_content`` compares it with what came.
    """

    keyid: str
    created: datetime
    nonce: str
    components: tuple[str, ...]
    purpose: str | None
    content_sha256: bytes | None


def content_digest(sha256: bytes) -> str:
    """The Content-Digest field of content with this SHA-256 (RFC 9530 section 2)."""
    return f"sha-256=:{b64encode(sha256).decode('ascii')}:"


def signed_url(scope: Mapping[str, Any]) -> str:
    """The target URI of an ASGI request from the bytes that were on the wire, never from a decoded path.

    Raises:
        SignatureRefusedError: The request has no Host field or several.
    """
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        raise SignatureRefusedError(SignatureReason.DUPLICATED, f"Host fields (got {len(hosts)}, expected 1)")
    query = scope["query_string"].decode("latin-1")
    suffix = f"?{query}" if query else ""
    return f"{scope['scheme']}://{hosts[0]}{scope['raw_path'].decode('latin-1')}{suffix}"


def verify_request(
    *,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    resolve_key: KeyResolver,
    now: datetime,
    nonces: NonceStore,
    max_age_s: int = DEFAULT_MAX_AGE_S,
    required: Sequence[str] = (),
) -> VerifiedRequest:
    """Verify the one signature of a request.

    1. Signature and Signature-Input are there, once each.
    2. What must be covered follows from the request itself and from ``required``.
    3. The parameters are those of the profile, each of its type; algorithm and tag are ours.
    4. The signature is neither from the future nor too old nor expired.
    5. Everything required is covered, and every covered field occurs exactly once.
    6. The key is known.
    7. The signature is the key's over exactly these bytes.
    8. The content digest is one well-formed SHA-256.
    9. The nonce was never seen. Last, so that only holders of a key can fill the store.

    Args:
        method: The request method as received.
        url: The target URI as received (``signed_url``).
        headers: Every field line as received, duplicates included.
        resolve_key: Gives the public key of a keyid, None where it is unknown or revoked.
        now: The present, with time zone.
        nonces: Remembers spent nonces for as long as their signatures are acceptable.
        max_age_s: Greatest age of a signature in seconds.
        required: Components that must be covered besides those of the profile.

    Raises:
        SignatureRefusedError: A step fails; ``reason`` says which.
    """
    fields = _fields_by_name(headers)
    for name in ("signature", "signature-input"):  # 1
        if name not in fields:
            raise SignatureRefusedError(SignatureReason.MISSING, f"field {name!r} (got none, expected 1)")
        only_line(fields, name)
    verifier = ProfileVerifier(
        fields=fields,
        required=(*required_by(fields), *required),  # 2
        resolve_key=resolve_key,
        now=now,
        max_age_s=max_age_s,
    )
    message = _Message(method=method, url=url, headers={name: lines[0] for name, lines in fields.items()})
    try:
        (result,) = verifier.verify(message, max_age=None)  # 3 to 7
    except HTTPMessageSignaturesException as error:
        reason = SignatureReason.INVALID if verifier.key is not None else SignatureReason.MALFORMED
        raise SignatureRefusedError(reason, str(error)) from error
    digest = _content_sha256(fields)  # 8
    created = datetime.fromtimestamp(int(result.parameters["created"]), tz=UTC)
    keyid, nonce = str(result.parameters["keyid"]), str(result.nonce)
    until = created + timedelta(seconds=max_age_s + 1)
    if not nonces.claim(keyid=keyid, nonce=nonce, until=until):  # 9
        raise SignatureRefusedError(SignatureReason.REPLAYED, f"nonce {nonce!r} of {keyid!r} was seen before")
    return VerifiedRequest(
        keyid=keyid,
        created=created,
        nonce=nonce,
        components=tuple(verifier.covered),
        purpose=fields[PURPOSE_HEADER][0].strip(" \t") if PURPOSE_HEADER in fields else None,
        content_sha256=digest,
    )


def check_content(verified: VerifiedRequest, sha256: bytes) -> None:
    """Compare the digest of the content that was received with the one that was signed.

    Raises:
        SignatureRefusedError: No digest was signed, or another one.
    """
    if verified.content_sha256 != sha256:
        got, signed = sha256.hex(), verified.content_sha256.hex() if verified.content_sha256 else None
        raise SignatureRefusedError(SignatureReason.CONTENT, f"content digest (got {got}, expected {signed})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A request in the form that the library reads."""

    method: str
    url: str
    headers: Mapping[str, str]


def _fields_by_name(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return fields


def _content_sha256(fields: FieldLines) -> bytes | None:
    if "content-digest" not in fields:
        return None
    value = fields["content-digest"][0].strip(" \t")
    match = _CONTENT_DIGEST.fullmatch(value)
    digest = b64decode(match[1]) if match else b""
    if match and content_digest(digest) == value:
        return digest
    raise SignatureRefusedError(
        SignatureReason.CONTENT, f"Content-Digest (got {value[:200]!r}, expected one sha-256 byte sequence)"
    )
