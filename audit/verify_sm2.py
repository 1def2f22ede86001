"""SM2 signatures with SM3, verified: GB/T 32918.2 over the curve of GB/T 32918.5, with ``cryptography`` for SM3.

For stand-alone verifiers, which may use the standard library and ``cryptography``: neither has SM2.
Nothing here is secret, so nothing needs to take constant time. Signing is elsewhere (``gateway.vault.sm2``).
"""

from cryptography.hazmat.primitives import hashes

_P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
_A = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFC
_B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
_N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
_G = (
    0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7,
    0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0,
)
_ID = b"1234567812345678"
_LENGTH = 32

Point = tuple[int, int]


def verify_sm2(point: bytes, signature: bytes, message: bytes) -> None:
    """Verify a signature by the default signer's id (GB/T 35276).

    1. The key is a point of the curve. 2. r and s are in the group, and so is their sum.
    3. R = (e + x1) mod n equals r, with e = SM3(Z || message) and (x1, y1) = s G + (r + s) P.

    Args:
        point: Uncompressed public key, 65 bytes: 4, x, y.
        signature: r and s, 32 bytes each, big-endian.
        message: What was signed.

    Raises:
        ValueError: A step failed.
    """
    key = _point(point)  # 1
    if len(signature) != 2 * _LENGTH:
        raise ValueError(f"SM2 signature (got {len(signature)} bytes, expected {2 * _LENGTH})")
    r, s = int.from_bytes(signature[:_LENGTH], "big"), int.from_bytes(signature[_LENGTH:], "big")
    total = (r + s) % _N
    if not (0 < r < _N and 0 < s < _N) or total == 0:  # 2
        raise ValueError("SM2 signature (got r or s outside the group)")
    e = int.from_bytes(_sm3(_identity(key) + message), "big")
    found = _add(_times(s, _G), _times(total, key))
    if found is None or (e + found[0]) % _N != r:  # 3
        raise ValueError("SM2 signature does not verify")


def _point(encoded: bytes) -> Point:
    if len(encoded) != 1 + 2 * _LENGTH or encoded[0] != 4:  # noqa: PLR2004 (SEC 1: uncompressed)
        raise ValueError(f"SM2 public key (got {len(encoded)} bytes, expected 4, x and y)")
    x, y = (
        int.from_bytes(encoded[1 : 1 + _LENGTH], "big"),
        int.from_bytes(encoded[1 + _LENGTH :], "big"),
    )
    if not (x < _P and y < _P) or (y * y - (x * x * x + _A * x + _B)) % _P:
        raise ValueError("SM2 public key (got a point outside the curve)")
    return x, y


def _identity(key: Point) -> bytes:
    """Z of the signer (GB/T 32918.2, 5.5)."""
    numbers = (_A, _B, *_G, *key)
    bits = (8 * len(_ID)).to_bytes(2, "big")
    return _sm3(bits + _ID + b"".join(number.to_bytes(_LENGTH, "big") for number in numbers))


def _sm3(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def _add(left: Point | None, right: Point | None) -> Point | None:
    if left is None or right is None:
        return left or right
    if left[0] == right[0]:
        if (left[1] + right[1]) % _P == 0:
            return None
        slope = (3 * left[0] * left[0] + _A) * pow(2 * left[1], -1, _P)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, _P)
    x = (slope * slope - left[0] - right[0]) % _P
    return x, (slope * (left[0] - x) - left[1]) % _P


def _times(factor: int, point: Point) -> Point | None:
    found: Point | None = None
    doubled: Point | None = point
    while factor:
        if factor & 1:
            found = _add(found, doubled)
        doubled = _add(doubled, doubled)
        factor >>= 1
    return found
