"""Vault transit as key provider, of HashiCorp Vault and OpenBao; the only module that calls it."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import hvac  # type: ignore[import-untyped]
import requests
from hvac.exceptions import VaultError as HvacError  # type: ignore[import-untyped]

from gateway.vault.errors import KeyUnavailableError
from gateway.vault.provider import Protected, ProviderKind

# Types that take associated data and seal under 256 bits.
_TYPES: Final = frozenset({"aes256-gcm96", "chacha20-poly1305"})


class TransitProvider:
    """A named key of a transit engine; it cannot be exported or backed up in the clear.

    Args:
        url: Address of the server.
        token: May read the key's description, encrypt and decrypt with it, and nothing else.
        mount: Where the transit engine is mounted.
        key: Name of the key.
        timeout_s: Longest wait for one answer.
        ca_file: CA certificates; those of the system unless given.
    """

    kind: ProviderKind = "vault"

    def __init__(
        self, url: str, token: str, *, mount: str, key: str, timeout_s: float, ca_file: Path | None = None
    ) -> None:
        session = requests.Session()
        # Neither a proxy nor a .netrc of the environment sees the token.
        session.trust_env = False
        verify = True if ca_file is None else str(ca_file)
        session.verify = verify
        self._client = hvac.Client(
            url=url, token=token, verify=verify, timeout=timeout_s, session=session, allow_redirects=False
        )
        self._mount = mount
        self._key = key

    def __repr__(self) -> str:
        return f"<TransitProvider {self._mount}/{self._key}>"

    def verify(self) -> None:
        """Check that the key is there, encrypts with associated data, and never leaves the server.

        Raises:
            KeyUnavailableError: It is not, or the server does not answer.
        """
        with self._refusal("describe"):
            answer = self._client.secrets.transit.read_key(name=self._key, mount_point=self._mount)
        found = _data(answer)
        wanted = {
            "exportable": False,
            "allow_plaintext_backup": False,
            "supports_encryption": True,
            "supports_decryption": True,
        }
        for name, expected in wanted.items():
            if found.get(name) is not expected:
                raise KeyUnavailableError(
                    f"key {self._key!r} of Vault: {name} (got {found.get(name)!r}, expected {expected})"
                )
        if found.get("type") not in _TYPES:
            raise KeyUnavailableError(
                f"key {self._key!r} of Vault: type (got {found.get('type')!r}, expected one of {sorted(_TYPES)})"
            )

    def protect(self, root: bytes, context: bytes) -> Protected:
        """Encrypt a root key with the context as associated data."""
        self.verify()
        answer = self._post("encrypt", {"plaintext": _text(root), "associated_data": _text(context)})
        ciphertext = answer.get("ciphertext")
        if not isinstance(ciphertext, str) or not ciphertext.startswith("vault:"):
            raise KeyUnavailableError("answer of Vault to encrypt (expected a ciphertext)")
        record = {"key": self._key, "kind": self.kind, "mount": self._mount}
        return Protected(record=record, wrapped=ciphertext.encode("ascii"))

    def recover(self, protected: Protected, context: bytes) -> bytes:
        """Decrypt a root key, by the key that the record names only."""
        for name, mine in (("mount", self._mount), ("key", self._key)):
            if protected.record.get(name) != mine:
                raise KeyUnavailableError(
                    f"{name} of Vault (got {mine!r}, expected {protected.record.get(name)!r} as the keystore says)"
                )
        self.verify()
        body = {
            "ciphertext": protected.wrapped.decode("ascii", "replace"),
            "associated_data": _text(context),
        }
        try:
            return base64.b64decode(self._post("decrypt", body)["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise KeyUnavailableError("answer of Vault to decrypt (expected a plaintext)") from None

    def _post(self, action: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        # hvac's own encrypt_data and decrypt_data have no parameter for associated data.
        with self._refusal(action):
            answer = self._client.adapter.post(f"/v1/{self._mount}/{action}/{self._key}", json=dict(body))
        return _data(answer)

    @contextmanager
    def _refusal(self, action: str) -> Iterator[None]:
        try:
            yield
        except (HvacError, requests.RequestException) as error:
            raise KeyUnavailableError(
                f"Vault does not {action} with key {self._key!r}: {type(error).__name__}: {error}"
            ) from error


def _data(answer: Any) -> Mapping[str, Any]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        raise KeyUnavailableError(
            f"answer of Vault (got {type(answer).__name__}, expected an object with data)"
        )
    return data


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
