"""C2SP tlog-tiles: the ledger as static files, for archives, mirrors and any web server to serve.

A directory holds ``checkpoint``, hashes in ``tile/<L>/<N>[.p/<W>]`` and leaves in ``tile/entries/<N>[.p/<W>]``.
Full tiles never change and are written once. The checkpoint is replaced last: what it needs is there by then.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint, verify_checkpoint
from audit.errors import LedgerCorruptError, TileError
from audit.ledger import Ledger
from audit.snapshot import TIER_BITS, Snapshot

TILE_WIDTH = 1 << TIER_BITS
MAX_LEAF_BYTES = 2**16 - 1

_MAX_LEVEL = 7
"""Enough for 2^64 entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile or an entry bundle.

    Attributes:
        level: Level of a tile of hashes; None for a bundle of entries.
        index: Its place in the level, from 0.
        width: Hashes or entries in it, 1 to 256.
    """

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """Its path below the prefix."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{name}{partial}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What an archive holds: entries up to its checkpoint, and files that this run wrote."""

    size: int
    written: int


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a tree, bundles first, partial ones included."""
    for width_of, level in [(size, None), *((size >> TIER_BITS * n, n) for n in range(_MAX_LEVEL + 1))]:
        for index in range(-(-width_of // TILE_WIDTH)):
            yield Tile(level=level, index=index, width=min(TILE_WIDTH, width_of - index * TILE_WIDTH))


def read_tile(snapshot: Snapshot, tile: Tile) -> bytes:
    """The bytes of a tile: hashes one after another, or leaves with their lengths as two bytes in front.

    Raises:
        LedgerCorruptError: Rows that it rests on are missing.
        VerificationError: A stored leaf does not verify.
    """
    first = tile.index * TILE_WIDTH
    if tile.level is not None:
        hashes = snapshot.hashes(tile.level * TIER_BITS, first, first + tile.width)
        return b"".join(hashes)
    leaves = [entry.leaf for entry in snapshot.entries(first, first + tile.width)]
    if len(leaves) != tile.width:
        raise LedgerCorruptError(f"entries missing (got {len(leaves)} from {first}, expected {tile.width})")
    longest = max(map(len, leaves))
    if longest > MAX_LEAF_BYTES:
        raise LedgerCorruptError(f"leaf too long (got {longest} bytes, expected at most {MAX_LEAF_BYTES})")
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def archive_tiles(
    ledger: Ledger, directory: Path, note: str, *, progress: Callable[[int, int], None] | None = None
) -> Archived:
    """Bring an archive up to a checkpoint; what it holds already is kept, and a run that died is gone on with.

    Args:
        ledger: The ledger.
        directory: The archive; made where it is missing.
        note: The checkpoint, cosigned or not.
        progress: Told tiles done and tiles in all.

    Raises:
        SignatureError: The checkpoint, or the one in the archive, is not of this ledger.
        TileError: The archive is ahead of the checkpoint, or holds another file where a partial tile belongs.
        LedgerCorruptError: The ledger does not extend the archive's checkpoint, or rows are missing.
        OSError: The disk refused.
    """
    vkey = ledger.signer.vkey
    size = verify_checkpoint(note, vkey).size
    held = _held(directory, vkey)
    if held is not None and held.size > size:
        raise TileError(
            f"the archive is ahead (got a checkpoint of {size} entries, expected at least {held.size})"
        )
    written = 0
    with ledger.snapshot() as snapshot:
        if held is not None:
            _check_extends(snapshot, held)
        tiles = list(tiles_of(size))
        for done, tile in enumerate(tiles):
            path = directory / tile.path
            if tile.width < TILE_WIDTH or not path.is_file():
                written += _write_once(path, read_tile(snapshot, tile))
            if progress:
                progress(done + 1, len(tiles))
    # A run that died may have left names that it had not synced.
    for folder in sorted(_folders(directory, tiles) | ({directory.parent} if held is None else set())):
        _sync(folder)
    _replace(directory / "checkpoint", note.encode())
    _sync(directory)
    return Archived(size=size, written=written)


def _held(directory: Path, vkey: str) -> Checkpoint | None:
    """The archive's own checkpoint; None before the first."""
    file = directory / "checkpoint"
    return verify_checkpoint(file.read_text(encoding="utf-8"), vkey) if file.exists() else None


def _check_extends(snapshot: Snapshot, held: Checkpoint) -> None:
    root = snapshot.root(held.size)
    if root != held.root:
        raise LedgerCorruptError(
            f"the ledger does not extend its archive of {held.size} entries "
            f"(got root {root.hex()}, expected {held.root.hex()})"
        )


def _write_once(path: Path, content: bytes) -> bool:
    """Write a file that does not change; whether it was missing.

    Raises:
        TileError: Another content is there.
    """
    if path.is_file():
        if path.read_bytes() != content:
            raise TileError(
                f"the archive holds another file (got {path.name}, expected what the ledger holds)"
            )
        return False
    _make_folder(path.parent)
    _replace(path, content)
    _keep(path, path.unlink)
    return True


def _folders(directory: Path, tiles: Iterable[Tile]) -> set[Path]:
    found = {directory}
    for tile in tiles:
        folder = (directory / tile.path).parent
        while folder not in found:
            found.add(folder)
            folder = folder.parent
    return found


def _make_folder(path: Path) -> None:
    """Make a directory durably, and what it lies in."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _keep(path, path.rmdir)


def _keep(path: Path, take_back: Callable[[], None]) -> None:
    """Make a new name durable, or take it back: no later sync would prove that it is."""
    try:
        _sync(path.parent)
    except OSError:
        take_back()
        raise


def _replace(path: Path, content: bytes) -> None:
    """Write durably under another name, then rename; the directory is the caller's to sync."""
    pending = path.with_name(f"{path.name}.new")
    with pending.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    pending.replace(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
