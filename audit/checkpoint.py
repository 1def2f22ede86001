"""C2SP signed notes (signed-note) and checkpoints (tlog-checkpoint) under Ed25519."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import SignatureError
from audit.merkle import HASH_SIZE

_ALGORITHM_ED25519 = b"\x01"
_SEED_SIZE = 32
_KEY_HASH_SIZE = 4
_NAME = re.compile(r"[!-*,-~]{1,128}", re.ASCII)
_SIGNATURE_MARK = "\u2014 "
_MAX_SIZE = 2**63 - 1


class CheckpointSigner:
    """The ledger's own Ed25519 key; it signs checkpoints and statements about exports, nothing else.

    Args:
        seed: Raw 32-byte Ed25519 seed.
        origin: Name of this ledger, e.g. ``fleetgate.example/ledger``; no space, no plus sign.

    Raises:
        ValueError: if the seed or the origin has the wrong form.
    """

    def __init__(self, seed: bytes, origin: str) -> None:
        if len(seed) != _SEED_SIZE:
            raise ValueError(f"seed has the wrong length (got {len(seed)} bytes, expected {_SEED_SIZE})")
        if _NAME.fullmatch(origin) is None:
            raise ValueError(
                f"origin is no key name (got {origin!r}, expected printable ASCII without space or plus)"
            )
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self.origin = origin

    def __repr__(self) -> str:
        return f"CheckpointSigner({self.vkey!r})"

    @property
    def vkey(self) -> str:
        """The verifier key string ``name+hash+base64`` of signed-note."""
        encoded = base64.b64encode(_ALGORITHM_ED25519 + self._public).decode()
        return f"{self.origin}+{_key_hash(self.origin, self._public).hex()}+{encoded}"

    def sign(self, text: str) -> str:
        """Return the signed note over ``text``, which must end in a newline.

        Raises:
            ValueError: if ``text`` does not end in a newline or holds a control character.
        """
        _check_text(text)
        blob = _key_hash(self.origin, self._public) + self._key.sign(text.encode())
        return f"{text}\n{_SIGNATURE_MARK}{self.origin} {base64.b64encode(blob).decode()}\n"


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
    2. The note is a text, an empty line and signature lines.
    3. Every signature line is well-formed; those of other keys are passed over.
    4. At least one line is of this key, and each such line verifies.

    Raises:
        SignatureError: if any step fails.
    """
    # 1.
    name, key_hash, public = _parse_vkey(vkey)
    # 2.
    text, separator, block = note.rpartition("\n\n")
    text += "\n"
    if not separator or not block.endswith("\n"):
        raise SignatureError("note has no signature block (expected text, an empty line, signature lines)")
    try:
        _check_text(text)
    except ValueError as exc:
        raise SignatureError(str(exc)) from exc
    # 3.
    signatures = [_parse_signature(line) for line in block[:-1].split("\n")]
    own = [
        blob[_KEY_HASH_SIZE:]
        for signer, blob in signatures
        if (signer, blob[:_KEY_HASH_SIZE]) == (name, key_hash)
    ]
    # 4.
    if not own:
        raise SignatureError(f"note is not signed by the expected key (expected {name}+{key_hash.hex()})")
    for signature in own:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
        except InvalidSignature as exc:
            raise SignatureError(f"signature does not verify under {name}+{key_hash.hex()}") from exc
    return text


def verify_checkpoint(note: str, vkey: str) -> Checkpoint:
    """Open a signed checkpoint and parse it strictly; its origin must be the name of the key.

    Raises:
        SignatureError: if the signature or the form is wrong.
    """
    lines = open_note(note, vkey).split("\n")
    origin = vkey.split("+", 1)[0]
    if len(lines) != 4:  # noqa: PLR2004 - origin, size, root and what follows the last newline
        raise SignatureError(f"checkpoint has extension lines (got {len(lines) - 1} lines, expected 3)")
    if lines[0] != origin:
        raise SignatureError(f"checkpoint of another origin (got {lines[0]!r}, expected {origin!r})")
    if re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII) is None or int(lines[1]) > _MAX_SIZE:
        raise SignatureError(f"checkpoint size is no decimal number (got {lines[1]!r})")
    root = _decode_base64(lines[2])
    if len(root) != HASH_SIZE:
        raise SignatureError(
            f"checkpoint root has the wrong length (got {len(root)} bytes, expected {HASH_SIZE})"
        )
    return Checkpoint(origin=origin, size=int(lines[1]), root=root)


def _parse_vkey(vkey: str) -> tuple[str, bytes, bytes]:
    parts = vkey.split("+", 2)
    if len(parts) != 3 or _NAME.fullmatch(parts[0]) is None:  # noqa: PLR2004 - name, hash, key
        raise SignatureError(f"verifier key is malformed (got {vkey!r}, expected name+hash+base64)")
    name, hash_hex, encoded = parts
    key = _decode_base64(encoded)
    if len(key) != 1 + _SEED_SIZE or key[:1] != _ALGORITHM_ED25519:
        raise SignatureError(f"verifier key is no Ed25519 key (got {vkey!r})")
    expected = _key_hash(name, key[1:])
    if hash_hex != expected.hex():
        raise SignatureError(
            f"verifier key has the wrong hash (got {hash_hex!r}, expected {expected.hex()!r})"
        )
    return name, expected, key[1:]


def _parse_signature(line: str) -> tuple[str, bytes]:
    name, separator, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
    if not line.startswith(_SIGNATURE_MARK) or not separator or not name:
        raise SignatureError(f"signature line is malformed (got {line!r})")
    blob = _decode_base64(encoded)
    if len(blob) <= _KEY_HASH_SIZE:
        raise SignatureError(f"signature is too short (got {len(blob)} bytes)")
    return name, blob


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ALGORITHM_ED25519 + public).digest()[:_KEY_HASH_SIZE]


def _decode_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise SignatureError(f"not base64 (got {text!r})") from exc
    if base64.b64encode(data).decode() != text:
        raise SignatureError(f"not canonical base64 (got {text!r})")
    return data


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(char < " " and char != "\n" for char in text):
        raise ValueError(f"note text must end in a newline and hold no control character (got {text!r})")
