"""What a labelling task holds on disk: sealed, in revisions, so that no acknowledged save is ever lost.

What is guaranteed:

- On disk lies ciphertext only (law 3). The key is derived (HKDF-SHA256) from the private key of the task's owner
  and a random salt of the task's folder.
- A save is acknowledged once its revision is a whole file under its final name and both are on the disk (fsync of
  the file and of its folder). No revision is ever replaced.
- A save that rests on an older revision than the last changes nothing and is kept beside it, as a conflict.
- The journal names every save, view and act in order, each line sealed and holding the digest of the one before. A
  revision that the journal names and the folder lacks is found when a task is opened.

What the journal proves: that the owner's program wrote these lines in this order. Whoever has the owner's private
key can write another journal; a copy of its last digest elsewhere, such as in the lineage, shows that.
"""

import base64
import fcntl
import io
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from pipeline.errors import KeyFileError
from pipeline.labelling.errors import LabelStoreError
from pipeline.sealing import KEY_BYTES, BrokenSealError, SealedWriter, derive_key, open_sealed

NONE_YET: Final = 0
"""Revision of a document that was never saved."""

_USE: Final = "fleetgate labelling v1"
_SALT: Final = "salt"
_JOURNAL: Final = "journal"
_LOCK: Final = "lock"
_SEALED: Final = ".sealed"
_PARTIAL: Final = ".partial"
_GENESIS: Final = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A saved state of a document.

    Attributes:
        number: From 1; 0 stands for a document that was never saved.
        value: Its content.
        by: Who saved it.
        at: When, in UTC.
    """

    number: int
    value: Any
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A save that rested on an older revision: nothing changed, and what was sent is kept.

    Attributes:
        last: The last revision, which somebody else saved.
        kept: Name under which the other version is kept.
    """

    last: Revision
    kept: str


