"""A stream is searched in constant memory and gives the same findings as its whole, at the same places."""

import struct
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MalformedItemError
from anonymize.finding import IndexSpan
from anonymize.geo.position_index import PositionIndex
from anonymize.geo.positions import search, search_positions
from anonymize.overlapping_blocks import OverlappingBlocks

LAT, LON = 39.984094, 116.319236
TEXT = f"{LAT:.6f},{LON:.6f}".encode()
BLOCK = 1 << 18


@pytest.mark.parametrize("place", [0, 1, BLOCK - 25, BLOCK - 10, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 9])
@pytest.mark.parametrize("piece", [1000, 65_536, 10_000_000])
def test_a_position_across_borders_is_found_once_at_its_place(place, piece):
    content = b"x" * place + b" " + TEXT + b" " + b"y" * (3 * BLOCK - place)
    pieces = (content[at : at + piece] for at in range(0, len(content), piece))
    (found,) = search_positions(pieces, lat=[LAT], lon=[LON])
    assert found.where == IndexSpan(start=place + 1, end=place + 1 + len(TEXT))


@pytest.mark.parametrize("place", [BLOCK - 15, BLOCK - 8, BLOCK - 3, BLOCK + 2])
def test_stored_positions_across_borders(place):
    planted = struct.pack(">dd", LAT, LON)
    content = b"\xff" * place + planted + b"\xff" * BLOCK
    (found,) = search_positions([content], lat=[LAT], lon=[LON])
    assert found.where == IndexSpan(start=place, end=place + 16)


@given(st.lists(st.binary(max_size=40), max_size=40), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_blocks_cover_the_stream_once(chunks, size):
    whole = b"".join(chunks)
    blocks = OverlappingBlocks(size=size, behind=3, ahead=7)
    made = [block for chunk in chunks for block in blocks.feed(chunk)] + list(blocks.rest())
    owned = b"".join(block.content[block.low : block.high] for block in made)
    assert owned == whole
    for block in made:
        assert whole[block.base : block.base + len(block.content)] == block.content
        ahead = len(block.content) - block.high
        assert ahead >= 7 or block.base + len(block.content) == len(whole)


def test_memory_does_not_grow_with_the_stream(drive):
    track = drive()
    index = PositionIndex(track.lat, track.lon)

    def stream(count: int) -> Iterator[bytes]:
        rng = np.random.default_rng(1)
        for _ in range(count):
            yield rng.bytes(1 << 20)

    peaks = []
    for count in (3, 12):
        tracemalloc.start()
        search(stream(count), index)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 2e6
    assert peaks[1] < 80e6


def test_findings_are_bounded_and_a_search_ends_there():
    pieces = (TEXT + b"\n" for _ in range(200_000))
    found = search_positions(pieces, lat=[LAT], lon=[LON])
    assert len(found) == 1000
    assert found[0].where == IndexSpan(start=0, end=len(TEXT))


def test_nothing_is_found_without_fixes_and_bad_fixes_are_refused():
    assert search_positions([TEXT], lat=[], lon=[]) == ()
    for lat, lon in (([1.0, 2.0], [3.0]), ([float("nan")], [0.0]), ([91.0], [0.0]), ([0.0], [400.0])):
        with pytest.raises(MalformedItemError):
            search_positions([TEXT], lat=lat, lon=lon)
    with pytest.raises(MalformedItemError):
        search_positions([TEXT], lat=[LAT], lon=[LON], tolerance_m=0.0)
