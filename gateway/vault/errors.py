"""Errors of the vault: each names what was met and what was expected, and never a secret."""

import os


class VaultError(Exception):
    """Base of every refusal of the vault."""


class SealBrokenError(VaultError):
    """Authentication failed: commitment, segment, length, context or signature is not what was sealed."""


class KeyUnavailableError(VaultError):
    """The key does not exist here, or may not be used (missing, unreadable, exposed permissions)."""


class KeyDestroyedError(KeyUnavailableError):
    """The key was destroyed; what it sealed is unreadable for good (law 9)."""


class KeyExistsError(VaultError):
    """A key or keystore of that name exists; keys are written once."""


class PassphraseError(VaultError):
    """The passphrase is empty or does not open the key."""


class BlobExistsError(VaultError):
    """A blob of that id exists; blobs are written once."""


class BlobMissingError(VaultError):
    """No blob of that id exists."""


class StatementError(VaultError):
    """A signed statement does not verify.

    Attributes:
        reason: What was met and what was expected.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StorageError(VaultError):
    """The operating system failed an operation; nothing was acknowledged.

    Attributes:
        operation: What was attempted, such as ``fsync file``.
        subject: File name (never content) that it was attempted on.
        errno: Error number of the operating system, None where it gave none.
    """

    def __init__(self, operation: str, subject: str, cause: OSError) -> None:
        detail = os.strerror(cause.errno) if cause.errno else str(cause)
        super().__init__(f"cannot {operation} '{subject}': {detail}")
        self.operation = operation
        self.subject = subject
        self.errno = cause.errno
