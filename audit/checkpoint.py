"""C2SP checkpoints (tlog-checkpoint): signed notes about the size and root of a tree, under Ed25519."""

import base64
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit import note as notes
from audit.errors import SignatureError
from audit.merkle import HASH_SIZE
from audit.note import VerifierKey
from audit.sm2_line import Sm2Line

ALGORITHM_ED25519 = 1
"""Algorithm byte of signed-note."""

_SEED_SIZE = 32
_MAX_SIZE = 2**63 - 1


class CheckpointSigner:
    """The ledger's own Ed25519 key; it signs checkpoints and statements about exports, nothing else.

    Args:
        seed: Raw 32-byte Ed25519 seed.
        origin: Name of this ledger, e.g. ``fleetgate.example/ledger``; no space, no plus sign.
        beside: Signs checkpoints, too, by SM2; None where nothing does.

    Raises:
        ValueError: if the seed or the origin has the wrong form.
    """

    def __init__(self, seed: bytes, origin: str, *, beside: Sm2Line | None = None) -> None:
        if len(seed) != _SEED_SIZE:
            raise ValueError(f"seed has the wrong length (got {len(seed)} bytes, expected {_SEED_SIZE})")
        notes.check_name(origin, "origin")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._verifier = VerifierKey(
            name=origin, algorithm=ALGORITHM_ED25519, public=self._key.public_key().public_bytes_raw()
        )
        self.origin = origin
        self.beside = beside

    def __repr__(self) -> str:
        return f"CheckpointSigner({self.vkey!r})"

    @property
    def vkey(self) -> str:
        """The verifier key string ``name+hash+base64`` of signed-note."""
        return str(self._verifier)

    def sign(self, text: str) -> str:
        """Return the signed note over ``text``, which must end in a newline.

        Raises:
            ValueError: if ``text`` does not end in a newline or holds a control character.
        """
        notes.check_text(text)
        return f"{text}\n{notes.signature_line(self._verifier, self._key.sign(text.encode()))}"

    def sign_checkpoint(self, checkpoint: "Checkpoint") -> str:
        """Return the signed note of a checkpoint, with the line of the key beside this one where there is one."""
        note = self.sign(checkpoint.text)
        return note if self.beside is None else note + self.beside.of(checkpoint.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A statement about a tree: its origin, its size in entries and its root hash."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text of tlog-checkpoint."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def open_note(note: str, vkey: str) -> str:
    """Return the text of a signed note that carries a valid signature of ``vkey``.

    1. The verifier key is well-formed and names Ed25519.
    2. The note is a text, an empty line and well-formed signature lines; those of other keys are passed over.
    3. At least one line is of this key, and each such line verifies.

    Raises:
        SignatureError: if any step fails.
    """
    # 1.
    key = notes.parse_vkey(vkey, ALGORITHM_ED25519)
    # 2.
    text, signatures = notes.split_note(note)
    own = notes.signatures_of(key, signatures)
    # 3.
    if not own:
        raise SignatureError(f"note is not signed by the expected key (expected {key.label})")
    for signature in own:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except InvalidSignature as exc:
            raise SignatureError(f"signature does not verify under {key.label}") from exc
    return text


def verify_checkpoint(note: str, vkey: str) -> Checkpoint:
    """Open a signed checkpoint and parse it strictly; its origin must be the name of the key.

    Raises:
        SignatureError: if the signature or the form is wrong.
    """
    checkpoint = parse_checkpoint(open_note(note, vkey))
    origin = vkey.split("+", 1)[0]
    if checkpoint.origin != origin:
        raise SignatureError(f"checkpoint of another origin (got {checkpoint.origin!r}, expected {origin!r})")
    return checkpoint


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse the text of a checkpoint strictly, whoever signed it.

    Raises:
        SignatureError: if it has another form.
    """
    lines = text.split("\n")
    if len(lines) != 4:  # noqa: PLR2004 - origin, size, root and what follows the last newline
        raise SignatureError(
            f"checkpoint has too few or extension lines (got {len(lines) - 1} lines, expected 3)"
        )
    if re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII) is None or int(lines[1]) > _MAX_SIZE:
        raise SignatureError(f"checkpoint size is no decimal number (got {lines[1]!r})")
    root = notes.decode_base64(lines[2])
    if len(root) != HASH_SIZE:
        raise SignatureError(
            f"checkpoint root has the wrong length (got {len(root)} bytes, expected {HASH_SIZE})"
        )
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root)
