"""Tables derived of releases, sealed release by release, and of use only while the gate lets each be read.

A folder holds one table: what it is and rests on in ``table.json`` (ids, digests and counts, nothing of a
vehicle), and of each release a folder with a salt and the sealed rows. As in the sealed cache, keys follow from
the principal's private key and the salt; a refusal (403, 404) wipes the release's folder, the salt first. What
the cache says of copies from before holds here too.
"""

import fcntl
import io
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl
import rfc8785
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from pipeline.artefacts import ArtefactKind, DerivedArtefact, UseKind
from pipeline.client import GatewayClient
from pipeline.errors import KeyFileError, RefusedError, UnregisteredError
from pipeline.manifest import ReleaseManifest
from pipeline.publishing import require_live
from pipeline.sealed_cache import ENDING_STATUSES
from pipeline.sealing import KEY_BYTES, BrokenSealError, SealedWriter, derive_key, open_sealed
from pipeline.simulation.errors import ReleaseEndedError, SealedTableError

FORMAT: Final = "fleetgate-sealed-table/1"
_ABOUT: Final = "table.json"
_SALT: Final = "salt"
_ROWS: Final = "rows.sealed"
_LOCK: Final = "lock"
_USE: Final = "fleetgate simulation tables v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rows of one release.

    Attributes:
        release: Its id.
        digest: Its digest, as its signed manifest has it.
        items: SHA-256 of the items that the rows were made of, by name.
        rows: How many there are.
        looked_at: How many things they were looked for in, pairs of tracks for instance.
        sha256: Digest of the rows before they were sealed.
    """

    release: str
    digest: str
    items: Mapping[str, str]
    rows: int
    looked_at: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a table is and rests on.

    Attributes:
        kind: What its rows are, such as ``cut_ins``.
        code: Version of the code that made it.
        parameters: What the code was run with.
        parts: The rows of each release.
        artefact: Id under which it is registered at the gate; ``None`` where it is not.
    """

    kind: str
    code: str
    parameters: Mapping[str, Any]
    parts: tuple[Part, ...] = ()
    artefact: str | None = None

    @property
    def sources(self) -> tuple[Mapping[str, str], ...]:
        """The releases as scenario files name them."""
        return tuple({"release": each.release, "digest": each.digest} for each in self.parts)

    @property
    def sha256(self) -> str:
        """Digest of the table: of its kind, code, parameters and parts in RFC 8785 form."""
        stated = {k: v for k, v in asdict(self).items() if k != "artefact"}
        return sha256(rfc8785.dumps(json.loads(json.dumps(stated)))).hexdigest()

    def derived(self, name: str) -> DerivedArtefact:
        """The table as an artefact to register."""
        return DerivedArtefact(
            kind=ArtefactKind.DATA_SET,
            name=name,
            sha256=self.sha256,
            code=self.code,
            parameters={"table": self.kind, **self.parameters},
            releases=tuple(each.release for each in self.parts),
            items=tuple(sorted({digest for each in self.parts for digest in each.items.values()})),
        )


