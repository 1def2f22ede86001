"""A search for known positions in arbitrary content, whatever notation they are written in.

Independent of every reader and writer: it looks for neighbouring numbers, written or stored, that name a
place near one of the given fixes. What it looks for and what it cannot see is told in docs/residual-scan.md;
how chance is told from a leak, in ``anonymize.geo.chance``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.finding import Finding, FindingKind, IndexSpan, TextSpan
from anonymize.geo import stored_positions, written_positions
from anonymize.geo.chance import Evidence, Hit, Sightings, merged
from anonymize.geo.grid_references import GridReferences
from anonymize.geo.position_index import PositionIndex
from anonymize.geo.stored_positions import StoredPositions
from anonymize.geo.written_positions import WrittenPositions
from anonymize.overlapping_blocks import Block, OverlappingBlocks
from anonymize.wide_text import narrowed

DETECTOR = "positions@2"
MOST_FINDINGS = 1000
TOLERANCE_M = 15.0
_BLOCK = 1 << 18
_BEHIND = 64
_AHEAD = max(stored_positions.LONGEST, 2 * written_positions.LONGEST)
_CONTROL = np.zeros(256, bool)
_CONTROL[[*range(9), 11, *range(14, 32), 127]] = True
_CHARACTER = 4
_STORED = ("float", "int", "rationals")


def find_positions(
    content: bytes, *, lat: ArrayLike, lon: ArrayLike, tolerance_m: float = TOLERANCE_M
) -> tuple[Finding, ...]:
    """Search content in memory for positions near known fixes.

    Args:
        content: Text in UTF-8, or anything else.
        lat: Latitudes of the fixes in degrees, EPSG:4326, in the order of the drive.
        lon: Longitudes in degrees.
        tolerance_m: How near in metres a position must be to count.

    Returns:
        At most 1000 findings: text spans in code points (bytes where the content is not UTF-8), index spans
        in bytes for binary numbers. The notation is the label.

    Raises:
        MalformedItemError: The fixes are no positions.
    """
    hits = search((content,), PositionIndex(lat, lon, tolerance_m=tolerance_m))
    points = _code_points(content, [place for hit in hits for place in (hit.start, hit.end)])
    return tuple(
        _finding(
            hit,
            IndexSpan(start=hit.start, end=hit.end)
            if hit.label.startswith(_STORED)
            else TextSpan(start=points[hit.start], end=points[hit.end]),
        )
        for hit in hits
    )


def search_positions(
    chunks: Iterable[bytes], *, lat: ArrayLike, lon: ArrayLike, tolerance_m: float = TOLERANCE_M
) -> tuple[Finding, ...]:
    """Search content of any size, in constant memory, for positions near known fixes.

    Args:
        chunks: The content in order, in pieces of any size.
        lat: Latitudes of the fixes in degrees, EPSG:4326, in the order of the drive.
        lon: Longitudes in degrees.
        tolerance_m: How near in metres a position must be to count.

    Returns:
        At most 1000 findings; index spans in bytes of the whole content. The notation is the label.

    Raises:
        MalformedItemError: The fixes are no positions.
    """
    return as_findings(search(chunks, PositionIndex(lat, lon, tolerance_m=tolerance_m)))


def as_findings(hits: Iterable[Hit]) -> tuple[Finding, ...]:
    """Hits as findings, with index spans in bytes."""
    return tuple(_finding(hit, IndexSpan(start=hit.start, end=hit.end)) for hit in hits)


def search(chunks: Iterable[bytes], index: PositionIndex) -> tuple[Hit, ...]:
    """Search content for the positions of an index: at most 1000 hits."""
    running = Search(Searches(index))
    for chunk in chunks:
        running.feed(chunk)
    return running.close()


class Search:
    """A search of a stream that is given piece by piece."""

    def __init__(self, searches: "Searches") -> None:
        self._searches = searches
        self._blocks = OverlappingBlocks(size=_BLOCK, behind=_BEHIND, ahead=_AHEAD)
        self._evidence = Evidence()

    @property
    def length(self) -> int:
        """Bytes given so far."""
        return self._blocks.length

    def feed(self, chunk: bytes) -> None:
        """Search a further piece; after 1000 certain hits nothing more is searched."""
        for block in self._blocks.feed(chunk):
            self._search(block)

    def close(self) -> tuple[Hit, ...]:
        """Search what is left; the hits in the order of the content."""
        for block in self._blocks.rest():
            self._search(block)
        return tuple(self._evidence.hits())[:MOST_FINDINGS]

    def _search(self, block: Block) -> None:
        if self._evidence.certain < MOST_FINDINGS:
            found = merged(self._searches.all(block.content))
            self._evidence.add([s.between(block.low, block.high).moved(block.base) for s in found])


class Searches:
    """The searches for the positions of an index, prepared once for any number of contents."""

    def __init__(self, index: PositionIndex) -> None:
        self._prepared = (
            (WrittenPositions(index), GridReferences(index), StoredPositions(index)) if index.count else None
        )

    def all(self, content: bytes) -> Iterator[Sightings]:
        """Everything in a block that could be a position; places are bytes of the block."""
        if self._prepared is None:
            return
        stored = self._prepared[2]
        block = np.frombuffer(content, np.uint8)
        yield from self._text(block)
        for text, place in narrowed(block):
            for s in self._text(text):
                yield replace(s, label=f"{s.label} utf-16", start=2 * s.start + place, end=2 * s.end + place)
        if _is_binary(content):
            yield from stored.search(content)

    def _text(self, block: NDArray[np.uint8]) -> Iterator[Sightings]:
        if self._prepared is not None:
            written, references, _ = self._prepared
            yield from written.search(block)
            yield from references.search(block)


def _is_binary(content: bytes) -> bool:
    """Whether numbers could be stored in a block: it has control characters or is no UTF-8."""
    if _CONTROL[np.frombuffer(content, np.uint8)].any():
        return True
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        # A block's borders may cut a character.
        cut = (error.start < _CHARACTER or error.end > len(content) - _CHARACTER) and len(content) > _BEHIND
        return not cut or "\ufffd" in content[_CHARACTER:-_CHARACTER].decode("utf-8", "replace").strip(
            "\ufffd"
        )
    return False


def _code_points(content: bytes, places: list[int]) -> dict[int, int]:
    """For each place in bytes its place in code points; the same where the content is not UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return {place: place for place in places}
    found, before, count = {}, 0, 0
    for place in sorted(set(places)):
        count += len(content[before:place].decode("utf-8", "ignore"))
        found[place], before = count, place
    return found


def _finding(hit: Hit, where: IndexSpan | TextSpan) -> Finding:
    return Finding(kind=FindingKind.POSITION, where=where, confidence=1.0, detector=DETECTOR, label=hit.label)
