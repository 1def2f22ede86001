"""SQLite over a file object: nothing is written anywhere, and nothing in the database is run."""

# ruff: noqa: N802, ARG002 - names and parameters of methods are SQLite's

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import apsw

from anonymize.containers.source import Source
from anonymize.errors import LimitExceededError, MalformedItemError

_MAGIC = b"SQLite format 3\x00"
# Magic, page size, change counter, number of pages, the change counter for which that number is valid.
_HEADER = struct.Struct(">16sH6xII60xI4x")
_NUMBERS = itertools.count()
_DAMAGED = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.FormatError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.SQLError,
)


@contextmanager
def open_database(file: BinaryIO, *, max_value_bytes: int) -> Iterator[apsw.Connection]:
    """Open the database that a file holds, for reading, through a file system of its own.

    SQLite asks that file system for pages of this one file and gets no other, so that neither temporary files
    nor a journal can come into being. A database in WAL mode reads as of its last checkpoint.

    Args:
        file: The file, seekable.
        max_value_bytes: Largest text or blob that is read, in bytes.

    Raises:
        MalformedItemError: In the ``with`` block too: the database is damaged.
        LimitExceededError: In the ``with`` block too: a value is larger than permitted.
    """
    _require_whole(Source(file))
    name = f"fleetgate-{next(_NUMBERS)}"
    system = _OneFile(name, file)
    try:
        connection = apsw.Connection(
            "file:bag?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            vfs=name,
        )
        try:
            _harden(connection, max_value_bytes)
            yield connection
        finally:
            connection.close(True)  # noqa: FBT003 - positional only
    except apsw.TooBigError as error:
        raise LimitExceededError(
            f"a value is too large (expected at most {max_value_bytes} bytes)"
        ) from error
    except _DAMAGED as error:
        # What SQLite says may quote the database.
        raise MalformedItemError(f"the database is damaged (got {type(error).__name__})") from error
    except UnicodeDecodeError as error:
        raise MalformedItemError("a text in the database is not UTF-8") from error
    finally:
        system.unregister()


def _require_whole(source: Source) -> None:
    """SQLite takes an empty file for an empty database, and zeros for what a last page lacks (its format, 1.3)."""
    header = source.read(_HEADER.size, "the header of the database")
    magic, page, changes, pages, valid_for = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise MalformedItemError(
            f"a database begins with its magic (got {magic.hex()}, expected {_MAGIC.hex()})"
        )
    # A size of 65536 does not fit and is written as 1; the number of pages counts if it is as new as the file.
    page = 65536 if page == 1 else page
    expected = page * pages if changes == valid_for else 0
    if page == 0 or source.end % page or source.end < expected:
        raise MalformedItemError(f"the database is cut short (got {source.end} bytes, expected {expected})")


def _harden(connection: apsw.Connection, max_value_bytes: int) -> None:
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, max_value_bytes)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    for pragma in ("temp_store=MEMORY", "mmap_size=0", "cell_size_check=ON", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}")


class _OneFile(apsw.VFS):
    """A file system that holds one file, for reading; random numbers and the clock are the default's."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        super().__init__(name, "")
        self._file = file

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None or not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            raise apsw.CantOpenError("this file system holds one database and nothing else")
        flags[1] = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB
        return _Pages(self._file)

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:
        return False

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001
        raise apsw.IOError("this file system is read only")


class _Pages(apsw.VFSFile):
    """The file as SQLite sees it."""

    def __init__(self, file: BinaryIO) -> None:
        # The base would open a file of the default file system; all that SQLite calls is defined here.
        self._file = file
        self._size = Source(file).end

    def xRead(self, amount: int, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(amount)

    def xFileSize(self) -> int:
        return self._size

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xClose(self) -> None:
        """The file is the caller's."""

    def xLock(self, level: int) -> None:
        """The file does not change."""

    def xUnlock(self, level: int) -> None:
        """The file does not change."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xSync(self, flags: int) -> None:
        raise apsw.IOError("this file system is read only")

    def xWrite(self, data: bytes, offset: int) -> None:
        raise apsw.ReadOnlyError("this file system is read only")

    def xTruncate(self, size: int) -> None:
        raise apsw.ReadOnlyError("this file system is read only")