class SealedTable:
    """A folder with one table of one principal."""

    def __init__(self, folder: Path, key: OKPKey) -> None:
        """Name a folder; nothing is read yet.

        Raises:
            KeyFileError: The key is no private key.
        """
        secret = key.as_dict(private=key.is_private).get("d")
        if not isinstance(secret, str):
            raise KeyFileError("key of the table (got a public key, expected the principal's private key)")
        self._secret = urlsafe_b64decode(secret.encode("ascii"))
        self.folder = folder

    @contextmanager
    def writing(self, kind: str, parameters: Mapping[str, Any]) -> Iterator[About]:
        """Be the one who writes a table of this kind and parameters; a broken-off run goes on with its parts.

        Raises:
            SealedTableError: The folder holds another table, cannot be used, or another process writes.
        """
        code = f"fleetgate {version('fleetgate')}"
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SealedTableError(f"{self.folder}: another process writes here") from error
            for path in self.folder.glob("**/*.part"):
                path.unlink(missing_ok=True)
            mine = About(kind=kind, code=code, parameters=json.loads(json.dumps(dict(parameters))))
            if not (self.folder / _ABOUT).exists() or not self.about(kind).parts:
                self._state(mine)  # nothing was sealed under other parameters
            about = self.about(kind)
            if (about.code, about.parameters) != (mine.code, mine.parameters):
                raise SealedTableError(
                    f"{self.folder} holds a table made otherwise (got {about.code} with {dict(about.parameters)}, "
                    f"expected {mine.code} with {dict(mine.parameters)}; give another folder)"
                )
            yield about
        finally:
            os.close(lock)

    def about(self, kind: str | None = None) -> About:
        """What the table is and rests on, as far as its own file says.

        Raises:
            SealedTableError: There is none, it is malformed, or of another kind.
        """
        path = self.folder / _ABOUT
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
            if stated.pop("format") != FORMAT:
                raise ValueError(f"format (expected {FORMAT})")
            parts = tuple(Part(**each) for each in stated.pop("parts"))
            about = About(**stated, parts=parts)
        except FileNotFoundError as error:
            raise SealedTableError(
                f"{self.folder} holds no sealed table (expected {_ABOUT} in it)"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SealedTableError(f"{path} is malformed: {error}") from error
        if kind is not None and about.kind != kind:
            raise SealedTableError(f"{self.folder} holds {about.kind!r} (expected {kind!r})")
        return about

    def add(
        self,
        about: About,
        manifest: ReleaseManifest,
        items: Mapping[str, str],
        table: pl.DataFrame,
        looked_at: int,
    ) -> About:
        """Seal the rows of a release; what the folder held of it is replaced.

        Raises:
            SealedTableError: The folder cannot be written.
        """
        written = io.BytesIO()
        table.write_parquet(written)
        content = written.getvalue()
        part = Part(
            release=manifest.release,
            digest=manifest.digest,
            items=dict(sorted(items.items())),
            rows=table.height,
            looked_at=looked_at,
            sha256=sha256(content).hexdigest(),
        )
        path = self._of(part.release) / _ROWS
        with _told(path):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            if not (path.parent / _SALT).exists():
                (path.parent / _SALT).write_bytes(secrets.token_bytes(KEY_BYTES))
            with _appearing(path) as file:
                writer = SealedWriter(file, self._key(part.release), _belongs(about, part))
                writer.write(content)
                writer.finish()
        kept = tuple(each for each in about.parts if each.release != part.release)
        grown = replace(about, parts=(*kept, part), artefact=None)
        self._state(grown)
        return grown

    def has(self, about: About, manifest: ReleaseManifest) -> bool:
        """Whether the rows of this release, as it is now, are there."""
        return any(
            each.digest == manifest.digest and (self._of(each.release) / _ROWS).is_file()
            for each in about.parts
            if each.release == manifest.release
        )

    def of_only(self, about: About, releases: tuple[str, ...]) -> About:
        """The table without rows of other releases; these are wiped.

        Raises:
            SealedTableError: The folder cannot be written.
        """
        others = [each.release for each in about.parts if each.release not in releases]
        if not others:
            return about
        left = replace(about, parts=tuple(p for p in about.parts if p.release in releases), artefact=None)
        self._state(left)
        for release in others:
            self.wipe(release)
        return left

    def registered(self, about: About, artefact: str) -> None:
        """Note under which id the table is registered.

        Raises:
            SealedTableError: The folder cannot be written.
        """
        self._state(replace(about, artefact=artefact))

    def confirmed(self, client: GatewayClient, release: str) -> ReleaseManifest:
        """Ask the gate whether a release may be read now; where not, what the folder held of it is gone.

        Raises:
            ReleaseEndedError: The grant ended or the release was revoked.
            PipelineError: The gate cannot answer, or its answer does not verify.
        """
        with self.wiping(release):
            return client.confirm(release)

    @contextmanager
    def wiping(self, release: str) -> Iterator[None]:
        """Wipe what the folder holds of a release where the gate refuses it.

        Raises:
            ReleaseEndedError: It did.
        """
        try:
            yield
        except RefusedError as error:
            if error.status not in ENDING_STATUSES:
                raise
            self.wipe(release)
            raise ReleaseEndedError(
                f"release {release!r} may not be read any more, and what {self.folder} held of it is wiped; "
                f"what it holds of other releases is kept: {error}"
            ) from error

    def read(self, client: GatewayClient, kind: str) -> tuple[About, pl.DataFrame]:
        """The whole table, once the gate said of each release that it may be read now.

        1. The gate is asked for each release and told of its use; a refusal wipes that release's rows.
        2. Each release is still the one that the rows were made of.
        3. The table is registered at the gate, and stands.
        4. The rows open under the reader's key, as rows of that release, kind and parameters.
        5. Their digest is the stated one.

        Raises:
            ReleaseEndedError: 1 fails.
            UnregisteredError: 3 fails: the gate does not know the table.
            RevokedArtefactError: 3 fails: a release below it was revoked.
            SealedTableError: Another step fails, or the table has no part.
            PipelineError: The gate cannot answer.
        """
        about = self.about(kind)
        if not about.parts:
            raise SealedTableError(
                f"{self.folder} holds no release yet (expected a whole `extract` or `calibrate`)"
            )
        for part in about.parts:  # 1, 2
            manifest = self.confirmed(client, part.release)
            with self.wiping(part.release):
                client.report_use(
                    UseKind.SIMULATE, [part.release], {"read": about.kind, "sha256": about.sha256}
                )
            if manifest.digest != part.digest:
                raise SealedTableError(
                    f"release {part.release!r}: digest (got {part.digest}, expected {manifest.digest})"
                )
        if about.artefact is None:  # 3
            raise UnregisteredError(
                f"{self.folder} is not registered at the gate (repeat `extract` or `calibrate`, which keep rows)"
            )
        require_live(about.artefact, str(self.folder), client)
        return about, pl.concat([self._rows(about, part) for part in about.parts])  # 4, 5

    def wipe(self, release: str) -> None:
        """Make the rows of a release unreadable, then remove them.

        Raises:
            SealedTableError: The folder cannot be written.
        """
        folder = self._of(release)
        with _told(folder):
            if folder.is_dir():
                (folder / _SALT).unlink(missing_ok=True)
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)

    def _rows(self, about: About, part: Part) -> pl.DataFrame:
        path = self._of(part.release) / _ROWS
        try:
            with path.open("rb") as file:
                content = b"".join(open_sealed(file, self._key(part.release), _belongs(about, part)))
        except (OSError, BrokenSealError) as error:
            raise SealedTableError(
                f"{path}: {error}; it was altered, wiped or sealed under another key: extract release "
                f"{part.release!r} anew"
            ) from error
        if sha256(content).hexdigest() != part.sha256:
            raise SealedTableError(f"{path}: digest of its rows (expected {part.sha256})")
        return pl.read_parquet(io.BytesIO(content))

    def _state(self, about: About) -> None:
        path = self.folder / _ABOUT
        with _told(path), _appearing(path) as file:
            file.write(json.dumps({"format": FORMAT, **asdict(about)}, ensure_ascii=False, indent=1).encode())

    def _of(self, release: str) -> Path:
        return self.folder / sha256(release.encode()).hexdigest()[:32]

    def _key(self, release: str) -> bytes:
        salt = (self._of(release) / _SALT).read_bytes()
        return derive_key(self._secret, salt, f"{_USE}\0{release}")


