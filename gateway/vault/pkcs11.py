"""A key in a hardware security module (PKCS#11) as key provider; the only module that calls it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import PKCS11Error

from gateway.vault.errors import KeyUnavailableError
from gateway.vault.provider import Protected, ProviderKind

_NONCE_LENGTH: Final = 12
_TAG_LENGTH: Final = 16
_BITS: Final = 256
_WANTED: Final = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
}


class Pkcs11Provider:
    """An AES-256 key of a token, sensitive and not extractable, used with AES-GCM.

    A process that forks must not use one that its parent made.

    Args:
        module: Library of the token's maker.
        token: Label of the token.
        key: Label of the key.
        pin: Of the token's user.
    """

    kind: ProviderKind = "pkcs11"

    def __init__(self, module: Path, pin: str, *, token: str, key: str) -> None:
        self._module = module
        self._pin = pin
        self._token = token
        self._key = key

    def __repr__(self) -> str:
        return f"<Pkcs11Provider {self._token}/{self._key}>"

    def verify(self) -> None:
        """Check that the token opens and that the key never leaves it.

        Raises:
            KeyUnavailableError: It does not, or the key is another sort of key.
        """
        with self._opened("describe"):
            pass

    def protect(self, root: bytes, context: bytes) -> Protected:
        """Encrypt a root key under a random nonce, with the context as associated data."""
        nonce = os.urandom(_NONCE_LENGTH)
        with self._opened("encrypt") as key:
            sealed = key.encrypt(
                root, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce=nonce, aad=context)
            )
        record = {"key": self._key, "kind": self.kind, "token": self._token}
        return Protected(record=record, wrapped=nonce + sealed)

    def recover(self, protected: Protected, context: bytes) -> bytes:
        """Decrypt a root key, by the key that the record names only."""
        for name, mine in (("token", self._token), ("key", self._key)):
            if protected.record.get(name) != mine:
                raise KeyUnavailableError(
                    f"{name} of PKCS#11 (got {mine!r}, expected {protected.record.get(name)!r}"
                    " as the keystore says)"
                )
        if len(protected.wrapped) <= _NONCE_LENGTH + _TAG_LENGTH:
            raise KeyUnavailableError(f"root key under PKCS#11 (got {len(protected.wrapped)} bytes)")
        nonce, sealed = protected.wrapped[:_NONCE_LENGTH], protected.wrapped[_NONCE_LENGTH:]
        with self._opened("decrypt") as key:
            return bytes(
                key.decrypt(
                    sealed, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce=nonce, aad=context)
                )
            )

    @contextmanager
    def _opened(self, action: str) -> Iterator[Any]:
        try:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            with token.open(user_pin=self._pin) as session:
                key = session.get_key(
                    object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=self._key
                )
                self._check(key)
                yield key
        except PKCS11Error as error:
            # Modules answer a changed ciphertext, another context and a broken device alike: all are refusals.
            raise KeyUnavailableError(
                f"token {self._token!r} does not {action} with key {self._key!r}: {type(error).__name__} {error}"
            ) from error

    def _check(self, key: Any) -> None:
        for attribute, expected in _WANTED.items():
            if key[attribute] is not expected:
                raise KeyUnavailableError(
                    f"key {self._key!r} of PKCS#11: {attribute.name} (got {key[attribute]}, expected {expected})"
                )
        if key.key_length != _BITS:
            raise KeyUnavailableError(
                f"key {self._key!r} of PKCS#11: length (got {key.key_length} bits, expected {_BITS})"
            )
