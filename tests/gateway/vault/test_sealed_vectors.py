"""The container of docs/sealed-files.md, against fixed vectors and a reader written from that text."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.vault.sealed import SealedReader, _sealed_pieces
from gateway.vault.wrap import unwrap

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "sealed-files.json").read_text())
FILES = {case["name"]: case for case in VECTORS["sealed_files"]}
DEK = bytes.fromhex(VECTORS["dek"])


def pattern(length: int) -> bytes:
    return bytes((167 * i + 13) % 251 for i in range(length))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, 64 bytes."""
    pseudorandom = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(pseudorandom, info + b"\x01", "sha256")
    return first + hmac.digest(pseudorandom, first + info + b"\x02", "sha256")


def read_by_the_book(sealed: bytes, dek: bytes, context: bytes) -> bytes:
    """A second reader, from the document alone."""
    header, body = sealed[:87], sealed[87:]
    fields, commitment = header[:55], header[55:]
    assert fields[:12] == b"FGSEALED\x00\x01\x00\x01"
    size = int.from_bytes(fields[12:16], "big")
    salt, prefix = fields[16:48], fields[48:55]
    derived = hkdf(dek, salt, b"fleetgate/sealed-file/1\x00" + fields + context)
    assert derived[32:] == commitment
    segments = [body[i : i + size + 16] for i in range(0, len(body), size + 16)]
    plaintext = b""
    for index, segment in enumerate(segments):
        last = b"\x01" if index == len(segments) - 1 else b"\x00"
        nonce = prefix + index.to_bytes(4, "big") + last
        plaintext += AESGCM(derived[:32]).decrypt(nonce, segment, header)
    return plaintext


@pytest.mark.parametrize("name", FILES)
def test_sealing_reproduces_the_vector(name: str) -> None:
    case = FILES[name]
    plaintext = pattern(case["plaintext_length"])
    sealed = b"".join(
        _sealed_pieces(
            [plaintext],
            dek=DEK,
            context=bytes.fromhex(case["context"]),
            segment_size=case["segment_size"],
            salt=bytes.fromhex(VECTORS["salt"]),
            nonce_prefix=bytes.fromhex(VECTORS["nonce_prefix"]),
        )
    )
    assert (len(sealed), hashlib.sha256(sealed).hexdigest()) == (case["sealed_length"], case["sealed_sha256"])
    assert sealed.hex() == case.get("sealed", sealed.hex())
    assert read_by_the_book(sealed, DEK, bytes.fromhex(case["context"])) == plaintext


@pytest.mark.parametrize("name", [name for name, case in FILES.items() if "sealed" in case])
def test_reading_the_vector(name: str) -> None:
    case = FILES[name]
    sealed = bytes.fromhex(case["sealed"])
    reader = SealedReader(
        lambda offset, length: sealed[offset : offset + length],
        sealed_length=len(sealed),
        dek=DEK,
        context=bytes.fromhex(case["context"]),
        expected_plaintext_length=case["plaintext_length"],
    )
    assert reader.read() == pattern(case["plaintext_length"])


@pytest.mark.parametrize("case", VECTORS["wrapped_keys"], ids=lambda case: case["name"])
def test_wrapped_key_vector(case: dict[str, Any]) -> None:
    key, wrapped = bytes.fromhex(case["key"]), bytes.fromhex(case["wrapped"])
    parts = [bytes.fromhex(part) for part in case["parts"]]
    assert unwrap(key, wrapped, *parts) == bytes.fromhex(case["secret"])
    info = b"fleetgate/wrap/1\x00" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    derived = hkdf(key, wrapped[1:33], info)
    assert derived[32:] == wrapped[33:65]
    assert AESGCM(derived[:32]).decrypt(bytes(12), wrapped[65:], wrapped[:65]).hex() == case["secret"]
