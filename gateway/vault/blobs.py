"""Stores of sealed blobs, and the local one: written once, complete and durable or absent (laws 3 and 4)."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from gateway.vault.durable import PendingFile, pending_file, storage, sweep_temporary, sync_directory
from gateway.vault.errors import BlobExistsError, BlobMissingError, StorageError

ID: Final = re.compile(r"\A[0-9a-f]{8,64}\Z")
_BLOB: Final = ".sealed"
_MANIFEST: Final = ".manifest"


class Writer(Protocol):
    """Takes the bytes of one blob; it has its name when the ``with`` block ends without an error.

    Attributes:
        manifest: What stands beside the blob; None for nothing.
    """

    manifest: bytes | None

    @property
    def length(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes) -> None:
        """Append sealed bytes.

        Raises:
            StorageError: They could not all be written.
        """


class Blobs(Protocol):
    """A store of blobs that are written once. Each method is described at :class:`LocalBlobs`."""

    def create(self, blob_id: str) -> AbstractContextManager[Writer]:
        """Write a blob once; kept for good when the block is left, absent when it is left by an error."""

    def read_at(self, blob_id: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``, fewer only at the end of the blob."""

    def length(self, blob_id: str) -> int:
        """Length in bytes."""

    def manifest(self, blob_id: str) -> bytes:
        """The manifest written beside a blob."""

    def exists(self, blob_id: str) -> bool:
        """Whether a complete blob bears the id."""

    def ids(self) -> frozenset[str]:
        """Every id that a blob or a manifest without its blob bears."""

    def delete(self, blob_id: str) -> None:
        """Remove a blob and its manifest."""

    def sweep_temporary(self, older_than: timedelta) -> tuple[str, ...]:
        """Remove what killed writers left."""


class BlobWriter:
    """Takes the bytes of one blob; they get their name when the ``with`` block ends without an error."""

    __slots__ = ("_pending", "manifest")

    def __init__(self, pending: PendingFile) -> None:
        self._pending = pending
        self.manifest: bytes | None = None

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._pending.length

    def write(self, data: bytes) -> None:
        """Append sealed bytes.

        Raises:
            StorageError: They could not all be written.
        """
        self._pending.write(data)


class LocalBlobs:
    """Blobs as ``<id>.sealed`` with an optional ``<id>.manifest`` beside each.

    Args:
        root: Directory, made with mode 0700 if it is missing. Its file system must know hard links.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = f"{root}{os.sep}"
        if not root.is_dir():
            with storage("create directory", root.name):
                root.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(root.parent)

    def __repr__(self) -> str:
        return f"<LocalBlobs {self._root.name}>"

    @contextmanager
    def create(self, blob_id: str) -> Iterator[BlobWriter]:
        """Write a blob once; durable when the block is left, absent when it is left by an error.

        The manifest, where the writer is given one, is durable before the blob bears its name.

        Args:
            blob_id: 8 to 64 lower-case hexadecimal digits.

        Raises:
            BlobExistsError: The id is taken; what it names is untouched.
            StorageError: The operating system failed; nothing is acknowledged.
        """
        final = self._path(blob_id)
        if final.exists():
            raise BlobExistsError(f"blob {blob_id} exists; blobs are written once")
        with pending_file(final) as pending:
            writer = BlobWriter(pending)
            yield writer
            pending.sync()
            try:
                if writer.manifest is not None:
                    self._publish_manifest(blob_id, writer.manifest)
                pending.publish()
            except FileExistsError:
                raise BlobExistsError(f"blob {blob_id} exists; blobs are written once") from None
        sync_directory(self._root)

    def read_at(self, blob_id: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``, fewer only at the end of the blob.

        Raises:
            BlobMissingError: There is no such blob.
            StorageError: It could not be read.
        """
        name = checked_id(blob_id) + _BLOB
        try:
            # A string, because pathlib takes longer than the system calls.
            descriptor = os.open(f"{self._prefix}{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                pieces = []
                while length > 0 and (piece := os.pread(descriptor, length, offset)):
                    pieces.append(piece)
                    offset += len(piece)
                    length -= len(piece)
                return b"".join(pieces)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise BlobMissingError(f"no blob {blob_id}") from None
        except OSError as error:
            raise StorageError("read blob", name, error) from error

    def length(self, blob_id: str) -> int:
        """Length in bytes; errors as for :meth:`read_at`."""
        path = self._path(blob_id)
        with storage("inspect blob", path.name):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                raise BlobMissingError(f"no blob {blob_id}") from None

    def manifest(self, blob_id: str) -> bytes:
        """The manifest written beside a blob; errors as for :meth:`read_at`."""
        path = self._path(blob_id, _MANIFEST)
        with storage("read manifest", path.name):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise BlobMissingError(f"no manifest of blob {blob_id}") from None

    def exists(self, blob_id: str) -> bool:
        """Whether a complete blob bears the id."""
        return self._path(blob_id).exists()

    def ids(self) -> frozenset[str]:
        """Every id that a blob or a manifest without its blob bears."""
        with storage("list directory", self._root.name):
            return frozenset(
                path.stem
                for path in self._root.iterdir()
                if path.suffix in (_BLOB, _MANIFEST) and ID.match(path.stem)
            )

    def delete(self, blob_id: str) -> None:
        """Remove a blob and its manifest durably.

        Raises:
            BlobMissingError: Neither is there.
            StorageError: They may still be there.
        """
        found = False
        for suffix in (_BLOB, _MANIFEST):
            path = self._path(blob_id, suffix)
            with storage("remove blob", path.name):
                try:
                    path.unlink()
                    found = True
                except FileNotFoundError:
                    continue
        if not found:
            raise BlobMissingError(f"no blob {blob_id}")
        sync_directory(self._root)

    def sweep_temporary(self, older_than: timedelta) -> tuple[str, ...]:
        """Remove what killed writers left; a file that a living process is writing stays.

        Args:
            older_than: Least age since the last write.
        """
        return sweep_temporary(self._root, older_than_s=older_than.total_seconds())

    def _publish_manifest(self, blob_id: str, manifest: bytes) -> None:
        with pending_file(self._path(blob_id, _MANIFEST)) as pending:
            pending.write(manifest)
            pending.sync()
            pending.publish()

    def _path(self, blob_id: str, suffix: str = _BLOB) -> Path:
        return self._root / f"{checked_id(blob_id)}{suffix}"


def checked_id(blob_id: str) -> str:
    """The id, if it is one.

    Raises:
        ValueError: It is not 8 to 64 lower-case hexadecimal digits.
    """
    if not ID.match(blob_id):
        raise ValueError(f"blob id (got {blob_id!r}, expected 8 to 64 lower-case hexadecimal digits)")
    return blob_id
