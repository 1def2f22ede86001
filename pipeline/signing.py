"""Keys of a principal and RFC 9421 signatures of its requests.

The signature's profile is the gateway's: Ed25519, tag ``fleetgate``, one nonce per request, valid for 60 s.
"""

import json
import secrets
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from pipeline.errors import KeyFileError
from pipeline.sm2 import Sm2ReleaseKey

ReleaseKey = OKPKey | Sm2ReleaseKey

PURPOSE_HEADER: Final = "Fleetgate-Purpose"
VALID_S: Final = 60

_TAG: Final = "fleetgate"
_CURVE: Final = "Ed25519"
_DIGEST: Final = "content-digest"
_COVERED: Final = ("@method", "@authority", "@path", "@query", "fleetgate-purpose")


def load_private_key(path: Path, passphrase: str | None = None) -> OKPKey:
    """Read an Ed25519 private key from a PEM file.

    Raises:
        KeyFileError: The file is missing, the passphrase does not open it, or it holds another key.
    """
    key = _import(path, _read(path), passphrase)
    if not key.is_private:
        raise KeyFileError(f"{path.name} (got a public key, expected a private key)")
    return key


def load_release_key(path: Path) -> ReleaseKey:
    """Read an operator's release key: Ed25519 from a PEM or JWK file, SM2 from a JWK file.

    Raises:
        KeyFileError: The file is missing or holds another key.
    """
    content = _read(path)
    if content.lstrip().startswith(b"{"):
        try:
            return release_key(json.loads(content))
        except ValueError as error:
            raise KeyFileError(f"{path.name} is not JSON: {error}") from error
    return public_key(_import(path, content, None))


def release_key(value: ReleaseKey | Mapping[str, Any]) -> ReleaseKey:
    """An operator's release key of a JWK or key, Ed25519 or SM2.

    Raises:
        KeyFileError: It is neither.
    """
    if isinstance(value, Sm2ReleaseKey):
        return value
    if not isinstance(value, OKPKey) and (value.get("kty"), value.get("crv")) == ("EC", "SM2"):
        return Sm2ReleaseKey(value)
    return public_key(value)


def public_key(value: OKPKey | Mapping[str, Any]) -> OKPKey:
    """The Ed25519 public key of a JWK or key, whatever else it holds.

    Raises:
        KeyFileError: It is no Ed25519 key.
    """
    jwk = value.as_dict(private=False) if isinstance(value, OKPKey) else value
    got = jwk.get("kty"), jwk.get("crv")
    if got != ("OKP", _CURVE):
        raise KeyFileError(f"public key (got {got}, expected {('OKP', _CURVE)})")
    try:
        return OKPKey.import_key({"kty": "OKP", "crv": _CURVE, "x": jwk["x"]})
    except (JoseError, KeyError, ValueError, TypeError) as error:
        raise KeyFileError(f"public key (got x {jwk.get('x')!r}, expected base64url of 32 bytes)") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path.name}: {error.strerror}") from error


def _import(path: Path, content: bytes, passphrase: str | None) -> OKPKey:
    try:
        key = OKPKey.import_key(content, password=passphrase)
    except (JoseError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path.name} cannot be opened as a PEM key: {error}") from error
    if key.curve_name != _CURVE:
        raise KeyFileError(f"{path.name} (got curve {key.curve_name}, expected {_CURVE})")
    return key


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


class PurposeAuth(httpx.Auth):
    """States the purpose and signs each request as it is sent."""

    def __init__(
        self, *, principal: str, purpose: str, key: OKPKey, now: Callable[[], datetime] = _utc_now
    ) -> None:
        """Bind the signer.

        Args:
            principal: The identifier under which the gateway knows the key.
            purpose: The registered purpose of every request.
            key: The principal's Ed25519 private key.
            now: The clock.

        Raises:
            KeyFileError: The key is not an Ed25519 private key.
            ValueError: Principal or purpose is empty or holds anything but printable ASCII.
        """
        for name, value in (("principal", principal), ("purpose", purpose)):
            if not value or not value.isascii() or not value.isprintable() or value != value.strip():
                raise ValueError(f"{name} (got {value!r}, expected printable ASCII)")
        private: Any = key.private_key
        if private is None or key.curve_name != _CURVE:
            raise KeyFileError(
                f"signing key (got {key.curve_name}, private: {key.is_private}, expected {_CURVE} private)"
            )
        self._principal = principal
        self._purpose = purpose
        self._now = now
        self._signer = HTTPMessageSigner(
            signature_algorithm=ED25519,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={principal: private}),
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """State the purpose, sign in place and send; content is covered by the digest that the request states."""
        request.headers[PURPOSE_HEADER] = self._purpose
        created = self._now()
        self._signer.sign(
            request,
            key_id=self._principal,
            created=created,
            expires=created + timedelta(seconds=VALID_S),
            nonce=secrets.token_urlsafe(18),
            label=_TAG,
            tag=_TAG,
            covered_component_ids=(*_COVERED, *(name for name in (_DIGEST,) if name in request.headers)),
            use_existing_digest=_DIGEST in request.headers,
        )
        yield request
