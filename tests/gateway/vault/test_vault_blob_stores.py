"""What every store of blobs promises, shown on each of them."""

import threading
from collections.abc import Iterator

import pytest

from gateway.vault.blobs import Blobs, LocalBlobs
from gateway.vault.errors import BlobExistsError, BlobMissingError
from s3_service import BUCKET, S3Service, s3_service

ID = "00ff" * 8
PART = 1000


@pytest.fixture(scope="module")
def service() -> Iterator[S3Service]:
    with s3_service() as running:
        yield running


@pytest.fixture(params=["local", "s3"])
def blobs(request: pytest.FixtureRequest, service: S3Service, tmp_path) -> Blobs:
    if request.param == "local":
        return LocalBlobs(tmp_path / "blobs")
    service.call("POST", "/moto-api/reset", b"")
    service.call("PUT", f"/{BUCKET}")
    return service.blobs(part_bytes=PART)


def put(blobs: Blobs, blob_id: str, content: bytes, manifest: bytes | None = None) -> None:
    with blobs.create(blob_id) as writer:
        writer.write(content)
        writer.manifest = manifest


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7])
def test_what_was_written_reads_back_in_any_range(blobs: Blobs, length: int):
    content = bytes(i * 7 % 251 for i in range(length))
    put(blobs, ID, content, b"manifest")
    assert blobs.length(ID) == length
    assert blobs.manifest(ID) == b"manifest"
    assert blobs.ids() == {ID}
    starts = {0, 1, PART - 1, PART, 2 * PART - 3, length - 1, length, length + 1, length + PART}
    for start in (start for start in starts if start >= 0):
        for wanted in (0, 1, 10, PART, 5 * PART):
            assert blobs.read_at(ID, start, wanted) == content[start : start + wanted]


def test_blobs_are_written_once(blobs: Blobs):
    put(blobs, ID, b"first", b"manifest")
    with pytest.raises(BlobExistsError, match=ID):
        put(blobs, ID, b"second" * PART, b"another")
    assert blobs.read_at(ID, 0, 10) == b"first"
    assert blobs.manifest(ID) == b"manifest"


def test_an_error_in_the_block_leaves_nothing(blobs: Blobs):
    def broken() -> None:
        with blobs.create(ID) as writer:
            writer.write(b"x" * 3 * PART)
            writer.manifest = b"manifest"
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        broken()
    assert blobs.ids() == frozenset()
    assert not blobs.exists(ID)
    put(blobs, ID, b"again")
    assert blobs.read_at(ID, 0, 9) == b"again"


def test_of_two_writers_of_one_id_the_second_to_finish_fails(blobs: Blobs):
    def overtaken() -> None:
        with blobs.create(ID) as slow:
            slow.write(b"slow")
            put(blobs, ID, b"quick", b"manifest")

    with pytest.raises(BlobExistsError):
        overtaken()
    assert blobs.read_at(ID, 0, 10) == b"quick"
    assert blobs.manifest(ID) == b"manifest"


def test_deleting(blobs: Blobs):
    put(blobs, ID, b"x" * 3 * PART, b"manifest")
    assert blobs.read_at(ID, 0, 1) == b"x"
    blobs.delete(ID)
    assert blobs.ids() == frozenset()
    assert not blobs.exists(ID)
    for act in (blobs.delete, blobs.length, blobs.manifest, lambda name: blobs.read_at(name, 0, 1)):
        with pytest.raises(BlobMissingError, match=ID):
            act(ID)


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    put(blobs, ID, b"")
    assert blobs.exists(ID)
    assert blobs.length(ID) == 0
    with pytest.raises(BlobMissingError):
        blobs.manifest(ID)


def test_nothing_bears_the_name_while_it_is_written(blobs: Blobs) -> None:
    with blobs.create(ID) as writer:
        writer.write(b"x" * 100)
        assert writer.length == 100
        assert not blobs.exists(ID)
        assert blobs.ids() == frozenset()
    assert blobs.exists(ID)


def test_threads_that_write_one_id_leave_one_whole_blob(blobs: Blobs) -> None:
    contents = [bytes([i]) * 5_000 for i in range(8)]
    outcomes: list[bytes | None] = []

    def write(content: bytes) -> None:
        try:
            put(blobs, ID, content)
        except BlobExistsError:
            outcomes.append(None)
        else:
            outcomes.append(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [content for content in outcomes if content]
    assert winners == [blobs.read_at(ID, 0, 10_000)]


@pytest.mark.parametrize(
    "blob_id", ["", "../../etc/passwd", "AB" * 8, "0" * 7, "0" * 65, "0" * 15 + "\n", "0" * 8 + "/"]
)
def test_ids_that_are_not_hexadecimal_are_refused(blobs: Blobs, blob_id: str) -> None:
    for act in (blobs.exists, blobs.length, blobs.delete, blobs.manifest):
        with pytest.raises(ValueError, match="blob id"):
            act(blob_id)
    with pytest.raises(ValueError, match="blob id"), blobs.create(blob_id):
        pass
