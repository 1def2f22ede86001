"""What a manifest says of items that the vehicle sealed, and how the gate opens them while they arrive."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import rfc8785

from gateway.vault.errors import SealBrokenError
from gateway.vault.intake_key import IntakeKey, item_dek
from gateway.vault.sealed import SealedReader
from gateway.vehicles.errors import ManifestError, SealedDeliveryError

SECRET_LENGTH: Final = 32
_HPKE_LENGTH: Final = SECRET_LENGTH + 48  # encapsulated key and tag
_MANIFEST_LABEL: Final = b"fleetgate/sealed-manifest/1\x00"
_SECRET_LABEL: Final = b"fleetgate/sealed-delivery/1\x00"
_FIELDS: Final = frozenset({"key", "secret", "items"})
_ITEM_FIELDS: Final = frozenset({"length", "sha256"})
_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAX_LENGTH: Final = 2**41
_NONE: Final[Mapping[str, datetime]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedItem:
    """An item as it is delivered: length in bytes and SHA-256 (hexadecimal) of its sealed file."""

    length: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How a vehicle sealed a recording.

    Attributes:
        key: RFC 7638 thumbprint of the intake key that the secret is sealed to.
        secret: 32 random bytes, sealed by HPKE; every item's key is derived from them.
        items: The sealed files, in the order of the manifest's items.
    """

    key: str
    secret: bytes
    items: tuple[SealedItem, ...]

    def payload(self) -> dict[str, Any]:
        """The JSON object that is signed; ``parse_sealing`` reads it back."""
        return {
            "key": self.key,
            "secret": base64.b64encode(self.secret).decode("ascii"),
            "items": [{"length": each.length, "sha256": each.sha256} for each in self.items],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedContext:
    """What one sealed item is. Its key is bound to all of it, so that it passes for no other item."""

    vehicle: str
    recording: str
    position: int
    name: str
    size: int
    sha256: str

    def canonical(self) -> bytes:
        """RFC 8785 bytes."""
        return rfc8785.dumps(
            {
                "name": self.name,
                "position": self.position,
                "recording": self.recording,
                "sha256": self.sha256,
                "size": self.size,
                "vehicle": self.vehicle,
                "version": 1,
            }
        )


def manifest_info(key: str) -> bytes:
    """HPKE ``info`` of a sealed manifest for the intake key of that thumbprint."""
    return _MANIFEST_LABEL + key.encode("ascii")


def secret_info(key: str, vehicle: str, recording: str) -> bytes:
    """HPKE ``info`` of a recording's secret."""
    return _SECRET_LABEL + rfc8785.dumps({"key": key, "recording": recording, "vehicle": vehicle})


def parse_sealing(described: Any, count: int) -> Sealing:
    """Check what a manifest says of its sealing and give it its type.

    Args:
        described: The field ``sealing``.
        count: How many items the manifest has.

    Raises:
        ManifestError: A field is missing, unknown or not of its form.
    """
    if not isinstance(described, Mapping) or set(described) != _FIELDS:
        got = sorted(map(str, described)) if isinstance(described, Mapping) else described
        raise ManifestError("sealing", got, f"exactly the fields {sorted(_FIELDS)}")
    key, secret, items = described["key"], described["secret"], described["items"]
    if not isinstance(key, str) or not _KID.fullmatch(key):
        raise ManifestError("sealing.key", key, "an RFC 7638 thumbprint")
    try:
        sealed = base64.b64decode(secret, validate=True)
    except (ValueError, TypeError) as error:
        raise ManifestError("sealing.secret", secret, "base64") from error
    if len(sealed) != _HPKE_LENGTH:
        raise ManifestError("sealing.secret", f"{len(sealed)} bytes", f"{_HPKE_LENGTH} bytes")
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) != count:
        raise ManifestError("sealing.items", items, f"a list of {count}, as there are items")
    return Sealing(key=key, secret=sealed, items=tuple(_item(i, item) for i, item in enumerate(items)))


