"""The sealed container (law 3: sealed at rest; law 6: what is read is what was sealed)."""

import os
import secrets
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.vault.container import DEFAULT_SEGMENT_SIZE, HEADER_LENGTH, sealed_length_of
from gateway.vault.errors import SealBrokenError
from gateway.vault.sealed import SealedReader, SealedSummary, seal_stream
from gateway.vault.suites import Suite

DEK = bytes(range(32))
CONTEXT = b'{"object":"item-1"}'
SMALL = 64
STRIDE = SMALL + 16

quick = settings(max_examples=60, deadline=None)


def seal(
    suite: Suite,
    chunks: list[bytes],
    *,
    dek: bytes = DEK,
    context: bytes = CONTEXT,
    segment_size: int = SMALL,
) -> tuple[bytes, SealedSummary]:
    out = bytearray()
    summary = seal_stream(
        chunks, dek=dek, context=context, suite=suite, write=out.extend, segment_size=segment_size
    )
    return bytes(out), summary


def reader(
    sealed: bytes,
    length: int | None,
    *,
    dek: bytes = DEK,
    context: bytes = CONTEXT,
    claimed: int | None = None,
) -> SealedReader:
    return SealedReader(
        lambda offset, size: sealed[offset : offset + size],
        sealed_length=len(sealed) if claimed is None else claimed,
        dek=dek,
        context=context,
        expected_plaintext_length=length,
    )


@quick
@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(64, 200))
def test_what_is_sealed_is_what_is_read_however_it_was_cut(
    suite: Suite, chunks: list[bytes], segment_size: int
) -> None:
    """Law 6: reading gives the sealed bytes, and the summary describes both sides."""
    plaintext = b"".join(chunks)
    sealed, summary = seal(suite, chunks, segment_size=segment_size)
    opened = reader(sealed, len(plaintext))
    assert opened.read() == b"".join(opened.chunks()) == plaintext
    assert summary.plaintext_length == len(plaintext) == opened.length
    assert summary.sealed_length == len(sealed) == sealed_length_of(len(plaintext), segment_size, suite)


@quick
@given(st.binary(max_size=500), st.data())
def test_any_range_reads_as_a_slice(suite: Suite, plaintext: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(plaintext)))
    end = data.draw(st.integers(start, len(plaintext)))
    sealed, _ = seal(suite, [plaintext])
    opened = reader(sealed, len(plaintext))
    assert opened.read(start, end) == plaintext[start:end]
    assert b"".join(opened.chunks(start)) == plaintext[start:]


