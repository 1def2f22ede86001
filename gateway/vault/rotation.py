"""Rotation of a keystore's root key: who uses the keystore, and wrapping each key file again."""

import base64
import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import rfc8785

from gateway.vault.durable import replace_file, storage
from gateway.vault.errors import KeyUnavailableError, SealBrokenError
from gateway.vault.private import read_document
from gateway.vault.root_file import Roots, forget_previous, named_roots
from gateway.vault.suites import Suite
from gateway.vault.wrap import unwrap, wrap

_USE_FILE: Final = "in-use"


class Use:
    """A process's use of a keystore, as long as this object lives: a shared lock on one of its files."""

    def __init__(self, path: Path) -> None:
        """Wait until no rotation is going on, and hold the keystore in use.

        Raises:
            StorageError: The operating system failed.
        """
        with storage("lock file", _USE_FILE):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path / _USE_FILE, flags, 0o600)
        weakref.finalize(self, os.close, self._descriptor)
        with storage("lock file", _USE_FILE):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other use, before and as long as the block lasts.

        Raises:
            KeyUnavailableError: Another process, or another object of this one, has the keystore open.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A failed conversion may have dropped the shared lock.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            raise KeyUnavailableError(
                "the keystore is in use (expected nobody but this command; stop the gate's other processes)"
            ) from None
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)


def unwrap_document(roots: Roots, document: dict[str, Any], parts: tuple[bytes, ...], subject: str) -> bytes:
    """The key in a key file.

    Raises:
        KeyUnavailableError: It opens under no root key.
    """
    return _unwrap_under(roots, document, parts, subject)[0]


def unopenable_keys(path: Path, roots: Roots) -> list[str]:
    """Names of key files that open under no root key."""
    broken = []
    for file, parts in _key_files(path):
        try:
            unwrap_document(roots, read_document(file, file.name), parts, file.name)
        except KeyUnavailableError:
            broken.append(file.name)
    return broken


def recovered_roots(path: Path, root: bytes) -> Roots:
    """The root keys of a keystore, from a root key that custodians recovered.

    1. The keystore's root file names it by fingerprint.
    2. Without a root file, or with one of version 1, it opens at least one key file.

    Raises:
        KeyUnavailableError: It is the root key of another keystore, or one before a rotation.
    """
    named = named_roots(path, root)  # 1
    if named is not None:
        return named
    roots = Roots(keystore=os.urandom(16).hex(), current=root)  # 2
    if len(unopenable_keys(path, roots)) == len(list(_key_files(path))):
        raise KeyUnavailableError(f"the root key opens no key of '{path.name}' (expected its own)")
    return roots


def rewrap_keys(path: Path, roots: Roots, suite: Suite) -> tuple[int, Roots]:
    """Wrap every key under the current root key, then drop the one before.

    A file that does not open is left alone and keeps the root key before: it may yet be restored.

    Returns:
        How many files were replaced, and the root keys that are left.

    Raises:
        StorageError: The operating system failed; the keystore opens, and this may be called again.
    """
    count, left = 0, False
    for file, parts in _key_files(path):
        try:
            document = read_document(file, file.name)
            key, root = _unwrap_under(roots, document, parts, file.name)
        except KeyUnavailableError:
            left = True
            continue
        if root is roots.current:
            continue
        wrapped = base64.b64encode(wrap(roots.current, key, *parts, suite=suite)).decode()
        replace_file(file, rfc8785.dumps({**document, "wrapped": wrapped}))
        count += 1
    return (count, roots) if left else (count, forget_previous(path, roots))


def _key_files(path: Path) -> Iterator[tuple[Path, tuple[bytes, ...]]]:
    for file in sorted((path / "kek").glob("[!.]*.kek")):
        yield file, (b"kek", file.stem.encode())
    for file in sorted((path / "secret").glob("[!.]*.key")):
        kind, name = file.stem.split(".", 1)
        yield file, (b"secret", kind.encode(), name.encode())


def _unwrap_under(
    roots: Roots, document: dict[str, Any], parts: tuple[bytes, ...], subject: str
) -> tuple[bytes, bytes]:
    try:
        wrapped = base64.b64decode(document["wrapped"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnavailableError(f"{subject} is malformed: {error}") from error
    refusal = ""
    for root in roots.all:
        try:
            return unwrap(root, wrapped, *parts), root
        except SealBrokenError as error:
            refusal = str(error)
    raise KeyUnavailableError(f"{subject} does not open under this root key: {refusal}")
