"""A search for known positions in arbitrary content, whatever notation they are written in.

Independent of every reader and writer: it looks for neighbouring numbers, written or stored, that name a place near
one of the given fixes. What it looks for and what it cannot see is told in docs/residual-scan.md; how chance is told
from a leak, in ``anonymize.geo.chance``.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.finding import Finding, FindingKind, IndexSpan, TextSpan
from anonymize.geo import stored_positions, written_positions
from anonymize.geo.chance import Evidence, Hit, Sightings
from anonymize.geo.grid_references import GridReferences
from anonymize.geo.position_index import PositionIndex
from anonymize.geo.stored_positions import StoredPositions
from anonymize.geo.written_positions import WrittenPositions

DETECTOR = "positions@2"
MOST_FINDINGS = 1000
TOLERANCE_M = 15.0
_BLOCK = 1 << 18
_BEHIND = 64
_AHEAD = max(stored_positions.LONGEST, 2 * written_positions.LONGEST)
_CONTROL = np.zeros(256, bool)
_CONTROL[[*range(9), 11, *range(14, 32), 127]] = True
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
    """Search content for the positions of an index; it ends early at 1000 hits."""
    if not index.count:
        for _ in chunks:
            pass
        return ()
    written, stored, references = WrittenPositions(index), StoredPositions(index), GridReferences(index)
    evidence = Evidence()
    for base, low, high, block in _blocks(chunks):
        found = [*written.search(block), *references.search(block.tobytes())]
        found += _wide(block, written)
        if _is_binary(block):
            found += stored.search(block.tobytes())
        evidence.add([_moved(s.between(low, high), base) for s in found])
        if evidence.certain >= MOST_FINDINGS:
            break
    return tuple(evidence.hits())[:MOST_FINDINGS]


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, int, int, NDArray[np.uint8]]]:
    """Pieces of the content with enough before and after that no position is cut.

    Yields:
        Place of the piece's first byte in the content, the half-open range of the piece in which positions may
        start, and the piece.
    """
    held, base, low = bytearray(), 0, 0
    for chunk in chunks:
        for at in range(0, len(chunk), _BLOCK):
            held += chunk[at : at + _BLOCK]
            while len(held) >= low + _BLOCK + _AHEAD:
                high = low + _BLOCK
                yield base, low, high, np.frombuffer(bytes(held[: high + _AHEAD]), np.uint8)
                del held[: high - _BEHIND]
                base, low = base + high - _BEHIND, _BEHIND
    if held:
        yield base, low, len(held), np.frombuffer(bytes(held), np.uint8)


def _wide(block: NDArray[np.uint8], written: WrittenPositions) -> Iterator[Sightings]:
    """Text in UTF-16 at either alignment: every other byte, where digits alternate with zeros."""
    zero = block == 0
    digit = (block - np.uint8(48)) < 10
    alternating = digit[:-4] & zero[1:-3] & digit[2:-2] & zero[3:-1] & digit[4:]
    for parity in (0, 1):
        if alternating[parity::2].any():
            for s in written.search(np.ascontiguousarray(block[parity::2])):
                yield Sightings(
                    label=f"{s.label} utf-16",
                    space=s.space,
                    first=s.first,
                    second=s.second,
                    start=2 * s.start + parity,
                    end=2 * s.end + parity,
                    limit=s.limit,
                )


def _is_binary(block: NDArray[np.uint8]) -> bool:
    """Whether numbers could be stored in a block: it has control characters or is no UTF-8."""
    if _CONTROL[block].any():
        return True
    # Characters that the block's borders cut are no evidence.
    inner = block.tobytes()[3:-3].decode("utf-8", "replace") if len(block) > _BEHIND else None
    if inner is not None:
        return "\ufffd" in inner[3:-3]
    try:
        block.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _moved(sightings: Sightings, base: int) -> Sightings:
    return Sightings(
        label=sightings.label,
        space=sightings.space,
        first=sightings.first,
        second=sightings.second,
        start=sightings.start + base,
        end=sightings.end + base,
        limit=sightings.limit,
    )


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
