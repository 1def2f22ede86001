"""Small values sealed for a database column: the sealed container in memory, its wrapped DEK in front.

Layout: ``u16 length of the wrapped DEK ‖ wrapped DEK ‖ sealed container`` (big-endian).
"""

import secrets
import struct

from gateway.vault.errors import SealBrokenError
from gateway.vault.keys import Keystore
from gateway.vault.sealed import SealedReader, seal_stream

_LENGTH = struct.Struct(">H")
_SEGMENT = 64 * 1024


def seal_value(keystore: Keystore, *, kek_id: str, context: bytes, plaintext: bytes) -> bytes:
    """Seal ``plaintext`` in the keystore's suite, under a fresh DEK wrapped by ``kek_id``, bound to ``context``.

    Raises:
        KeyDestroyedError: The KEK was destroyed.
        KeyUnavailableError: There is no such KEK.
    """
    dek = secrets.token_bytes(32)
    wrapped = keystore.wrap_dek(kek_id, dek, context)
    out = bytearray(_LENGTH.pack(len(wrapped)) + wrapped)
    seal_stream(
        [plaintext],
        dek=dek,
        context=context,
        suite=keystore.suite,
        write=out.extend,
        segment_size=_SEGMENT,
    )
    return bytes(out)


def open_value(keystore: Keystore, *, kek_id: str, context: bytes, sealed: bytes) -> bytes:
    """Open what ``seal_value`` sealed, in whichever suite.

    Raises:
        SealBrokenError: The bytes were altered, truncated or sealed for another context.
        KeyDestroyedError: The KEK was destroyed.
    """
    if len(sealed) < _LENGTH.size:
        raise SealBrokenError(f"sealed value is too short (got {len(sealed)} bytes)")
    (length,) = _LENGTH.unpack_from(sealed)
    start = _LENGTH.size + length
    if len(sealed) <= start:
        raise SealBrokenError(f"sealed value is truncated (got {len(sealed)} bytes, expected over {start})")
    dek = keystore.unwrap_dek(kek_id, sealed[_LENGTH.size : start], context)
    container = memoryview(sealed)[start:]
    reader = SealedReader(
        lambda offset, size: container[offset : offset + size],
        sealed_length=len(container),
        dek=dek,
        context=context,
        expected_plaintext_length=None,
    )
    return b"".join(reader.chunks())
