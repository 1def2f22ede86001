"""The root key of a keystore: random, wrapped under a passphrase through Argon2id (RFC 9106)."""

import base64
import json
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.vault.durable import storage, write_once
from gateway.vault.errors import KeyExistsError, KeyUnavailableError, PassphraseError, SealBrokenError
from gateway.vault.suites import Suite
from gateway.vault.wrap import unwrap, wrap

ROOT_FILE: Final = "keystore.json"
_VERSION: Final = 1
_SALT_LENGTH: Final = 16
_PURPOSE: Final = b"root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """Cost of one guess at the passphrase.

    Attributes:
        memory_kib: Memory in KiB.
        iterations: Passes over the memory.
        lanes: Degree of parallelism.
    """

    memory_kib: int
    iterations: int
    lanes: int

    def __post_init__(self) -> None:
        if not (
            self.lanes >= 1
            and 8 * self.lanes <= self.memory_kib <= _MAX_MEMORY_KIB
            and 1 <= self.iterations <= _MAX_ITERATIONS
        ):
            raise ValueError(
                f"Argon2id cost (got {self}, expected memory of 8 KiB per lane to {_MAX_MEMORY_KIB} KiB"
                f" and 1 to {_MAX_ITERATIONS} iterations)"
            )

    @property
    def sufficient(self) -> bool:
        """Whether the cost is at least OWASP's lowest (19 MiB, 2 passes)."""
        return self.memory_kib >= _LEAST_MEMORY_KIB and self.iterations >= _LEAST_ITERATIONS


_MAX_MEMORY_KIB: Final = 4 * 1024 * 1024
_MAX_ITERATIONS: Final = 64
_LEAST_MEMORY_KIB: Final = 19 * 1024
_LEAST_ITERATIONS: Final = 2

# RFC 9106 §4, second recommended option.
DEFAULT_ARGON2: Final = Argon2Cost(memory_kib=64 * 1024, iterations=3, lanes=4)
INSECURE_TEST_ARGON2: Final = Argon2Cost(memory_kib=64, iterations=1, lanes=1)


def create_root(directory: Path, passphrase: bytes | str, cost: Argon2Cost, suite: Suite) -> bytes:
    """Make a root key and write it, wrapped in a suite, as the keystore's root file.

    Raises:
        PassphraseError: The passphrase is empty.
        KeyExistsError: The directory holds a root file.
        StorageError: The file is not durable.
    """
    root, salt = os.urandom(32), os.urandom(_SALT_LENGTH)
    wrapped = wrap(_stretch(passphrase, salt, cost), root, _PURPOSE, suite=suite)
    document: dict[str, str | int | dict[str, int]] = {
        "argon2id": {"iterations": cost.iterations, "lanes": cost.lanes, "memory_kib": cost.memory_kib},
        "salt": base64.b64encode(salt).decode(),
        "version": _VERSION,
        "wrapped_root": base64.b64encode(wrapped).decode(),
    }
    try:
        write_once(directory / ROOT_FILE, rfc8785.dumps(document))
    except FileExistsError:
        raise KeyExistsError(
            f"'{directory.name}' is a keystore already; its root key is written once"
        ) from None
    return root


def open_root(directory: Path, passphrase: bytes | str, *, allow_insecure_test_cost: bool) -> bytes:
    """Unwrap the root key.

    1. The root file is there and well-formed.
    2. Its cost is sufficient, unless the caller allows the cost of tests.
    3. The passphrase opens it.

    Raises:
        KeyUnavailableError: Step 1 or 2 failed.
        PassphraseError: Step 3 failed.
    """
    salt, wrapped, cost = _read(directory)  # 1
    if not (cost.sufficient or allow_insecure_test_cost):  # 2
        raise KeyUnavailableError(
            f"Argon2id cost of '{directory.name}' is one for tests only (got {cost},"
            f" expected at least {_LEAST_MEMORY_KIB} KiB and {_LEAST_ITERATIONS} iterations)"
        )
    try:
        return unwrap(_stretch(passphrase, salt, cost), wrapped, _PURPOSE)  # 3
    except SealBrokenError:
        raise PassphraseError(f"the passphrase does not open the keystore '{directory.name}'") from None


def _read(directory: Path) -> tuple[bytes, bytes, Argon2Cost]:
    path = directory / ROOT_FILE
    if not path.is_file():
        raise KeyUnavailableError(f"'{directory.name}' is no keystore (expected a file '{ROOT_FILE}')")
    with storage("read file", ROOT_FILE):
        content = path.read_bytes()
    try:
        document: dict[str, Any] = json.loads(content)
        if document["version"] != _VERSION:
            raise KeyUnavailableError(f"keystore version (got {document['version']!r}, expected {_VERSION})")
        cost = Argon2Cost(**document["argon2id"])
        salt = base64.b64decode(document["salt"], validate=True)
        return salt, base64.b64decode(document["wrapped_root"], validate=True), cost
    except (ValueError, KeyError, TypeError) as error:
        raise KeyUnavailableError(f"'{ROOT_FILE}' of '{directory.name}' is malformed: {error}") from error


def _stretch(passphrase: bytes | str, salt: bytes, cost: Argon2Cost) -> bytes:
    if isinstance(passphrase, str):
        # One passphrase, one byte sequence, whichever keyboard or input method composed it.
        passphrase = unicodedata.normalize("NFC", passphrase).encode()
    if not passphrase:
        raise PassphraseError("a keystore needs a passphrase (got an empty one)")
    return Argon2id(
        salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive(passphrase)
