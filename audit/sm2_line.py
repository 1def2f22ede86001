"""The SM2 line of a checkpoint: a further signature of its note, for readers under commercial cryptography.

A signed note may carry lines of keys that a reader does not know and passes over (C2SP signed-note). This one is
of a key of its own name, and of no type that C2SP assigned: 0xff, then the type's name, as signed-note has it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from audit import note as notes
from audit.errors import SignatureError
from audit.note import VerifierKey
from audit.verify_sm2 import verify_sm2

ALGORITHM_NAMED = 0xFF
"""Type byte of signed-note for types without an assigned one; the type's own name follows."""

SM2_TYPE = b"fleetgate/sm2sm3"
"""Signature r and s, 32 bytes each, of SM2 with SM3 by the default signer's id (GB/T 32918, GB/T 35276)."""

_POINT_SIZE = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Sm2Line:
    """A key that signs checkpoints beside the ledger's own.

    Attributes:
        name: Its name in notes.
        point: Uncompressed public key, 65 bytes.
        sign: Signs a message; r and s, 64 bytes.
    """

    name: str
    point: bytes
    sign: Callable[[bytes], bytes]

    @property
    def vkey(self) -> str:
        """The verifier key string ``name+hash+base64`` of signed-note."""
        return str(self._key)

    def of(self, text: str) -> str:
        """The signature line for the text of a note, with its newline."""
        return notes.signature_line(self._key, self.sign(text.encode()))

    @property
    def _key(self) -> VerifierKey:
        notes.check_name(self.name, "name of the SM2 key")
        return VerifierKey(name=self.name, algorithm=ALGORITHM_NAMED, public=SM2_TYPE + self.point)


def verify_sm2_line(note: str, vkey: str) -> None:
    """Hold a note against an SM2 verifier key.

    1. The key is well-formed, and of this type.
    2. At least one line of the note is of it, and each such line verifies over the note's text.

    Raises:
        SignatureError: A step failed.
    """
    name, _, rest = vkey.partition("+")  # 1
    hash_hex, _, encoded = rest.partition("+")
    material = notes.decode_base64(encoded)
    prefix = bytes([ALGORITHM_NAMED]) + SM2_TYPE
    if not material.startswith(prefix) or len(material) != len(prefix) + _POINT_SIZE:
        raise SignatureError(f"verifier key is no SM2 key (got {vkey!r})")
    key = VerifierKey(name=name, algorithm=ALGORITHM_NAMED, public=material[1:])
    if hash_hex != key.key_id.hex():
        raise SignatureError(
            f"verifier key has the wrong hash (got {hash_hex!r}, expected {key.key_id.hex()!r})"
        )
    text, signatures = notes.split_note(note)
    own = notes.signatures_of(key, signatures)
    if not own:
        raise SignatureError(f"note is not signed by the expected key (expected {key.label})")
    for signature in own:  # 2
        try:
            verify_sm2(material[len(prefix) :], signature, text.encode())
        except ValueError as error:
            raise SignatureError(f"signature does not verify under {key.label}: {error}") from error
