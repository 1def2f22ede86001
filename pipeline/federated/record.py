"""A site's own record of what left it: one line for each update, durable before the update leaves."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rfc8785

from pipeline.federated.errors import SiteRecordError

_DOMAIN: Final = b"fleetgate site record v1\0"


class SiteRecord:
    """Lines of RFC 8785 JSON, each with the digest of the one before it."""

    def __init__(self, path: Path) -> None:
        """Open a record; it is made where it is missing, and verified where it is there.

        Raises:
            SiteRecordError: It was altered or cannot be read. A last line that a crash cut short is taken away.
        """
        self._path = path
        self.lines = self._read()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Enter an update; it is on disk when this returns.

        Raises:
            SiteRecordError: It cannot be written: the update must not leave.
        """
        line = rfc8785.dumps({**entry, "previous": _digest(self.lines[-1] if self.lines else b"")})
        try:
            with self._path.open("ab") as file:
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SiteRecordError(f"{self._path}: {error.strerror}") from error
        self.lines.append(line)

    def entries(self) -> list[dict[str, Any]]:
        """What is entered, in order."""
        return [json.loads(line) for line in self.lines]

    def _read(self) -> list[bytes]:
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                os.truncate(self._path, whole)
        except OSError as error:
            raise SiteRecordError(f"{self._path}: {error.strerror}") from error
        lines = content[:whole].splitlines()
        before = b""
        for number, line in enumerate(lines, start=1):
            try:
                said = json.loads(line)["previous"]
            except (ValueError, KeyError, TypeError):
                said = None
            if said != _digest(before):
                raise SiteRecordError(f"{self._path}: line {number} does not follow from the one before it")
            before = line
        return lines


def _digest(line: bytes) -> str:
    return sha256(_DOMAIN + line).hexdigest()
