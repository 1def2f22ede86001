"""A folder of shards: sealed, written so that a broken run goes on, wiped release by release.

As in the sealed cache, keys are derived from the principal's private key and a random salt of the release's
folder; after the salt was wiped nobody opens a shard. What the cache says of copies from before holds here too.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from pipeline.artefacts import ArtefactKind, DerivedArtefact
from pipeline.client import GatewayClient
from pipeline.errors import KeyFileError, PipelineError, RefusedError, UnregisteredError
from pipeline.publishing import known_as, note_registered, require_live
from pipeline.sealed_cache import ENDING_STATUSES, SealedCache
from pipeline.sealing import KEY_BYTES, derive_key
from pipeline.training.errors import ReleaseEndedError, ShardError, TrainingManifestError
from pipeline.training.labels import LabelFile, hold_against_picture
from pipeline.training.shard_file import ShardIdentity, ShardReader, ShardWriter
from pipeline.training.training_manifest import TrainingManifest, TrainingSample, label_names

DEFAULT_SHARD_BYTES: Final = 256 * 1024 * 1024

_SALT: Final = "salt"
_SHARD: Final = ".shard"
_PARTIAL: Final = ".partial"
_LOCK: Final = "lock"
_SHARDS: Final = "shards"
_USE: Final = "fleetgate training shards v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a run of writing did: shards that it wrote, and those that were there and are right; their id."""

    written: int
    kept: int
    samples: int
    artefact: str


