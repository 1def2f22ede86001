"""A passphrase as key provider: Argon2id (RFC 9106) stretches it into the key that wraps the root key."""

import base64
import os
import unicodedata
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.vault.errors import KeyUnavailableError, PassphraseError, SealBrokenError
from gateway.vault.provider import Protected, ProviderKind
from gateway.vault.suites import AES256GCM, Suite
from gateway.vault.wrap import unwrap, wrap

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


class PassphraseProvider:
    """A passphrase; text is taken in Unicode NFC.

    Args:
        passphrase: What the operator keeps.
        cost: What a root key is protected with from now on.
        allow_insecure_test_cost: Recover what is protected with a cost that is fit for tests only.
        suite: Cipher and hash of the wrapping.
    """

    kind: ProviderKind = "passphrase"

    def __init__(
        self,
        passphrase: bytes | str,
        *,
        cost: Argon2Cost = DEFAULT_ARGON2,
        allow_insecure_test_cost: bool = False,
        suite: Suite = AES256GCM,
    ) -> None:
        self._passphrase = passphrase
        self._cost = cost
        self._allow_insecure_test_cost = allow_insecure_test_cost
        self._suite = suite

    def verify(self) -> None:
        """A passphrase needs nobody to answer.

        Raises:
            PassphraseError: It is empty.
        """
        if not self._passphrase:
            raise PassphraseError("a keystore needs a passphrase (got an empty one)")

    def protect(self, root: bytes, context: bytes) -> Protected:
        """Wrap a root key under the stretched passphrase and a fresh salt."""
        salt = os.urandom(_SALT_LENGTH)
        key = _stretch(self._passphrase, salt, self._cost)
        return Protected(
            record={
                "argon2id": {
                    "iterations": self._cost.iterations,
                    "lanes": self._cost.lanes,
                    "memory_kib": self._cost.memory_kib,
                },
                "kind": self.kind,
                "salt": base64.b64encode(salt).decode(),
            },
            wrapped=wrap(key, root, *_parts(context), suite=self._suite),
        )

    def recover(self, protected: Protected, context: bytes) -> bytes:
        """Unwrap a root key.

        1. Its cost is well-formed and sufficient, unless the caller allows the cost of tests.
        2. The passphrase opens it.
        """
        try:
            cost = Argon2Cost(**protected.record["argon2id"])  # 1
            salt = base64.b64decode(protected.record["salt"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise KeyUnavailableError(f"passphrase parameters are malformed: {error}") from error
        if not (cost.sufficient or self._allow_insecure_test_cost):
            raise KeyUnavailableError(
                f"Argon2id cost is one for tests only (got {cost},"
                f" expected at least {_LEAST_MEMORY_KIB} KiB and {_LEAST_ITERATIONS} iterations)"
            )
        try:
            return unwrap(_stretch(self._passphrase, salt, cost), protected.wrapped, *_parts(context))  # 2
        except SealBrokenError:
            raise PassphraseError("the passphrase does not open the keystore") from None


def _parts(context: bytes) -> tuple[bytes, ...]:
    # A keystore of version 1 has no context.
    return (_PURPOSE, context) if context else (_PURPOSE,)


def _stretch(passphrase: bytes | str, salt: bytes, cost: Argon2Cost) -> bytes:
    if isinstance(passphrase, str):
        # One passphrase, one byte sequence, whichever keyboard or input method composed it.
        passphrase = unicodedata.normalize("NFC", passphrase).encode()
    if not passphrase:
        raise PassphraseError("a keystore needs a passphrase (got an empty one)")
    return Argon2id(
        salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive(passphrase)
