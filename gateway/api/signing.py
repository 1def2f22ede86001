"""The client's side of ``gateway.api.signatures``: signs each request as it is sent."""

import secrets
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from gateway.api.signature_profile import (
    DEFAULT_MAX_AGE_S,
    IDEMPOTENCY_HEADER,
    PURPOSE_HEADER,
    TAG,
    TARGET_PARTS,
)
from gateway.api.sm2_signatures import Sm2Sm3
from gateway.vault.jws import PrivateKey
from gateway.vault.sm2 import Sm2PrivateKey


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


class SignatureAuth(httpx.Auth):
    """Signs method, target, content digest and purpose; a request that is sent again is signed anew."""

    def __init__(self, *, keyid: str, key: PrivateKey, now: Callable[[], datetime] = _utc_now) -> None:
        """Bind a signer to its key.

        Args:
            keyid: The identifier under which the gateway knows the key.
            key: The Ed25519 or SM2 private key.
            now: The clock.

        Raises:
            ValueError: The key is not such a private key.
        """
        private: Any = key if isinstance(key, Sm2PrivateKey) else key.private_key
        if not isinstance(key, Sm2PrivateKey) and (private is None or key.curve_name != "Ed25519"):
            raise ValueError(
                f"signing key (got {key.curve_name}, private: {key.is_private}, expected Ed25519 private)"
            )
        self._keyid = keyid
        self._now = now
        self._signer = HTTPMessageSigner(
            signature_algorithm=Sm2Sm3 if isinstance(key, Sm2PrivateKey) else ED25519,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={keyid: private}),
        )

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign in place and send."""
        covered = ["@method", *TARGET_PARTS]
        stated = ("content-digest", PURPOSE_HEADER, IDEMPOTENCY_HEADER)
        covered += [name for name in stated if name in request.headers]
        created = self._now()
        self._signer.sign(
            request,
            key_id=self._keyid,
            created=created,
            expires=created + timedelta(seconds=DEFAULT_MAX_AGE_S),
            nonce=secrets.token_urlsafe(18),
            label="fleetgate",
            tag=TAG,
            covered_component_ids=covered,
            use_existing_digest="content-digest" in request.headers,
        )
        yield request
