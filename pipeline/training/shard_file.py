"""A shard: samples sealed one by one with AES-256-GCM, opened in any order, behind a sealed index.

``magic, salt, sealed samples, sealed index, length of the index``. The key of a file is derived by HKDF-SHA256
from the key of its release, 32 random bytes of the file and what it is: manifest, release and number. Labels and
content of a sample are sealed apart, which spares a copy. The nonce is twice the place, and one more for content,
so no two of one key are alike; release, name and digest of the sample, and which part it is, are associated data.
A sample moved, swapped, or taken for one of another release does not open, nor does a changed index.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.sealing import KEY_BYTES, derive_key
from pipeline.training.errors import ShardError

_MAGIC: Final = b"FGSHARD1"
_HEAD_BYTES: Final = len(_MAGIC) + KEY_BYTES
_LENGTH_BYTES: Final = 8
_TAG_BYTES: Final = 16
_LABELS: Final = 0
_CONTENT: Final = 1
_INDEX_NONCE: Final = b"\xff" * 12
_INDEX: Final = b"index"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIdentity:
    """What a shard is: its number among those of a release under a training manifest, by the manifest's digest."""

    manifest: str
    release: str
    number: int

    @property
    def use(self) -> str:
        """The same, as the key of the file binds it."""
        return f"{self.manifest}\0{self.release}\0{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """A sample as a shard holds it.

    Attributes:
        release: The release that it is an item of.
        name: Name of the item.
        sha256: Digest of the item.
        labels: Its labels as JSON; empty without.
        content: The item.
    """

    release: str
    name: str
    sha256: str
    labels: bytes
    content: bytes


class ShardWriter:
    """Seals samples one after another; only ``finish`` makes the shard whole."""

    def __init__(self, file: BinaryIO, key: bytes, identity: ShardIdentity) -> None:
        """Begin a shard under the key of its release."""
        salt = secrets.token_bytes(KEY_BYTES)
        self._aead = AESGCM(derive_key(key, salt, identity.use))
        self._file = file
        self._identity = identity
        self._index: list[tuple[str, str, int, int, int]] = []
        self._at = _HEAD_BYTES
        file.write(_MAGIC + salt)

    def add(self, name: str, digest: str, labels: bytes, content: bytes) -> None:
        """Seal a sample behind those before it."""
        place, release = len(self._index), self._identity.release
        sealed = [
            self._aead.encrypt(_nonce(place, part), plain, _belongs(release, name, digest, part))
            for part, plain in ((_LABELS, labels), (_CONTENT, content))
        ]
        for each in sealed:
            self._file.write(each)
        self._index.append((name, digest, self._at, len(sealed[_LABELS]), len(sealed[_CONTENT])))
        self._at += sum(map(len, sealed))

    def finish(self) -> None:
        """Seal the index."""
        sealed = self._aead.encrypt(_INDEX_NONCE, json.dumps(self._index).encode(), _INDEX)
        self._file.write(sealed + len(sealed).to_bytes(_LENGTH_BYTES, "big"))


class ShardReader:
    """An open shard; its index is proved, a sample is proved when it is read."""

    def __init__(self, path: Path, key: bytes, identity: ShardIdentity) -> None:
        """Open a shard under the key of its release.

        Raises:
            ShardError: It is missing, altered, cut short, or another shard.
        """
        self.identity = identity
        self._path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ShardError(f"shard {path.name} of {identity.release!r}: {error.strerror}") from error
        try:
            self._read_index(key)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    @property
    def samples(self) -> tuple[tuple[str, str], ...]:
        """Name and digest of each sample."""
        return tuple((name, digest) for name, digest, *_ in self._index)

    def read(self, place: int) -> StoredSample:
        """The sample at a place, from 0.

        Raises:
            IndexError: There is none.
            ShardError: It was altered.
        """
        name, digest, at, begin, length = self._index[place]
        release = self.identity.release
        sealed = self._buffer[: begin + length]
        os.preadv(self._file, [sealed], at)
        try:
            labels, content = (
                self._aead.decrypt(_nonce(place, part), piece, _belongs(release, name, digest, part))
                for part, piece in ((_LABELS, sealed[:begin]), (_CONTENT, sealed[begin:]))
            )
        except (InvalidTag, ValueError) as error:
            raise self._broken(f"sample {place} does not open") from error
        return StoredSample(release=release, name=name, sha256=digest, labels=labels, content=content)

    def read_labels(self, place: int) -> bytes:
        """The labels of the sample at a place, without opening its content.

        Raises:
            IndexError: There is none.
            ShardError: They were altered.
        """
        name, digest, at, length, _ = self._index[place]
        sealed = os.pread(self._file, length, at)
        try:
            return self._aead.decrypt(
                _nonce(place, _LABELS), sealed, _belongs(self.identity.release, name, digest, _LABELS)
            )
        except (InvalidTag, ValueError) as error:
            raise self._broken(f"labels of sample {place} do not open") from error

    def will_be_read(self) -> None:
        """Tell the system that all of it is wanted soon."""
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_WILLNEED)

    def _read_index(self, key: bytes) -> None:
        size = os.fstat(self._file).st_size
        head = os.pread(self._file, _HEAD_BYTES, 0)
        length = int.from_bytes(os.pread(self._file, _LENGTH_BYTES, max(0, size - _LENGTH_BYTES)), "big")
        begin = size - _LENGTH_BYTES - length
        if not head.startswith(_MAGIC) or length < _TAG_BYTES or begin < _HEAD_BYTES:
            raise self._broken("it is no shard of this version, or is cut short")
        self._aead = AESGCM(derive_key(key, head[len(_MAGIC) :], self.identity.use))
        try:
            plain = self._aead.decrypt(_INDEX_NONCE, os.pread(self._file, length, begin), _INDEX)
        except (InvalidTag, ValueError) as error:
            raise self._broken("its index does not open") from error
        self._index = [(str(n), str(d), int(at), int(a), int(b)) for n, d, at, a, b in json.loads(plain)]
        lengths = [entry[3] + entry[4] for entry in self._index]
        if sum(lengths) != begin - _HEAD_BYTES:
            raise self._broken("samples were taken out or put in")
        self._buffer = memoryview(bytearray(max(lengths, default=0)))

    def _broken(self, how: str) -> ShardError:
        return ShardError(
            f"shard {self._path.name} of {self.identity.release!r}: {how}; remove it and write the shards again"
        )


def _nonce(place: int, part: int) -> bytes:
    return (2 * place + part).to_bytes(12, "big")


def _belongs(release: str, name: str, digest: str, part: int) -> bytes:
    return f"{release}\0{name}\0{digest}\0{part}".encode()
