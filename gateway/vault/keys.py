"""The keystore: key encryption keys, signing keys and secrets in a directory, wrapped under a root key.

Nothing is cached that can be destroyed: a key destroyed by one process is gone for every other at its next
use. Formats and life cycle: docs/keys.md.
"""

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from gateway.vault.destroyed import Destruction, read_destruction
from gateway.vault.durable import (
    erase_file,
    settle_replaced,
    storage,
    sweep_temporary,
    sync_directory,
    write_once,
)
from gateway.vault.errors import KeyDestroyedError, KeyExistsError, KeyUnavailableError, StatementError
from gateway.vault.named_secrets import PLAIN, SM2, NamedSecrets
from gateway.vault.private import check_private, checked_name, exclusive, read_document
from gateway.vault.provider import KeyProvider
from gateway.vault.root import DEFAULT_ARGON2, Argon2Cost, PassphraseProvider
from gateway.vault.root_file import (
    ROOT_FILE,
    Roots,
    create_roots,
    open_roots,
    protect_roots,
    recorded_fingerprint,
)
from gateway.vault.rotation import Use, rewrap_keys, unopenable_keys, unwrap_document
from gateway.vault.sm2 import Sm2PrivateKey, Sm2PublicKey
from gateway.vault.suites import AES256GCM, SM2SM3, Suite
from gateway.vault.wrap import unwrap, wrap

Document = dict[str, str | int]

KEY_LENGTH: Final = 32
_ENSURED_KEPT: Final = 65_536
_FINGERPRINT_LABEL: Final = b"fleetgate/kek-fingerprint/1\x00"


