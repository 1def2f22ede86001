"""Unix domain sockets that one user alone can reach: private directory, private socket, checked peer."""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.errors import MessageError

_CREDENTIALS = struct.Struct("3i")
_BACKLOG = 128


@contextmanager
def private_directory(folder: Path) -> Iterator[str]:
    """A path to ``folder`` that is short, whatever the folder's own length: for addresses of sockets.

    An address of a Unix domain socket has at most 107 bytes (unix(7)); the folder is named by its descriptor.

    Raises:
        MessageError: It is no directory of this user that others cannot enter.
        OSError: It cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise MessageError(
                f"{folder} is not private (got owner {status.st_uid}, mode "
                f"{stat.S_IMODE(status.st_mode):o}; expected {os.geteuid()}, 700)"
            )
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def listen(path: Path) -> socket.socket:
    """Listen at ``path``, mode 0600 in a directory of mode 0700 that is made where it is missing.

    What is left of an earlier listener is replaced: the caller holds a lock that proves that it is gone.

    Raises:
        MessageError: The directory is another's or open to others.
        OSError: The socket cannot be made.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with private_directory(path.parent) as folder:
            address = f"{folder}/{path.name}"
            if stat.S_ISSOCK(_mode(address)):
                os.unlink(address)  # noqa: PTH108 (an address, not a path of ours)
            listener.bind(address)
            os.chmod(address, 0o600)  # noqa: PTH101 (the same)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path, timeout_s: float) -> socket.socket:
    """Connect to a listener of this user.

    Raises:
        MessageError: The directory is open to others, or another user listens.
        OSError: Nobody listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with private_directory(path.parent) as folder:
            connection.connect(f"{folder}/{path.name}")
        require_own(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def require_own(connection: socket.socket) -> None:
    """Demand that the process at the other end runs as this user (SO_PEERCRED of unix(7)).

    Raises:
        MessageError: It runs as another.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(packed)
    if user != os.geteuid():
        raise MessageError(f"another user at the other end (got uid {user}, expected {os.geteuid()})")


def _mode(address: str) -> int:
    try:
        return os.lstat(address).st_mode
    except FileNotFoundError:
        return 0
