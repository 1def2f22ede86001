"""The container of docs/sealed-files.md, against fixed vectors and a reader written from that text.

The reader shares no code with the vault, and for the commercial suite no library either: SM2, SM3 and SM4 are
gmalg's, GCM is here.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gmalg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.vault.jws import verify_statement
from gateway.vault.sealed import SealedReader, _sealed_pieces
from gateway.vault.sm2 import Sm2PublicKey
from gateway.vault.store import MANIFEST_TYPE, SealManifest
from gateway.vault.suites import suite_by_identifier
from gateway.vault.wrap import unwrap

FOLDER = Path(__file__).parent / "vectors"
VECTORS: dict[int, dict[str, Any]] = {
    1: json.loads((FOLDER / "sealed-files.json").read_text()),
    2: json.loads((FOLDER / "sealed-files-sm.json").read_text()),
}
FILES = [
    pytest.param(number, case, id=f"{number} {case['name']}")
    for number, document in VECTORS.items()
    for case in document["sealed_files"]
]
WRAPPED = [
    pytest.param(number, case, id=f"{number} {case['name']}")
    for number, document in VECTORS.items()
    for case in document["wrapped_keys"]
]


def pattern(length: int) -> bytes:
    return bytes((167 * i + 13) % 251 for i in range(length))


def sm3(data: bytes) -> bytes:
    state = gmalg.SM3()
    state.update(data)
    return bytes(state.value())


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """RFC 2104; keys up to the block of 64 bytes."""
    block = key.ljust(64, b"\0")
    inner = sm3(bytes(byte ^ 0x36 for byte in block) + data)
    return sm3(bytes(byte ^ 0x5C for byte in block) + inner)


def ghash(key: int, data: bytes) -> int:
    """NIST SP 800-38D, 6.4."""
    result = 0
    for start in range(0, len(data), 16):
        value, product, factor = result ^ int.from_bytes(data[start : start + 16], "big"), 0, key
        for bit in range(127, -1, -1):
            product ^= factor * (value >> bit & 1)
            factor = factor >> 1 ^ (0xE1 << 120) * (factor & 1)
        result = product
    return result


def sm4_gcm_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """NIST SP 800-38D, 7.2, over SM4."""
    block = gmalg.SM4(key)
    ciphertext, tag = sealed[:-16], sealed[-16:]
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    padded = [part + bytes(-len(part) % 16) for part in (associated, ciphertext)]
    digest = ghash(int.from_bytes(block.encrypt(bytes(16)), "big"), b"".join(padded) + lengths)
    mask = int.from_bytes(block.encrypt(nonce + b"\0\0\0\1"), "big")
    assert (digest ^ mask).to_bytes(16, "big") == tag
    counters = range(2, 2 + -(-len(ciphertext) // 16))
    stream = b"".join(block.encrypt(nonce + counter.to_bytes(4, "big")) for counter in counters)
    return bytes(a ^ b for a, b in zip(ciphertext, stream, strict=False))


@dataclass(frozen=True, kw_only=True)
class Book:
    """A row of the document's table of suites, by other means than the vault's."""

    key_length: int
    hmac: Callable[[bytes, bytes], bytes]
    open: Callable[[bytes, bytes, bytes, bytes], bytes]
    digest: Callable[[bytes], bytes]
    digest_name: str

    def hkdf(self, secret: bytes, salt: bytes, info: bytes) -> tuple[bytes, bytes]:
        """RFC 5869: the key, and 32 bytes of commitment."""
        pseudorandom = self.hmac(salt, secret)
        first = self.hmac(pseudorandom, info + b"\x01")
        okm = first + self.hmac(pseudorandom, first + info + b"\x02")
        return okm[: self.key_length], okm[self.key_length : self.key_length + 32]


BOOK = {
    1: Book(
        key_length=32,
        hmac=lambda key, data: hmac.digest(key, data, "sha256"),
        open=lambda key, nonce, sealed, associated: AESGCM(key).decrypt(nonce, sealed, associated),
        digest=lambda data: hashlib.sha256(data).digest(),
        digest_name="sha256",
    ),
    2: Book(key_length=16, hmac=hmac_sm3, open=sm4_gcm_open, digest=sm3, digest_name="sm3"),
}


def read_by_the_book(sealed: bytes, dek: bytes, context: bytes) -> bytes:
    """A second reader, from the document alone."""
    header, body = sealed[:87], sealed[87:]
    fields, commitment = header[:55], header[55:]
    assert fields[:10] == b"FGSEALED\x00\x01"
    suite = BOOK[int.from_bytes(fields[10:12], "big")]
    size = int.from_bytes(fields[12:16], "big")
    salt, prefix = fields[16:48], fields[48:55]
    key, expected = suite.hkdf(dek, salt, b"fleetgate/sealed-file/1\x00" + fields + context)
    assert expected == commitment
    segments = [body[i : i + size + 16] for i in range(0, len(body), size + 16)]
    plaintext = b""
    for index, segment in enumerate(segments):
        last = b"\x01" if index == len(segments) - 1 else b"\x00"
        nonce = prefix + index.to_bytes(4, "big") + last
        plaintext += suite.open(key, nonce, segment, header)
    return plaintext


@pytest.mark.parametrize(("number", "case"), FILES)
def test_sealing_reproduces_the_vector(number: int, case: dict[str, Any]) -> None:
    document, dek = VECTORS[number], bytes.fromhex(VECTORS[number]["dek"])
    plaintext = pattern(case["plaintext_length"])
    sealed = b"".join(
        _sealed_pieces(
            [plaintext],
            dek=dek,
            context=bytes.fromhex(case["context"]),
            suite=suite_by_identifier(number),
            segment_size=case["segment_size"],
            salt=bytes.fromhex(document["salt"]),
            nonce_prefix=bytes.fromhex(document["nonce_prefix"]),
        )
    )
    book = BOOK[number]
    digest = case[f"sealed_{book.digest_name}"]
    assert (len(sealed), book.digest(sealed).hex()) == (case["sealed_length"], digest)
    assert sealed.hex() == case.get("sealed", sealed.hex())
    assert read_by_the_book(sealed, dek, bytes.fromhex(case["context"])) == plaintext


@pytest.mark.parametrize(("number", "case"), [case for case in FILES if "sealed" in case.values[1]])
def test_reading_the_vector(number: int, case: dict[str, Any]) -> None:
    sealed = bytes.fromhex(case["sealed"])
    reader = SealedReader(
        lambda offset, length: sealed[offset : offset + length],
        sealed_length=len(sealed),
        dek=bytes.fromhex(VECTORS[number]["dek"]),
        context=bytes.fromhex(case["context"]),
        expected_plaintext_length=case["plaintext_length"],
    )
    assert reader.read() == pattern(case["plaintext_length"])


@pytest.mark.parametrize(("number", "case"), WRAPPED)
def test_wrapped_key_vector(number: int, case: dict[str, Any]) -> None:
    key, wrapped = bytes.fromhex(case["key"]), bytes.fromhex(case["wrapped"])
    parts = [bytes.fromhex(part) for part in case["parts"]]
    assert unwrap(key, wrapped, *parts) == bytes.fromhex(case["secret"])
    assert wrapped[0] == number
    info = b"fleetgate/wrap/%d\x00" % number + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    cipher_key, commitment = BOOK[number].hkdf(key, wrapped[1:33], info)
    assert commitment == wrapped[33:65]
    assert BOOK[number].open(cipher_key, bytes(12), wrapped[65:], wrapped[:65]).hex() == case["secret"]


def test_manifest_vector_of_the_commercial_suite() -> None:
    case = VECTORS[2]["manifest"]
    payload = verify_statement(case["jws"], MANIFEST_TYPE, Sm2PublicKey.from_jwk(case["public_jwk"]))
    assert SealManifest.from_dict(payload).as_dict() == case["payload"]
    segments = case["jws"].split(".")
    header, body, signature = (base64.urlsafe_b64decode(segment + "==") for segment in segments)
    coordinates = [base64.urlsafe_b64decode(case["public_jwk"][name] + "=") for name in ("x", "y")]
    thumbprint = hashlib.sha256(json.dumps(case["public_jwk"], separators=(",", ":")).encode()).digest()
    assert json.loads(header) == {
        "alg": "SM2SM3",
        "kid": base64.urlsafe_b64encode(thumbprint).decode().rstrip("="),
        "typ": "fleetgate-sealed-object+json",
    }
    assert json.loads(body) == case["payload"]
    verifier = gmalg.SM2(uid=b"1234567812345678", pk=b"\x04" + b"".join(coordinates))
    signed = ".".join(segments[:2]).encode()
    assert verifier.verify(signed, signature[:32], signature[32:])
    assert not verifier.verify(signed + b"x", signature[:32], signature[32:])