class Keystore:
    """Keys of one gate in one directory; several processes may use it at once.

    Made by :meth:`create` or :meth:`open`.

    Attributes:
        suite: What new keys are wrapped in, and what the vault seals in; keys of every suite open.
        secrets: Its secrets by name.
    """

    def __init__(self, path: Path, roots: Roots, suite: Suite, use: Use) -> None:
        self._path = path
        self._use = use
        self.suite: Final = suite
        self.secrets: Final = NamedSecrets(path, roots, suite)
        # Ids whose name this process saw durable; never key material.
        self._ensured: set[str] = set()

    def __repr__(self) -> str:
        return f"<Keystore {self._path.name}>"

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether :meth:`create` was completed here; after a crash in it, it may be called again."""
        return (path / ROOT_FILE).is_file()

    @classmethod
    def create(
        cls,
        path: Path,
        opener: bytes | str | KeyProvider,
        *,
        argon2: Argon2Cost = DEFAULT_ARGON2,
        suite: Suite = AES256GCM,
    ) -> Self:
        """Make a keystore in a directory that is missing or empty.

        Args:
            path: The directory.
            opener: What protects the root key: a passphrase, or another provider.
            argon2: Cost of a guess at the passphrase.
            suite: What new keys are wrapped in, and what the vault seals in.

        Raises:
            PassphraseError: The passphrase is empty.
            KeyUnavailableError: The provider refuses.
            KeyExistsError: The directory is a keystore already.
            StorageError: It is not durable.
        """
        with storage("create directory", path.name):
            for directory in (path, path / "kek", path / "secret"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(path)
        if isinstance(opener, bytes | str):
            opener = PassphraseProvider(opener, cost=argon2, suite=suite)
        roots = create_roots(path, opener, suite)
        sync_directory(path.parent)
        return cls(path, roots, suite, Use(path))

    @classmethod
    def open(
        cls,
        path: Path,
        opener: bytes | str | KeyProvider,
        *,
        allow_insecure_test_cost: bool = False,
        suite: Suite = AES256GCM,
    ) -> Self:
        """Open a keystore and finish what a crash interrupted.

        1. Directory and files are private to this user.
        2. The passphrase or provider opens the root key.
        3. Destructions and a rotation that were begun are completed; abandoned files go.

        Args:
            path: The directory.
            opener: What protects the root key: the passphrase (text is taken in Unicode NFC), or another provider.
            allow_insecure_test_cost: Accept a passphrase cost that is fit for tests only.
            suite: What it wraps and seals in from now on, whatever it was created with.

        Raises:
            KeyUnavailableError: There is no keystore, others may read it, or the provider refuses.
            PassphraseError: The passphrase does not open it.
            StorageError: The operating system failed.
        """
        if not path.is_dir():
            raise KeyUnavailableError(f"no keystore at '{path.name}'")
        cls._inspect(path)  # 1
        if isinstance(opener, bytes | str):
            opener = PassphraseProvider(opener, allow_insecure_test_cost=allow_insecure_test_cost)
        # In use before the root is read: a rotation cannot come between.
        use = Use(path)
        return cls._opened(path, open_roots(path, opener), suite, use)  # 2, 3

    @classmethod
    def open_recovered(cls, path: Path, roots: Roots, *, suite: Suite = AES256GCM) -> Self:
        """Open a keystore by a root key that custodians recovered, as :meth:`open` does.

        The root file is as it was until :meth:`protect` is called.

        Raises:
            KeyUnavailableError: There is no keystore, or others may read it.
            StorageError: The operating system failed.
        """
        cls._inspect(path)
        return cls._opened(path, roots, suite, Use(path))

    @classmethod
    def _inspect(cls, path: Path) -> None:
        if not path.is_dir():
            raise KeyUnavailableError(f"no keystore at '{path.name}'")
        check_private(path)
        with exclusive(path), storage("inspect keystore", path.name):
            for entry in path.rglob("*"):
                check_private(entry)

    @classmethod
    def _opened(cls, path: Path, roots: Roots, suite: Suite, use: Use) -> Self:
        keystore = cls(path, roots, suite, use)
        keystore._finish_interrupted()
        return keystore

    @property
    def _roots(self) -> Roots:
        return self.secrets.roots

    @_roots.setter
    def _roots(self, roots: Roots) -> None:
        self.secrets.roots = roots

    @property
    def roots(self) -> Roots:
        """The root keys; for the key ceremony, and for nobody else."""
        return self._roots

    @property
    def path(self) -> Path:
        """The directory."""
        return self._path

    def protect(self, provider: KeyProvider) -> None:
        """Put the root key as it is under another passphrase or provider; durable on return.

        Copies of the keystore made before still open as they did: see :meth:`rotate`.

        Raises:
            KeyUnavailableError: The provider refuses.
            StorageError: The root file could not be replaced.
        """
        with exclusive(self._path):
            protect_roots(self._path, self._roots, provider, self.suite)

    def rotate(self, provider: KeyProvider) -> int:
        """Make a fresh root key under a provider and wrap every key again; no sealed file is touched.

        1. No other process has the keystore open, and no earlier rotation waits for a damaged key.
        2. Every key opens.
        3. The root file holds the fresh root key, and the one before wrapped under it.
        4. Each key file is replaced; what it held is overwritten.
        5. The root file is replaced by one without the root key before.

        A crash after step 3 is finished when the keystore is opened next.

        Returns:
            How many keys were wrapped again.

        Raises:
            KeyUnavailableError: Step 1 or 2 failed, or the provider refuses: nothing has changed.
            StorageError: The operating system failed; open the keystore again.
        """
        with self._use.alone(), exclusive(self._path):  # 1
            self._check_settled()
            if broken := unopenable_keys(self._path, self._roots):  # 2
                raise KeyUnavailableError(f"keys do not open (got {', '.join(broken)}, expected none)")
            succeeded = self._roots.succeeded()
            try:
                protect_roots(self._path, succeeded, provider, self.suite)  # 3
            finally:
                # A failure may come after the file took effect; what is wrapped from now on must open under it.
                if recorded_fingerprint(self._path) == succeeded.fingerprint:
                    self._roots = succeeded
            count, self._roots = rewrap_keys(self._path, succeeded, self.suite)  # 4, 5
            self._check_settled()
            return count

    def _check_settled(self) -> None:
        if self._roots.previous is not None:
            broken = ", ".join(unopenable_keys(self._path, self._roots))
            raise KeyUnavailableError(f"a rotation waits for keys that do not open (got {broken})")

    def new_kek(self, kek_id: str) -> None:
        """Make a key encryption key; durable on return.

        Raises:
            KeyExistsError: There is one of that id.
            KeyDestroyedError: There was one of that id; an id is never used twice.
            ValueError: The id is not 1 to 128 letters, digits, ``_`` and ``-``.
        """
        with exclusive(self._path):
            self._refuse_destroyed(kek_id)
            if self._kek_path(kek_id).exists():
                raise KeyExistsError(f"key encryption key '{kek_id}' exists; keys are written once")
            self._write_kek(kek_id)

    def ensure_kek(self, kek_id: str) -> None:
        """Make a key encryption key unless there is one, durable either way; errors as for :meth:`new_kek`.

        A key that was made sure of once costs no sync again: only destruction takes its name away.
        """
        path = self._kek_path(kek_id)
        if kek_id in self._ensured and path.exists():
            self._refuse_destroyed(kek_id)
            return
        with exclusive(self._path):
            self._refuse_destroyed(kek_id)
            if path.exists():
                # Its maker may have died before it synced the name.
                sync_directory(path.parent)
            else:
                self._write_kek(kek_id)
        if len(self._ensured) >= _ENSURED_KEPT:
            self._ensured.clear()
        self._ensured.add(kek_id)

    def has_kek(self, kek_id: str) -> bool:
        """Whether the key can be used."""
        return self._kek_path(kek_id).exists() and not self._tombstone_path(kek_id).exists()

    def is_destroyed(self, kek_id: str) -> bool:
        """Whether the key was destroyed and its file is gone."""
        return self._tombstone_path(kek_id).exists() and not self._kek_path(kek_id).exists()

    def wrap_dek(self, kek_id: str, dek: bytes, context: bytes) -> bytes:
        """Wrap a data encryption key for one object.

        Args:
            kek_id: Key encryption key.
            dek: 32 bytes.
            context: The object that the key belongs to.

        Raises:
            KeyUnavailableError: There is no such key encryption key.
            KeyDestroyedError: It was destroyed.
        """
        if len(dek) != KEY_LENGTH:
            raise ValueError(
                f"data encryption key of the wrong length (got {len(dek)}, expected {KEY_LENGTH} bytes)"
            )
        return wrap(self._kek(kek_id), dek, b"dek", kek_id.encode(), context, suite=self.suite)

    def unwrap_dek(self, kek_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Undo :meth:`wrap_dek`; errors as there.

        Raises:
            SealBrokenError: It was wrapped by another key or for another object, or was changed.
        """
        return unwrap(self._kek(kek_id), wrapped, b"dek", kek_id.encode(), context)

    def destroy_kek(self, kek_id: str) -> Destruction:
        """Destroy a key encryption key, and with it everything that was sealed under it (law 9).

        1. A durable tombstone forbids its use and its re-creation.
        2. The file is overwritten with random bytes, synced, unlinked, and the directory synced.

        A crash after step 1 is finished when the keystore is opened next, or by calling again; calling again
        returns the first destruction.

        Raises:
            KeyUnavailableError: There never was such a key.
            StorageError: A step failed; call again.
        """
        with exclusive(self._path):
            tombstone = self._tombstone_path(kek_id)
            if not tombstone.exists():
                fingerprint = self._stored_fingerprint(kek_id)
                destruction = Destruction(kek_id=kek_id, time=datetime.now(UTC), fingerprint=fingerprint)
                write_once(tombstone, rfc8785.dumps(destruction.as_dict()))
            self._erase_file(kek_id)
            sync_directory(tombstone.parent)
            return self.destruction(kek_id)

    def destruction(self, kek_id: str) -> Destruction:
        """The record of a destruction.

        Raises:
            KeyUnavailableError: The key was not destroyed, or the record is malformed.
        """
        return read_destruction(self._tombstone_path(kek_id), kek_id)

    def signing_key(self, name: str) -> OKPKey:
        """The Ed25519 private key of that name, made at its first use."""
        return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(self.secrets.value("signing", name)))

    def sm2_key(self, name: str) -> Sm2PrivateKey:
        """The SM2 private key of that name, made at its first use."""
        return Sm2PrivateKey(self.secrets.value(SM2, name))

    def statement_key(self, name: str) -> OKPKey | Sm2PrivateKey:
        """The private key of that name by which this suite signs the gate's statements, made at its first use."""
        return self.sm2_key(name) if self.suite.signature == SM2SM3 else self.signing_key(name)

    def verifying_key(self, name: str, algorithm: str) -> OKPKey | Sm2PublicKey:
        """The public key of that name for statements that an earlier or this suite signed.

        Args:
            name: Name of the key.
            algorithm: The ``alg`` that the statement claims.

        Raises:
            StatementError: It claims SM2, and this gate never signed by it under this name.
        """
        if algorithm != SM2SM3:
            return self.signing_key(name)
        if not self.has_sm2_key(name):
            raise StatementError("signature by SM2 (expected Ed25519: this gate has no SM2 key)")
        return self.sm2_key(name).public_key

    def has_sm2_key(self, name: str) -> bool:
        """Whether the SM2 key of that name was made."""
        return self.secrets.has(SM2, name)

    def seed(self, name: str) -> bytes:
        """The 32-byte seed of that name for a key that another package makes, made at its first use."""
        return self.secrets.value("seed", name)

    def secret(self, name: str) -> bytes:
        """The 32-byte secret of that name, made at its first use.

        Raises:
            KeyDestroyedError: It was destroyed; no other is made in its place.
        """
        return self.secrets.value(PLAIN, name)

    def _write_kek(self, kek_id: str) -> None:
        kek = os.urandom(KEY_LENGTH)
        document: Document = {
            "fingerprint": _fingerprint(kek),
            "kek_id": kek_id,
            "version": 1,
            "wrapped": base64.b64encode(
                wrap(self._roots.current, kek, b"kek", kek_id.encode(), suite=self.suite)
            ).decode(),
        }
        write_once(self._kek_path(kek_id), rfc8785.dumps(document))

    def _kek(self, kek_id: str) -> bytes:
        self._refuse_destroyed(kek_id)
        subject = f"key encryption key '{kek_id}'"
        try:
            document = read_document(self._kek_path(kek_id), subject)
        except KeyUnavailableError:
            self._refuse_destroyed(kek_id)
            raise
        kek = unwrap_document(self._roots, document, (b"kek", kek_id.encode()), subject)
        if document.get("fingerprint") != _fingerprint(kek):
            raise KeyUnavailableError(f"{subject} carries another fingerprint (expected its own)")
        return kek

    def _stored_fingerprint(self, kek_id: str) -> str:
        """The key's fingerprint, or the digest of a damaged file: damage must not stop a destruction."""
        try:
            return _fingerprint(self._kek(kek_id))
        except KeyUnavailableError:
            path = self._kek_path(kek_id)
            if not path.exists():
                raise
            with storage("read file", path.name):
                return f"unreadable-file:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def _refuse_destroyed(self, kek_id: str) -> None:
        if self._tombstone_path(kek_id).exists():
            raise KeyDestroyedError(
                f"key encryption key '{kek_id}' was destroyed; what it sealed is unreadable"
            )

    def _erase_file(self, kek_id: str) -> None:
        path = self._kek_path(kek_id)
        if path.exists():
            erase_file(path)

    def _finish_interrupted(self) -> None:
        with exclusive(self._path):
            for tombstone in sorted((self._path / "kek").glob("*.destroyed")):
                self._erase_file(tombstone.stem)
            sync_directory(self._path / "kek")
            self.secrets.finish_interrupted()
            for directory in (self._path, self._path / "kek", self._path / "secret"):
                settle_replaced(directory)
                sweep_temporary(directory, older_than_s=0)
            if (self._path / "intake").is_dir():
                sweep_temporary(self._path / "intake", older_than_s=0)
            if self._roots.previous is not None:
                _, self._roots = rewrap_keys(self._path, self._roots, self.suite)

    def _kek_path(self, kek_id: str) -> Path:
        return self._path / "kek" / f"{checked_name(kek_id)}.kek"

    def _tombstone_path(self, kek_id: str) -> Path:
        return self._path / "kek" / f"{checked_name(kek_id)}.destroyed"


def _fingerprint(kek: bytes) -> str:
    return hashlib.sha256(_FINGERPRINT_LABEL + kek).hexdigest()
