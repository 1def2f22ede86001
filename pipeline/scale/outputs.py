"""Sealed outputs of a release's items, each there exactly once, and the ledger of them.

Execution is at least once: a worker that dies, a node that is lost, a report that never arrives make an item run
again. What is guaranteed all the same:

- An output takes its name, which its item and function determine, only once it is whole and durable: written under
  another name, fsync, link, fsync of the folder. Where one is there already the second is held against it and
  dropped: the first stays, and a function that answers differently is an error.
- One run at a time writes the ledger: one line for each output, with an HMAC of its content and one of the line,
  durable before the run tells of it. A line that a crash cut short is taken away; any other that does not verify
  is an error. An output without a line (the run died in between) is verified and gets one; a line without an
  output is declared void and the item runs again.
- What dead workers left half-written is removed when a run begins and when it has ended.

On disk lies ciphertext, under a key derived from the principal's private key and a salt of the release's folder.
The folder is opened only once the gate said that the release may be read. A grant that ends leaves it as it is:
who is granted the release again goes on. Where the gate says that the release itself is over, the folder is wiped.
"""

import fcntl
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from joserfc.jwk import OKPKey

from pipeline.client import GatewayClient
from pipeline.errors import RefusedError
from pipeline.scale.errors import NotDeterministicError, OutputsError
from pipeline.sealed_cache import PARTIAL_SUFFIX, SALT_FILE, salted_key, secret_of
from pipeline.sealing import BrokenSealError, SealedWriter, open_sealed

LEDGER_FILE: Final = "ledger.jsonl"
OUTPUT_SUFFIX: Final = ".output"
_USE: Final = "fleetgate scale outputs v1"
_RELEASE_OVER: Final = "release_live"


def release_is_over(error: RefusedError) -> bool:
    """Whether the gate refused because the release was revoked or has expired, not because a grant ended."""
    return any(violation.rule.rpartition("/")[2] == _RELEASE_OVER for violation in error.violations)


def wipe_outputs(folder: Path, release: str) -> None:
    """Make what a folder of outputs keeps of a release unreadable, then remove it.

    Raises:
        OutputsError: It cannot be removed.
    """
    kept = folder_of(folder, release)
    with _told(kept):
        if not kept.is_dir():
            return
        (kept / SALT_FILE).unlink(missing_ok=True)
        for path in kept.iterdir():
            path.unlink(missing_ok=True)


def folder_of(folder: Path, release: str) -> Path:
    """Where the outputs of a release lie."""
    return folder / sha256(release.encode()).hexdigest()[:32]