class TaskFolder:
    """The documents and the journal of one task."""

    def __init__(self, root: Path, task: str, key: OKPKey) -> None:
        """Name a task's folder; nothing is read yet.

        Raises:
            KeyFileError: The key is no private key.
        """
        secret = key.as_dict(private=key.is_private).get("d")
        if not isinstance(secret, str):
            raise KeyFileError("key of the tasks (got a public key, expected the owner's private key)")
        self._secret = urlsafe_b64decode(secret.encode("ascii"))
        self.task = task
        self.folder = root / task

    def make(self) -> None:
        """Make the folder of a new task.

        Raises:
            LabelStoreError: It is there already, or cannot be made.
        """
        with _told(self.folder):
            self.folder.mkdir(parents=True, mode=0o700)
            (self.folder / "documents").mkdir(mode=0o700)
            (self.folder / "conflicts").mkdir(mode=0o700)
            _write_synced(self.folder / _SALT, secrets.token_bytes(KEY_BYTES))
            _sync_folder(self.folder)
            _sync_folder(self.folder.parent)

    def last(self, document: str) -> Revision | None:
        """The last revision of a document, or None where it was never saved.

        Raises:
            LabelStoreError: It was altered, or is sealed under another key.
        """
        with _told(self.folder):
            numbers = self._numbers(document)
        return self.revision(document, numbers[-1]) if numbers else None

    def revision(self, document: str, number: int) -> Revision:
        """A saved revision of a document.

        Raises:
            LabelStoreError: There is none of that number, or it was altered.
        """
        return self._open(self._path(document, number), f"{document}\0{number}", number)

    def revisions(self, document: str) -> tuple[int, ...]:
        """Numbers of the revisions of a document, in order."""
        with _told(self.folder):
            return tuple(self._numbers(document))

    def save(
        self, document: str, value: Any, *, based_on: int, by: str, facts: Mapping[str, Any] | None = None
    ) -> Revision | Conflict:
        """Save a document, unless somebody saved it since.

        Args:
            document: Its name.
            value: What JSON can say.
            based_on: Number of the revision that the value was made from, ``NONE_YET`` for none.
            by: Who saves.
            facts: What the journal says of it besides.

        Returns:
            The new revision, durable; or the conflict, where ``based_on`` is not the last revision.

        Raises:
            LabelStoreError: The folder cannot be written; nothing is acknowledged.
        """
        at = datetime.now(tz=UTC)
        record = {"at": at.isoformat(), "by": by, "based_on": based_on, "value": value}
        content = json.dumps(record, ensure_ascii=False).encode()
        with self._locked():
            numbers = self._numbers(document)
            last = numbers[-1] if numbers else NONE_YET
            said = {"document": document, "based_on": based_on, **(facts or {})}
            if last == based_on + 1 and self._is_same(document, last, record):
                return self.revision(
                    document, last
                )  # its acknowledgement did not arrive, and it is sent again
            if based_on != last:
                kept = f"{sha256(document.encode()).hexdigest()[:16]}-{last:08d}-{secrets.token_hex(4)}"
                path = self.folder / "conflicts" / f"{kept}{_SEALED}"
                self._put(path, f"conflict\0{kept}", content)
                self._append(by, "conflict", {**said, "kept": kept, "last": last})
            else:
                self._put(self._path(document, last + 1), f"{document}\0{last + 1}", content)
                self._append(by, "save", {**said, "revision": last + 1})
        if based_on != last:
            return Conflict(
                last=self.revision(document, last) if last else Revision(number=0, value=None, by="", at=at),
                kept=kept,
            )
        return Revision(number=last + 1, value=value, by=by, at=at)

    def amend(self, document: str, change: Callable[[Any], Any], *, by: str) -> Revision:
        """Save what ``change`` makes of the last value of a document (None where there is none), as one step.

        Raises:
            LabelStoreError: The folder cannot be written.
        """
        at = datetime.now(tz=UTC)
        with self._locked():
            last = self.last(document)
            number = last.number if last else NONE_YET
            value = change(last.value if last else None)
            record = {"at": at.isoformat(), "by": by, "based_on": number, "value": value}
            content = json.dumps(record, ensure_ascii=False).encode()
            self._put(self._path(document, number + 1), f"{document}\0{number + 1}", content)
            self._append(by, "save", {"document": document, "based_on": number, "revision": number + 1})
        return Revision(number=number + 1, value=value, by=by, at=at)

    def conflict(self, kept: str) -> Revision:
        """What a save that came too late held.

        Raises:
            LabelStoreError: There is none of that name, or it was altered.
        """
        return self._open(self.folder / "conflicts" / f"{kept}{_SEALED}", f"conflict\0{kept}", NONE_YET)

    def conflicts(self) -> tuple[str, ...]:
        """Names of all saves that came too late."""
        with _told(self.folder):
            return tuple(sorted(path.stem for path in (self.folder / "conflicts").glob(f"*{_SEALED}")))

    def record(self, by: str, act: str, facts: Mapping[str, Any]) -> None:
        """Write an act into the journal; it is on the disk when this returns.

        Raises:
            LabelStoreError: It cannot be written.
        """
        with self._locked():
            self._append(by, act, facts)

    def journal(self) -> tuple[Mapping[str, Any], ...]:
        """Every line of the journal, its chain verified.

        Raises:
            LabelStoreError: A line was altered, taken out, put in, or is sealed under another key.
        """
        return self._read_journal()[0]

    def journal_head(self) -> str:
        """SHA-256 of the journal's last line, hexadecimal; of no line, zeros.

        Raises:
            LabelStoreError: As ``journal``.
        """
        return self._read_journal()[1]

    def check(self) -> None:
        """Hold the folder against its journal.

        Raises:
            LabelStoreError: The journal is broken, or a revision that it names is not there whole.
        """
        saved: dict[str, int] = {}
        for line in self.journal():
            if line["act"] == "save":
                saved[line["facts"]["document"]] = int(line["facts"]["revision"])
            if line["act"] == "conflict":
                self.conflict(line["facts"]["kept"])
        for document, number in saved.items():
            if self.revisions(document)[:number] != tuple(range(1, number + 1)):
                raise LabelStoreError(
                    f"document {document!r} of {self.task}: the journal names revision {number} "
                    f"(got {list(self.revisions(document))})"
                )
            self.revision(document, number)

    def _is_same(self, document: str, number: int, record: Mapping[str, Any]) -> bool:
        last = self.revision(document, number)
        return (last.by, last.value) == (record["by"], record["value"])

    def _numbers(self, document: str) -> list[int]:
        folder = self._path(document, 1).parent
        return sorted(int(p.stem) for p in folder.glob(f"*{_SEALED}") if p.stem.isdecimal())

    def _path(self, document: str, number: int) -> Path:
        name = sha256(document.encode()).hexdigest()[:32]
        return self.folder / "documents" / name / f"{number:08d}{_SEALED}"

    def _key(self) -> bytes:
        try:
            salt = (self.folder / _SALT).read_bytes()
        except OSError as error:
            raise LabelStoreError(f"{self.task}: there is no such task here ({error.strerror})") from error
        return derive_key(self._secret, salt, f"{_USE}\0{self.task}")

    def _open(self, path: Path, belongs: str, number: int) -> Revision:
        try:
            with path.open("rb") as file:
                content = b"".join(open_sealed(file, self._key(), belongs))
        except OSError as error:
            raise LabelStoreError(f"{path.name} of {self.task}: {error.strerror}") from error
        except BrokenSealError as error:
            raise LabelStoreError(f"{path.name} of {self.task} does not open: {error}") from error
        record = json.loads(content)
        return Revision(
            number=number,
            value=record["value"],
            by=str(record["by"]),
            at=datetime.fromisoformat(record["at"]),
        )

    def _put(self, path: Path, belongs: str, content: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            _sync_folder(path.parent.parent)
        partial = path.with_name(f"{secrets.token_hex(8)}{_PARTIAL}")
        try:
            _write_synced(partial, _sealed(self._key(), belongs, content))
            os.link(partial, path)  # unlike a rename it never replaces
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _append(self, by: str, act: str, facts: Mapping[str, Any]) -> None:
        """Add a line; the caller holds the lock."""
        path = self.folder / _JOURNAL
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            end = _whole_lines(file)
            previous = _last_digest(file, end)
            line = {
                "act": act,
                "at": datetime.now(tz=UTC).isoformat(),
                "by": by,
                "facts": dict(facts),
                "previous": previous,
            }
            content = json.dumps(line, ensure_ascii=False).encode()
            sealed = base64.b64encode(_sealed(self._key(), f"{_JOURNAL}\0{previous}", content))
            file.seek(end)
            file.truncate()  # a line that a crash cut short was never acknowledged
            file.write(sealed + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if end == 0:
            _sync_folder(self.folder)

    def _read_journal(self) -> tuple[tuple[Mapping[str, Any], ...], str]:
        path, key, previous = self.folder / _JOURNAL, self._key(), _GENESIS
        lines: list[Mapping[str, Any]] = []
        with _told(path):
            content = path.read_bytes() if path.exists() else b""
        for number, sealed in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                file = io.BytesIO(base64.b64decode(sealed, validate=True))
                line = json.loads(b"".join(open_sealed(file, key, f"{_JOURNAL}\0{previous}")))
            except (ValueError, BrokenSealError) as error:
                raise LabelStoreError(f"line {number} of the journal of {self.task}: {error}") from error
            lines.append(line)
            previous = sha256(sealed).hexdigest()
        return tuple(lines), previous

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one, of threads and processes, who writes."""
        with _told(self.folder):
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)


def tasks_in(root: Path) -> tuple[str, ...]:
    """Ids of the tasks in a folder, in order."""
    return tuple(sorted(path.parent.name for path in root.glob(f"*/{_SALT}")))


def _sealed(key: bytes, belongs: str, content: bytes) -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, key, belongs)
    writer.write(content)
    writer.finish()
    return out.getvalue()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(file: Any) -> int:
    """Where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return int(begin + found + 1)
        end = begin
    return 0


def _last_digest(file: Any, end: int) -> str:
    """SHA-256 of the last whole line, which ends at ``end``."""
    if not end:
        return _GENESIS
    begin, tail = end - 1, b""
    while begin and b"\n" not in tail:
        step = min(65536, begin)
        begin -= step
        file.seek(begin)
        tail = file.read(step) + tail
    return sha256(tail.rpartition(b"\n")[2]).hexdigest()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabelStoreError(
            f"{error.strerror or type(error).__name__}: {error.filename or path}"
        ) from error
