"""What protects the root key of a keystore: one Protocol, four kinds (docs/keys.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

ProviderKind = Literal["passphrase", "vault", "kms", "pkcs11"]
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """A root key under a provider.

    Attributes:
        record: Names provider and key, as JSON, without a secret; its member ``kind`` is the provider's.
        wrapped: The root key under that key.
    """

    record: Record
    wrapped: bytes


class KeyProvider(Protocol):
    """Wraps and unwraps one root key; the key that it does this with never leaves the provider."""

    @property
    def kind(self) -> ProviderKind:
        """Which kind of provider it is."""

    def verify(self) -> None:
        """Check that the provider answers and that its key may be used now.

        Raises:
            KeyUnavailableError: It cannot be reached, refuses, or its key is not fit or not enabled.
        """

    def protect(self, root: bytes, context: bytes) -> Protected:
        """Wrap a root key, bound to a context.

        Raises:
            KeyUnavailableError: As for :meth:`verify`.
            PassphraseError: The passphrase is empty.
        """

    def recover(self, protected: Protected, context: bytes) -> bytes:
        """Undo :meth:`protect`.

        Raises:
            KeyUnavailableError: As for :meth:`verify`; or another key or context wrapped it, or it was changed.
            PassphraseError: The passphrase does not open it.
        """
