"""A sealed object read as a file: the same bytes at every position, in bounded memory, none that was changed."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.vault.errors import SealBrokenError
from gateway.vault.sealed import SealedReader, sealed_pieces
from gateway.vault.seekable import WINDOW_BYTES, WINDOWS, SealedFile
from gateway.vault.suites import Suite

DEK, CONTEXT = bytes(range(32)), b"a test"
CONTENT = os.urandom(3 * WINDOW_BYTES + 777)


class Counted:
    """A stored file that counts what is read from it."""

    def __init__(self, suite: Suite, content: bytes) -> None:
        pieces = sealed_pieces([content], dek=DEK, context=CONTEXT, suite=suite)
        self.stored = bytearray(b"".join(pieces))
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        return bytes(self.stored[offset : offset + length])

    def file(self, length: int) -> SealedFile:
        reader = SealedReader(
            self.read_at,
            sealed_length=len(self.stored),
            dek=DEK,
            context=CONTEXT,
            expected_plaintext_length=length,
        )
        return SealedFile(reader)


@pytest.fixture(scope="module")
def stored(suite: Suite) -> Counted:
    return Counted(suite, CONTENT)


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.integers(0, len(CONTENT) + 10), st.sampled_from([-1, 0, 1, 100, WINDOW_BYTES + 1])),
        max_size=6,
    )
)
def test_it_reads_as_a_file_in_memory_does(stored: Counted, moves: list[tuple[int, int]]):
    file, plain = stored.file(len(CONTENT)), io.BytesIO(CONTENT)
    for position, size in moves:
        assert file.seek(position) == plain.seek(position)
        assert file.read(size) == plain.read(size)
        assert file.tell() == plain.tell()


def test_it_seeks_from_the_end_and_from_where_it_is(stored: Counted):
    file = stored.file(len(CONTENT))
    assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert file.read() == CONTENT[-5:]
    assert file.seek(-3, io.SEEK_CUR) == len(CONTENT) - 3
    buffer = bytearray(8)
    assert file.readinto(buffer) == 3
    assert bytes(buffer[:3]) == CONTENT[-3:]
    with pytest.raises(ValueError, match=r"position \(got -1"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 7)


def test_small_reads_do_not_open_a_segment_twice(stored: Counted):
    file = stored.file(len(CONTENT))
    stored.read = 0
    for _ in range(WINDOW_BYTES // 1024):
        file.read(1024)
    assert stored.read <= WINDOW_BYTES + 16 * 1024


def test_memory_stays_bounded_however_long_the_file_is(suite: Suite):
    content = bytes(WINDOW_BYTES * (WINDOWS + 3))
    file = Counted(suite, content).file(len(content))
    while file.read(WINDOW_BYTES):
        assert sum(len(window) for window in file._windows.values()) <= WINDOWS * WINDOW_BYTES
    assert len(file._windows) == WINDOWS


def test_a_changed_byte_is_not_handed_out(suite: Suite):
    stored = Counted(suite, CONTENT)
    stored.stored[-40] ^= 1
    file = stored.file(len(CONTENT))
    assert file.read(100) == CONTENT[:100]
    file.seek(-10, io.SEEK_END)
    with pytest.raises(SealBrokenError, match="does not authenticate"):
        file.read()
