"""Downloads a release into a folder so that a name there always stands for verified bytes."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

from pipeline.errors import DestinationError
from pipeline.manifest import MANIFEST_FILE, RESERVED_PREFIX, ReleaseItem, ReleaseManifest
from pipeline.reading import ItemReader

STAGING: Final = f"{RESERVED_PREFIX}-partial"
COPY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One more file is in place.

    Attributes:
        item: The item or mask.
        number: Its number from 1.
        of: How many there are.
        kept: It was there already and verified.
    """

    item: ReleaseItem
    number: int
    of: int
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A release in a folder, every file verified.

    Attributes:
        manifest: What was fetched.
        folder: Where it lies.
        fetched: Names that were downloaded now.
        kept: Names that were there and verified.
        size: Bytes of all items and masks.
    """

    manifest: ReleaseManifest
    folder: Path
    fetched: tuple[str, ...]
    kept: tuple[str, ...]
    size: int


def ignore_progress(progress: Progress) -> None:
    """For callers that do not watch."""
    del progress


def fetch_release(
    manifest: ReleaseManifest,
    open_item: Callable[[ReleaseItem], AbstractContextManager[ItemReader]],
    out_dir: Path,
    progress: Callable[[Progress], None],
) -> Fetched:
    """Put every item of a verified manifest and every mask into a folder, then the manifest itself.

    Raises:
        DestinationError: A name would leave the folder, is taken by something else or cannot be written, the
            folder holds another release, or another fetch is using it.
        TamperedReleaseError: An item is not what the manifest says; it does not appear.
    """
    fetched: list[str] = []
    kept: list[str] = []
    try:
        with _exclusive(out_dir) as (root, staging):
            _check_same_release(root / MANIFEST_FILE, manifest)
            for number, item in enumerate(manifest.files, start=1):
                target = _target(root, item.name)
                present = _holds(target, item)
                if not present:
                    _download(item, open_item, target, staging)
                (kept if present else fetched).append(item.name)
                progress(Progress(item=item, number=number, of=len(manifest.files), kept=present))
            statement = staging / MANIFEST_FILE
            statement.write_text(manifest.statement, encoding="ascii")
            statement.replace(_target(root, MANIFEST_FILE))
    except OSError as error:
        raise DestinationError(
            f"{error.strerror or type(error).__name__}: {error.filename or out_dir}"
        ) from error
    size = sum(file.size for file in manifest.files)
    return Fetched(manifest=manifest, folder=out_dir, fetched=tuple(fetched), kept=tuple(kept), size=size)


@contextmanager
def _exclusive(out_dir: Path) -> Iterator[tuple[Path, Path]]:
    out_dir.mkdir(parents=True, exist_ok=True)
    root = out_dir.resolve(strict=True)
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DestinationError(f"{out_dir} is in use by another fetch") from error
        staging = root / STAGING
        if staging.is_symlink():
            raise DestinationError(f"{staging} is a symbolic link (expected a folder of this program)")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield root, staging
        finally:
            shutil.rmtree(staging)
    finally:
        os.close(lock)


def _check_same_release(statement: Path, manifest: ReleaseManifest) -> None:
    if statement.exists() and statement.read_bytes() != manifest.statement.encode("ascii"):
        raise DestinationError(
            f"{statement} states another release (expected {manifest.release!r} or nothing)"
        )


def _target(root: Path, name: str) -> Path:
    """The path of a name, each folder on the way a real folder inside the root, made where it is missing."""
    folder = root
    *parents, last = name.split("/")
    for part in parents:
        folder /= part
        if folder.is_symlink():
            raise DestinationError(f"{folder} is a symbolic link (expected a folder)")
        folder.mkdir(exist_ok=True)
    target = folder / last
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise DestinationError(f"{target} is taken (expected a plain file or nothing)")
    if not target.parent.resolve(strict=True).is_relative_to(root):
        raise DestinationError(f"{target} lies outside {root}")
    return target


def _holds(target: Path, item: ReleaseItem) -> bool:
    if not target.is_file() or target.stat().st_size != item.size:
        return False
    with target.open("rb") as file:
        return file_digest(file, "sha256").hexdigest() == item.sha256


def _download(
    item: ReleaseItem,
    open_item: Callable[[ReleaseItem], AbstractContextManager[ItemReader]],
    target: Path,
    staging: Path,
) -> None:
    partial = staging / item.sha256
    with open_item(item) as reader, partial.open("wb") as file:
        shutil.copyfileobj(reader, file, COPY_BYTES)
    partial.replace(target)
