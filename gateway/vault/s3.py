"""Sealed blobs in an S3 bucket: written once, complete or absent, acknowledged once the store answered (law 4).

Needs the extra ``s3``. What is sent is sealed already (law 3).
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from obstore.exceptions import AlreadyExistsError, BaseError

from gateway.vault.blobs import ID, checked_id
from gateway.vault.errors import BlobExistsError, BlobMissingError, StorageError
from gateway.vault.s3_place import S3Place, open_store

PART_BYTES: Final = 8 * 1024 * 1024
_MARKER: Final = "write-once"
_BLOB: Final = "sealed"
_MANIFEST: Final = "manifest"
_PART: Final = "part."
_DETAIL: Final = 300
_INDEXES: Final = 4096


class S3Writer:
    """Takes the bytes of one blob and sends them on in parts; at most one part is in memory."""

    __slots__ = ("_blobs", "_id", "_pending", "length", "manifest", "parts", "sent")

    def __init__(self, blobs: "S3Blobs", blob_id: str) -> None:
        self._blobs = blobs
        self._id = blob_id
        self._pending = bytearray()
        self.length = 0
        self.parts = 0
        self.sent: list[str] = []
        self.manifest: bytes | None = None

    def write(self, data: bytes) -> None:
        """Append sealed bytes.

        Raises:
            BlobExistsError: Another writer has the id.
            StorageError: The store did not take them.
        """
        view = memoryview(data)
        self.length += view.nbytes
        while view:
            room = self._blobs.part_bytes - len(self._pending)
            self._pending += view[:room]
            view = view[room:]
            if len(self._pending) == self._blobs.part_bytes:
                self._send()

    def finish(self) -> None:
        """Send what is left, the manifest and last the index, which gives the blob its name."""
        # A blob has at least one part, also where it is empty: whoever made the first one has the id.
        if self._pending or not self.parts:
            self._send()
        if self.manifest is not None:
            self._create(_key(self._id, _MANIFEST), self.manifest)
        index = {"length": self.length, "part": self._blobs.part_bytes, "writer": secrets.token_hex(16)}
        self._create(_key(self._id, _BLOB), json.dumps(index, sort_keys=True).encode("ascii"))

    def _send(self) -> None:
        content, self._pending = bytes(self._pending), bytearray()
        self._create(_part_key(self._id, self.parts), content)
        self.parts += 1

    def _create(self, key: str, content: bytes) -> None:
        # Noted before: a request that failed may have arrived all the same.
        self.sent.append(key)
        try:
            self._blobs.create_object(key, content)
        except BlobExistsError:
            self.sent.remove(key)
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    length: int
    part: int


class S3Blobs:
    """Blobs as objects of a bucket (docs/sealed-files.md).

    ``<id>/part.<n>`` are the pieces of a blob, ``<id>/manifest`` stands beside them, and ``<id>/sealed``, created
    last, gives the blob its name. Every object is created under ``If-None-Match: *`` and never replaced.

    Args:
        place: The bucket.
        credentials: As from :func:`credentials_of`.
        part_bytes: Bytes per object; blobs of other sizes stay readable.

    Raises:
        StorageError: The bucket is missing, refuses these credentials, cannot be reached, or lets an object be
            replaced although it was asked to create it.
    """

    def __init__(
        self, place: S3Place, credentials: Mapping[str, str], *, part_bytes: int = PART_BYTES
    ) -> None:
        self.part_bytes: Final = part_bytes
        self._name = "/".join(filter(None, (place.bucket, place.prefix)))
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._store = open_store(place, credentials)
        with self._service("open bucket", self._name):
            self._probe()

    def __repr__(self) -> str:
        return f"<S3Blobs {self._name}>"

    @contextmanager
    def create(self, blob_id: str) -> Iterator[S3Writer]:
        """Write a blob once; stored when the block is left, absent when it is left by an error.

        Raises:
            BlobExistsError: The id is taken; what it names is untouched.
            StorageError: The store failed; nothing is acknowledged.
        """
        if self._find(checked_id(blob_id)) is not None:
            raise _taken(blob_id)
        writer = S3Writer(self, blob_id)
        try:
            yield writer
            writer.finish()
        except BaseException as error:
            try:
                with self._service("remove parts", blob_id):
                    # The name first: a blob never bears it without its parts.
                    self._remove([key for key in writer.sent if key == _key(blob_id, _BLOB)])
                    self._remove(writer.sent)
            except StorageError as left:
                error.add_note(f"parts are left to be swept: {left}")
            raise

    def read_at(self, blob_id: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``, fewer only at the end of the blob.

        Raises:
            BlobMissingError: There is no such blob.
            StorageError: It could not be read, or the store sent less than was asked for.
        """
        index = self._index(blob_id)
        end = min(offset + length, index.length)
        pieces = []
        while offset < end:
            number, start = divmod(offset, index.part)
            count = min(end - offset, index.part - start)
            pieces.append(self._range(blob_id, number, start, count))
            offset += count
        return b"".join(pieces)

    def length(self, blob_id: str) -> int:
        """Length in bytes of what is stored now, summed over its parts; errors as for :meth:`read_at`."""
        index = self._find(checked_id(blob_id))
        if index is None:
            raise self._missing("blob", blob_id)
        with self._service("inspect blob", blob_id):
            return sum(each["size"] for each in self._objects(blob_id) if _is_part(each["path"]))

    def manifest(self, blob_id: str) -> bytes:
        """The manifest written beside a blob; errors as for :meth:`read_at`."""
        content = self._get(_key(checked_id(blob_id), _MANIFEST), "read manifest")
        if content is None:
            raise self._missing("manifest of blob", blob_id)
        return content

    def exists(self, blob_id: str) -> bool:
        """Whether a complete blob bears the id.

        Raises:
            StorageError: The store did not say.
        """
        return self._find(checked_id(blob_id)) is not None

    def ids(self) -> frozenset[str]:
        """Every id that a blob, a manifest without its blob or an abandoned upload that was swept bears."""
        with self._service("list bucket", self._name):
            named = (each["path"].split("/") for each in self._objects())
            return frozenset(parts[0] for parts in named if parts[1:] in ([_BLOB], [_MANIFEST]))

    def delete(self, blob_id: str) -> None:
        """Remove a blob and its manifest: first its name, then the rest.

        A bucket with versioning keeps what was removed as an older version, sealed.

        Raises:
            BlobMissingError: Neither is there.
            StorageError: They may still be there.
        """
        self._indexes.pop(checked_id(blob_id), None)
        with self._service("remove blob", blob_id):
            found = [each["path"] for each in self._objects(blob_id)]
            self._remove([key for key in found if key == _key(blob_id, _BLOB)])
            self._remove(found)
            left = [each["path"] for each in self._objects(blob_id)]
        if left:
            raise StorageError("remove blob", blob_id, OSError(f"{len(left)} objects are still there"))
        if not found:
            raise self._missing("blob", blob_id)

    def sweep_temporary(self, older_than: timedelta) -> tuple[str, ...]:
        """Remove what killed writers left.

        No lock tells a stalled writer from a dead one here: the sweep takes the blob's name first, so that a
        writer that comes back is refused. The name stays taken until :meth:`delete`.

        Args:
            older_than: Least age since the last part was stored.

        Returns:
            Keys of the parts removed.
        """
        with self._service("sweep bucket", self._name):
            objects = list(self._objects())
        named = {each["path"].partition("/")[0] for each in objects if each["path"].endswith(f"/{_BLOB}")}
        unnamed: dict[str, list[Mapping[str, Any]]] = {}
        for each in objects:
            blob_id = each["path"].partition("/")[0]
            if _is_part(each["path"]) and blob_id not in named:
                unnamed.setdefault(blob_id, []).append(each)
        removed: list[str] = []
        for blob_id, parts in sorted(unnamed.items()):
            if datetime.now(UTC) - max(each["last_modified"] for each in parts) < older_than:
                continue
            try:
                self.create_object(_key(blob_id, _BLOB), b'{"abandoned": true}')
            except BlobExistsError:
                continue
            keys = sorted(each["path"] for each in parts)
            with self._service("sweep bucket", self._name):
                self._remove(keys)
            removed += keys
        return tuple(removed)

    def create_object(self, key: str, content: bytes) -> None:
        """Create one object that is not there yet.

        Raises:
            BlobExistsError: Another object is there.
            StorageError: The store did not confirm it.
        """
        with self._service("write object", key):
            try:
                self._store.put(key, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                # The answer to an earlier attempt may have been lost: then what is there is this.
                if bytes(self._store.get(key).bytes()) != content:
                    raise _taken(key.partition("/")[0]) from None

    def _probe(self) -> None:
        """Have a second creation refused: a store that ignores ``If-None-Match`` would replace blobs."""
        for _ in range(2):
            try:
                self._store.put(
                    _MARKER, b"fleetgate objects, version 1\n", mode="create", use_multipart=False
                )
            except AlreadyExistsError:
                return
        raise StorageError("open bucket", self._name, OSError("it ignores If-None-Match (expected 412)"))

    def _remove(self, keys: list[str]) -> None:
        if keys:
            self._store.delete(keys)

    def _index(self, blob_id: str) -> _Index:
        known = self._indexes.get(checked_id(blob_id)) or self._find(blob_id)
        if known is None:
            raise self._missing("blob", blob_id)
        self._indexes[blob_id] = known
        if len(self._indexes) > _INDEXES:
            self._indexes.popitem(last=False)
        return known

    def _find(self, blob_id: str) -> _Index | None:
        content = self._get(_key(blob_id, _BLOB), "inspect blob")
        if content is None:
            return None
        try:
            document: dict[str, Any] = json.loads(content)
            if document.get("abandoned") is True:
                return None
            index = _Index(length=int(document["length"]), part=int(document["part"]))
            if index.length < 0 or index.part < 1:
                raise ValueError(f"got {document}, expected a length and a size of parts")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                "inspect blob", blob_id, OSError(f"its index is malformed: {error}")
            ) from error
        return index

    def _get(self, key: str, operation: str) -> bytes | None:
        with self._service(operation, key):
            try:
                return bytes(self._store.get(key).bytes())
            except FileNotFoundError:
                return None

    def _range(self, blob_id: str, number: int, start: int, count: int) -> bytes:
        key = _part_key(blob_id, number)
        with self._service("read blob", key):
            try:
                piece = bytes(self._store.get_range(key, start=start, length=count))
            except FileNotFoundError:
                self._indexes.pop(blob_id, None)
                raise self._missing("blob", blob_id) from None
        if len(piece) != count:
            raise StorageError("read blob", key, OSError(f"short answer (got {len(piece)} of {count} bytes)"))
        return piece

    def _objects(self, blob_id: str | None = None) -> Iterator[Mapping[str, Any]]:
        for page in self._store.list(prefix=blob_id):
            yield from (each for each in page if ID.match(each["path"].partition("/")[0]))

    def _missing(self, what: str, blob_id: str) -> BlobMissingError:
        """The error for an object that is not there, once it is sure that the bucket is."""
        with self._service("open bucket", self._name):
            self._store.head(_MARKER)
        return BlobMissingError(f"no {what} {blob_id}")

    @contextmanager
    def _service(self, operation: str, subject: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            detail = " ".join(str(error).split())[:_DETAIL]
            raise StorageError(operation, subject, OSError(f"{type(error).__name__}: {detail}")) from error


def _taken(blob_id: str) -> BlobExistsError:
    return BlobExistsError(f"blob {blob_id} exists; blobs are written once")


def _key(blob_id: str, name: str) -> str:
    return f"{blob_id}/{name}"


def _part_key(blob_id: str, number: int) -> str:
    return _key(blob_id, f"{_PART}{number:08d}")


def _is_part(key: str) -> bool:
    return key.partition("/")[2].startswith(_PART)
