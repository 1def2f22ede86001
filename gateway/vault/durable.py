"""Files that are either complete and durable under their name or absent (law 4)."""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.vault.errors import StorageError

_TEMPORARY: Final = re.compile(r"\A\..+\.[0-9a-f]{16}\.tmp\Z")
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def storage(operation: str, subject: str) -> Iterator[None]:
    """Turn an operating system error into a :class:`StorageError` that names the operation."""
    try:
        yield
    except OSError as error:
        raise StorageError(operation, subject, error) from error


def sync_directory(path: Path) -> None:
    """Make names added to or removed from a directory durable.

    Raises:
        StorageError: The directory could not be synced.
    """
    with storage("fsync directory", path.name):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class PendingFile:
    """A file of mode 0600 under a temporary name, until it is published.

    The writer holds a lock on it, so that a sweep tells an abandoned file from one that is being written.
    """

    __slots__ = ("_descriptor", "_final", "_temporary", "length")

    def __init__(self, final: Path) -> None:
        self._final = final
        self._temporary = final.with_name(f".{final.name}.{secrets.token_hex(8)}.tmp")
        self.length = 0
        with storage("create file", final.name):
            self._descriptor = os.open(self._temporary, _CREATE, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageError: They could not all be written.
        """
        with storage("write file", self._final.name):
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self.length += len(data)

    def sync(self) -> None:
        """Make the content durable. A failed sync is never retried: the pages may be gone.

        Raises:
            StorageError: The content may not be durable.
        """
        with storage("fsync file", self._final.name):
            os.fsync(self._descriptor)

    def publish(self) -> None:
        """Give the file its name, unless that name is taken; durable once the directory is synced.

        Raises:
            FileExistsError: The name is taken; what it names is untouched.
            StorageError: The name could not be given.
        """
        try:
            os.link(self._temporary, self._final)
        except FileExistsError:
            raise
        except OSError as error:
            raise StorageError("publish file", self._final.name, error) from error

    def replace(self) -> None:
        """Give the file its name, whatever that named before; durable once the directory is synced.

        Raises:
            StorageError: The name could not be given.
        """
        with storage("replace file", self._final.name):
            os.replace(self._temporary, self._final)  # noqa: PTH105 (tests fail and kill at calls of os)

    def close(self) -> None:
        """Drop the temporary name and the descriptor; a published file keeps its own name."""
        try:
            with storage("remove temporary file", self._final.name), suppress(FileNotFoundError):
                self._temporary.unlink()
        finally:
            with storage("close file", self._final.name):
                os.close(self._descriptor)


@contextmanager
def pending_file(final: Path) -> Iterator[PendingFile]:
    """A :class:`PendingFile` that leaves no temporary name behind, whatever happens in the block."""
    pending = PendingFile(final)
    try:
        yield pending
    finally:
        pending.close()


def write_once(path: Path, content: bytes) -> None:
    """Write a file durably under a name that is free.

    Raises:
        FileExistsError: The name is taken.
        StorageError: The file is not durable; nothing is under its name.
    """
    published = False
    try:
        with pending_file(path) as pending:
            pending.write(content)
            pending.sync()
            pending.publish()
            published = True
        sync_directory(path.parent)
    except StorageError:
        if published:
            # No later sync proves this name durable, and who found it here would take it for that.
            with storage("take back file", path.name):
                path.unlink()
        raise


def sweep_temporary(directory: Path, *, older_than_s: float) -> tuple[str, ...]:
    """Remove temporary files that no process is writing.

    Args:
        directory: Where to look, not below it.
        older_than_s: Least age in seconds since the last write.

    Returns:
        Names of the files removed.
    """
    removed = []
    with storage("sweep directory", directory.name):
        for entry in sorted(directory.iterdir()):
            if _TEMPORARY.match(entry.name) and _abandoned(entry, older_than_s):
                entry.unlink(missing_ok=True)
                removed.append(entry.name)
    if removed:
        sync_directory(directory)
    return tuple(removed)


def _abandoned(path: Path, older_than_s: float) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        if time.time() - os.fstat(descriptor).st_mtime < older_than_s:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Put new content in a file's place, durably, and erase what it held; a crash leaves one of the two.

    The old content keeps a second name until it is overwritten: :func:`settle_replaced` erases what a crash left.

    Raises:
        StorageError: The file is what it was, or what it shall be.
    """
    retired = path.with_name(f".{path.name}.retired")
    with pending_file(path) as pending:
        pending.write(content)
        pending.sync()
        settle_replaced(path.parent)
        with storage("keep replaced file", path.name):
            os.link(path, retired, follow_symlinks=False)
        pending.replace()
    sync_directory(path.parent)
    erase_file(retired)
    sync_directory(path.parent)


def settle_replaced(directory: Path) -> None:
    """Erase old content that a crash in :func:`replace_file` left.

    Raises:
        StorageError: The operating system failed.
    """
    left = sorted(directory.glob(".*.retired"))
    if not left:
        return
    # A replacement that is not durable could be undone by a power failure: then the old content counts.
    sync_directory(directory)
    for retired in left:
        current = directory / retired.name.removeprefix(".").removesuffix(".retired")
        if current.exists() and current.samefile(retired):
            with storage("remove second name", current.name):
                retired.unlink()
        else:
            erase_file(retired)
    sync_directory(directory)


def erase_file(path: Path) -> None:
    """Overwrite a file with random bytes, sync and unlink it; the directory is the caller's to sync.

    Raises:
        StorageError: A step failed; the name is there until the last.
    """
    with storage("overwrite file", path.name):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pwrite(descriptor, os.urandom(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    with storage("remove file", path.name):
        path.unlink()
