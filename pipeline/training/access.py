"""What a process needs to ask the gate, in a form that travels to loading processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import KeyFileError
from pipeline.signing import release_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A principal at a gate for a purpose; each process opens a connection of its own.

    It holds the private key as a JWK, in memory and, where loading processes are spawned, on the pipe to them.
    """

    url: str
    principal: str
    purpose: str
    private_jwk: Mapping[str, Any] = field(repr=False)
    release_jwk: Mapping[str, Any]

    @classmethod
    def of(
        cls, url: str, *, key: OKPKey, principal: str, purpose: str, release_key: OKPKey | Mapping[str, Any]
    ) -> Self:
        """Of the principal's private key and the operator's release key (Ed25519, or the JWK of either kind).

        Raises:
            KeyFileError: The principal's key is no private key.
        """
        if not key.is_private:
            raise KeyFileError("key (got a public key, expected the principal's private key)")
        public = release_key.as_dict(private=False) if isinstance(release_key, OKPKey) else release_key
        return cls(
            url=url,
            principal=principal,
            purpose=purpose,
            private_jwk=dict(key.as_dict(private=True)),
            release_jwk=dict(public),
        )

    @property
    def key(self) -> OKPKey:
        """The private key."""
        return OKPKey.import_key(dict(self.private_jwk))

    def client(self) -> GatewayClient:
        """A connection, to be closed by who asked for it."""
        return GatewayClient(
            self.url,
            key=self.key,
            principal=self.principal,
            purpose=self.purpose,
            release_key=release_key(self.release_jwk),
        )