@pytest.mark.parametrize("length", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 2 * SMALL + 1])
def test_segment_boundaries(suite: Suite, length: int) -> None:
    plaintext = os.urandom(length)
    sealed, _ = seal(suite, [plaintext[:5], plaintext[5:]])
    segments = max(1, -(-length // SMALL))
    assert len(sealed) == HEADER_LENGTH + length + 16 * segments
    assert reader(sealed, length).read() == plaintext


def test_default_segments_and_other_buffers(suite: Suite) -> None:
    plaintext = os.urandom(3 * DEFAULT_SEGMENT_SIZE + 17)
    sealed, _ = seal(
        suite,
        [bytearray(plaintext[:100]), memoryview(plaintext)[100:]],  # type: ignore[list-item]
        segment_size=DEFAULT_SEGMENT_SIZE,
    )
    opened = reader(sealed, len(plaintext))
    assert opened.read(65_000, 140_000) == plaintext[65_000:140_000]
    assert [len(chunk) for chunk in opened.chunks()] == [DEFAULT_SEGMENT_SIZE] * 3 + [17]


def test_a_plaintext_larger_than_what_memory_may_hold_streams_through(suite: Suite) -> None:
    """Sealing and reading keep one segment at a time: nothing grows with the stream."""
    held: list[int] = []

    def source() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(DEFAULT_SEGMENT_SIZE)

    seal_stream(source(), dek=DEK, context=CONTEXT, suite=suite, write=lambda piece: held.append(len(piece)))
    assert max(held) == DEFAULT_SEGMENT_SIZE + 16


def test_the_same_plaintext_never_seals_alike(suite: Suite) -> None:
    first, _ = seal(suite, [b"x" * 200])
    second, _ = seal(suite, [b"x" * 200])
    assert first[HEADER_LENGTH:] != second[HEADER_LENGTH:]


def test_every_bit_of_every_byte_is_guarded(suite: Suite) -> None:
    """Law 6: no flipped bit anywhere in a sealed file goes unnoticed."""
    plaintext = os.urandom(3 * SMALL + 8)
    sealed, _ = seal(suite, [plaintext])
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(SealBrokenError):
                reader(bytes(changed), len(plaintext)).read()


@pytest.mark.parametrize("known_length", [True, False], ids=["manifest says length", "length from file"])
def test_every_truncation_and_extension_is_noticed(suite: Suite, known_length: bool) -> None:  # noqa: FBT001
    plaintext = os.urandom(3 * SMALL)
    sealed, _ = seal(suite, [plaintext])
    expected = len(plaintext) if known_length else None
    for length in range(len(sealed)):
        with pytest.raises(SealBrokenError):
            reader(sealed[:length], expected)
        with pytest.raises(SealBrokenError):
            reader(sealed[:length], len(plaintext), claimed=len(sealed)).read()
    with pytest.raises(SealBrokenError):
        reader(sealed + b"\0", expected)
    with pytest.raises(SealBrokenError):
        reader(sealed + sealed[-STRIDE:], expected)


def test_a_blob_cut_after_opening_is_noticed_by_the_segment(suite: Suite) -> None:
    sealed, _ = seal(suite, [os.urandom(2 * SMALL)])
    opened = reader(sealed[: HEADER_LENGTH + STRIDE], 2 * SMALL, claimed=len(sealed))
    assert opened.read(0, SMALL)
    with pytest.raises(SealBrokenError, match="segment 1 is truncated"):
        opened.read(SMALL, 2 * SMALL)


@quick
@given(st.permutations(range(5)))
def test_reordered_segments_are_refused(suite: Suite, order: list[int]) -> None:
    plaintext = os.urandom(5 * SMALL)
    sealed, _ = seal(suite, [plaintext])
    body = [sealed[HEADER_LENGTH + i * STRIDE : HEADER_LENGTH + (i + 1) * STRIDE] for i in range(5)]
    moved = sealed[:HEADER_LENGTH] + b"".join(body[i] for i in order)
    opened = reader(moved, len(plaintext))
    if order == sorted(order):
        assert opened.read() == plaintext
        return
    with pytest.raises(SealBrokenError):
        opened.read()


@quick
@given(st.integers(0, 4), st.booleans())
def test_spliced_segments_of_a_file_under_the_same_key_are_refused(
    suite: Suite,
    index: int,
    with_header: bool,  # noqa: FBT001
) -> None:
    """Even the same key, context, position and length do not make a segment fit into another file."""
    ours, _ = seal(suite, [b"a" * 5 * SMALL])
    theirs, _ = seal(suite, [b"b" * 5 * SMALL])
    cut = HEADER_LENGTH + index * STRIDE
    spliced = (
        theirs[:cut] + ours[cut:]
        if with_header
        else ours[:cut] + theirs[cut : cut + STRIDE] + ours[cut + STRIDE :]
    )
    with pytest.raises(SealBrokenError):
        reader(spliced, 5 * SMALL).read()


def test_a_middle_segment_cannot_become_the_last(suite: Suite) -> None:
    sealed, _ = seal(suite, [os.urandom(3 * SMALL)])
    shorter = sealed[: HEADER_LENGTH + 2 * STRIDE]
    with pytest.raises(SealBrokenError, match="segment 1"):
        reader(shorter, 2 * SMALL).read()


@pytest.mark.parametrize("length", [0, 10, 500])
def test_wrong_key_and_wrong_context_are_refused_before_any_byte(suite: Suite, length: int) -> None:
    sealed, _ = seal(suite, [bytes(length)])
    with pytest.raises(SealBrokenError, match="commitment"):
        reader(sealed, length, dek=bytes(32))
    with pytest.raises(SealBrokenError, match="commitment"):
        reader(sealed, length, context=CONTEXT + b" ")


def test_no_chunk_leaves_before_it_is_authenticated(suite: Suite) -> None:
    sealed, _ = seal(suite, [b"a" * 3 * SMALL])
    broken = bytearray(sealed)
    broken[HEADER_LENGTH + STRIDE + 3] ^= 1
    stream = reader(bytes(broken), 3 * SMALL).chunks()
    assert next(stream) == b"a" * SMALL
    with pytest.raises(SealBrokenError, match="segment 1"):
        next(stream)


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (2, 1), (0, 11), (11, None)])
def test_ranges_outside_the_file_are_refused_at_once(suite: Suite, start: int, end: int | None) -> None:
    sealed, _ = seal(suite, [bytes(10)])
    with pytest.raises(ValueError, match="range outside"):
        reader(sealed, 10).chunks(start, end)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"dek": bytes(31)}, "31, expected 32 bytes"),
        ({"segment_size": 63}, "got 63"),
        ({"segment_size": 1024 * 1024 + 1}, "got 1048577"),
    ],
)
def test_wrong_arguments_are_named(suite: Suite, arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        seal(suite, [b""], **arguments)  # type: ignore[arg-type]


def test_foreign_files_are_refused() -> None:
    for content in (b"", b"PK\x03\x04" + bytes(200), bytes(HEADER_LENGTH + 16)):
        with pytest.raises(SealBrokenError):
            reader(content, None)


def test_threads_share_a_reader(suite: Suite) -> None:
    plaintext = os.urandom(200 * SMALL)
    sealed, _ = seal(suite, [plaintext])
    opened = reader(sealed, len(plaintext))
    wrong: list[tuple[int, int]] = []

    def read_many() -> None:
        for _ in range(200):
            start, end = sorted(secrets.randbelow(len(plaintext)) for _ in range(2))
            if opened.read(start, end) != plaintext[start:end]:
                wrong.append((start, end))

    threads = [threading.Thread(target=read_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
