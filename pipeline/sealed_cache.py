"""A cache of released items on disk that is sealed, and of use only while the gate lets its owner read.

What is guaranteed:

- On disk lies ciphertext only (law 3). The key is derived (HKDF-SHA256) from the principal's private key, which is
  in memory while a session lasts, and from a random salt of the release's folder. Nobody without that private key
  opens an entry, and after its salt was wiped nobody does.
- Before each use of an entry the gate is asked for the item's first byte, under a signed request for the stated
  purpose. So each use passes policy and is in the ledger, and none succeeds once the grant ended or the release
  was revoked.
- A refusal (403, 404) wipes the release's folder, the salt first.
- At each use, size and digest are held against the signed manifest, as for an item that arrives over HTTP.

What is not: a reader who keeps both the private key and a copy of the folder from before the refusal can open that
copy with a program of their own, as they could have kept the content itself. Revocation does not undo what was
read.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from pipeline.client import GatewayClient
from pipeline.errors import CacheError, KeyFileError, RefusedError
from pipeline.manifest import ReleaseItem, ReleaseManifest
from pipeline.reading import ItemReader
from pipeline.sealing import KEY_BYTES, BrokenSealError, SealedWriter, derive_key, open_sealed

COPY_BYTES: Final = 1024 * 1024
DEFAULT_MAX_BYTES: Final = 32 * 1024**3
ENDING_STATUSES: Final = frozenset({403, 404})
"""Answers that say that the right to read is over, unlike those of a gate that cannot answer now."""

SALT_FILE: Final = "salt"
_SEALED: Final = ".sealed"
PARTIAL_SUFFIX: Final = ".partial"
_USE: Final = "fleetgate sealed cache v1"


def secret_of(key: OKPKey) -> bytes:
    """What keys of a principal's folders are derived from.

    Raises:
        KeyFileError: The key is no private key.
    """
    secret = key.as_dict(private=key.is_private).get("d")
    if not isinstance(secret, str):
        raise KeyFileError("key of the cache (got a public key, expected the principal's private key)")
    return urlsafe_b64decode(secret.encode("ascii"))


def salted_key(folder: Path, secret: bytes, use: str) -> bytes:
    """The key of a folder for a use; its salt is made where it is missing, by whoever is first."""
    path = folder / SALT_FILE
    if not path.exists():
        made = path.with_name(f"{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
        with made.open("xb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            pass  # another process was first: its salt is the one
        finally:
            made.unlink()
    return derive_key(secret, path.read_bytes(), use)


class SealedCache:
    """Reads items of releases through a folder of sealed copies.

    Several processes of one principal may share a folder.
    """

    def __init__(
        self, client: GatewayClient, folder: Path, *, key: OKPKey, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        """Open a folder; it is made where it is missing.

        Args:
            client: Connection to the gate, which stays open.
            folder: Where sealed copies lie.
            key: The principal's Ed25519 private key.
            max_bytes: What sealed copies may take up; the ones least recently used make room.

        Raises:
            KeyFileError: The key is no private key.
            CacheError: The folder cannot be used.
            ValueError: ``max_bytes`` is not positive.
        """
        if max_bytes <= 0:
            raise ValueError(f"max_bytes (got {max_bytes}, expected a positive count of bytes)")
        self._secret = secret_of(key)
        self._client = client
        self._folder = folder
        self._max_bytes = max_bytes
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the folder; entries stay, sealed."""
        os.close(self._lock)

    @property
    def client(self) -> GatewayClient:
        """The connection below."""
        return self._client

    def manifest(self, release: str) -> ReleaseManifest:
        """The release's verified manifest.

        Raises:
            TamperedReleaseError, RefusedError, UnreachableError: As ``GatewayClient.manifest``.
        """
        with self._wiping(release):
            return self._client.manifest(release)

    @contextmanager
    def open(self, release: str, name: str) -> Iterator[ItemReader]:
        """Stream one item, from the folder where it is there; its bytes are proved once the end was reached.

        Raises:
            KeyError: The release has no item of that name.
            RefusedError: The gate refuses, now; what the folder held of the release is gone.
            CacheError: The sealed copy was altered or cannot be written; it is removed.
            TamperedReleaseError: Size or digest differ from the signed manifest (raised while reading).
            UnreachableError: The gate cannot be asked; the copy is not used.
        """
        item = self.manifest(release).by_name[name]
        if not 0 < item.size <= self._max_bytes:  # nothing to keep, or too much
            with self._client.open(release, name) as reader:
                yield reader
            return
        path = self._entry(release, item)
        with self._wiping(release):
            if path.is_file():
                self._client.read(release, name, 0, 1)
            else:
                self._fetch(release, item, path)
        with self._opened(item, path) as file:
            os.utime(path)
            sealed = open_sealed(file, self.key_of(release), item.sha256)
            reader = ItemReader(self._whole(sealed, item, path), item)
            try:
                yield reader
            finally:
                reader.close()

    def read(self, release: str, name: str) -> bytes:
        """One item whole, proved.

        Raises:
            KeyError, RefusedError, CacheError, TamperedReleaseError, UnreachableError: As ``open``.
        """
        with self.open(release, name) as reader:
            return reader.readall()

    def derived(self, release: str) -> "DerivedStore":
        """What was derived of a release, once the gate said that it may be read now.

        Raises:
            RefusedError: The gate refuses; what the folder held of the release is gone.
            TamperedReleaseError, UnreachableError: As ``GatewayClient.manifest``.
        """
        with self._wiping(release):
            self._client.confirm(release)
        return DerivedStore(self, release)

    def wipe(self, release: str) -> None:
        """Make what is kept of a release unreadable, then remove it."""
        folder = self.folder_of(release)
        with _told(folder):
            if not folder.is_dir():
                return
            (folder / SALT_FILE).unlink(missing_ok=True)
            for path in folder.iterdir():
                path.unlink(missing_ok=True)

    @contextmanager
    def _wiping(self, release: str) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            if error.status in ENDING_STATUSES:
                self.wipe(release)
            raise

    def folder_of(self, release: str) -> Path:
        """Where copies of a release lie."""
        return self._folder / sha256(release.encode()).hexdigest()[:32]

    def _entry(self, release: str, item: ReleaseItem) -> Path:
        return self.folder_of(release) / f"{item.sha256}{_SEALED}"

    def key_of(self, release: str) -> bytes:
        """The key of a release's entries; its salt is made where it is missing, by whoever is first."""
        return salted_key(self.folder_of(release), self._secret, f"{_USE}\0{release}")

    def _fetch(self, release: str, item: ReleaseItem, path: Path) -> None:
        """Seal an item as it arrives; it takes its name only once all of it is proved."""
        with _told(path):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            self._make_room(item.size)
            partial = path.with_name(f"{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
            try:
                with self._client.open(release, item.name) as reader, partial.open("xb") as file:
                    writer = SealedWriter(file, self.key_of(release), item.sha256)
                    while content := reader.read(COPY_BYTES):
                        writer.write(content)
                    writer.finish()
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    @staticmethod
    def _opened(item: ReleaseItem, path: Path) -> BinaryIO:
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise CacheError(
                f"sealed copy of {item.name!r} was removed meanwhile; repeat to go on"
            ) from error

    @staticmethod
    def _whole(sealed: Iterator[bytes], item: ReleaseItem, path: Path) -> Iterator[bytes]:
        try:
            yield from sealed
        except BrokenSealError as error:
            path.unlink(missing_ok=True)
            raise CacheError(
                f"sealed copy of {item.name!r}: {error}; it is removed, repeat to fetch it anew"
            ) from error

    def _make_room(self, size: int) -> None:
        entries = sorted((path.stat().st_mtime_ns, path) for path in self._folder.glob(f"*/*{_SEALED}"))
        held = sum(path.stat().st_size for _, path in entries)
        for _, path in entries:
            if held + size <= self._max_bytes:
                return
            held -= path.stat().st_size
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a process that died left half-written, unless another is at work; then take a part in it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for path in self._folder.glob(f"*/*{PARTIAL_SUFFIX}"):
                path.unlink(missing_ok=True)
        fcntl.flock(self._lock, fcntl.LOCK_SH)


class DerivedStore:
    """Small values that were derived of a release, sealed beside its items and wiped with them.

    It is for one run: a new one asks the gate anew.
    """

    def __init__(self, cache: SealedCache, release: str) -> None:
        """Of ``SealedCache.derived`` only."""
        self._cache, self._release = cache, release

    def get(self, name: str) -> bytes | None:
        """A value that was put before; None where there is none.

        Raises:
            CacheError: It was altered; it is removed.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file:
                return b"".join(open_sealed(file, self._cache.key_of(self._release), name))
        except FileNotFoundError:
            return None
        except BrokenSealError as error:
            path.unlink(missing_ok=True)
            raise CacheError(
                f"sealed value {name!r}: {error}; it is removed, repeat to make it anew"
            ) from error

    def put(self, name: str, content: bytes) -> None:
        """Keep a value.

        Raises:
            CacheError: It cannot be written.
        """
        path = self._path(name)
        with _told(path):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            partial = path.with_name(f"{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
            with partial.open("xb") as file:
                writer = SealedWriter(file, self._cache.key_of(self._release), name)
                writer.write(content)
                writer.finish()
            partial.replace(path)

    def _path(self, name: str) -> Path:
        return self._cache.folder_of(self._release) / f"{sha256(name.encode()).hexdigest()}{_SEALED}"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(f"{error.strerror or type(error).__name__}: {error.filename or path}") from error
