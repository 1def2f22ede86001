"""Files of the keystore: private to one user, or refused (law 5)."""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from gateway.vault.errors import KeyUnavailableError

_NAME: Final = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")
_LOCK_TIMEOUT_S: Final = 60.0


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One writer of a keystore at a time over threads and processes; not re-entrant.

    Raises:
        KeyUnavailableError: Another process holds it for a minute.
    """
    # A lock per use: one that a forked process inherits could not be told from its parent's.
    try:
        with FileLock(path / "lock", timeout=_LOCK_TIMEOUT_S, mode=0o600):
            yield
    except Timeout:
        raise KeyUnavailableError(
            f"keystore is locked by another process for {_LOCK_TIMEOUT_S:.0f} s"
        ) from None


def checked_name(name: str) -> str:
    """The name of a key, fit for a file's.

    Raises:
        ValueError: It is not 1 to 128 letters, digits, ``_`` and ``-``.
    """
    if not _NAME.match(name):
        raise ValueError(f"key id (got {name!r}, expected 1 to 128 letters, digits, '_' and '-')")
    return name


def check_private(path: Path) -> None:
    """Refuse a file or directory that others may have read or put there.

    Raises:
        KeyUnavailableError: It is a link, open to group or others, or another user's.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise KeyUnavailableError(
            f"'{path.name}' is a symbolic link (expected a file or directory of its own)"
        )
    if status.st_mode & 0o077:
        expected = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
        raise KeyUnavailableError(
            f"'{path.name}' is exposed (got mode {stat.S_IMODE(status.st_mode):04o}, expected {expected})"
        )
    if os.geteuid() not in (0, status.st_uid):
        raise KeyUnavailableError(f"'{path.name}' belongs to user {status.st_uid} (expected {os.geteuid()})")


def read_document(path: Path, subject: str) -> dict[str, Any]:
    """Read a JSON object from a private file.

    Args:
        path: The file.
        subject: What it holds, for messages.

    Raises:
        KeyUnavailableError: It is missing, unreadable, exposed or malformed.
    """
    try:
        content = path.read_bytes()
        check_private(path)
    except FileNotFoundError:
        raise KeyUnavailableError(f"no {subject} in this keystore") from None
    except OSError as error:
        raise KeyUnavailableError(f"{subject} cannot be read: {os.strerror(error.errno or 0)}") from error
    try:
        document = json.loads(content)
    except ValueError as error:
        raise KeyUnavailableError(f"{subject} is malformed: {error}") from error
    if not isinstance(document, dict):
        raise KeyUnavailableError(
            f"{subject} is malformed (got {type(document).__name__}, expected an object)"
        )
    return document
