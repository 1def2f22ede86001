"""The root file of a keystore: its root key under a provider, and the one before it during a rotation."""

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import rfc8785

from gateway.vault.durable import replace_file, storage, write_once
from gateway.vault.errors import KeyExistsError, KeyUnavailableError, SealBrokenError
from gateway.vault.provider import KeyProvider, Protected
from gateway.vault.suites import Suite
from gateway.vault.wrap import unwrap, wrap

ROOT_FILE: Final = "keystore.json"
ROOT_LENGTH: Final = 32
_VERSION: Final = 2
_PREVIOUS: Final = b"previous-root"
_FINGERPRINT_LABEL: Final = b"fleetgate/root-fingerprint/1\x00"


def root_fingerprint(root: bytes) -> str:
    """Hex SHA-256 that names a root key and says nothing about it."""
    return hashlib.sha256(_FINGERPRINT_LABEL + root).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The root keys of an open keystore.

    Attributes:
        keystore: Random id of the keystore, hex; empty in version 1.
        current: What keys are wrapped under.
        previous: What keys may still be wrapped under that a rotation has not reached; None where it reached all.
    """

    keystore: str
    current: bytes
    previous: bytes | None = None

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every root key that may open a key, the current one first."""
        return (self.current,) if self.previous is None else (self.current, self.previous)

    @property
    def fingerprint(self) -> str:
        """Names the current root key."""
        return root_fingerprint(self.current)

    def succeeded(self) -> "Roots":
        """A fresh root key, with the present one before it."""
        keystore = self.keystore or os.urandom(16).hex()
        return Roots(keystore=keystore, current=os.urandom(ROOT_LENGTH), previous=self.current)

    def settled(self) -> "Roots":
        """The same without the root key before."""
        return replace(self, previous=None)


def create_roots(directory: Path, provider: KeyProvider, suite: Suite) -> Roots:
    """Make a root key and write it as the keystore's root file.

    Raises:
        KeyExistsError: The directory holds a root file.
        KeyUnavailableError: The provider refuses.
        PassphraseError: The passphrase is empty.
        StorageError: The file is not durable.
    """
    roots = Roots(keystore=os.urandom(16).hex(), current=os.urandom(ROOT_LENGTH))
    try:
        write_once(directory / ROOT_FILE, _document(roots, provider, suite))
    except FileExistsError:
        raise KeyExistsError(
            f"'{directory.name}' is a keystore already; its root key is written once"
        ) from None
    return roots


def protect_roots(directory: Path, roots: Roots, provider: KeyProvider, suite: Suite) -> None:
    """Put the root file under a provider, in place of the one that is there.

    1. The provider wraps the root key, and gives back the same.
    2. The file is replaced; a crash leaves the old or the new.

    Raises:
        KeyUnavailableError: The provider refuses, or does not give back what it wrapped.
        StorageError: The file could not be replaced.
    """
    if not roots.keystore:
        roots = replace(roots, keystore=os.urandom(16).hex())
    document = _document(roots, provider, suite)  # 1
    read = _parse(document, directory)
    if _recovered(read, provider) != roots:
        raise KeyUnavailableError("the provider gives back another root key (expected the one it wrapped)")
    path = directory / ROOT_FILE  # 2
    if path.exists():
        replace_file(path, document)
    else:
        write_once(path, document)


def forget_previous(directory: Path, roots: Roots) -> Roots:
    """Write the root file without the root key before; provider and wrapping stay as they are.

    Raises:
        StorageError: The file could not be replaced.
    """
    document = _load(directory)
    document.pop("previous_root", None)
    replace_file(directory / ROOT_FILE, rfc8785.dumps(document))
    return roots.settled()


def open_roots(directory: Path, provider: KeyProvider) -> Roots:
    """Unwrap the root key, and the one before where a rotation has not ended.

    1. The root file is there and well-formed.
    2. It names the kind of this provider.
    3. The provider unwraps it, and it is the one that the file names by fingerprint.

    Raises:
        KeyUnavailableError: A step failed.
        PassphraseError: The passphrase does not open it.
    """
    read = _parse(_read(directory), directory)  # 1
    return _recovered(read, provider)  # 2, 3


def recorded_fingerprint(directory: Path) -> str | None:
    """Fingerprint of the current root key as the root file states it; None in version 1 or without a root file.

    Raises:
        KeyUnavailableError: The file is malformed.
    """
    if not (directory / ROOT_FILE).exists():
        return None
    return _parse(_read(directory), directory).fingerprint


