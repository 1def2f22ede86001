"""Secrets of a keystore by name: signing keys, seeds and the like, each made at its first use."""

import base64
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import rfc8785

from gateway.vault.destroyed import Destruction, read_destruction
from gateway.vault.durable import erase_file, sync_directory, write_once
from gateway.vault.errors import KeyDestroyedError, KeyUnavailableError
from gateway.vault.private import checked_name, exclusive, read_document
from gateway.vault.root_file import Roots
from gateway.vault.rotation import unwrap_document
from gateway.vault.sm2 import Sm2PrivateKey
from gateway.vault.suites import Suite
from gateway.vault.wrap import wrap

SECRET_LENGTH: Final = 32
SM2: Final = "sm2"
PLAIN: Final = "secret"
"""The kind of secrets that may be destroyed: what a process holds of it is asked for anew at each use."""


class NamedSecrets:
    """The secrets of one keystore; for :class:`gateway.vault.keys.Keystore`, which holds the roots.

    Args:
        path: The keystore's directory.
        roots: Its root keys.
        suite: What new secrets are wrapped in.

    Attributes:
        roots: The root keys as they are now; the keystore sets them anew when they are rotated.
    """

    def __init__(self, path: Path, roots: Roots, suite: Suite) -> None:
        self._path, self.roots, self._suite = path, roots, suite
        self._known: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()

    def value(self, kind: str, name: str) -> bytes:
        """The secret of that kind and name, made at its first use.

        Raises:
            KeyDestroyedError: It was destroyed; no other is made in its place.
            KeyUnavailableError: It does not open.
        """
        if kind == PLAIN and self._tombstone(kind, name).exists():
            self._forget(kind, name)
            self._refuse_destroyed(kind, name)
        with self._lock:
            value = self._known.get((kind, name))
            if value is None:
                value = self._known[kind, name] = self._load(kind, name)
            return value

    def has(self, kind: str, name: str) -> bool:
        """Whether the secret was made."""
        return self._file(kind, name).exists()

    def destroy(self, name: str, *, fingerprint: str) -> Destruction:
        """Destroy a plain secret (law 9). Safe to repeat: the first destruction counts.

        1. A durable tombstone forbids its use and its re-creation.
        2. The file is overwritten with random bytes, synced, unlinked, and the directory synced.

        A crash after step 1 is finished when the keystore is opened next, or by calling again.

        Args:
            name: The secret.
            fingerprint: What named it, in hexadecimal.

        Raises:
            KeyUnavailableError: There never was such a secret.
            StorageError: A step failed; call again.
        """
        path, tombstone = self._file(PLAIN, name), self._tombstone(PLAIN, name)
        with exclusive(self._path):
            if not tombstone.exists():
                if not path.exists():
                    raise KeyUnavailableError(f"no secret '{name}' in this keystore")
                made = Destruction(kek_id=name, time=datetime.now(UTC), fingerprint=fingerprint)
                write_once(tombstone, rfc8785.dumps(made.as_dict()))  # 1
            self._erase(path)  # 2
        self._forget(PLAIN, name)
        return read_destruction(tombstone, name)

    def destruction(self, name: str) -> Destruction | None:
        """The record of a plain secret's destruction; None where it was not destroyed.

        Raises:
            KeyUnavailableError: The record is malformed.
        """
        tombstone = self._tombstone(PLAIN, name)
        return read_destruction(tombstone, name) if tombstone.exists() else None

    def finish_interrupted(self) -> None:
        """Complete destructions that a crash interrupted; the caller holds the keystore's lock."""
        for tombstone in sorted((self._path / "secret").glob("[!.]*.destroyed")):
            self._erase(tombstone.with_suffix(".key"))

    def _load(self, kind: str, name: str) -> bytes:
        path = self._file(kind, name)
        parts = (b"secret", kind.encode(), name.encode())
        with exclusive(self._path):
            self._refuse_destroyed(kind, name)
            if path.exists():
                # Its maker may have died before it synced the name.
                sync_directory(path.parent)
            else:
                value = Sm2PrivateKey.generate().scalar if kind == SM2 else os.urandom(SECRET_LENGTH)
                wrapped = base64.b64encode(
                    wrap(self.roots.current, value, *parts, suite=self._suite)
                ).decode()
                write_once(
                    path, rfc8785.dumps({"kind": kind, "name": name, "version": 1, "wrapped": wrapped})
                )
        document = read_document(path, f"{kind} '{name}'")
        return unwrap_document(self.roots, document, parts, f"{kind} '{name}'")

    def _refuse_destroyed(self, kind: str, name: str) -> None:
        if self._tombstone(kind, name).exists():
            raise KeyDestroyedError(f"{kind} '{name}' was destroyed; what was sealed to it is unreadable")

    def _forget(self, kind: str, name: str) -> None:
        with self._lock:
            self._known.pop((kind, name), None)

    @staticmethod
    def _erase(path: Path) -> None:
        if path.exists():
            erase_file(path)
        sync_directory(path.parent)

    def _file(self, kind: str, name: str) -> Path:
        return self._path / "secret" / f"{kind}.{checked_name(name)}.key"

    def _tombstone(self, kind: str, name: str) -> Path:
        return self._file(kind, name).with_suffix(".destroyed")