class ShardFolder:
    """Shards of one principal under one training manifest."""

    def __init__(self, folder: Path, manifest: TrainingManifest, key: OKPKey) -> None:
        """Name a folder; nothing is read yet.

        Raises:
            KeyFileError: The key is no private key.
        """
        secret = key.as_dict(private=key.is_private).get("d")
        if not isinstance(secret, str):
            raise KeyFileError("key of the shards (got a public key, expected the principal's private key)")
        self._secret = urlsafe_b64decode(secret.encode("ascii"))
        self.folder = folder
        self.manifest = manifest

    def open(self, release: str, number: int) -> ShardReader:
        """Open a shard; whoever reads it holds a lease (``pipeline.training.lease``).

        Raises:
            ShardError: It is missing, altered or another one, or the release was wiped.
        """
        return ShardReader(
            self._path(release, number), self._key(release, make=False), self._identity(release, number)
        )

    def numbers(self, release: str) -> tuple[int, ...]:
        """Numbers of the shards that are there, in order."""
        return tuple(sorted(int(p.stem) for p in self._of(release).glob(f"*{_SHARD}") if p.stem.isdecimal()))

    def wipe(self, release: str) -> None:
        """Make the shards of a release unreadable, then remove them."""
        folder = self._of(release)
        with _told(folder):
            if not folder.is_dir():
                return
            (folder / _SALT).unlink(missing_ok=True)
            for path in folder.iterdir():
                path.unlink(missing_ok=True)

    def holds(self, release: str, number: int, samples: Sequence[TrainingSample]) -> bool:
        """Whether the shard is there with just these samples, as far as its proved index says."""
        if not self._path(release, number).is_file() or not (self._of(release) / _SALT).is_file():
            return False
        try:
            with self.open(release, number) as shard:
                return shard.samples == tuple((s.name, s.sha256) for s in samples)
        except ShardError:
            return False  # of another manifest, or altered: it is written anew

    @property
    def artefact(self) -> str:
        """The id under which the gate knows the shards of this manifest.

        Raises:
            UnregisteredError: It does not: writing them broke off before its end.
            PublishingError: What lies there is malformed.
        """
        known = known_as(self.folder / _SHARDS)
        if self.digest not in known:
            raise UnregisteredError(
                f"{self.folder}: the shards of {self.manifest.name!r} are not registered at the gate; repeat "
                "`train shards` to go on"
            )
        return known[self.digest]

    @property
    def digest(self) -> str:
        """SHA-256 of what the shards of this manifest hold: the manifest, which names every sample and label."""
        return sha256(f"{_USE}\0{self.manifest.digest}".encode()).hexdigest()

    def require_registered(self) -> None:
        """Refuse shards that the gate does not know.

        Raises:
            UnregisteredError, PublishingError: As ``artefact``.
        """
        self.artefact  # noqa: B018 - it raises

    def register(self, client: GatewayClient, parents: Sequence[str]) -> str:
        """Register the shards as derived from their manifest, once they are whole; returns the id.

        Raises:
            UnregisteredError: The gate does not register them. They stay, sealed, and nothing reads them.
            RevokedArtefactError: They are registered, and a release below them was revoked since.
        """
        known = known_as(self.folder / _SHARDS)
        if self.digest in known:
            require_live(known[self.digest], str(self.folder), client)
            return known[self.digest]
        made = DerivedArtefact(
            kind=ArtefactKind.DATA_SET,
            name=f"shards of {self.manifest.name}"[:200],
            sha256=self.digest,
            code=f"fleetgate {version('fleetgate')}",
            parameters={"training_manifest": self.manifest.digest},
            releases=tuple(sorted(self.manifest.releases)),
            items=tuple(sorted({sample.sha256 for sample in self.manifest.samples})),
            artefacts=tuple(parents),
        )
        try:
            artefact = client.register(made)
        except PipelineError as error:
            raise UnregisteredError(
                f"{self.folder}: the shards are whole and sealed, but the gate did not register them: {error}; "
                "repeat `train shards` to go on"
            ) from error
        note_registered(self.folder / _SHARDS, self.digest, artefact)
        return artefact

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one who writes; what a writer that died left half-written is removed.

        Raises:
            ShardError: Another process writes, or the folder cannot be used.
        """
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ShardError(f"{self.folder}: another process writes shards here") from error
            for path in self.folder.glob(f"*/*{_PARTIAL}"):
                path.unlink(missing_ok=True)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def new(self, release: str, number: int) -> Iterator[ShardWriter]:
        """Write a shard; it takes its name only once it is whole and on the disk."""
        path = self._path(release, number)
        with _told(path):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            partial = path.with_name(f"{secrets.token_hex(8)}{_PARTIAL}")
            try:
                with partial.open("xb") as file:
                    writer = ShardWriter(file, self._key(release, make=True), self._identity(release, number))
                    yield writer
                    writer.finish()
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def remove_from(self, release: str, number: int) -> None:
        """Remove shards that other cuts left, from a number on."""
        for each in self.numbers(release):
            if each >= number:
                self._path(release, each).unlink(missing_ok=True)

    def _identity(self, release: str, number: int) -> ShardIdentity:
        return ShardIdentity(manifest=self.manifest.digest, release=release, number=number)

    def _of(self, release: str) -> Path:
        return self.folder / sha256(release.encode()).hexdigest()[:32]

    def _path(self, release: str, number: int) -> Path:
        return self._of(release) / f"{number:06d}{_SHARD}"

    def _key(self, release: str, *, make: bool) -> bytes:
        path = self._of(release) / _SALT
        if make and not path.exists():
            path.write_bytes(secrets.token_bytes(KEY_BYTES))
        try:
            salt = path.read_bytes()
        except OSError as error:
            raise ShardError(
                f"shards of release {release!r} have no salt: they were not written, or were wiped when the gate "
                "refused"
            ) from error
        return derive_key(self._secret, salt, f"{_USE}\0{release}")


def cut(samples: Sequence[TrainingSample], shard_bytes: int) -> Iterator[tuple[TrainingSample, ...]]:
    """Samples of a release in the order of the manifest, cut so that a shard holds at most so many bytes.

    A sample that is larger has a shard of its own.
    """
    taken: list[TrainingSample] = []
    size = 0
    for sample in samples:
        if taken and size + sample.size > shard_bytes:
            yield tuple(taken)
            taken, size = [], 0
        taken.append(sample)
        size += sample.size
    if taken:
        yield tuple(taken)


def write_shards(
    source: GatewayClient | SealedCache,
    shards: ShardFolder,
    *,
    labels: LabelFile | None = None,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    parents: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Written:
    """Read every sample of the manifest and seal it, with its labels; shards that are there and right are kept.

    In the end the gate is told of them: until then nothing reads them.

    Args:
        source: Where items are read; the gate decides on each.
        shards: Where shards go.
        labels: The labels that the manifest names, where it names some.
        shard_bytes: What a shard holds at most.
        parents: Ids of the artefacts that they are made of besides the releases, such as the manifest's.
        progress: Called with how many samples are done, of how many.

    Raises:
        TrainingManifestError: The labels are not those of the manifest.
        LabelFileError: Labels were made for a picture of another size.
        ReleaseEndedError: The gate refuses a release now; its shards are wiped, those of others stay.
        ShardError: The folder cannot be used.
        UnregisteredError: All are written, and the gate does not register them.
        ValueError: ``shard_bytes`` is not positive.
        PipelineError: The gate cannot be asked, or what arrives is not what was signed.
    """
    manifest = shards.manifest
    if shard_bytes <= 0:
        raise ValueError(f"shard_bytes (got {shard_bytes}, expected a positive count of bytes)")
    given = None if labels is None else labels.sha256
    if given != manifest.labels:
        raise TrainingManifestError(f"labels (got sha256 {given}, expected {manifest.labels})")
    names = {} if labels is None else label_names(manifest.samples, labels)
    written = kept = done = 0
    with shards.writing():
        for release in manifest.releases:
            number = -1
            for number, part in enumerate(cut(manifest.of_release(release), shard_bytes)):
                if shards.holds(release, number, part):
                    kept += 1
                else:
                    with ending_wipes(shards, release), shards.new(release, number) as writer:
                        for place, sample in enumerate(part):
                            _add(writer, source, sample, labels, names)
                            progress(done + place + 1, len(manifest.samples))
                    written += 1
                done += len(part)
                progress(done, len(manifest.samples))
            shards.remove_from(release, number + 1)
        client = source.client if isinstance(source, SealedCache) else source
        artefact = shards.register(client, parents)
    return Written(written=written, kept=kept, samples=done, artefact=artefact)


@contextmanager
def ending_wipes(shards: ShardFolder, release: str) -> Iterator[None]:
    """Where the gate says that the right to read is over, wipe the shards of the release.

    Raises:
        ReleaseEndedError: It says so.
        PipelineError: As the block raises, where it says something else.
    """
    try:
        yield
    except RefusedError as error:
        if error.status not in ENDING_STATUSES:
            raise
        shards.wipe(release)
        raise ReleaseEndedError(
            f"release {release!r} may not be read any more, its shards are wiped: {error}"
        ) from error


def _add(
    writer: ShardWriter,
    source: GatewayClient | SealedCache,
    sample: TrainingSample,
    labels: LabelFile | None,
    names: dict[tuple[str, str], str],
) -> None:
    content = source.read(sample.release, sample.name)
    got = sha256(content).hexdigest()
    if got != sample.sha256:
        raise TrainingManifestError(
            f"sample {sample.name!r} of release {sample.release!r} (got sha256 {got}, expected {sample.sha256})"
        )
    document = b""
    if labels is not None:
        found = labels.pictures[names[sample.release, sample.name]]
        hold_against_picture(sample.name, found, content)
        document = json.dumps(found.document(), ensure_ascii=False).encode()
    writer.add(sample.name, sample.sha256, document, content)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ShardError(f"{error.strerror or type(error).__name__}: {error.filename or path}") from error
