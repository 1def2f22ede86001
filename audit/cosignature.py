"""C2SP cosignatures (tlog-cosignature): what witnesses say about checkpoints, under timestamped Ed25519."""

import struct
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit import note as notes
from audit.errors import SignatureError
from audit.note import VerifierKey

ALGORITHM_COSIGNATURE = 4
"""Algorithm byte of signed-note for timestamped Ed25519 cosignatures."""

_SEED_SIZE = 32
_TIME = struct.Struct(">Q")
_SIGNATURE_SIZE = 64
_LATEST = 2**63 - 1


class Cosigner:
    """A witness's own Ed25519 key; it signs cosignatures and nothing else.

    Args:
        seed: Raw 32-byte Ed25519 seed; never one that signs anything else.
        name: Name of the witness, e.g. ``witness.example/w1``; no space, no plus sign.

    Raises:
        ValueError: if the seed or the name has the wrong form.
    """

    def __init__(self, seed: bytes, name: str) -> None:
        if len(seed) != _SEED_SIZE:
            raise ValueError(f"seed has the wrong length (got {len(seed)} bytes, expected {_SEED_SIZE})")
        notes.check_name(name, "witness")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._verifier = VerifierKey(
            name=name, algorithm=ALGORITHM_COSIGNATURE, public=self._key.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return f"Cosigner({self.vkey!r})"

    @property
    def vkey(self) -> str:
        """The verifier key string ``name+hash+base64`` of signed-note."""
        return str(self._verifier)

    def cosign(self, text: str, time_s: int) -> str:
        """Return the signature line, with its newline, over the text of a checkpoint.

        Args:
            text: Body of the checkpoint, with its final newline.
            time_s: POSIX time of the cosignature, whole seconds.

        Raises:
            ValueError: if the text is no text of a note, or the time is out of range.
        """
        notes.check_text(text)
        if not 0 <= time_s <= _LATEST:
            raise ValueError(f"time out of range (got {time_s}, expected 0 to 2**63 - 1)")
        signature = self._key.sign(cosigned_message(text, time_s))
        return notes.signature_line(self._verifier, _TIME.pack(time_s) + signature)


def cosigned_message(text: str, time_s: int) -> bytes:
    """The bytes that a cosignature is over."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosigned_at(note: str, vkey: str) -> int | None:
    """When a witness cosigned a checkpoint: POSIX seconds of its latest valid line; None where it has none.

    Lines of other keys are passed over. Each line of this key must verify.

    Raises:
        SignatureError: The key or the note is malformed, or a line of the key does not verify.
    """
    key = notes.parse_vkey(vkey, ALGORITHM_COSIGNATURE)
    text, signatures = notes.split_note(note)
    times = [_verified(key, text, blob) for blob in notes.signatures_of(key, signatures)]
    return max(times, default=None)


def require_quorum(note: str, vkeys: Sequence[str], quorum: int) -> Mapping[str, int]:
    """Check that enough of the given witnesses cosigned a checkpoint; each counts once however often it signed.

    Returns:
        POSIX seconds of the cosignature, by verifier key.

    Raises:
        SignatureError: Fewer did, a cosignature does not verify, or a key is malformed or given twice.
    """
    keys = [notes.parse_vkey(vkey, ALGORITHM_COSIGNATURE) for vkey in vkeys]
    if len({key.public for key in keys}) != len(keys):
        raise SignatureError(f"a witness is named twice (got {[key.label for key in keys]})")
    found = {vkey: cosigned_at(note, vkey) for vkey in vkeys}
    times = {vkey: time for vkey, time in found.items() if time is not None}
    if len(times) < quorum:
        raise SignatureError(
            f"too few witnesses cosigned the checkpoint (got {len(times)}, expected at least {quorum})"
        )
    return times


def _verified(key: VerifierKey, text: str, blob: bytes) -> int:
    if len(blob) != _TIME.size + _SIGNATURE_SIZE:
        raise SignatureError(
            f"cosignature of {key.label} has the wrong length "
            f"(got {len(blob)} bytes, expected {_TIME.size + _SIGNATURE_SIZE})"
        )
    time_s = int(_TIME.unpack_from(blob)[0])
    if time_s > _LATEST:
        raise SignatureError(f"cosignature of {key.label} states an impossible time (got {time_s})")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(
            blob[_TIME.size :], cosigned_message(text, time_s)
        )
    except InvalidSignature as exc:
        raise SignatureError(f"cosignature does not verify under {key.label}") from exc
    return time_s
