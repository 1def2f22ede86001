"""Archives of tiles: the layout of C2SP tlog-tiles, growth, and that no byte changes unnoticed."""

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit import verify
from audit.checkpoint import CheckpointSigner
from audit.errors import LedgerCorruptError, SignatureError, TileError
from audit.events import Event
from audit.ledger import Ledger
from audit.merkle import leaf_hash
from audit.tiles import Tile, archive_tiles, tiles_of


def grown(ledger: Ledger, make_event: Callable[..., Event], size: int) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: ledger.append(make_event()), range(size - ledger.size)))


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(level=0, index=1234067, width=256), "tile/0/x001/x234/067"),
        (Tile(level=0, index=0, width=256), "tile/0/000"),
        (Tile(level=2, index=5, width=1), "tile/2/005.p/1"),
        (Tile(level=None, index=1000, width=112), "tile/entries/x001/000.p/112"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_the_specifications_own_count_of_tiles() -> None:
    """Its example: 70,000 entries are 273 full tiles and one of 112, one full and one of 17, and one of 1."""
    widths = Counter((tile.level, tile.width) for tile in tiles_of(70_000))
    assert widths == {
        (None, 256): 273,
        (None, 112): 1,
        (0, 256): 273,
        (0, 112): 1,
        (1, 256): 1,
        (1, 17): 1,
        (2, 1): 1,
    }
    assert Counter((t.level, t.width) for t in tiles_of(256)) == {(None, 256): 1, (0, 256): 1, (1, 1): 1}
    assert list(tiles_of(0)) == []


def test_an_archive_grows_with_its_ledger(
    ledger: Ledger, make_event: Callable[..., Event], tmp_path: Path, signer: CheckpointSigner
) -> None:
    """On both databases, across the edges of a tile; full tiles stay the same files."""
    archive = tmp_path / "archive"
    before: dict[str, bytes] = {}
    for size in (1, 255, 256, 257, 520):
        grown(ledger, make_event, size)
        archived = archive_tiles(ledger, archive, ledger.checkpoint())
        assert archived.size == size
        held = files(archive)
        assert {tile.path for tile in tiles_of(size)} <= held.keys()
        assert all(held[name] == content for name, content in before.items() if name != "checkpoint")
        verified = verify.verify_archive(archive, signer.vkey)
        assert (verified.count, verified.complete) == (size, True)
        before = held
    bundle = (archive / "tile/entries/000").read_bytes()
    length = int.from_bytes(bundle[:2], "big")
    assert leaf_hash(bundle[2 : 2 + length]) == (archive / "tile/0/000").read_bytes()[:32]
    assert archive_tiles(ledger, archive, ledger.checkpoint()).written == 0


def test_no_byte_of_an_archive_changes_unnoticed(
    sqlite_ledger: Ledger, make_event: Callable[..., Event], tmp_path: Path, signer: CheckpointSigner
) -> None:
    grown(sqlite_ledger, make_event, 3)
    archive = tmp_path / "archive"
    archive_tiles(sqlite_ledger, archive, sqlite_ledger.checkpoint())
    for name, content in files(archive).items():
        for at in range(len(content)):
            changed = bytearray(content)
            changed[at] ^= 1
            (archive / name).write_bytes(bytes(changed))
            with pytest.raises(verify.BadExportError):
                verify.verify_archive(archive, signer.vkey)
        (archive / name).write_bytes(content)
        for cut in (content[:-1], b"", content + b"\0"):
            (archive / name).write_bytes(cut)
            with pytest.raises(verify.BadExportError):
                verify.verify_archive(archive, signer.vkey)
        (archive / name).unlink()
        with pytest.raises(verify.BadExportError):
            verify.verify_archive(archive, signer.vkey)
        (archive / name).write_bytes(content)
    verify.verify_archive(archive, signer.vkey)


def test_a_bad_entry_of_an_archive_is_named(
    sqlite_ledger: Ledger, make_event: Callable[..., Event], tmp_path: Path, signer: CheckpointSigner
) -> None:
    grown(sqlite_ledger, make_event, 300)
    archive = tmp_path / "archive"
    archive_tiles(sqlite_ledger, archive, sqlite_ledger.checkpoint())
    bundle = archive / "tile/entries/001.p/44"
    bundle.write_bytes(bundle.read_bytes().replace(b'"index":290', b'"index":291', 1))
    with pytest.raises(verify.BadExportError, match="says another index") as caught:
        verify.verify_archive(archive, signer.vkey)
    assert caught.value.index == 290


def test_an_archive_of_another_ledger_or_ahead_of_it_is_refused(
    open_ledger: Callable[..., Ledger], make_event: Callable[..., Event], tmp_path: Path
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    grown(ledger, make_event, 5)
    ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    grown(ledger, make_event, 9)
    archive = tmp_path / "archive"
    archive_tiles(ledger, archive, ledger.checkpoint())
    rolled = open_ledger(f"sqlite:///{tmp_path / 'backup.db'}")
    with pytest.raises(TileError, match="got a checkpoint of 5 entries, expected at least 9"):
        archive_tiles(rolled, archive, rolled.checkpoint())
    grown(rolled, make_event, 9)
    with pytest.raises(LedgerCorruptError, match="does not extend its archive"):
        archive_tiles(rolled, archive, rolled.checkpoint())
    other = open_ledger(
        f"sqlite:///{tmp_path / 'other.db'}", signer=CheckpointSigner(b"o" * 32, "other.test/ledger")
    )
    grown(other, make_event, 9)
    with pytest.raises(SignatureError):
        archive_tiles(other, archive, other.checkpoint())


def test_the_command_verifies_a_directory(
    sqlite_ledger: Ledger,
    make_event: Callable[..., Event],
    tmp_path: Path,
    signer: CheckpointSigner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grown(sqlite_ledger, make_event, 3)
    archive_tiles(sqlite_ledger, tmp_path / "archive", sqlite_ledger.checkpoint())
    assert verify.main([str(tmp_path / "archive"), "--vkey", signer.vkey]) == 0
    assert "OK 3 entries of 3 (complete)" in capsys.readouterr().out
    (tmp_path / "archive/tile/0/000.p/3").unlink()
    assert verify.main([str(tmp_path / "archive"), "--vkey", signer.vkey]) == 1