def extended(
    table: SealedTable,
    about: About,
    client: GatewayClient,
    releases: tuple[str, ...],
    made_of: Callable[[ReleaseManifest], tuple[pl.DataFrame, Mapping[str, str], int]],
) -> tuple[About, tuple[str, ...]]:
    """Make the table one of these releases; the table, and the releases whose rows were there.

    Rows of a release that is not among them are wiped in the end.

    Args:
        table: Where rows are sealed.
        about: What ``writing`` gave.
        client: Connection to the gate, which is asked for each release and told of its use.
        releases: Their ids.
        made_of: Rows of a release, the items that they were made of, and how many things were looked at.

    Raises:
        ReleaseEndedError: The gate refuses a release, before or while it is read; the others' rows are kept.
        SimulationError: A release cannot be used; rows of those before it are kept.
        PipelineError: The gate cannot answer; likewise.
    """
    kept = []
    for release in releases:
        manifest = table.confirmed(client, release)
        if table.has(about, manifest):
            kept.append(release)
            continue
        with table.wiping(release):
            client.report_use(UseKind.SIMULATE, [release], {"derive": about.kind, **about.parameters})
            rows, items, looked_at = made_of(manifest)
        about = table.add(about, manifest, items, rows, looked_at)
    return table.of_only(about, releases), tuple(kept)


def _belongs(about: About, part: Part) -> str:
    """What the rows are, bound to their seal."""
    stated = {**asdict(part), "kind": about.kind, "code": about.code, "parameters": about.parameters}
    return sha256(rfc8785.dumps(json.loads(json.dumps(stated)))).hexdigest()


@contextmanager
def _appearing(path: Path) -> Iterator[Any]:
    """Write a file that takes its name only once it is whole and on the disk."""
    partial = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SealedTableError(
            f"{error.strerror or type(error).__name__}: {error.filename or path}"
        ) from error