class OutputFolder:
    """The outputs of one release: read and committed by any number of processes."""

    def __init__(self, client: GatewayClient, release: str, folder: Path, *, key: OKPKey) -> None:
        """Open a folder, once the gate said that the release may be read now; it is made where it is missing.

        Raises:
            RefusedError: The gate refuses; where the release is over, its outputs are gone.
            OutputsError: The folder cannot be used.
            KeyFileError: The key is no private key.
            TamperedReleaseError, UnreachableError: As ``GatewayClient.manifest``.
        """
        self.folder = folder_of(folder, release)
        try:
            client.confirm(release)
        except RefusedError as error:
            if release_is_over(error):
                wipe_outputs(folder, release)
            raise
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._key = salted_key(self.folder, secret_of(key), f"{_USE}\0{release}")

    def get(self, name: str) -> bytes | None:
        """An output; None where there is none.

        Raises:
            OutputsError: It was altered.
        """
        path = self.path(name)
        with _told(path):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return None
            with file:
                try:
                    return b"".join(open_sealed(file, self._key, name))
                except BrokenSealError as error:
                    raise OutputsError(f"output {path.name}: {error}") from error

    def put(self, name: str, content: bytes) -> None:
        """Commit an output: see ``commit``."""
        self.keep(name, content)

    def keep(self, name: str, content: bytes) -> str:
        """Put an output in its place, or find the same there; returns its proof.

        Raises:
            NotDeterministicError: Another output of that name is there.
            OutputsError: It cannot be written.
        """
        path = self.path(name)
        partial = path.with_name(f"{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
        with _told(path):
            try:
                with partial.open("xb") as file:
                    writer = SealedWriter(file, self._key, name)
                    writer.write(content)
                    writer.finish()
                    file.flush()
                    os.fsync(file.fileno())
                self._place(partial, path, name, content)
            finally:
                partial.unlink(missing_ok=True)
            _sync(self.folder)
        return self.proof(name, content)

    def proof(self, name: str, content: bytes) -> str:
        """The HMAC of an output under the folder's key: it binds name and content and tells nothing of them."""
        return self._mac("output", name.encode() + b"\0" + content)

    def path(self, name: str) -> Path:
        """Where an output lies."""
        return self.folder / f"{sha256(name.encode()).hexdigest()}{OUTPUT_SUFFIX}"

    def line(self, record: Mapping[str, Any]) -> bytes:
        """A line of the ledger with its own HMAC."""
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return f'{{"line":{text},"mac":"{self._mac("line", text.encode())}"}}\n'.encode()

    def _place(self, partial: Path, path: Path, name: str, content: bytes) -> None:
        try:
            os.link(partial, path)
        except FileExistsError:
            try:
                there = self.get(name)
            except OutputsError:  # what does not open is no output: it makes room
                partial.replace(path)
                return
            if there != content:
                raise NotDeterministicError(
                    f"{path.name} (got another output than before of the same item and function)"
                ) from None

    def _mac(self, use: str, content: bytes) -> str:
        return hmac.digest(self._key, use.encode() + b"\0" + content, "sha256").hex()


class OutputLedger:
    """The ledger of a folder, held by one run."""

    def __init__(self, outputs: OutputFolder) -> None:
        """Take the ledger; ``close`` lets it go.

        Raises:
            OutputsError: Another run holds it, or it was altered.
        """
        self._outputs = outputs
        path = outputs.folder / LEDGER_FILE
        with _told(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.swept = self._sweep()
                self._proofs = self._read()
            except BlockingIOError as error:
                os.close(self._file)
                raise OutputsError(f"{outputs.folder} is in use by another run") from error
            except BaseException:
                os.close(self._file)
                raise
            _sync(outputs.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what dead workers left half-written and let the ledger go."""
        try:
            self.swept += self._sweep()
        finally:
            os.close(self._file)

    def settle(self, names: Iterable[str]) -> tuple[set[str], int]:
        """Bring ledger and outputs into agreement for some names.

        Returns:
            The names whose outputs are there and verified, and how many of them had no line before.

        Raises:
            OutputsError: The ledger cannot be written.
        """
        there, adopted = set(), 0
        for name in names:
            try:
                content = self._outputs.get(name)
            except OutputsError:
                content = None
            known = self._proofs.get(self._outputs.path(name).stem)
            proof = None if content is None else self._outputs.proof(name, content)
            if known is not None and known != proof:
                self._append({"output": self._outputs.path(name).stem, "void": known})
                self._outputs.path(name).unlink(missing_ok=True)
                del self._proofs[self._outputs.path(name).stem]
            elif content is None:
                self._outputs.path(name).unlink(missing_ok=True)
            else:
                adopted += known is None
                self.record(name, str(proof), len(content or b""))
                there.add(name)
        return there, adopted

    def record(self, name: str, proof: str, size: int) -> bool:
        """Enter an output; False where it is in already.

        Raises:
            NotDeterministicError: It is in with another content.
            OutputsError: The output is not in its place, or the ledger cannot be written.
        """
        path = self._outputs.path(name)
        known = self._proofs.get(path.stem)
        if known is not None:
            if known != proof:
                raise NotDeterministicError(f"{path.name} (got proof {proof}, expected {known})")
            return False
        if not path.is_file():
            raise OutputsError(f"{path.name} is not where its worker put it: do all see the same folder?")
        self._append({"output": path.stem, "proof": proof, "bytes": size})
        self._proofs[path.stem] = proof
        return True

    def _append(self, record: Mapping[str, Any]) -> None:
        with _told(self._outputs.folder / LEDGER_FILE):
            os.write(self._file, self._outputs.line(record))
            os.fsync(self._file)

    def _read(self) -> dict[str, str]:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):  # a crash cut the last line short: it was never told of
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        proofs: dict[str, str] = {}
        for number, line in enumerate(content[:whole].splitlines(keepends=True), start=1):
            record = self._verified(line, number)
            if "void" in record:
                proofs.pop(record["output"], None)
            else:
                proofs[record["output"]] = record["proof"]
        return proofs

    def _verified(self, line: bytes, number: int) -> Mapping[str, Any]:
        try:
            record = json.loads(line)["line"]
            same = hmac.compare_digest(self._outputs.line(record), line)
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise OutputsError(f"{LEDGER_FILE} of {self._outputs.folder}: line {number} was altered")
        verified: Mapping[str, Any] = record
        return verified

    def _sweep(self) -> int:
        orphans = list(self._outputs.folder.glob(f"*{PARTIAL_SUFFIX}"))
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputsError(f"{error.strerror or type(error).__name__}: {error.filename or path}") from error
