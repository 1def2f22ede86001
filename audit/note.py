"""The form of C2SP signed notes (signed-note): text, signature lines, verifier keys. What signs is elsewhere."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from audit.errors import SignatureError

KEY_ID_SIZE = 4
PUBLIC_KEY_SIZE = 32
NAME = re.compile(r"[!-*,-~]{1,128}", re.ASCII)
"""A key name: printable ASCII without space or plus."""

_MARK = "\u2014 "


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A key that notes verify under.

    Attributes:
        name: Its name.
        algorithm: Byte of signed-note: 1 for Ed25519, 4 for timestamped Ed25519 cosignatures, 255 for others.
        public: Raw public key: 32 bytes of Ed25519; of others the name of their type before it.
    """

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before a signature."""
        material = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(material).digest()[:KEY_ID_SIZE]

    @property
    def label(self) -> str:
        """Name and key id, as errors tell them."""
        return f"{self.name}+{self.key_id.hex()}"

    def __str__(self) -> str:
        encoded = encode_base64(bytes([self.algorithm]) + self.public)
        return f"{self.label}+{encoded}"


def parse_vkey(vkey: str, algorithm: int) -> VerifierKey:
    """Read ``name+hash+base64``.

    Raises:
        SignatureError: It is malformed, of another algorithm, or its hash is not that of its key.
    """
    parts = vkey.split("+", 2)
    if len(parts) != 3 or NAME.fullmatch(parts[0]) is None:  # noqa: PLR2004 - name, hash, key
        raise SignatureError(f"verifier key is malformed (got {vkey!r}, expected name+hash+base64)")
    name, hash_hex, encoded = parts
    material = decode_base64(encoded)
    if len(material) != 1 + PUBLIC_KEY_SIZE or material[0] != algorithm:
        raise SignatureError(
            f"verifier key is no Ed25519 key of algorithm {algorithm} (got {vkey!r}, expected 0x{algorithm:02x})"
        )
    key = VerifierKey(name=name, algorithm=algorithm, public=material[1:])
    if hash_hex != key.key_id.hex():
        raise SignatureError(
            f"verifier key has the wrong hash (got {hash_hex!r}, expected {key.key_id.hex()!r})"
        )
    return key


def split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text of a note, with its final newline, and its signatures: key name, and key id with signature.

    1. The note is a text, an empty line and signature lines.
    2. Every signature line is well-formed.

    Raises:
        SignatureError: It has another form.
    """
    text, separator, block = note.rpartition("\n\n")
    text += "\n"
    if not separator or not block.endswith("\n"):
        raise SignatureError("note has no signature block (expected text, an empty line, signature lines)")
    try:
        check_text(text)
    except ValueError as exc:
        raise SignatureError(str(exc)) from exc
    return text, [parse_signature(line) for line in block[:-1].split("\n")]


def parse_signature(line: str) -> tuple[str, bytes]:
    """Key name, and key id with signature, of a signature line without its newline.

    Raises:
        SignatureError: It is malformed.
    """
    name, separator, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not separator or not name:
        raise SignatureError(f"signature line is malformed (got {line!r})")
    blob = decode_base64(encoded)
    if len(blob) <= KEY_ID_SIZE:
        raise SignatureError(f"signature is too short (got {len(blob)} bytes)")
    return name, blob


def signature_line(key: VerifierKey, signature: bytes) -> str:
    """The line that states a signature, with its newline."""
    return f"{_MARK}{key.name} {encode_base64(key.key_id + signature)}\n"


def signatures_of(key: VerifierKey, signatures: list[tuple[str, bytes]]) -> list[bytes]:
    """What a key signed, without its id; lines of other keys are passed over."""
    wanted = (key.name, key.key_id)
    return [blob[KEY_ID_SIZE:] for name, blob in signatures if (name, blob[:KEY_ID_SIZE]) == wanted]


def decode_base64(text: str) -> bytes:
    """Decode standard base64 of one spelling.

    Raises:
        SignatureError: It is none, or is spelt otherwise.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise SignatureError(f"not base64 (got {text!r})") from exc
    if encode_base64(data) != text:
        raise SignatureError(f"not canonical base64 (got {text!r})")
    return data


def encode_base64(data: bytes) -> str:
    """Encode as standard base64."""
    return base64.b64encode(data).decode()


def check_text(text: str) -> None:
    """Refuse a text that no note may hold; raises ``ValueError``."""
    if not text.endswith("\n") or any(char < " " and char != "\n" for char in text):
        raise ValueError(f"note text must end in a newline and hold no control character (got {text!r})")


def check_name(name: str, what: str) -> None:
    """Refuse what is no key name; raises ``ValueError``."""
    if NAME.fullmatch(name) is None:
        raise ValueError(
            f"{what} is no key name (got {name!r}, expected printable ASCII without space or plus)"
        )