def _item(position: int, item: Any) -> SealedItem:
    where = f"sealing.items[{position}]"
    if not isinstance(item, Mapping) or set(item) != _ITEM_FIELDS:
        raise ManifestError(where, item, f"exactly the fields {sorted(_ITEM_FIELDS)}")
    length, digest = item["length"], item["sha256"]
    if type(length) is not int or not 1 <= length <= _MAX_LENGTH:
        raise ManifestError(f"{where}.length", length, f"an integer from 1 to {_MAX_LENGTH}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ManifestError(f"{where}.sha256", digest, "64 lower-case hexadecimal digits")
    return SealedItem(length=length, sha256=digest)


def open_secret(
    sealing: Sealing,
    vehicle: str,
    recording: str,
    *keys: IntakeKey,
    destroyed: Mapping[str, datetime] = _NONE,
) -> bytes:
    """The secret of a recording.

    Args:
        sealing: What the manifest says of it.
        vehicle: Whose it is.
        recording: Its id.
        keys: The intake keys that still open.
        destroyed: When those that never will again were destroyed, by thumbprint.

    Raises:
        SealedDeliveryError: It is sealed to another key or for another recording.
    """
    key = next((each for each in keys if each.public.kid == sealing.key), None)
    if key is None:
        known = ", ".join(each.public.kid for each in keys)
        if sealing.key in destroyed:
            raise SealedDeliveryError(
                f"recording is sealed to an intake key that was destroyed after its grace, at"
                f" {destroyed[sealing.key].isoformat()} (got {sealing.key}, expected {known}):"
                " only its vehicle can seal it anew"
            )
        raise SealedDeliveryError(
            f"recording is sealed to another intake key, or to one whose time is over (got {sealing.key},"
            f" expected {known})"
        )
    try:
        return key.open(sealing.secret, secret_info(sealing.key, vehicle, recording))
    except SealBrokenError as error:
        raise SealedDeliveryError(f"secret of the recording: {error}") from error


def opened(
    chunks: Iterable[bytes],
    sealing: Sealing,
    context: SealedContext,
    *keys: IntakeKey,
    destroyed: Mapping[str, datetime] = _NONE,
) -> Iterator[bytes]:
    """The plaintext of a sealed item while its sealed file arrives, in memory, one segment at a time.

    1. The secret is sealed to this gate for this recording.
    2. Header, commitment and length are those of this item under that secret.
    3. Each segment authenticates before it is yielded.
    4. Nothing follows the last one, and the sealed file has the announced digest.

    What was yielded is not the item until the iterator ends without an error.

    Raises:
        SealedDeliveryError: A step failed.
    """
    announced = sealing.items[context.position]
    secret = open_secret(sealing, context.vehicle, context.recording, *keys, destroyed=destroyed)  # 1
    bound, arriving = context.canonical(), _Arriving(chunks)
    try:
        reader = SealedReader(  # 2
            arriving.read_at,
            sealed_length=announced.length,
            dek=item_dek(secret, bound),
            context=bound,
            expected_plaintext_length=context.size,
        )
        yield from reader.chunks()  # 3
        arriving.finish(announced.sha256)  # 4
    except SealBrokenError as error:
        raise SealedDeliveryError(f"sealed item {context.position}: {error}") from error


class _Arriving:
    """A stream that a reader takes in order as if it were a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self._position = 0
        self._digest = hashlib.sha256()

    def read_at(self, offset: int, length: int) -> bytes:
        if offset != self._position:
            raise ValueError(f"a stream is read in order (got {offset}, expected {self._position})")
        while len(self._held) < length and (chunk := next(self._chunks, None)) is not None:
            self._held += chunk
        piece = bytes(self._held[:length])
        del self._held[: len(piece)]
        self._digest.update(piece)
        self._position += len(piece)
        return piece

    def finish(self, sha256: str) -> None:
        while not self._held and (chunk := next(self._chunks, None)) is not None:
            self._held += chunk
        if self._held:
            raise SealBrokenError(f"bytes behind the sealed file (expected {self._position})")
        if self._digest.hexdigest() != sha256:
            raise SealBrokenError(f"SHA-256 (got {self._digest.hexdigest()}, expected {sha256})")
