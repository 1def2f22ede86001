"""Key commitment: a ciphertext that authenticates under two keys is made, and the container refuses the second."""

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.vault.container import HEADER_LENGTH, _derive, new_header
from gateway.vault.errors import SealBrokenError
from gateway.vault.sealed import SealedReader
from gateway.vault.suites import AES256GCM, Suite
from gateway.vault.wrap import unwrap, wrap

ONE = 1 << 127  # GCM writes the polynomial 1 with its bit first


def times(left: int, right: int) -> int:
    """Product in the field of GCM (NIST SP 800-38D, 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= right * (left >> bit & 1)
        right = right >> 1 ^ (0xE1 << 120) * (right & 1)
    return product


def inverse(value: int) -> int:
    """Fermat: to the power of 2^128 - 2."""
    result = ONE
    for _ in range(127):
        value = times(value, value)
        result = times(result, value)
    return result


def ghash(key: int, data: bytes) -> int:
    result = 0
    for start in range(0, len(data), 16):
        result = times(result ^ int.from_bytes(data[start : start + 16], "big"), key)
    return result


def block(suite: Suite, key: bytes) -> Callable[[bytes], int]:
    algorithm = algorithms.AES(key) if suite is AES256GCM else algorithms.SM4(key)
    return lambda data: int.from_bytes(
        Cipher(algorithm, modes.ECB()).encryptor().update(data),  # noqa: S305 (the bare block cipher is meant)
        "big",
    )


def ambiguous(suite: Suite, keys: tuple[bytes, bytes], nonce: bytes, associated: bytes) -> bytes:
    """A ciphertext block and a tag that authenticate under both keys.

    The tag is linear in the block: tag = block * H^2 + rest, with H and rest of each key. Both tags are equal for
    block = (rest_1 + rest_2) / (H_1^2 + H_2^2).
    """
    padded = associated + bytes(-len(associated) % 16)
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * 16).to_bytes(8, "big")
    squares, rests = [], []
    for key in keys:
        encrypt = block(suite, key)
        h = encrypt(bytes(16))
        squares.append(times(h, h))
        rests.append(ghash(h, padded + bytes(16) + lengths) ^ encrypt(nonce + b"\0\0\0\1"))
    middle = times(rests[0] ^ rests[1], inverse(squares[0] ^ squares[1]))
    tag = times(middle, squares[0]) ^ rests[0]
    return middle.to_bytes(16, "big") + tag.to_bytes(16, "big")


def test_a_file_for_two_keys_opens_under_the_one_that_its_header_commits_to(suite: Suite) -> None:
    """Law 6: nobody can show one content to a reviewer and another to whoever has a second key."""
    first, second, prefix = os.urandom(32), os.urandom(32), os.urandom(7)
    header = new_header(
        first, b"c", suite=suite, segment_size=64, salt=os.urandom(32), nonce_prefix=prefix
    ).header
    keys = tuple(_derive(dek, b"c", header[:55], suite)[0] for dek in (first, second))
    nonce = prefix + bytes(4) + b"\1"
    body = ambiguous(suite, (keys[0], keys[1]), nonce, header)
    contents = [suite.cipher(key).decrypt(nonce, body, header) for key in keys]
    assert contents[0] != contents[1]
    sealed = header + body

    def opened(dek: bytes) -> bytes:
        return SealedReader(
            lambda offset, length: sealed[offset : offset + length],
            sealed_length=HEADER_LENGTH + 32,
            dek=dek,
            context=b"c",
            expected_plaintext_length=16,
        ).read()

    assert opened(first) == contents[0]
    with pytest.raises(SealBrokenError, match="commitment"):
        opened(second)


def test_a_wrapped_key_for_two_keys_opens_under_one(suite: Suite) -> None:
    first, second = os.urandom(32), os.urandom(32)
    made = wrap(first, bytes(16), b"part", suite=suite)
    for _ in range(50):
        with pytest.raises(SealBrokenError, match="commitment"):
            unwrap(os.urandom(32), made, b"part")
    with pytest.raises(SealBrokenError, match="commitment"):
        unwrap(second, made, b"part")
    theirs = wrap(second, bytes(16), b"part", suite=suite)
    with pytest.raises(SealBrokenError, match="authenticate"):
        unwrap(second, theirs[:65] + made[65:], b"part")
