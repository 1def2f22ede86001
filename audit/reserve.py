"""Space on the ledger's own disk that only the ledger may use, once nothing else is left."""

import errno
import os
from pathlib import Path


class SpaceReserve:
    """A preallocated file beside a ledger; giving it up makes room for entries on a full disk (rule 27).

    Args:
        path: The file.
        size: Bytes to hold; 0 for none.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the whole reserve is there."""
        try:
            return self.path.stat().st_size >= self._size > 0
        except FileNotFoundError:
            return False

    def hold(self) -> bool:
        """Allocate the reserve where it is missing; whether it is held afterwards.

        Raises:
            OSError: The disk refused for another reason than want of space.
        """
        if self.held or not self._size:
            return self.held
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            os.fsync(descriptor)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        finally:
            os.close(descriptor)
        return self.held

    def release(self) -> bool:
        """Give the space back to the disk; whether there was any."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True
