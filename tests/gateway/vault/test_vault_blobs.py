"""Blobs: complete and durable under their name, or absent (law 4)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.vault.blobs import LocalBlobs
from gateway.vault.errors import BlobExistsError, BlobMissingError, StorageError

ID = "00ff" * 8


def put(blobs: LocalBlobs, blob_id: str, content: bytes, manifest: bytes | None = None) -> None:
    with blobs.create(blob_id) as writer:
        writer.write(content)
        writer.manifest = manifest


def test_what_was_written_reads_back(blobs: LocalBlobs, home: Path) -> None:
    put(blobs, ID, b"0123456789", b"manifest")
    assert blobs.exists(ID)
    assert blobs.length(ID) == 10
    assert blobs.manifest(ID) == b"manifest"
    assert blobs.read_at(ID, 2, 3) == b"234"
    assert blobs.read_at(ID, 8, 100) == b"89"
    assert blobs.read_at(ID, 10, 1) == blobs.read_at(ID, 0, 0) == b""
    assert blobs.ids() == {ID}
    assert sorted(p.name for p in (home / "blobs").iterdir()) == [f"{ID}.manifest", f"{ID}.sealed"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (home / "blobs").iterdir())
    assert (home / "blobs").stat().st_mode & 0o077 == 0
    assert repr(blobs) == "<LocalBlobs blobs>"


def test_an_error_in_the_block_leaves_nothing(blobs: LocalBlobs, home: Path) -> None:
    def broken() -> None:
        with blobs.create(ID) as writer:
            writer.write(b"x" * 100)
            writer.manifest = b"manifest"
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        broken()
    assert list((home / "blobs").iterdir()) == []


def test_blobs_are_written_once(blobs: LocalBlobs, home: Path) -> None:
    put(blobs, ID, b"first")
    with pytest.raises(BlobExistsError):
        put(blobs, ID, b"second")
    assert blobs.read_at(ID, 0, 10) == b"first"
    assert len(list((home / "blobs").iterdir())) == 1


def test_of_two_writers_of_one_id_the_second_to_finish_fails(blobs: LocalBlobs, home: Path) -> None:
    def overtaken() -> None:
        with blobs.create(ID) as slow:
            slow.write(b"slow")
            put(blobs, ID, b"quick")

    with pytest.raises(BlobExistsError):
        overtaken()
    assert blobs.read_at(ID, 0, 10) == b"quick"
    assert len(list((home / "blobs").iterdir())) == 1


def test_deleting(blobs: LocalBlobs, home: Path) -> None:
    put(blobs, ID, b"x", b"manifest")
    blobs.delete(ID)
    assert list((home / "blobs").iterdir()) == []
    for act in (blobs.delete, blobs.length, blobs.manifest, lambda name: blobs.read_at(name, 0, 1)):
        with pytest.raises(BlobMissingError, match=ID):
            act(ID)


def test_a_manifest_without_its_blob_counts_and_can_be_deleted(blobs: LocalBlobs, home: Path) -> None:
    put(blobs, ID, b"x", b"manifest")
    (home / "blobs" / f"{ID}.sealed").unlink()
    assert blobs.ids() == {ID}
    assert not blobs.exists(ID)
    blobs.delete(ID)
    assert blobs.ids() == frozenset()


def test_other_files_in_the_directory_are_left_alone(blobs: LocalBlobs, home: Path) -> None:
    (home / "blobs" / "lost+found").mkdir()
    (home / "blobs" / "notes.txt").write_text("x")
    assert blobs.ids() == frozenset()
    assert blobs.sweep_temporary(timedelta(0)) == ()
    assert (home / "blobs" / "notes.txt").exists()


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(
    blobs: LocalBlobs, home: Path
) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from gateway.vault.blobs import LocalBlobs\n"
        f"with LocalBlobs(pathlib.Path(sys.argv[1])).create('{ID}') as writer:\n"
        "    writer.write(b'x' * 1000)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(home / "blobs")], check=False)  # noqa: S603 (our own script)
    assert done.returncode == -9
    (abandoned,) = (home / "blobs").iterdir()
    with blobs.create("ab" * 8) as writer:
        writer.write(b"living")
        assert blobs.sweep_temporary(timedelta(hours=1)) == ()
        assert blobs.sweep_temporary(timedelta(0)) == (abandoned.name,)
    assert blobs.ids() == {"ab" * 8}


def test_a_file_limit_stops_a_write_without_half_a_blob(blobs: LocalBlobs, home: Path) -> None:
    """Law 4, with the kernel's own error: writes beyond the limit fail with EFBIG."""
    script = (
        "import pathlib, resource, sys\n"
        "from gateway.vault.blobs import LocalBlobs\n"
        "from gateway.vault.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        f"    with LocalBlobs(pathlib.Path(sys.argv[1])).create('{ID}') as writer:\n"
        "        writer.write(b'x' * 60_000)\n"
        "        writer.write(b'x' * 60_000)\n"
        "except StorageError as error:\n"
        "    print(error.operation, error.errno)\n"
    )
    done = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-c", script, str(home / "blobs")], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["write", "file", "27"]
    assert list((home / "blobs").iterdir()) == []
    assert not blobs.exists(ID)


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = home / "disk"
    mount.mkdir()
    made = subprocess.run(  # noqa: S603 (constant command)
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(mount)],
        check=False,
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("this user cannot mount a small file system")
    yield mount
    subprocess.run(["/usr/bin/umount", str(mount)], check=True)  # noqa: S603 (constant command)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_loses_nothing_and_keeps_no_half(small_disk: Path) -> None:
    """Law 4 on a disk that is really full: the error is named, what was there stays, space comes back."""
    blobs = LocalBlobs(small_disk / "blobs")
    put(blobs, "aa" * 8, b"a" * 500_000)
    with pytest.raises(StorageError, match="write file"):
        put(blobs, "bb" * 8, b"b" * 900_000)
    assert blobs.ids() == {"aa" * 8}
    assert blobs.read_at("aa" * 8, 0, 600_000) == b"a" * 500_000
    assert len(list((small_disk / "blobs").iterdir())) == 1
    put(blobs, "cc" * 8, b"c" * 400_000)


def test_an_unreadable_directory_is_a_named_error(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(StorageError, match="create directory 'blobs'"):
        LocalBlobs(home / "file" / "blobs")