def named_roots(directory: Path, root: bytes) -> Roots | None:
    """The root keys of a keystore that names a root key by fingerprint; None where its root file names none.

    Raises:
        KeyUnavailableError: It names another root key, or the file is malformed.
    """
    if not (directory / ROOT_FILE).exists():
        return None
    read = _parse(_read(directory), directory)
    return None if read.fingerprint is None else _checked(read, root)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RootDocument:
    keystore: str
    protected: Protected
    fingerprint: str | None
    previous: bytes | None

    @property
    def context(self) -> bytes:
        return _context(self.keystore) if self.keystore else b""


def _context(keystore: str) -> bytes:
    return rfc8785.dumps({"keystore": keystore, "purpose": "root", "version": _VERSION})


def _document(roots: Roots, provider: KeyProvider, suite: Suite) -> bytes:
    protected = provider.protect(roots.current, _context(roots.keystore))
    document: dict[str, Any] = {
        "keystore": roots.keystore,
        "provider": dict(protected.record),
        "root_fingerprint": roots.fingerprint,
        "version": _VERSION,
        "wrapped_root": base64.b64encode(protected.wrapped).decode(),
    }
    if roots.previous is not None:
        wrapped = wrap(roots.current, roots.previous, _PREVIOUS, roots.keystore.encode(), suite=suite)
        document["previous_root"] = base64.b64encode(wrapped).decode()
    return rfc8785.dumps(document)


def _recovered(read: _RootDocument, provider: KeyProvider) -> Roots:
    kind = read.protected.record.get("kind")
    if kind != provider.kind:
        raise KeyUnavailableError(
            f"key provider of the keystore (got {provider.kind!r}, expected {kind!r} as its root file says)"
        )
    return _checked(read, provider.recover(read.protected, read.context))


def _checked(read: _RootDocument, root: bytes) -> Roots:
    if len(root) != ROOT_LENGTH:
        raise KeyUnavailableError(f"root key (got {len(root)} bytes, expected {ROOT_LENGTH})")
    stated = read.fingerprint
    if stated is not None and not hmac.compare_digest(root_fingerprint(root), stated):
        raise KeyUnavailableError(
            f"root key (got the one of fingerprint {root_fingerprint(root)[:16]}, expected {stated[:16]})"
        )
    previous = None
    if read.previous is not None:
        try:
            previous = unwrap(root, read.previous, _PREVIOUS, read.keystore.encode())
        except SealBrokenError as error:
            raise KeyUnavailableError(f"the root key before does not open: {error}") from error
    return Roots(keystore=read.keystore, current=root, previous=previous)


def _read(directory: Path) -> bytes:
    path = directory / ROOT_FILE
    if not path.is_file():
        raise KeyUnavailableError(f"'{directory.name}' is no keystore (expected a file '{ROOT_FILE}')")
    with storage("read file", ROOT_FILE):
        return path.read_bytes()


def _load(directory: Path) -> dict[str, Any]:
    document = json.loads(_read(directory))
    if not isinstance(document, dict):
        raise KeyUnavailableError(f"'{ROOT_FILE}' is malformed (got {type(document).__name__})")
    return document


def _parse(content: bytes, directory: Path) -> _RootDocument:
    try:
        document = json.loads(content)
        version = document["version"]
        wrapped = base64.b64decode(document["wrapped_root"], validate=True)
        if version == 1:
            record = {"kind": "passphrase", "argon2id": document["argon2id"], "salt": document["salt"]}
            protected = Protected(record=record, wrapped=wrapped)
            return _RootDocument(keystore="", protected=protected, fingerprint=None, previous=None)
        if version != _VERSION:
            raise KeyUnavailableError(f"keystore version (got {version!r}, expected 1 or {_VERSION})")
        previous = document.get("previous_root")
        return _RootDocument(
            keystore=_text(document, "keystore"),
            protected=Protected(record=dict(document["provider"]), wrapped=wrapped),
            fingerprint=_text(document, "root_fingerprint"),
            previous=None if previous is None else base64.b64decode(previous, validate=True),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KeyUnavailableError(f"'{ROOT_FILE}' of '{directory.name}' is malformed: {error}") from error


def _text(document: dict[str, Any], member: str) -> str:
    value = document[member]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{member} (got {value!r}, expected text)")
    return value
